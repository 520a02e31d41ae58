//! Every answer that is not what the caller wanted, in one form.

use crate::fsm::Refusal;
use crate::model::RequestId;
use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// `{error, reason, rule?, id?}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status code.
    #[serde(skip)]
    pub code: u16,
    /// A word for programs.
    pub error: Cow<'static, str>,
    /// A sentence for people: what is the matter and what to do.
    pub reason: String,
    /// The rule that stands against it, where a rule decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The request that this is about, where there is one: `GET /requests/{id}` tells what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

impl Problem {
    /// A problem without a rule.
    #[must_use]
    pub fn new(code: u16, error: &'static str, reason: impl Into<String>) -> Self {
        Self { code, error: Cow::Borrowed(error), reason: reason.into(), rule: None, id: None }
    }

    /// About this request.
    #[must_use]
    pub fn about(self, id: RequestId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// The FSM refused a request.
    #[must_use]
    pub fn refused(id: RequestId, refusal: Refusal) -> Self {
        Self { rule: Some(refusal.rule), ..Self::new(409, "refused", refusal.reason) }.about(id)
    }

    /// Nothing was published yet.
    #[must_use]
    pub fn starting() -> Self {
        Self::new(503, "starting", "this node has only just started and knows nothing of itself yet; ask again in a second")
    }

    /// The published status is too old to be believed.
    #[must_use]
    pub fn wedged(age: Duration) -> Self {
        Self::new(503, "wedged", alloc::format!("status is {} ms old: the FSM does not answer", age.as_millis()))
    }

    /// The node belongs to no cluster yet.
    #[must_use]
    pub fn no_member(waiting_for: Option<&str>) -> Self {
        let waiting = waiting_for.map_or_else(String::new, |what| alloc::format!("; it waits: {what}"));
        Self::new(503, "no_member", "this node is not a member of a cluster yet".to_owned() + &waiting)
    }
}
