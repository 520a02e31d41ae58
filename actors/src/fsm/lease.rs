//! The holder's half of the lease (S3): conservative in every respect.
//!
//! Think of a parking ticket that is valid from the moment you *walked* to the machine, not from the moment it was printed: whatever time
//! the request and its answer spent on the way is lost for the holder and so can never be time that somebody else counts differently.

use crate::machine::Timestamp;
use crate::model::{Boot, Epoch, LeaseGrant, LeaseRequest, LeaseTiming, NodeId};
use alloc::collections::BTreeMap;
use core::time::Duration;

/// How many unanswered requests are remembered. A grant to an older one would be near its end anyway.
const OPEN_MAX: usize = 32;
/// How soon an unanswered request is repeated.
const RETRY: Duration = Duration::from_millis(100);

/// Asks for leases and knows what it holds.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    node: NodeId,
    boot: Boot,
    timing: LeaseTiming,
    seq: u64,
    open: BTreeMap<u64, (Epoch, Timestamp)>,
    asked_at: Option<Timestamp>,
    granted_from: Option<Timestamp>,
    held: Option<(Epoch, Timestamp)>,
    /// Since when leases are granted that the guard does not acknowledge.
    unguarded_since: Option<Timestamp>,
    released: Epoch,
}

impl Keeper {
    pub(super) fn new(node: NodeId, boot: Boot, timing: LeaseTiming) -> Self {
        Self {
            node,
            boot,
            timing,
            seq: 0,
            open: BTreeMap::new(),
            asked_at: None,
            granted_from: None,
            held: None,
            unguarded_since: None,
            released: Epoch(0),
        }
    }

    /// The cluster's T: it is replicated, so that every node counts with the same.
    pub(super) const fn set_ttl(&mut self, ttl: Duration) {
        self.timing.ttl = ttl;
    }

    /// When the next request is due, for a node that is appointed.
    pub(super) fn due_at(&self, now: Timestamp) -> Timestamp {
        let Some(asked_at) = self.asked_at else { return now };
        if let Some(until) = self.rests_until(now) {
            return until;
        }
        let fresh = self.granted_from.is_some_and(|from| from == asked_at);
        asked_at + if fresh { self.timing.renewal() } else { RETRY.min(self.timing.renewal()) }
    }

