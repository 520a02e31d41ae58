//! The nouns: ids, log positions, the replicated state, reports and status.
//!
//! Everything here is data with its own small laws. Nothing here decides what should happen next.

mod command;
mod condition;
mod history;
mod ids;
mod lease;
mod lineage;
mod lsn;
mod member;
mod report;
mod settings;
mod state;
mod status;

pub use command::{Command, Proposal, Why};
pub use condition::{Bar, Condition};
pub use history::{Event, EventKind};
pub use ids::{Boot, Epoch, NodeId, RaftId, RequestId, SystemIdentifier, Term, WallClock};
pub use lease::{LeaseGrant, LeaseRequest, LeaseTiming};
pub use lineage::{LINEAGE_MAX, Promotion};
pub use lsn::{Lsn, Position, Timeline};
pub use member::{Endpoint, Member, Tags};
pub use report::{Database, Directory, Operation, Report, Server};
pub use settings::Settings;
pub use state::{Applied, ClusterState, Ending, Primary, Release, Switchover};
pub use status::{Health, LeaseStatus, MemberStatus, RecentDecision, Role, Status};
