//! What servers refuse to this node, found out before anybody depends on it.
//!
//! The own server answers a fresh login at every health check. The primary is asked now and then whether it would let this node in as its
//! superuser, for a comparison or a rewind, and as its standby.

use super::Shop;
use super::operations::{Session, SqlFailure, can_be_asked, fails, faults_of_files, introduce, unfit_roles};
use crate::model::{Condition, Endpoint};
use crate::pg::conditions::Row;
use crate::pg::conditions::refusals::{
    OWN_LOGIN_REFUSED, OWN_SERVER_FULL, PRIMARY_LOGIN_REFUSED, REPLICATION_REFUSED, ROLE_UNFIT, SENDERS_FULL,
};
use crate::pg::{Outlook, Process, Sight};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Between two proofs. Each is a login in the log of whoever writes them.
const PROVE_EVERY: Duration = Duration::from_secs(15);
/// A login, or a question.
const PROOF_MAX: Duration = Duration::from_secs(4);
/// Every connection is in use.
pub(super) const FULL: &str = "53300";
/// The server is not open yet, or not any more.
const NOT_NOW: &str = "57P03";
/// A refusal tells of the server for so long: some health checks.
const TURNS_AWAY: Duration = Duration::from_secs(5);

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    own: Option<Condition>,
    /// When the own server turned a login away last, and whether because it is not open yet.
    turned_away: Option<(Instant, bool)>,
    primary: Option<Condition>,
    replication: Option<Condition>,
    roles: Vec<Condition>,
    /// What the own server finds wrong with its files.
    files: Option<Condition>,
    upstream: Option<Endpoint>,
    proved: Option<Instant>,
}

impl Refusals {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom this node follows or is to follow.
    pub(super) fn primary_is(&self, upstream: &Endpoint) {
        let mut known = self.known();
        if known.upstream.as_ref() != Some(upstream) {
            *known = Known {
                own: known.own.take(),
                files: known.files.take(),
                turned_away: known.turned_away,
                upstream: Some(upstream.clone()),
                ..Known::default()
            };
        }
    }

    /// This node leads, or has no server: nobody is to be asked.
    fn nobody_is_followed(&self) {
        let mut known = self.known();
        (known.primary, known.replication, known.upstream) = (None, None, None);
    }

    /// How the own server took a fresh login.
    pub(super) fn own_answered(&self, answer: &Result<(), SqlFailure>) {
        let refusal = answer.as_ref().err().and_then(SqlFailure::state);
        match (answer, refusal) {
            (Ok(()), _) => self.known().turned_away = None,
            (Err(_), Some(state)) => self.known().turned_away = Some((Instant::now(), state.code() == NOT_NOW)),
            (Err(_), None) => {}
        }
        let own = match answer {
            Ok(()) => None,
            Err(refused @ (SqlFailure::Refused { .. } | SqlFailure::Unexpected { .. })) => own_condition(refused),
            // It may just be gone; that is seen elsewhere.
            Err(_) => return,
        };
        self.known().own = own;
    }

    /// Whether the own server has just turned a login away: so it lives and gets on, and lets nobody in.
    pub(super) fn turns_away(&self) -> bool {
        self.known().turned_away.is_some_and(|(at, _)| at.elapsed() < TURNS_AWAY)
    }

    /// Whether it did so because it is not open yet.
    pub(super) fn is_starting(&self) -> bool {
        self.known().turned_away.is_some_and(|(_, not_now)| not_now)
    }

    pub(super) fn conditions(&self) -> Vec<Condition> {
        let known = self.known();
        let one = [&known.own, &known.primary, &known.replication, &known.files];
        one.into_iter().flatten().chain(&known.roles).cloned().collect()
    }

    /// Whether a proof is due, and of whom.
    fn due(&self) -> Option<Option<Endpoint>> {
        let mut known = self.known();
        if known.proved.is_some_and(|at| at.elapsed() < PROVE_EVERY) {
            return None;
        }
        known.proved = Some(Instant::now());
        Some(known.upstream.clone())
    }
}

fn own_condition(refused: &SqlFailure) -> Option<Condition> {
    let full = refused.state().is_some_and(|state| state.code() == FULL);
    match refused.outlook() {
        _ if full => Some(OWN_SERVER_FULL.seen(refused.brief())),
        Outlook::Barred => Some(OWN_LOGIN_REFUSED.seen(refused.brief())),
        // It starts, stops, or is short of something: that passes.
        _ => None,
    }
}

/// What an answer of the primary keeps this node from. One that cannot be reached, or that is about to serve, is no refusal.
fn of_primary(row: &'static Row, answer: Result<(), SqlFailure>) -> Option<Condition> {
    let failure = answer.err()?;
    let full = failure.state().is_some_and(|state| state.code() == FULL);
    let asked_for_another = matches!(failure, SqlFailure::Unexpected { .. });
    match failure.outlook() {
        _ if full => Some(if row.id == REPLICATION_REFUSED.id { SENDERS_FULL.seen(failure.brief()) } else { row.seen(failure.brief()) }),
        Outlook::Barred => Some(row.seen(failure.brief())),
        _ if asked_for_another => Some(row.seen(failure.brief())),
        _ => None,
    }
}

impl Shop {
    /// Proves it beside whatever else goes on.
    pub(super) fn prove_now_and_then(&self, process: Process, sight: Option<&Sight>, upstream: Option<Endpoint>) {
        let refusals = &self.refusals;
        if let Some(upstream) = &upstream {
            refusals.primary_is(upstream);
        }
        if sight.is_some_and(|sight| !sight.in_recovery) {
            refusals.nobody_is_followed();
        }
        if process == Process::Gone {
            let mut known = refusals.known();
            (known.own, known.files, known.turned_away) = (None, None, None);
        }
        let Some(upstream) = refusals.due() else { return };
        let (site, refusals, has_server) = (self.site().clone(), Arc::clone(refusals), sight.is_some());
        tokio::spawn(async move {
            if has_server && let Ok(mut session) = Session::open(&site, PROOF_MAX).await {
                let unfit = unfit_roles(&site, &mut session, PROOF_MAX).await.unwrap_or_default();
                let files = faults_of_files(&mut session, PROOF_MAX).await.unwrap_or_default();
                let mut known = refusals.known();
                known.roles = unfit.into_iter().map(|role| ROLE_UNFIT.seen(role)).collect();
                known.files = fails(files);
            }
            let Some(upstream) = upstream else { return };
            let login = can_be_asked(&site, &upstream, PROOF_MAX).await;
            let replication = introduce(&site, &upstream, PROOF_MAX).await.map(drop);
            let mut known = refusals.known();
            if known.upstream.as_ref() == Some(&upstream) {
                known.primary = of_primary(&PRIMARY_LOGIN_REFUSED, login);
                known.replication = of_primary(&REPLICATION_REFUSED, replication);
            }
        });
    }
}
