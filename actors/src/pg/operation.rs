//! What takes the hands a while, and how it can end.

use super::{Life, Upstream};
use crate::model::{Epoch, Position, SystemIdentifier};
use alloc::string::String;
use core::time::Duration;

/// Something that takes a while. There is one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make a new database: initdb and the roles. Leaves it stopped.
    InitDb,
    /// Make the database that lies there fit: the roles. Leaves it stopped.
    Adopt,
    /// Start the server so that it accepts writes, for this epoch, if its log goes so far at least. The guard refuses without a lease for it.
    StartPrimary(Epoch, Option<Position>),
    /// Start the server as a standby: of that upstream, or of nobody.
    StartStandby(Option<Upstream>),
    /// Ask the running standby to become the primary of this epoch, if its log goes so far at least. The guard refuses without a lease for it.
    Promote(Epoch, Option<Position>),
    /// Tell the running standby to follow another upstream, if what it has once it follows nobody any more is still a part of that one's log.
    /// Otherwise the outcome says how the two relate.
    Aim(Upstream),
    /// Make the slots of the other members, and bring those of a standby forward.
    Tend,
    /// Write the configuration of the running server again, which follows that upstream or nobody, and have it read.
    Configure(Option<Upstream>),
    /// Write a checkpoint while the server still accepts writes, so that the stop after it is short.
    Checkpoint,
    /// Ask the server to stop and to hang up on its clients.
    StopFast,
    /// Ask the server to stop without a checkpoint.
    StopImmediately,
    /// Find out whether the history here is a prefix of the upstream's.
    Compare(Upstream),
    /// Keep what was written past the fork where an operator finds it (D3).
    Preserve(Upstream),
    /// Take back what was written past the fork.
    Rewind(Upstream),
    /// Copy the upstream's whole database. What lies here is kept until the copy is good, where space allows.
    Clone(Upstream),
}

impl Operation {
    /// The upstream that it was begun for on the way back to it.
    #[must_use]
    pub const fn upstream(&self) -> Option<&Upstream> {
        match self {
            Self::Aim(upstream) | Self::Compare(upstream) | Self::Preserve(upstream) | Self::Rewind(upstream) | Self::Clone(upstream) => {
                Some(upstream)
            }
            Self::InitDb
            | Self::Adopt
            | Self::StartPrimary(..)
            | Self::StartStandby(_)
            | Self::Promote(..)
            | Self::Tend
            | Self::Configure(_)
            | Self::Checkpoint
            | Self::StopFast
            | Self::StopImmediately => None,
        }
    }

    /// Its kind, without its details.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::InitDb => Kind::InitDb,
            Self::Adopt => Kind::Adopt,
            Self::StartPrimary(..) => Kind::StartPrimary,
            Self::StartStandby(_) => Kind::StartStandby,
            Self::Promote(..) => Kind::Promote,
            Self::Aim(_) => Kind::Aim,
            Self::Tend => Kind::Tend,
            Self::Configure(_) => Kind::Configure,
            Self::Checkpoint => Kind::Checkpoint,
            Self::StopFast => Kind::StopFast,
            Self::StopImmediately => Kind::StopImmediately,
            Self::Compare(_) => Kind::Compare,
            Self::Preserve(_) => Kind::Preserve,
            Self::Rewind(_) => Kind::Rewind,
            Self::Clone(_) => Kind::Clone,
        }
    }
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// See [`Operation::InitDb`].
    InitDb,
    /// See [`Operation::Adopt`].
    Adopt,
    /// See [`Operation::StartPrimary`].
    StartPrimary,
    /// See [`Operation::StartStandby`].
    StartStandby,
    /// See [`Operation::Promote`].
    Promote,
    /// See [`Operation::Aim`].
    Aim,
    /// See [`Operation::Tend`].
    Tend,
    /// See [`Operation::Configure`].
    Configure,
    /// See [`Operation::Checkpoint`].
    Checkpoint,
    /// See [`Operation::StopFast`].
    StopFast,
    /// See [`Operation::StopImmediately`].
    StopImmediately,
    /// See [`Operation::Compare`].
    Compare,
    /// See [`Operation::Preserve`].
    Preserve,
    /// See [`Operation::Rewind`].
    Rewind,
    /// See [`Operation::Clone`].
    Clone,
}

impl Kind {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InitDb => "initdb",
            Self::Adopt => "adopt",
            Self::StartPrimary => "start as a primary",
            Self::StartStandby => "start as a standby",
            Self::Promote => "promote",
            Self::Aim => "follow",
            Self::Tend => "tend slots",
            Self::Configure => "write configuration",
            Self::Checkpoint => "checkpoint",
            Self::StopFast => "stop fast",
            Self::StopImmediately => "stop immediately",
            Self::Compare => "compare histories",
            Self::Preserve => "preserve diverged log",
            Self::Rewind => "rewind",
            Self::Clone => "clone",
        }
    }

    /// How long the hands may be silent about it before it is given up. Progress counts as a word.
    #[must_use]
    pub const fn patience(self, stop_timeout: Duration) -> Duration {
        match self {
            Self::Checkpoint => stop_timeout,
            Self::StartPrimary
            | Self::StartStandby
            | Self::Promote
            | Self::Aim
            | Self::Tend
            | Self::Configure
            | Self::StopFast
            | Self::StopImmediately => Duration::from_secs(20),
            // A founding, or a copy that waits for the primary's checkpoint, may be silent for long.
            Self::InitDb | Self::Adopt | Self::Clone => Duration::from_secs(660),
            // These may have to read much before they say anything.
            Self::Compare | Self::Preserve => Duration::from_secs(600),
            Self::Rewind => Duration::from_secs(1900),
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should, or had the server begin it.
    Done,
    /// The server was started; whether it comes up is still to be seen.
    Started(Life),
    /// The database is made, or made to fit, and stopped.
    Founded(SystemIdentifier),
    /// The histories are compared.
    Compared(Fork),
    /// It was not begun, since the database ends before it must (D5); in words.
    Older(String),
    /// It did not, and why.
    Failed {
        /// What happened, why, and what to do, in words.
        reason: String,
        /// What that says of the next try.
        outlook: Outlook,
    },
    /// It was cancelled, and nothing of it runs on.
    Cancelled,
}

/// What a failure says of the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It fails as long as something elsewhere is not as it should be, such as an upstream that cannot be reached or is not ready yet. It
    /// shows nothing against the operation itself.
    Waiting,
    /// The next try may succeed.
    Open,
    /// Trying the same again cannot help.
    Hopeless,
}

/// How the history here relates to the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// It is a part of the upstream's: streaming can go on from its end.
    Prefix,
    /// Something was written here that the upstream never had.
    Diverged,
    /// The same, on a timeline that only looks like one of the upstream's, so that a rewind would find nothing to do.
    Twin,
}
