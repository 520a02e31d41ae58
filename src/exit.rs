//! What the exit codes mean.

use crate::client;
use crate::config::Invalid;
use std::process::ExitCode;

/// How a `witch` process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It failed; the message says why.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No node answers.
    NoNode = 3,
    /// A rule of the cluster stands against it; nothing was changed.
    Refused = 4,
    /// It was not done in time, and may still happen; the message has the id to ask about.
    TimedOut = 5,
    /// The daemon: a part of it died too often to be restarted again.
    RestartIntensity = 10,
    /// The daemon: the log could not be brought to disk, so that nothing of it can be trusted.
    LogLost = 11,
}

impl Exit {
    /// All of them with a few words each, for the help.
    pub(crate) const MEANINGS: &[(Self, &str)] = &[
        (Self::Done, "done"),
        (Self::Failed, "failed; the message says why"),
        (Self::Usage, "the command line or the configuration is wrong"),
        (Self::NoNode, "no node answers"),
        (Self::Refused, "refused by a rule of the cluster; nothing was changed"),
        (Self::TimedOut, "not done in time, and it may still happen; the message has its id"),
        (Self::RestartIntensity, "daemon: a part of it died too often"),
        (Self::LogLost, "daemon: its log could not be brought to disk"),
    ];

    /// The meanings as text, one a line.
    pub(crate) fn legend() -> String {
        Self::MEANINGS.iter().map(|(exit, meaning)| format!("  {:>2}  {meaning}\n", *exit as u8)).collect()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what it was asked to, and the code that the process ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    /// The cause, told once, by `main`.
    pub(crate) cause: anyhow::Error,
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self { exit: Exit::Usage, cause: invalid.into() }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        let exit = match &error {
            client::Error::NoNode { .. } => Exit::NoNode,
            client::Error::TokenRejected { .. } => Exit::Usage,
            client::Error::Refused { .. } => Exit::Refused,
            client::Error::TimedOut { .. } | client::Error::Silent { .. } => Exit::TimedOut,
            client::Error::Failed { .. } | client::Error::Unintelligible { .. } => Exit::Failed,
        };
        Self { exit, cause: error.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(cause: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_meaning_in_the_help() {
        let codes = Exit::MEANINGS.iter().map(|(exit, _)| *exit as u8).collect::<Vec<_>>();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 10, 11]);
        assert!(Exit::legend().starts_with("   0  done\n   1  failed"));
    }
}
