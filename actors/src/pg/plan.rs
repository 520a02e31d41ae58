//! What to do next: the order compared with what is observed, as a table.
//!
//! The first row that holds is taken. The view is finite, so a test goes through all of it: some row holds for every view, every row is the
//! first for some view, nothing but `Lead` ever leads to a writable server, and neither a fence nor a sweep ever waits for anything.

use super::{Kind, Rung, Upkeep};
use crate::model::Server;

/// What the order and the observation come down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What is ordered.
    pub wish: Wish,
    /// What lies in the data directory.
    pub ground: Ground,
    /// What the server does.
    pub server: Server,
    /// Its guard died and left processes behind, or has not answered for too long.
    pub orphaned: bool,
    /// The server says of itself that it accepts no writes.
    pub in_recovery: bool,
    /// The database was last used as a primary, and nothing asks for it to be a standby.
    pub was_primary: bool,
    /// How far a stop has come.
    pub stop: Stop,
    /// The checkpoint before the stop is written, or was given up.
    pub checkpointed: bool,
    /// The founding is done.
    pub founded: bool,
    /// The slots were looked after not long ago.
    pub tended: bool,
    /// The upstream accepts writes on a timeline of its own.
    pub promoted: bool,
    /// The running server was told this upstream.
    pub aimed: bool,
    /// Whether the standby streams.
    pub stream: Streaming,
    /// What the ladder says.
    pub rung: Rung,
    /// What diverged is kept.
    pub preserved: bool,
    /// The upstream could not be asked how the histories relate.
    pub unasked: bool,
    /// What the running server needs.
    pub upkeep: Upkeep,
    /// Something is known that would keep this node from being rewound or cloned, such as too many clones of late: nothing is stopped for it.
    pub kept: bool,
    /// The running standby must be started anew before it can be of use.
    pub restart: bool,
    /// This node is to be the next primary, and something that can be ended holds its replay up.
    pub held: bool,
}

/// [`super::Order`] without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// See [`super::Order::Watch`].
    Watch,
    /// See [`super::Order::Found`].
    Found,
    /// See [`super::Order::Lead`].
    Lead,
    /// See [`super::Order::StandAlone`].
    StandAlone,
    /// See [`super::Order::Follow`].
    Follow,
    /// See [`super::Order::StepDown`].
    StepDown,
    /// See [`super::Order::Stop`].
    Stop,
    /// See [`super::Order::Fence`].
    Fence,
}

/// The data directory, in the light of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nothing, or something half made.
    Bare,
    /// A database.
    Database,
    /// A database of another cluster than the one to follow (S11).
    Foreign,
    /// No database that could be run.
    Unusable,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody asked for one.
    Unasked,
    /// Asked for, and within its time.
    Asked,
    /// The server has shut down, and who is left of it is not waited for.
    Shut,
    /// Most of its time is over, and nothing but a fast stop was tried.
    Late,
    /// Its time is over.
    Overrun,
}

/// Whether a standby streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// It does, on the right timeline.
    Seen,
    /// It does not, and has not had the time.
    Expected,
    /// It does not, and should by now, or has said that it cannot.
    Missing,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All is as it should be.
    Rest,
    /// Something is under way: look again soon.
    Wait,
    /// Nothing can be done, for this reason.
    Refuse(Trouble),
    /// Begin this operation.
    Begin(Kind),
    /// Kill every process of the server.
    Kill,
}

/// Why an order cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A server runs that Witch did not start.
    Stranger,
    /// The directory is no database.
    Unusable,
    /// The directory is another cluster's database.
    Foreign,
    /// There is no database to lead with.
    NothingToLead,
    /// There is no database, and nobody to clone it from.
    NobodyToClone,
    /// Only a clone would help, and none can be made.
    Kept,
    /// The server does not answer.
    Hung,
    /// The standby does not stream and nobody knows why.
    NotStreaming,
}

/// A row of the table.
#[derive(Debug)]
pub struct Rule {
    /// Its name, never used again for another.
    pub id: &'static str,
    /// When it holds.
    pub when: fn(&View) -> bool,
    /// What it asks for.
    pub then: Step,
    /// Why.
    pub because: &'static str,
}

impl View {
    fn wants(&self, wishes: &[Wish]) -> bool {
        wishes.contains(&self.wish)
    }

    fn stopped(&self) -> bool {
        self.server == Server::Stopped
    }

    /// It is, and goes on as, what is ordered.
    fn is_settled(&self) -> bool {
        match self.wish {
            Wish::Lead => self.server == Server::Primary,
            Wish::Follow => self.server == Server::Standby && self.aimed,
            _ => false,
        }
    }

