//! Those who are in the middle of their handshake: whoever reaches the port can be one of them, so a crowd of them must not keep a peer out.
//!
//! A peer is through within milliseconds, so the one who has been here longest is the one who goes, never the newest. Addresses at which a
//! peer is known to be have places of their own; everybody else has a few for each address, and all of them together have the rest.

use crate::tree::neighbourhood::neighbourhood;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use tokio::sync::oneshot;

/// From the addresses of peers.
pub(super) const PEERS_MAX: usize = 64;
/// From all other addresses together.
pub(super) const STRANGERS_MAX: usize = 64;
/// From one of those.
pub(super) const STRANGERS_EACH: usize = 4;

/// Told to leave when the other end is dropped.
pub(super) type ShownOut = oneshot::Receiver<()>;

#[derive(Debug)]
struct Guest {
    from: IpAddr,
    is_peer: bool,
    _show_out: oneshot::Sender<()>,
}

/// By the number of their coming.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    next: u64,
    guests: BTreeMap<u64, Guest>,
}

impl HalfOpen {
    /// Lets somebody in, and shows out whoever has been here longest where that makes one too many. Answers its number, and who went.
    pub(super) fn enter(&mut self, from: IpAddr, peers: &BTreeSet<IpAddr>) -> (u64, ShownOut, Option<IpAddr>) {
        let is_peer = peers.contains(&from.to_canonical());
        let from = neighbourhood(from);
        let shown_out = self.place_for(from, is_peer).and_then(|oldest| self.guests.remove(&oldest)).map(|guest| guest.from);
        self.next += 1;
        let (show_out, told) = oneshot::channel();
        self.guests.insert(self.next, Guest { from, is_peer, _show_out: show_out });
        (self.next, told, shown_out)
    }

    /// It is through, or has left.
    pub(super) fn leave(&mut self, number: u64) {
        self.guests.remove(&number);
    }

    pub(super) fn clear(&mut self) {
        self.guests.clear();
    }

    /// Who has to go so that there is a place.
    fn place_for(&self, from: IpAddr, is_peer: bool) -> Option<u64> {
        let alike = || self.guests.iter().filter(move |(_, guest)| guest.is_peer == is_peer);
        let same = || alike().filter(move |(_, guest)| guest.from == from);
        if !is_peer && same().count() >= STRANGERS_EACH {
            return same().map(|(number, _)| *number).next();
        }
        if alike().count() < if is_peer { PEERS_MAX } else { STRANGERS_MAX } {
            return None;
        }
        // A stranger beside one peer takes no place of another's: where the most are, one goes.
        let mut crowds: BTreeMap<IpAddr, (usize, u64)> = BTreeMap::new();
        for (number, guest) in alike() {
            crowds.entry(guest.from).or_insert((0, *number)).0 += 1;
        }
        let most = crowds.values().map(|(count, _)| *count).max()?;
        crowds.values().filter(|(count, _)| *count == most).map(|(_, oldest)| *oldest).min()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.guests.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, host])
    }

    fn is_out(told: &mut ShownOut) -> bool {
        told.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn of_one_strange_address_the_oldest_goes_and_nobody_else() {
        let (mut half_open, peers) = (HalfOpen::default(), BTreeSet::new());
        let (_, mut other, _) = half_open.enter(host(9), &peers);
        let mut crowd: Vec<_> = (0..STRANGERS_EACH + 2).map(|_| half_open.enter(host(1), &peers).1).collect();
        let out: Vec<_> = crowd.iter_mut().map(is_out).collect();
        assert_eq!(out, [true, true, false, false, false, false]);
        assert!(!is_out(&mut other));
    }

    #[test]
    fn strangers_from_everywhere_take_no_place_of_the_peers() {
        let (mut half_open, peers) = (HalfOpen::default(), BTreeSet::from([host(1), host(2)]));
        let (_, mut peer, _) = half_open.enter(host(1), &peers);
        let mut crowd: Vec<_> = (0..200).map(|n| half_open.enter(IpAddr::from([10, 1, 0, n]), &peers).1).collect();
        let staying = crowd.iter_mut().map(is_out).position(|out| !out);
        assert_eq!(staying, Some(200 - STRANGERS_MAX), "the newest stay");
        assert!(!is_out(&mut peer));
        // A stranger who sits at a peer's own address: of those the oldest goes, and the other peer keeps its place.
        let (_, mut second, _) = half_open.enter(host(2), &peers);
        for _ in 0..1000 {
            half_open.enter(host(1), &peers);
        }
        assert!(is_out(&mut peer) && !is_out(&mut second));
        assert_eq!(half_open.len(), PEERS_MAX + STRANGERS_MAX);
    }

    #[test]
    fn who_left_makes_room() {
        let (mut half_open, peers) = (HalfOpen::default(), BTreeSet::new());
        for _ in 0..100 {
            let (number, mut told, shown_out) = half_open.enter(host(1), &peers);
            assert!(shown_out.is_none() && !is_out(&mut told));
            half_open.leave(number);
        }
        assert_eq!(half_open.len(), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_itself() {
        let (mut half_open, peers) = (HalfOpen::default(), BTreeSet::from([host(1)]));
        let of = |text: &str| text.parse::<IpAddr>().expect("an address");
        for n in 0..STRANGERS_EACH + 3 {
            half_open.enter(of(&format!("2001:db8:0:1::{n:x}")), &peers);
        }
        assert_eq!(half_open.len(), STRANGERS_EACH);
        assert!(half_open.enter(of("2001:db8:0:2::1"), &peers).2.is_none());
        for _ in 0..STRANGERS_EACH + 3 {
            assert!(half_open.enter(of("::ffff:10.0.0.1"), &peers).2.is_none(), "it is the peer");
        }
    }
}
