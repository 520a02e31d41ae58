//! After the faults: a random core is healed, everything else stays as it is or worse, and progress is demanded (L1, L2).

use super::event::Event;
use super::world::World;
use actors::fsm::Request;
use actors::model::ClusterState;

const SECOND: u64 = 1_000_000;
/// Between two looks at what is missing.
const POLL: u64 = 100_000;
/// L1: 2 x (the largest election timeout + W), 8.6 s with the default numbers; the wait for the words of absent data nodes, another 2 x W; and what
/// PostgreSQL and the adapter's back-off take: a start, a promotion, and the longest delay between two tries.
const WRITABLE_MAX: u64 = 55 * SECOND;
/// L2: a comparison, a rewind that fails three times and a clone, each after the back-off before it.
const STREAMING_MAX: u64 = 240 * SECOND;

/// The last phase of a story.
#[derive(Clone, Debug, Default)]
pub(super) struct Liveness {
    pub(super) core: Vec<usize>,
    healed_at: u64,
    /// When the core first had a writable primary.
    pub(super) writable_after: Option<u64>,
    pub(super) done: bool,
}

impl World {
    /// Heals a core and leaves the rest to its fate.
    pub(super) fn heal(&mut self) {
        let nodes = self.setting.nodes;
        let Some(core) = self.draw_core() else {
            self.tally.count("liveness not owed: no majority holds its logs and an eligible database");
            self.liveness.done = true;
            return;
        };
        self.tell_story(|| format!("=== the core {:?} is healed", core.iter().map(|node| node + 1).collect::<Vec<_>>()));
        let now = self.now;
        let mut healed_at = now;
        self.network.cuts.clear();
        self.ambush = None;
        self.setting.network = super::world::QUIET;
        for node in 0..nodes {
            let host = &mut self.hosts[node];
            (host.slow_links, host.disk.slow, host.disk.full_until) = ((0, 0), (0, 0), 0);
            if !core.contains(&node) {
                // Gone for good: without power, or cut off from everybody.
                if self.dice.one_in(2) {
                    self.power_off(node, None);
                } else {
                    for peer in (0..nodes).filter(|peer| *peer != node) {
                        self.network.cuts.extend([(node, peer, u64::MAX), (peer, node, u64::MAX)]);
                    }
                }
                continue;
            }
            // What was stopped wakes up at its time, so that what waits for it stays in order; the clock of L1 starts then.
            healed_at = healed_at.max(host.daemon_wakes_at).max(host.guard_wakes_at).max(host.server_wakes_at);
            let recovers = host.server.as_ref().and_then(|server| server.recovers);
            healed_at = healed_at.max(recovers.map_or(0, |(_, until)| until));
            let absent = host.daemon.is_none();
            let leaving = host.daemon.as_ref().is_some_and(|daemon| daemon.stopping);
            if absent {
                self.start_later(node, SECOND / 2);
            } else if leaving {
                self.end_daemon(node);
                self.start_later(node, SECOND / 2);
            }
            if let Some(pid) = self.hosts[node].server.as_ref().map(|server| server.pid) {
                self.stop_by_hand(node, pid);
            }
            self.move_away(node);
        }
        self.liveness = Liveness { core, healed_at, writable_after: None, done: false };
        self.schedule(now + SECOND, Event::Resume);
        self.schedule(now + POLL, Event::Poll);
    }

    /// A majority that still holds its logs, with the node whose database is the cluster's newest.
    fn draw_core(&mut self) -> Option<Vec<usize>> {
        let (extra, luck) = (self.dice.below(self.setting.nodes as u64 / 2 + 1), self.dice.roll());
        let nodes = self.setting.nodes;
        let own = |node: usize| self.hosts[node].disk.stored.identity.as_ref().map_or(0, |identity| identity.raft_id.0);
        let votes = |core: &[usize], voters: &[u64]| core.iter().filter(|node| voters.contains(&own(**node))).count() * 2 > voters.len();
        // A membership that some of them have not heard of is of no use to those.
        let known: Vec<_> = (0..nodes).map(|node| self.membership(node)).collect();
        let elects = |core: &[usize]| {
            let believed = core.iter().map(|node| &known[*node]).chain([&self.judge.voters]);
            believed.flatten().all(|voters| voters.is_empty() || votes(core, voters))
        };
        // Before its birth a cluster needs everybody.
        let Some(state) = self.judge.newest.as_ref().map(|(_, state)| state.clone()) else { return Some((0..nodes).collect()) };
        if state.system_identifier.is_none() {
            return Some((0..nodes).collect());
        }
        // Not always the furthest: whoever is close enough must do.
        let all: Vec<_> = (0..nodes).collect();
        let some: Vec<_> = all.iter().copied().filter(|_| self.dice.one_in(2)).collect();
        let eligible = self.eligible(&some, &state).or_else(|| self.eligible(&all, &state))?;
        let mut core = vec![eligible];
        let mut others: Vec<_> = (0..nodes).filter(|node| *node != eligible).collect();
        let wanted = nodes / 2 + 1 + usize::try_from(extra).expect("a small number");
        while core.len() < wanted && !others.is_empty() {
            let index = usize::try_from(luck % others.len() as u64).expect("a small number");
            core.push(others.swap_remove(index));
        }
        while !elects(&core) {
            core.push(others.pop()?);
        }
        core.sort_unstable();
        Some(core)
    }

