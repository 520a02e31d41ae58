//! A story: the seed, which decides the world and its luck, and the schedule of faults, which is data so that it can be shrunk and kept.

use super::dice::Dice;
use serde::{Deserialize, Serialize};

/// Whom a fault hits, decided when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// This node.
    Node(usize),
    /// The primary of the newest epoch.
    Primary,
    /// The Raft leader.
    Leader,
}

/// An actor of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Actor {
    /// Decides.
    Fsm,
    /// Consensus.
    Raft,
    /// The adapter.
    Pg,
    /// Watches the peer of that index.
    Probe(usize),
}

/// What an ambush does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blow {
    /// See [`Fault::PowerOff`].
    PowerOff,
    /// See [`Fault::Isolate`].
    Isolate,
    /// See [`Fault::PauseHost`].
    PauseHost,
}

/// What goes wrong, or what an operator does at a bad moment. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The daemon is killed; it comes back after that time. The guard and the server live on.
    KillDaemon(Who, u64),
    /// The daemon is stopped (SIGSTOP) for that time.
    StopDaemon(Who, u64),
    /// The guard is killed, and with it its server.
    KillGuard(Who),
    /// The guard is stopped for that time.
    StopGuard(Who, u64),
    /// The postmaster is killed.
    KillServer(Who),
    /// A process of the server is killed, so that it recovers in place for that time.
    KillBackend(Who, u64),
    /// All processes of the server are stopped for that time.
    StopServer(Who, u64),
    /// The host loses power and what was not on disk; it comes back after that time.
    PowerOff(Who, u64),
    /// Everything on the host stands still for that time, except for its clock.
    PauseHost(Who, u64),
    /// Everything on the host stands still, with its clock. Beyond what the protocol promises to bear.
    FreezeHost(Who, u64),
    /// One actor dies.
    KillActor(Who, Actor),
    /// Nothing comes through to or from the host for that time.
    Isolate(Who, u64),
    /// Nothing comes through in one direction.
    CutOneWay(usize, usize, u64),
    /// Two hosts do not hear each other.
    CutPair(usize, usize, u64),
    /// The host is slow to reach and to answer: this much more delay, for that time.
    SlowLinks(Who, u64, u64),
    /// Each write of the Raft log takes so long, for that time.
    SlowDisk(Who, u64, u64),
    /// The disk of the Raft log is full for that time.
    FullDisk(Who, u64),
    /// The daemon's folder is lost while it is down for that time (S13).
    LoseLog(Who, u64),
    /// The host comes back after that time with another cluster's database (S11); an operator moves it away after ten seconds more.
    ForeignDatabase(Who, u64),
    /// The data directory is emptied while the host is down for that time.
    LoseDatabase(Who, u64),
    /// The disk of a node is copied, as a snapshot is taken: its data directory, and nothing of Witch's folder.
    CopyDisk(usize),
    /// The data directory is put back to that copy while the host is down for that time.
    PutBack(usize, u64),
    /// A standby is started by hand without its signal file, writes so many records, and is a standby again when the host is back.
    WriteUnsigned(usize, u64, u64),
    /// Where no server runs an operator starts one, which writes so many records if the node is the primary; it is stopped after that time.
    StartByHand(Who, u64, u64),
    /// The daemon is told to end (SIGTERM), and started again after that time.
    Terminate(Who, u64),
    /// An operator asks that node for a switchover: to that node, or to whoever is best.
    Switchover(usize, Option<usize>),
    /// An operator pauses failover and resumes it after that time.
    PauseFailover(u64),
    /// Whoever is promoted next is struck so long after it accepts writes, for that time: perhaps before it could tell anybody.
    Ambush(Blow, u64, u64),
}

/// A fault and its instant in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// When.
    pub at: u64,
    /// What.
    pub fault: Fault,
}

/// All that a run depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// Decides the world and its luck.
    pub seed: u64,
    /// Clocks outside of rho, frozen guests: rules may break, and are then only counted.
    pub beyond: bool,
    /// So many nodes.
    pub nodes: usize,
    /// When the faults end and the core is healed, in milliseconds.
    pub heal_at: u64,
    /// What goes wrong.
    pub faults: Vec<Timed>,
}

