//! What changes something: is the caller allowed, is it understood, and how did it end.

use super::http::From;
use super::{Api, body};
use crate::api::access::{self, Caller, Credentials};
use crate::api::outcome::{self, Paused, Switched};
use crate::api::{Problem, cluster, health, target};
use crate::fsm::Request;
use crate::model::{Ending, RequestId};
use bytes::Buf;
use futures::Stream;
use hmac::{Hmac, Mac};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use std::pin::pin;
use std::time::Duration;

impl Api {
    pub(super) async fn switchover<B, E>(
        &self,
        from: From,
        head: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Result<Switched, Problem>
    where
        B: Buf,
    {
        let wish: target::Switchover = self.admit(from, head, body).await?;
        let ending = self.carry_out(from, self.config.switchover_timeout, |state| {
            let to = wish.to.as_ref().map(|to| target::resolve(state, to)).transpose()?;
            Ok(Request::Switchover { to })
        });
        outcome::switched(&ending.await?)
    }

    pub(super) async fn pause<B, E>(
        &self,
        paused: bool,
        from: From,
        head: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Result<Paused, Problem>
    where
        B: Buf,
    {
        let target::Nothing {} = self.admit(from, head, body).await?;
        let request = if paused { Request::Pause } else { Request::Resume };
        let ending = self.carry_out(from, self.config.pause_timeout, |_| Ok(request)).await?;
        let switched = outcome::switched(&ending)?;
        Ok(Paused { paused, epoch: switched.epoch })
    }

    /// Who calls is looked at before what it sends is read.
    async fn admit<T, B, E>(&self, from: From, head: &HeaderMap, body: impl Stream<Item = Result<B, E>>) -> Result<T, Problem>
    where
        T: DeserializeOwned + Default,
        B: Buf,
    {
        let caller = Caller { origin: text(head, &ORIGIN)?, host: text(head, &HOST)?, credentials: self.credentials(head) };
        access::admit(from.entrance(), caller).inspect_err(|problem| {
            tracing::debug!(%from, reason = problem.reason, "a caller was not admitted");
        })?;
        let content_type = text(head, &CONTENT_TYPE)?;
        let bytes = body::read(body, self.config.body_max, self.config.body_timeout).await?;
        access::require_json(content_type, bytes.trim_ascii().is_empty())?;
        body::parse(&bytes)
    }

    fn credentials(&self, head: &HeaderMap) -> Credentials {
        let shown = head.get(AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let bearer = shown.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer ")).map(|(_, token)| token);
        match (&self.config.token, bearer) {
            (None, _) => Credentials::Impossible,
            (Some(token), Some(shown)) if are_equal(token.0.as_bytes(), shown.trim_ascii()) => Credentials::Right,
            (_, Some(_)) => Credentials::Wrong,
            (_, None) => Credentials::None,
        }
    }

    /// Tells the FSM, and waits until the request is refused or has ended, as the committed state has it.
    async fn carry_out(
        &self,
        from: From,
        limit: Duration,
        understand: impl FnOnce(&crate::model::ClusterState) -> Result<Request, Problem>,
    ) -> Result<Ending, Problem> {
        let mut status = self.wires.status.clone();
        let request = {
            let published = self.published();
            let believed = health::believed(published.as_deref(), self.now(), self.config.status_age_max)?;
            understand(cluster::state(believed)?)?
        };
        let too_many = |_| Problem::new(429, "too_many", "too many requests that change the cluster are under way; wait for their ends");
        let _one_of_few = self.changes.try_acquire().map_err(too_many)?;
        let id = draw();
        let mut waiting = self.wires.answers.expect(id);
        tracing::info!(%id, ?request, %from, "an operator asks for a change");
        (self.wires.ask)(id, request);
        let mut too_late = pin!(tokio::time::sleep(limit));
        loop {
            let ended = {
                let published = status.borrow_and_update();
                let state = published.as_ref().and_then(|status| status.state.as_ref());
                outcome::ending(state, id).cloned()
            };
            if let Some(ending) = ended {
                return Ok(ending);
            }
            // A channel whose other end is gone never speaks again, and then the time limit does.
            tokio::select! {
                Ok(refusal) = &mut waiting.refusal => return Err(Problem::refused(id, refusal)),
                Ok(()) = status.changed() => {}
                () = &mut too_late => return Err(unanswered(id, limit)),
            }
        }
    }
}

fn unanswered(id: RequestId, limit: Duration) -> Problem {
    let reason = format!("no outcome within {} ms; it may still come: ask GET /requests/{id}", limit.as_millis());
    Problem::new(504, "no_outcome_yet", reason).about(id)
}

/// A header as text, if it is there. Of two, nobody could say which one counts.
fn text<'a>(head: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut all = head.get_all(name).iter();
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        return Err(Problem::new(400, "malformed", format!("the header `{name}` is there more than once")));
    }
    let malformed = |_| Problem::new(400, "malformed", format!("the header `{name}` is not plain text"));
    first.map(|value| value.to_str().map_err(malformed)).transpose()
}

/// Never zero, and at most 53 bits, so that readers of JSON that count in floating point see the same number.
fn draw() -> RequestId {
    let drawn = OsRng.try_next_u64().expect("every kernel since Linux 3.17 has getrandom");
    RequestId((drawn >> 11).max(1))
}

/// In a time that does not tell how much of it is right: tags are compared, whose equal part says nothing of the token's.
fn are_equal(token: &[u8], shown: &[u8]) -> bool {
    let tag = |text: &[u8]| Hmac::<Sha256>::new_from_slice(b"witch api token").map(|mac| mac.chain_update(text).finalize());
    match (tag(token), tag(shown)) {
        (Ok(token), Ok(shown)) => token == shown,
        _ => false,
    }
}