    /// While no guard takes what is granted, requests are rare: a lease that cannot be used only keeps others from taking over, and they
    /// need W between two requests. But a guard that was stopped may go on without a word, so they never end.
    fn rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.unguarded_since.filter(|since| now.since(*since) > self.timing.ttl)?;
        Some(self.asked_at.unwrap_or(since) + self.timing.wait() * 2)
    }

    /// Makes a request that is sent at `now`. None for an epoch that this node has released, and while the keeper rests.
    pub(super) fn ask(&mut self, now: Timestamp, epoch: Epoch) -> Option<LeaseRequest> {
        if epoch <= self.released || self.rests_until(now).is_some_and(|until| now < until) {
            return None;
        }
        self.seq += 1;
        self.asked_at = Some(now);
        self.open.insert(self.seq, (epoch, now));
        if self.open.len() > OPEN_MAX {
            self.open.pop_first();
        }
        Some(LeaseRequest { node: self.node, epoch, boot: self.boot, seq: self.seq })
    }

    /// Takes a grant; answers the end that the guard must acknowledge before it counts. `holder` is whom the applied state names.
    pub(super) fn granted(&mut self, now: Timestamp, grant: LeaseGrant, holder: Option<(NodeId, Epoch)>) -> Option<(Epoch, Timestamp)> {
        if grant.node != self.node || grant.boot != self.boot || grant.epoch <= self.released {
            return None;
        }
        let (epoch, sent) = *self.open.get(&grant.seq)?;
        if epoch != grant.epoch || holder != Some((self.node, epoch)) {
            return None;
        }
        self.open.retain(|seq, _| *seq > grant.seq);
        if self.granted_from.is_none_or(|from| from < sent) {
            self.granted_from = Some(sent);
        }
        let end = sent + self.timing.ttl;
        let news = self.held.is_none_or(|(held_epoch, held_end)| held_epoch != epoch || held_end < end);
        let wanted = (news && end > now).then_some((epoch, end));
        if wanted.is_some() {
            self.unguarded_since.get_or_insert(now);
        }
        wanted
    }

    /// The guard will end a writable server only at that new end.
    pub(super) fn guarded(&mut self, epoch: Epoch, end: Timestamp) {
        self.unguarded_since = None;
        if epoch <= self.released {
            return;
        }
        if self.held.is_none_or(|(held_epoch, held_end)| held_epoch < epoch || (held_epoch == epoch && held_end < end)) {
            self.held = Some((epoch, end));
        }
    }

    /// The guard lost its memory: nothing is held until it acknowledges a lease again.
    pub(super) fn guard_began_anew(&mut self, lease: Option<(Epoch, Timestamp)>) {
        self.held = None;
        self.unguarded_since = None;
        if let Some((epoch, end)) = lease {
            self.guarded(epoch, end);
        }
    }

    /// This node will never use `epoch`, or one before it, again (S8).
    pub(super) fn release(&mut self, epoch: Epoch) {
        self.released = self.released.max(epoch);
        if self.held.is_some_and(|(held, _)| held <= self.released) {
            self.held = None;
        }
        let released = self.released;
        self.open.retain(|_, (open, _)| *open > released);
    }

    /// The last epoch that this node has released for good.
    pub(super) const fn released(&self) -> Epoch {
        self.released
    }

    /// Until when a writable server is safe from the guard. None: nothing is held for the epoch that the applied state names.
    pub(super) fn held_until(&self, now: Timestamp, holder: Option<(NodeId, Epoch)>) -> Option<Timestamp> {
        let (epoch, _) = self.held?;
        self.guarded_until(now).filter(|_| holder == Some((self.node, epoch)))
    }

    /// Until when the guard lets a writable server live, whatever the applied state says of the epoch.
    pub(super) fn guarded_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.held.map(|(_, end)| end - self.timing.kill_margin).filter(|until| now < *until)
    }

    /// Whether a lease is held for an epoch that the applied state has not reached. Only a node that had applied an appointment of its own ever
    /// brought a lease to its guard, so the state is old and the lease is good: the commit index on disk lags behind a crash.
    pub(super) fn outruns(&self, now: Timestamp, applied: Epoch) -> bool {
        self.guarded_until(now).is_some() && self.held.is_some_and(|(epoch, _)| epoch > applied)
    }

    /// What is held, for people.
    pub(super) const fn held(&self) -> Option<(Epoch, Timestamp)> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const HOLDER: Option<(NodeId, Epoch)> = Some((ME, Epoch(3)));

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    fn keeper() -> Keeper {
        Keeper::new(ME, Boot(9), LeaseTiming::default())
    }

    fn grant(request: &LeaseRequest) -> LeaseGrant {
        LeaseGrant { node: request.node, epoch: request.epoch, boot: request.boot, seq: request.seq }
    }

    fn asked(keeper: &mut Keeper, now: Timestamp) -> LeaseRequest {
        keeper.ask(now, Epoch(3)).expect("the epoch is not released")
    }

    #[test]
    fn a_lease_counts_from_the_sending_of_its_request() {
        let mut keeper = keeper();
        let request = asked(&mut keeper, at(1000));
        assert_eq!(keeper.granted(at(1900), grant(&request), HOLDER), Some((Epoch(3), at(4000))));
    }

    #[test]
    fn nothing_is_held_before_the_guard_has_acknowledged_it() {
        let mut keeper = keeper();
        let request = asked(&mut keeper, at(1000));
        keeper.granted(at(1100), grant(&request), HOLDER);
        assert_eq!(keeper.held_until(at(1100), HOLDER), None);
        keeper.guarded(Epoch(3), at(4000));
        assert_eq!(keeper.held_until(at(1100), HOLDER), Some(at(3500)));
        assert_eq!(keeper.held_until(at(3500), HOLDER), None, "the kill margin belongs to the guard");
    }

    #[test]
    fn a_grant_that_differs_in_anything_is_void() {
        let mut keeper = keeper();
        let request = asked(&mut keeper, at(1000));
        let good = grant(&request);
        for bad in [
            LeaseGrant { node: NodeId(2), ..good },
            LeaseGrant { epoch: Epoch(4), ..good },
            LeaseGrant { boot: Boot(8), ..good },
            LeaseGrant { seq: 7, ..good },
        ] {
            assert_eq!(keeper.granted(at(1100), bad, HOLDER), None, "{bad:?}");
        }
        assert_eq!(keeper.granted(at(1100), good, Some((NodeId(2), Epoch(4)))), None, "the state names somebody else");
        assert!(keeper.granted(at(1100), good, HOLDER).is_some());
    }

    #[test]
    fn a_lease_is_of_use_only_in_the_epoch_that_it_was_granted_for() {
        let mut keeper = keeper();
        keeper.guarded(Epoch(3), at(4000));
        assert_eq!(keeper.held_until(at(1100), HOLDER), Some(at(3500)));
        for holder in [Some((ME, Epoch(2))), Some((ME, Epoch(4))), Some((NodeId(2), Epoch(3))), None] {
            assert_eq!(keeper.held_until(at(1100), holder), None, "{holder:?}");
        }
    }

    #[test]
    fn a_released_epoch_is_never_asked_for_nor_accepted_nor_used_again() {
        let mut keeper = keeper();
        let request = asked(&mut keeper, at(1000));
        keeper.guarded(Epoch(3), at(4000));
        keeper.release(Epoch(3));
        assert_eq!(keeper.held_until(at(1100), HOLDER), None);
        assert_eq!(keeper.granted(at(1100), grant(&request), HOLDER), None);
        keeper.guarded(Epoch(3), at(9000));
        assert_eq!(keeper.held_until(at(1100), HOLDER), None);
        assert_eq!(keeper.ask(at(1200), Epoch(3)), None);
    }

    #[test]
    fn grants_out_of_order_never_shorten_a_lease() {
        let mut keeper = keeper();
        let first = asked(&mut keeper, at(1000));
        let second = asked(&mut keeper, at(1500));
        let (epoch, end) = keeper.granted(at(1600), grant(&second), HOLDER).expect("a grant");
        keeper.guarded(epoch, end);
        assert_eq!(keeper.granted(at(1700), grant(&first), HOLDER), None);
        keeper.guarded(Epoch(3), at(4000));
        assert_eq!(keeper.held_until(at(1700), HOLDER), Some(at(4000)));
    }

    #[test]
    fn an_unanswered_request_is_repeated_sooner_than_an_answered_one() {
        let mut keeper = keeper();
        assert_eq!(keeper.due_at(at(1000)), at(1000));
        let request = asked(&mut keeper, at(1000));
        assert_eq!(keeper.due_at(at(1000)), at(1100));
        keeper.granted(at(1010), grant(&request), HOLDER);
        assert_eq!(keeper.due_at(at(1010)), at(1500));
    }

    #[test]
    fn leases_that_no_guard_takes_are_asked_for_so_rarely_that_others_can_take_over() {
        let mut keeper = keeper();
        let request = asked(&mut keeper, at(1000));
        assert!(keeper.granted(at(1010), grant(&request), HOLDER).is_some());
        asked(&mut keeper, at(4000));
        assert_eq!(keeper.ask(at(4100), Epoch(3)), None);
        let again = keeper.due_at(at(4100));
        assert!(again.since(at(4000)) > LeaseTiming::default().wait(), "{again:?}");
        assert_eq!(keeper.ask(again - Duration::from_micros(1), Epoch(3)), None);
        assert!(keeper.clone().ask(again, Epoch(3)).is_some(), "a guard that was stopped may go on without a word");
        keeper.guard_began_anew(None);
        assert!(keeper.ask(at(4200), Epoch(3)).is_some(), "there is a guard again");
    }

    #[test]
    fn a_lease_of_an_earlier_life_of_the_daemon_is_taken_over_from_the_guard() {
        let mut keeper = keeper();
        keeper.guard_began_anew(Some((Epoch(3), at(4000))));
        assert_eq!(keeper.held_until(at(1000), HOLDER), Some(at(3500)));
        keeper.guard_began_anew(None);
        assert_eq!(keeper.held_until(at(1000), HOLDER), None, "a new guard knows of no lease");
    }

    #[test]
    fn a_lease_outruns_a_state_of_an_earlier_epoch_for_as_long_as_it_lasts() {
        let mut keeper = keeper();
        keeper.guard_began_anew(Some((Epoch(3), at(4000))));
        assert!(keeper.outruns(at(1000), Epoch(2)));
        assert!(!keeper.outruns(at(1000), Epoch(3)));
        assert!(!keeper.outruns(at(1000), Epoch(4)), "the lease is the old one");
        assert!(!keeper.outruns(at(3500), Epoch(2)), "it is over");
        keeper.release(Epoch(3));
        assert!(!keeper.outruns(at(1000), Epoch(2)), "it was given up");
    }
}