impl Story {
    /// The story of a seed.
    #[must_use]
    pub fn of(seed: u64, beyond: bool) -> Self {
        let mut dice = Dice::new(seed, 1);
        let nodes = if dice.one_in(4) { 5 } else { 3 };
        // Mostly the cluster is founded in peace; now and then it is not.
        let mut at = if dice.one_in(6) { 200 } else { 9_000 };
        let heal_at = at + dice.between((20_000, 60_000));
        // Calm stories and wild ones: how long it takes from one fault to the next.
        let pace = dice.one_of(&[(50, 1_500), (500, 5_000), (2_000, 12_000)]);
        // Each story has a few kinds of faults that it prefers, so that rare combinations come together.
        let favourites = [dice.below(KINDS), dice.below(KINDS), dice.below(KINDS)];
        let mut faults = Vec::new();
        loop {
            at += dice.between(pace);
            if at >= heal_at {
                break;
            }
            let kind = if dice.one_in(2) { dice.one_of(&favourites) } else { dice.below(KINDS) };
            faults.push(Timed { at, fault: draw(&mut dice, kind, nodes, beyond) });
        }
        // Another roll for what came later, so that a seed's story stays what it was but for these.
        let mut dice = Dice::new(seed, 4);
        if dice.one_in(6) {
            faults.extend(lies(&mut dice, nodes, heal_at));
        }
        let mut dice = Dice::new(seed, 5);
        if dice.one_in(3) {
            faults.extend(crashes(&mut dice, nodes, heal_at));
        }
        let mut dice = Dice::new(seed, 6);
        if dice.one_in(5) {
            faults.extend(strangers(&mut dice, nodes, heal_at));
        }
        faults.sort_by_key(|timed| timed.at);
        Self { seed, beyond, nodes, heal_at, faults }
    }
}

/// A copy that lies: its disk is put back to an older state, or it wrote by itself.
fn lies(dice: &mut Dice, nodes: usize, heal_at: u64) -> Vec<Timed> {
    let node = usize::try_from(dice.below(nodes as u64)).expect("a small number");
    let begins = heal_at - heal_at.min(20_000);
    let at = dice.between((begins, heal_at - 1_000));
    let down = dice.between((100, 6_000));
    if dice.one_in(2) {
        let records = dice.between((1, 40));
        return vec![Timed { at, fault: Fault::WriteUnsigned(node, records, down) }];
    }
    let copied = at - dice.between((50, 8_000)).min(at - 1);
    vec![Timed { at: copied, fault: Fault::CopyDisk(node) }, Timed { at, fault: Fault::PutBack(node, down) }]
}

/// Processes of one server after another are killed, or of one again and again.
fn crashes(dice: &mut Dice, nodes: usize, heal_at: u64) -> Vec<Timed> {
    let often = dice.one_of(&[1, 1, 2, 4, 6]);
    let pause = dice.one_of(&[(100, 1_500), (1_000, 8_000)]);
    let mut at = dice.between((heal_at - heal_at.min(25_000), heal_at - 1_000));
    let mut faults = Vec::new();
    for _ in 0..often {
        let who = match dice.below(5) {
            0 => Who::Node(usize::try_from(dice.below(nodes as u64)).expect("a small number")),
            1 => Who::Leader,
            _ => Who::Primary,
        };
        let takes = dice.one_of(&[(20, 400), (20, 400), (400, 7_000), (20_000, 90_000)]);
        faults.push(Timed { at, fault: Fault::KillBackend(who, dice.between(takes)) });
        at = (at + dice.between(pause)).min(heal_at - 1);
    }
    faults
}

/// A server is gone, in good order or not, and an operator starts one in its place before Witch does.
fn strangers(dice: &mut Dice, nodes: usize, heal_at: u64) -> Vec<Timed> {
    let node = usize::try_from(dice.below(nodes as u64)).expect("a small number");
    let at = dice.between((heal_at - heal_at.min(25_000), heal_at - 1_000));
    let (records, span) = (dice.between((0, 30)), dice.between((500, 15_000)));
    let down = dice.between((500, 12_000));
    let by_hand = |who, after: u64| Timed { at: (at + after).min(heal_at - 1), fault: Fault::StartByHand(who, records, span) };
    match dice.below(3) {
        0 => vec![Timed { at, fault: Fault::Terminate(Who::Node(node), down) }, by_hand(Who::Node(node), dice.between((2_000, 9_000)))],
        1 => vec![
            Timed { at, fault: Fault::KillDaemon(Who::Primary, down) },
            Timed { at: at + 1, fault: Fault::KillServer(Who::Primary) },
            by_hand(Who::Primary, dice.between((300, 2_500))),
        ],
        _ => vec![Timed { at, fault: Fault::KillServer(Who::Node(node)) }, by_hand(Who::Node(node), dice.between((2, 300)))],
    }
}

