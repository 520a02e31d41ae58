//! What can happen to a cluster. Pure.

use super::Shape;
use crate::live::{Disk, Folder, Part, Pressure, Slowness, Verb};
use serde::{Deserialize, Serialize};

/// A victim, by its role at the moment of the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Whose database accepts writes.
    Primary,
    /// The first of the others.
    Standby,
    /// Raft's leader.
    RaftLeader,
    /// The node at this place, whatever it does.
    Node(usize),
}

/// One fault. How long it lasts stands in its step; what is broken for a while is repaired at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL. A killed daemon or node is started again at the end; a killed server or guard is Witch's business.
    Kill {
        /// Of this node.
        who: Who,
        /// This.
        part: Part,
    },
    /// SIGSTOP, and SIGCONT at the end for whatever is left.
    Stop {
        /// Of this node.
        who: Who,
        /// This.
        part: Part,
    },
    /// All nodes but one are killed at once, and started again at the end.
    KillAllBut {
        /// The one.
        who: Who,
    },
    /// Power-off of everything, and a cold start at the end.
    KillAll,
    /// A node is killed, one of its folders is emptied, and it is started at the end.
    Empty {
        /// The node.
        who: Who,
        /// The folder.
        folder: Folder,
    },
    /// The time of day is set, and set right at the end.
    SetClock {
        /// Of this node.
        who: Who,
        /// So far off.
        seconds: i64,
    },
    /// An operator moves the primary to the best standby.
    SwitchOver,
    /// Every daemon in turn leaves its database to the guard and is started anew, as by an upgrade.
    RestartDaemons,
    /// An operator pauses failover, the primary's server is killed meanwhile, and failover is resumed at the end.
    Pause,
    /// Cables are cut, and mended at the end.
    Cut {
        /// These.
        shape: Shape,
        /// Seen from this node.
        who: Who,
    },
    /// A node's cable is slow.
    Slow {
        /// The node.
        who: Who,
        /// How slow.
        slowness: Slowness,
    },
    /// A disk is full or slow.
    Disk {
        /// Of this node.
        who: Who,
        /// Below this folder.
        folder: Folder,
        /// How it behaves.
        disk: Disk,
    },
    /// Something else wants the processor and the memory.
    Press {
        /// Beside this node.
        who: Who,
        /// How much.
        pressure: Pressure,
    },
}

impl Fault {
    /// What it does, in words that name no victim: the outages of a report are gathered under it.
    #[must_use]
    pub fn title(&self) -> String {
        let of = |who: Who| match who {
            Who::Primary => "of the primary",
            Who::Standby => "of a standby",
            Who::RaftLeader => "of the Raft leader",
            Who::Node(_) => "of a node",
        };
        match self {
            Self::Kill { who, part } => format!("{} killed, {}", part_name(*part), of(*who)),
            Self::Stop { who, part } => format!("{} stopped, {}", part_name(*part), of(*who)),
            Self::KillAllBut { who } => format!("all killed but the node {}", of(*who)),
            Self::KillAll => "power-off, cold start".to_owned(),
            Self::Empty { who, folder: Folder::Database } => format!("data directory emptied, {}", of(*who)),
            Self::Empty { who, folder: Folder::Witch } => format!("Witch's folder emptied, {}", of(*who)),
            Self::SetClock { who, seconds } if *seconds > 0 => format!("clock set forward, {}", of(*who)),
            Self::SetClock { who, .. } => format!("clock set back, {}", of(*who)),
            Self::SwitchOver => "switchover".to_owned(),
            Self::RestartDaemons => "rolling daemon restart".to_owned(),
            Self::Pause => "failover paused, server killed".to_owned(),
            Self::Cut { shape, who } => format!("{}, {}", shape.title(), of(*who)),
            Self::Slow { who, .. } => format!("slow network {}", of(*who)),
            Self::Disk { who, folder, disk } => {
                let what = if disk.full { "disk full" } else { "slow fsync" };
                let place = if *folder == Folder::Witch { "Witch's folder" } else { "database" };
                format!("{what} ({place}), {}", of(*who))
            }
            Self::Press { .. } => "CPU and memory pressure".to_owned(),
        }
    }

    /// The verb that not every back end has.
    #[must_use]
    pub const fn verb(&self) -> Option<Verb> {
        match self {
            Self::Cut { .. } => Some(Verb::Cut),
            Self::Slow { .. } => Some(Verb::Slow),
            Self::SetClock { .. } => Some(Verb::SetClock),
            Self::Disk { .. } => Some(Verb::SetDisk),
            Self::Press { .. } => Some(Verb::Press),
            _ => None,
        }
    }

    /// Whether it destroys something for which a majority must stand in: it waits for a whole cluster and shares its time with no other fault.
    #[must_use]
    pub const fn wants_a_whole_cluster(&self) -> bool {
        matches!(self, Self::Empty { .. } | Self::SwitchOver | Self::RestartDaemons | Self::Pause)
    }
}

const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Backend => "backend",
        Part::Server => "server",
        Part::Daemon => "daemon",
        Part::Guard => "guard",
        Part::Everything => "node",
    }
}