    /// Who of these could be appointed by that state: the old primary with its database, or else the furthest that D1 admits.
    fn eligible(&self, among: &[usize], state: &ClusterState) -> Option<usize> {
        let old = state.primary.as_ref().map(|primary| super::network::index(primary.node));
        // D1 may rule out everybody else; then nothing is owed without the old primary.
        let promotion = state.primary.as_ref().and_then(|primary| primary.promoted);
        let reigns = self.judge.written.iter().filter(|(epoch, _)| promotion.is_none() || **epoch == state.epoch);
        let ends = reigns.map(|(_, end)| *end).chain(promotion.map(|promotion| promotion.lsn.0));
        let written = ends.max().unwrap_or(0);
        // Nor is anything owed to who has left the line of a primary that one of these has heard of, though its promotion is not committed.
        let daemons = among.iter().filter_map(|node| self.hosts[*node].daemon.as_ref());
        let told: Vec<_> = daemons.map(|daemon| daemon.belief.told.history(state)).collect();
        let in_line = |data: &super::postgres::Data| {
            let (position, lineage) = (data.position(), data.lineage());
            told.iter().chain([state]).all(|history| history.is_in_line(position, &lineage))
        };
        // With a copy from before its promotion, or its appointment, the primary leads no more (D5).
        let least = state.least_to_lead().filter(|_| promotion.is_none());
        let leads_on = |data: &super::postgres::Data| {
            least.is_none_or(|least| least.lsn <= data.end())
                && promotion.is_none_or(|began| data.history.iter().any(|own| (own.timeline, own.lsn) == (began.timeline, began.lsn)))
        };
        let whole = |node: &usize| {
            let data = self.hosts[*node]
                .data
                .as_ref()
                .filter(|data| Some(data.identifier) == state.system_identifier && !data.unfinished && data.is_consistent());
            let close = |data: &super::postgres::Data| data.end().0 + state.settings.max_replication_lag >= written;
            let may = |data| close(data) && !self.setting.tags[*node].nofailover;
            let returns = |data: &super::postgres::Data| old == Some(*node) && state.is_prefix(data.position());
            data.is_some_and(|data| (old != Some(*node) || leads_on(data)) && (in_line(data) && may(data) || returns(data)))
        };
        let furthest = among.iter().copied().filter(whole).max_by_key(|node| {
            let position = self.hosts[*node].data.as_ref().map(super::postgres::Data::position).unwrap_or_default();
            (position.timeline, position.lsn)
        });
        old.filter(|old| among.contains(old) && whole(old)).or(furthest)
    }

    /// An operator moves another cluster's database away.
    pub(super) fn move_away(&mut self, node: usize) {
        let ours = self.judge.newest.as_ref().and_then(|(_, state)| state.system_identifier);
        let host = &mut self.hosts[node];
        // Before the founding nobody but an operator knows what is foreign.
        let foreign = host.data.as_ref().is_some_and(|data| ours.map_or(data.foreign, |ours| ours != data.identifier));
        if foreign && host.server.is_none() {
            host.data = None;
        }
    }

    pub(super) fn resume(&mut self) {
        let paused = self.judge.newest.as_ref().is_some_and(|(_, state)| state.paused);
        let healing = !self.liveness.core.is_empty();
        if !healing || paused {
            let node = self.liveness.core.first().copied().unwrap_or(1);
            self.request(node, Request::Resume);
        }
        if healing && !self.liveness.done {
            self.schedule(self.now + 2 * SECOND, Event::Resume);
        }
    }

    /// The core's primary that accepts writes.
    fn writable(&self) -> Option<usize> {
        let serves = |node: &usize| self.hosts[*node].server.as_ref().is_some_and(super::postgres::Server::serves_writes);
        self.liveness.core.iter().copied().find(serves)
    }

    /// What is still missing.
    pub(super) fn pending(&self) -> Vec<String> {
        let Some(primary) = self.writable() else { return vec!["nobody in the core accepts writes".to_owned()] };
        let streams =
            |node: usize| self.hosts[node].server.as_ref().is_some_and(|server| server.streams && server.follows == Some(primary));
        let missing = self.liveness.core.iter().filter(|node| **node != primary && !streams(**node));
        missing.map(|node| format!("node {} does not stream from node {}", node + 1, primary + 1)).collect()
    }

    pub(super) fn poll(&mut self) {
        let since = self.now.saturating_sub(self.liveness.healed_at);
        if self.writable().is_some() {
            self.liveness.writable_after.get_or_insert(since);
        }
        for node in self.liveness.core.clone() {
            self.move_away(node);
        }
        let pending = self.pending();
        if pending.is_empty() {
            self.tell_story(|| format!("=== the core is whole after {} ms", since / 1000));
            self.liveness.done = true;
        } else if since > WRITABLE_MAX && !self.is_owed() {
            self.tally.count("liveness not owed: nobody in the core is eligible any more");
            self.liveness.done = true;
        } else if self.liveness.writable_after.is_none() && since > WRITABLE_MAX {
            self.violate("L1", format!("{} s after the core {:?} was healed: {}", since / SECOND, self.core_names(), pending.join("; ")));
        } else if since > STREAMING_MAX {
            self.violate("L2", format!("{} s after the core {:?} was healed: {}", since / SECOND, self.core_names(), pending.join("; ")));
        }
        self.schedule(self.now + POLL, Event::Poll);
    }

    /// What was eligible when the core was healed need not be so for long: a commit that nobody had heard of by then may rule it out.
    fn is_owed(&self) -> bool {
        let Some((_, state)) = &self.judge.newest else { return true };
        self.writable().is_some() || state.system_identifier.is_none() || self.eligible(&self.liveness.core, state).is_some()
    }

    fn core_names(&self) -> Vec<usize> {
        self.liveness.core.iter().map(|node| node + 1).collect()
    }
}