/// Every kind of fault, by the name under which it is counted.
pub const KIND_NAMES: [&str; 28] = [
    "kill-daemon",
    "stop-daemon",
    "kill-guard",
    "stop-guard",
    "kill-server",
    "stop-server",
    "power-off",
    "pause-host",
    "freeze-host",
    "kill-actor",
    "isolate",
    "cut-one-way",
    "cut-pair",
    "slow-links",
    "slow-disk",
    "full-disk",
    "lose-log",
    "foreign-database",
    "lose-database",
    "terminate",
    "switchover",
    "pause-failover",
    "ambush",
    "copy-disk",
    "put-back",
    "write-unsigned",
    "kill-backend",
    "start-by-hand",
];

/// So many of them are drawn one by one; the others come in pairs or at their time.
const KINDS: u64 = 23;

impl Fault {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        KIND_NAMES[match self {
            Self::KillDaemon(..) => 0,
            Self::StopDaemon(..) => 1,
            Self::KillGuard(..) => 2,
            Self::StopGuard(..) => 3,
            Self::KillServer(..) => 4,
            Self::StopServer(..) => 5,
            Self::PowerOff(..) => 6,
            Self::PauseHost(..) => 7,
            Self::FreezeHost(..) => 8,
            Self::KillActor(..) => 9,
            Self::Isolate(..) => 10,
            Self::CutOneWay(..) => 11,
            Self::CutPair(..) => 12,
            Self::SlowLinks(..) => 13,
            Self::SlowDisk(..) => 14,
            Self::FullDisk(..) => 15,
            Self::LoseLog(..) => 16,
            Self::ForeignDatabase(..) => 17,
            Self::LoseDatabase(..) => 18,
            Self::Terminate(..) => 19,
            Self::Switchover(..) => 20,
            Self::PauseFailover(..) => 21,
            Self::Ambush(..) => 22,
            Self::CopyDisk(..) => 23,
            Self::PutBack(..) => 24,
            Self::WriteUnsigned(..) => 25,
            Self::KillBackend(..) => 26,
            Self::StartByHand(..) => 27,
        }]
    }
}

fn draw(dice: &mut Dice, kind: u64, nodes: usize, beyond: bool) -> Fault {
    let node = |dice: &mut Dice| usize::try_from(dice.below(nodes as u64)).expect("a small number");
    let who = match dice.below(4) {
        0 => Who::Node(node(dice)),
        1 => Who::Leader,
        _ => Who::Primary,
    };
    // Moments, pauses around the length of a lease, and long absences.
    let span = dice.one_of(&[(10, 400), (400, 3_000), (2_000, 7_000), (5_000, 20_000)]);
    let long = dice.between(span);
    let one = node(dice);
    let other = (one + 1 + usize::try_from(dice.below(nodes as u64 - 1)).expect("a small number")) % nodes;
    match kind {
        0 => Fault::KillDaemon(who, long),
        1 => Fault::StopDaemon(who, long),
        2 => Fault::KillGuard(who),
        3 => Fault::StopGuard(who, long),
        4 => Fault::KillServer(who),
        5 => Fault::StopServer(who, long),
        6 => Fault::PowerOff(who, long),
        8 if beyond => Fault::FreezeHost(who, long),
        7 | 8 => Fault::PauseHost(who, long),
        9 => Fault::KillActor(who, dice.one_of(&[Actor::Fsm, Actor::Raft, Actor::Pg, Actor::Probe(other)])),
        10 => Fault::Isolate(who, long),
        11 => Fault::CutOneWay(one, other, long),
        12 => Fault::CutPair(one, other, long),
        13 => Fault::SlowLinks(who, dice.between((5, 1_500)), long),
        14 => Fault::SlowDisk(who, dice.between((20, 4_000)), long),
        15 => Fault::FullDisk(who, long),
        16 => Fault::LoseLog(who, long),
        17 => Fault::ForeignDatabase(who, long),
        18 => Fault::LoseDatabase(who, long),
        19 => Fault::Terminate(who, long),
        20 => Fault::Switchover(one, dice.one_in(2).then_some(other)),
        21 => Fault::PauseFailover(long),
        _ => Fault::Ambush(dice.one_of(&[Blow::PowerOff, Blow::Isolate, Blow::PauseHost]), dice.between((0, 40)), long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_one_story_and_every_kind_of_fault_is_told_by_some_seed() {
        assert_eq!(Story::of(3, false), Story::of(3, false));
        assert_ne!(Story::of(3, false), Story::of(4, false));
        let told: std::collections::BTreeSet<_> =
            (0..200).flat_map(|seed| Story::of(seed, true).faults).map(|timed| timed.fault.name()).collect();
        assert_eq!(told.len(), KIND_NAMES.len());
    }
}
