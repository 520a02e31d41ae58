//! Whom a switchover shall go to.

use super::Problem;
use crate::model::{ClusterState, Member, NodeId};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The body of `POST /switchover`; an empty one means `{}`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switchover {
    /// The target; the best candidate if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Target>,
}

/// The body of a request that has nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A member, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`to` must be a member's name or its node id")]
pub enum Target {
    /// By node id.
    Number(u64),
    /// By name; digits are a node id if no member has that name.
    Name(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The member that is meant.
///
/// # Errors
/// 404 if nobody is, 409 if several are.
pub fn resolve(state: &ClusterState, target: &Target) -> Result<NodeId, Problem> {
    let by_number = |number: u64| state.members.get(&NodeId(number));
    let found: Vec<&Member> = match target {
        Target::Number(number) => by_number(*number).into_iter().collect(),
        Target::Name(name) => {
            let named: Vec<_> = state.members.values().filter(|member| member.name == *name).collect();
            if named.is_empty() { name.parse().ok().and_then(by_number).into_iter().collect() } else { named }
        }
    };
    match found.as_slice() {
        [member] => Ok(member.node),
        [] => Err(Problem::new(404, "unknown_member", format!("no member is called `{target}`; the members are {}", names(state)))),
        _ => Err(Problem::new(
            409,
            "ambiguous_member",
            format!("several members are called `{target}`: name the target by its node id; the members are {}", names(state)),
        )),
    }
}

fn names(state: &ClusterState) -> String {
    let names: Vec<_> = state.members.values().map(|member| format!("`{}` (node {})", member.name, member.node)).collect();
    names.join(", ")
}
