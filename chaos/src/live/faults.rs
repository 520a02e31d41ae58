//! The faults by name: one small vocabulary for the demo's script, the bench and the tests.

use super::{Cluster, Cut};
use actors::machine::Timestamp;
use anyhow::{Result, ensure};
use std::fmt;
use std::str::FromStr;

/// What can happen to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The server process is killed.
    Crash,
    /// Every process of the node is killed at once.
    Kill,
    /// Every process of the server is stopped: it hangs.
    Freeze,
    /// The node's cable is out.
    Cut,
    /// No fault: an operator moves the primary.
    Switchover,
}

/// All of them.
const ALL: [Fault; 5] = [Fault::Crash, Fault::Kill, Fault::Freeze, Fault::Cut, Fault::Switchover];

impl Fault {
    /// Whether the rules forbid that an acknowledged write is lost by it, with asynchronous replication: a server that died on a living
    /// host still has its log, and a planned switchover waits for the last byte.
    #[must_use]
    pub const fn must_lose_nothing(self) -> bool {
        matches!(self, Self::Crash | Self::Switchover)
    }

    /// Does it to a node, and says at which instant: for a switchover when it was asked for, for all else when it was done, so that
    /// whatever begins later has met the fault.
    pub async fn inflict(self, cluster: &Cluster, node: usize) -> Result<Timestamp> {
        let begun = super::now();
        match self {
            Self::Crash => cluster.node(node).kill_server()?,
            Self::Kill => cluster.node(node).kill_node()?,
            Self::Freeze => cluster.node(node).stop_server()?,
            Self::Cut => cluster.network()?.cut(node, Cut::FromEverybody)?,
            Self::Switchover => {
                let answer = cluster.switchover(node, None).await?;
                ensure!(answer.status == 200, "the switchover was refused: {}", answer.body);
                return Ok(begun);
            }
        }
        Ok(super::now())
    }

    /// Undoes what an operator, a boot or an electrician would undo; the rest is Witch's business.
    pub fn repair(self, cluster: &Cluster, node: usize) -> Result<()> {
        match self {
            Self::Crash | Self::Switchover => Ok(()),
            Self::Kill => cluster.node(node).start(),
            Self::Freeze => {
                cluster.node(node).continue_server();
                Ok(())
            }
            Self::Cut => cluster.network()?.heal(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::Switchover => "switchover",
        })
    }
}

/// A word that names no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError(String);

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = ALL.iter().map(ToString::to_string).collect();
        write!(f, "`{}` is no fault; known are {}", self.0, known.join(", "))
    }
}

impl std::error::Error for ScriptError {}

impl FromStr for Fault {
    type Err = ScriptError;

    fn from_str(word: &str) -> Result<Self, ScriptError> {
        ALL.into_iter().find(|fault| fault.to_string() == word.trim()).ok_or_else(|| ScriptError(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_reads_back_its_name() {
        for fault in ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        let error = "crush".parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains("`crush`") && error.contains("crash, kill, freeze"), "{error}");
    }
}