    fn writable_or_may_be(&self) -> bool {
        matches!(self.server, Server::Primary | Server::StartingPrimary | Server::Hung)
    }
}

const READ_ONLY: &[Wish] = &[Wish::StandAlone, Wish::Follow];
const GOING_DOWN: &[Wish] = &[Wish::StepDown, Wish::Stop];

/// The table. The first row that holds is taken.
pub static RULES: &[Rule] = &[
    Rule {
        id: "pg-sweep",
        when: |v| v.orphaned,
        then: Step::Kill,
        because: "the guard of these processes is dead or does not answer, so nobody would end them when the lease runs out (S6)",
    },
    Rule {
        id: "pg-stranger",
        when: |v| v.server == Server::Stranger && !v.wants(&[Wish::Fence]),
        then: Step::Refuse(Trouble::Stranger),
        because: "a server that Witch did not start is not Witch's to stop",
    },
    Rule { id: "pg-watch", when: |v| v.wants(&[Wish::Watch]), then: Step::Rest, because: "nobody has said yet what the database shall be" },
    Rule {
        id: "pg-fenced",
        when: |v| v.wants(&[Wish::Fence]) && v.stopped(),
        then: Step::Rest,
        because: "no process of the server is left",
    },
    Rule {
        id: "pg-fence",
        when: |v| v.wants(&[Wish::Fence]),
        then: Step::Kill,
        because: "the right to write is gone or about to go, so the server ends at once, whatever it does (S2)",
    },
    Rule {
        id: "pg-stop-overrun",
        when: |v| v.stop == Stop::Overrun,
        then: Step::Kill,
        because: "a stop was asked for and did not come to its end within stop_timeout_ms",
    },
    Rule {
        id: "pg-stop-rest",
        when: |v| v.stop == Stop::Shut,
        then: Step::Kill,
        because: "the server has shut down and can write no more; whoever is left, such as an archiver or the sender of a frozen receiver, only \
                  keeps the next primary waiting",
    },
    Rule {
        id: "pg-stop-late",
        when: |v| v.stop == Stop::Late && v.wants(&[Wish::Stop]),
        then: Step::Begin(Kind::StopImmediately),
        because: "the fast stop takes too long, and an immediate one is kinder than the kill that comes next",
    },
    Rule {
        id: "pg-stopping",
        when: |v| v.server == Server::Stopping,
        then: Step::Wait,
        because: "a server that is asked to stop is of no other use before it is gone",
    },
    Rule { id: "pg-stopped", when: |v| v.wants(GOING_DOWN) && v.stopped(), then: Step::Rest, because: "no process of the server is left" },
    Rule {
        id: "pg-checkpoint-first",
        when: |v| v.wants(&[Wish::StepDown]) && v.server == Server::Primary && !v.checkpointed,
        then: Step::Begin(Kind::Checkpoint),
        because: "a checkpoint while writes are still accepted makes the outage of the stop short",
    },
    Rule {
        id: "pg-stop",
        when: |v| v.wants(GOING_DOWN),
        then: Step::Begin(Kind::StopFast),
        because: "the server is ordered to stop, and a clean stop loses nothing",
    },
    Rule {
        id: "pg-found-stop",
        when: |v| v.wants(&[Wish::Found]) && !v.stopped(),
        then: Step::Begin(Kind::StopFast),
        because: "a database is founded while no server runs on it",
    },
    Rule {
        id: "pg-not-appointed",
        when: |v| v.wants(READ_ONLY) && v.writable_or_may_be(),
        then: Step::Begin(Kind::StopFast),
        because: "this node is not the primary, so no server of it may accept writes (S2)",
    },
    Rule {
        id: "pg-ground-gone",
        when: |v| !v.stopped() && v.ground == Ground::Bare && !v.wants(&[Wish::Found]),
        then: Step::Begin(Kind::StopFast),
        because: "the files under the running server are gone, so nothing that it writes will be found again",
    },
    Rule {
        id: "pg-unusable",
        when: |v| v.stopped() && v.ground == Ground::Unusable,
        then: Step::Refuse(Trouble::Unusable),
        because: "what lies in the data directory is no database that could be run, and may be somebody's",
    },
    Rule {
        id: "pg-initdb",
        when: |v| v.wants(&[Wish::Found]) && v.ground == Ground::Bare,
        then: Step::Begin(Kind::InitDb),
        because: "this node is to found the cluster and there is no database yet",
    },
    Rule {
        id: "pg-founded",
        when: |v| v.wants(&[Wish::Found]) && v.founded,
        then: Step::Rest,
        because: "the cluster's database is there and no server runs on it",
    },
    Rule {
        id: "pg-adopt",
        when: |v| v.wants(&[Wish::Found]),
        then: Step::Begin(Kind::Adopt),
        because: "the database that lies there becomes the cluster's",
    },
    Rule {
        id: "pg-foreign",
        when: |v| v.ground == Ground::Foreign,
        then: Step::Refuse(Trouble::Foreign),
        because: "a database of another cluster is never started as a member, rewound or wiped (S11)",
    },
    Rule {
        id: "pg-lead-nothing",
        when: |v| v.wants(&[Wish::Lead]) && v.stopped() && v.ground == Ground::Bare,
        then: Step::Refuse(Trouble::NothingToLead),
        because: "an empty directory cannot become the primary of a cluster that has a database",
    },
    Rule {
        id: "pg-lead-hung",
        when: |v| v.wants(&[Wish::Lead]) && v.server == Server::Hung,
        then: Step::Refuse(Trouble::Hung),
        because: "a server that hangs is ended only when somebody can take its place, and that is not decided here",
    },
    Rule {
        id: "pg-start-primary",
        when: |v| v.wants(&[Wish::Lead]) && v.stopped() && v.was_primary,
        then: Step::Begin(Kind::StartPrimary),
        because: "this database was the primary's when it stopped, and its log goes on where it ended",
    },
    Rule {
        id: "pg-start-appointed",
        when: |v| v.wants(&[Wish::Lead]) && v.stopped(),
        then: Step::Begin(Kind::StartStandby),
        because: "what this node writes must stand on a timeline of its own, so it starts as a standby and is promoted",
    },
    Rule {
        id: "pg-room-first",
        when: |v| v.wants(&[Wish::Lead]) && v.server == Server::Standby && v.restart,
        then: Step::Begin(Kind::StopFast),
        because: "a standby that was given less room than its primary has ends itself when it is promoted, so it is started with enough first",
    },
    Rule {
        id: "pg-promote",
        when: |v| v.wants(&[Wish::Lead]) && (v.server == Server::Standby || (v.server == Server::StartingPrimary && v.in_recovery)),
        then: Step::Begin(Kind::Promote),
        because: "this node is appointed and its server is ready",
    },
    Rule {
        id: "pg-configure",
        when: |v| v.upkeep == Upkeep::Configure && v.is_settled(),
        then: Step::Begin(Kind::Configure),
        because: "somebody changed a file, and what Witch owns would lapse at the next reload, or has",
    },
    Rule {
        id: "pg-tend-primary",
        when: |v| v.wants(&[Wish::Lead]) && v.server == Server::Primary && !v.tended,
        then: Step::Begin(Kind::Tend),
        because: "a member without a slot may find that the log it needs is gone",
    },
    Rule {
        id: "pg-leading",
        when: |v| v.wants(&[Wish::Lead]) && v.server == Server::Primary,
        then: Step::Rest,
        because: "the server accepts writes",
    },
    Rule { id: "pg-coming-up", when: |v| v.wants(&[Wish::Lead]), then: Step::Wait, because: "the server is on its way to accept writes" },
    Rule {
        id: "pg-restart",
        when: |v| v.wants(READ_ONLY) && v.server == Server::Standby && v.restart,
        then: Step::Begin(Kind::StopFast),
        because: "the standby was given less room than its primary has, or cannot be told to follow another primary; a new start mends both",
    },
    Rule {
        id: "pg-nobody-to-clone",
        when: |v| v.stopped() && v.ground == Ground::Bare && (v.wants(&[Wish::StandAlone]) || !v.promoted),
        then: Step::Refuse(Trouble::NobodyToClone),
        because: "there is no database here, and no primary yet to copy one from",
    },
    Rule {
        id: "pg-start-alone",
        when: |v| v.wants(&[Wish::StandAlone]) && v.stopped(),
        then: Step::Begin(Kind::StartStandby),
        because: "readers are served, and nothing is written, until a primary is known",
    },
    Rule {
        id: "pg-alone",
        when: |v| v.wants(&[Wish::StandAlone]),
        then: Step::Rest,
        because: "a standby without a primary to follow is left as it is",
    },
    Rule {
        id: "pg-clone-bare",
        when: |v| v.stopped() && v.ground == Ground::Bare,
        then: Step::Begin(Kind::Clone),
        because: "there is no database here",
    },
    Rule {
        id: "pg-start-meanwhile",
        when: |v| v.stopped() && v.promoted && v.rung == Rung::Compare && v.unasked,
        then: Step::Begin(Kind::StartStandby),
        because: "the primary cannot be asked, and may never come back: a standby of nobody discards nothing, and can be appointed (L1)",
    },
    Rule {
        id: "pg-compare",
        when: |v| v.stopped() && v.promoted && v.rung == Rung::Compare,
        then: Step::Begin(Kind::Compare),
        because: "whether anything was written here that the primary never had decides how this node comes back (L2)",
    },
    Rule {
        id: "pg-start-standby",
        when: |v| v.stopped() && (!v.promoted || v.rung == Rung::Start),
        then: Step::Begin(Kind::StartStandby),
        because: "nothing speaks against streaming on from where this node stands (L2)",
    },
    Rule {
        id: "pg-preserve",
        when: |v| v.stopped() && !v.preserved,
        then: Step::Begin(Kind::Preserve),
        because: "what was written here past the fork is kept aside before it is taken back (D3)",
    },
    Rule {
        id: "pg-rewind",
        when: |v| v.stopped() && v.rung == Rung::Rewind,
        then: Step::Begin(Kind::Rewind),
        because: "something was written here that the primary never had (L2)",
    },
    Rule {
        id: "pg-kept",
        when: |v| v.stopped() && v.kept,
        then: Step::Refuse(Trouble::Kept),
        because: "a copy is refused just now, or was made too often of late for a further one to help, so what lies here is kept",
    },
    Rule {
        id: "pg-clone",
        when: |v| v.stopped(),
        then: Step::Begin(Kind::Clone),
        because: "neither streaming nor a rewind can bring this node back (L2)",
    },
    Rule {
        id: "pg-clear-replay",
        when: |v| v.held && v.server == Server::Standby,
        then: Step::Begin(Kind::ClearReplay),
        because: "a switchover to this node is under way, and what it has not replayed would be a part of the outage",
    },
    Rule {
        id: "pg-compare-first",
        when: |v| !v.aimed && v.promoted && v.server == Server::Standby && v.rung == Rung::Compare,
        then: Step::Begin(Kind::Compare),
        because: "two timelines can have one number, and a standby that is told to follow the wrong one does so without a word",
    },
    Rule {
        id: "pg-aim",
        when: |v| !v.aimed && v.promoted && v.rung == Rung::Start,
        then: Step::Begin(Kind::Aim),
        because: "the standby is to follow another primary than it was told",
    },
    Rule {
        id: "pg-turn-back",
        when: |v| !v.aimed && v.promoted && v.rung != Rung::Compare && !v.kept,
        then: Step::Begin(Kind::StopFast),
        because: "the standby cannot follow this primary as it is, so the next rung of the ladder is taken (L2)",
    },
    Rule {
        id: "pg-tend-standby",
        when: |v| v.stream == Streaming::Seen && !v.tended,
        then: Step::Begin(Kind::Tend),
        because: "a standby keeps the other members' slots, for the day on which it is promoted",
    },
    Rule {
        id: "pg-streaming",
        when: |v| v.stream == Streaming::Seen,
        then: Step::Rest,
        because: "the standby is seen streaming on the right timeline",
    },
    Rule {
        id: "pg-stream-soon",
        when: |v| v.stream == Streaming::Expected,
        then: Step::Wait,
        because: "the standby has not had the time to stream",
    },
    Rule {
        id: "pg-renew",
        when: |v| v.upkeep == Upkeep::Restart && v.server == Server::Standby && v.promoted && v.aimed,
        then: Step::Begin(Kind::StopFast),
        because: "the standby does not stream, and its programs were replaced while it ran, or its restore_command hangs; a new start mends both",
    },
    Rule {
        id: "pg-not-promoted",
        when: |v| !v.promoted,
        then: Step::Refuse(Trouble::NotStreaming),
        because: "as long as the primary is not promoted there is nothing to compare with, and nothing is discarded",
    },
    Rule {
        id: "pg-examine",
        when: |v| v.rung == Rung::Compare,
        then: Step::Begin(Kind::Compare),
        because: "the standby should stream by now and does not, so the histories are compared (L2)",
    },
    Rule {
        id: "pg-climb",
        when: |v| v.rung != Rung::Start && !v.kept,
        then: Step::Begin(Kind::StopFast),
        because: "the standby can never stream as it is, so the next rung of the ladder is taken (L2)",
    },
    Rule {
        id: "pg-try-on",
        when: |_| true,
        then: Step::Refuse(Trouble::NotStreaming),
        because: "the histories fit, so the standby will stream once the primary can be reached",
    },
];

/// The row that holds.
#[must_use]
pub fn plan(view: &View) -> &'static Rule {
    RULES.iter().find(|rule| (rule.when)(view)).expect("the last row holds for every view")
}

#[cfg(test)]
mod tests;
