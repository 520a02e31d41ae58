//! What is read: from the published status and nothing else.

use super::{Api, reply};
use crate::api::outcome::{self, Fate};
use crate::api::{Problem, cluster, health};
use crate::machine::Timestamp;
use crate::model::{RequestId, Status};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use warp::reply::Response;

impl Api {
    pub(super) fn published(&self) -> Option<Arc<Status>> {
        self.wires.status.borrow().clone()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.wires.clock.now()
    }

    pub(super) fn primary(&self) -> Response {
        self.present(health::primary)
    }

    pub(super) fn replica(&self) -> Response {
        self.present(|status, _| health::replica(status))
    }

    pub(super) fn health(&self) -> Response {
        self.present(health::health)
    }

    pub(super) fn cluster(&self) -> Response {
        self.present(|status, _| cluster::cluster(status))
    }

    /// For whoever wants to know what is wrong: served at any age, which stands in a header.
    pub(super) fn node(&self) -> Response {
        self.at_any_age(|status| Ok(status.clone()))
    }

    /// The past does not age.
    pub(super) fn history(&self) -> Response {
        self.at_any_age(cluster::history)
    }

    pub(super) fn request(&self, id: &str) -> Response {
        let Ok(id) = id.parse().map(RequestId) else {
            return reply::problem(&Problem::new(400, "malformed", format!("`{id}` is not the number of a request")));
        };
        let status = self.published();
        let committed = outcome::fate(status.as_ref().and_then(|status| status.state.as_ref()), id);
        let fate = committed.or_else(|| self.wires.answers.fate(id));
        let unknown = || Problem::new(404, "unknown_request", "this node remembers no such request: ask the one it was made at").about(id);
        reply::outcome::<Fate>(fate.ok_or_else(unknown))
    }

    /// A claim about the present: 503 unless the status is young.
    fn present<T: Serialize>(&self, make: impl FnOnce(&Status, Timestamp) -> Result<T, Problem>) -> Response {
        // The status first: read after the clock, a newer one would lie in the future.
        let (published, now) = (self.published(), self.now());
        let believed = health::believed(published.as_deref(), now, self.config.status_age_max);
        reply::outcome(believed.and_then(|status| make(status, now)))
    }

    fn at_any_age<T: Serialize>(&self, make: impl FnOnce(&Status) -> Result<T, Problem>) -> Response {
        let (published, now) = (self.published(), self.now());
        let Some(status) = published else { return reply::problem(&Problem::starting()) };
        match make(&status) {
            Ok(body) => reply::aged(reply::json(StatusCode::OK, &body), now.since(status.at).as_millis()),
            Err(problem) => reply::problem(&problem),
        }
    }
}
