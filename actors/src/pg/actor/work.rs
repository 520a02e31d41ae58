//! The operations of the machine, composed of the operations on PostgreSQL.

use super::launch::{NotStarted, Start, start};
use super::operations::{
    EndOfWal, Failure, Progress, Session, adopt, basebackup, checkpoint_remote, discard_previous, end_of_wal, follow, initdb, installed,
    installed_for, lacks, note_marks, preserve_diverged, relate, remove_discarded, rewind, write_configuration,
};
use super::server_log::ServerLog;
use super::{Input, Shop};
use crate::guard::{self, wire::StopMode};
use crate::model::{Epoch, Position};
use crate::pg::ancestry::Relation;
use crate::pg::conditions::leftovers;
use crate::pg::{Fork, Operation, Outcome, Outlook, Upstream};
use crate::tree::Address;
use crate::tree::clock::boottime;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A connection to the own server, or one question over it.
const BRIEF: Duration = Duration::from_secs(5);
/// So long after a reload each process of the server has read the configuration, or is starved of processor time.
const RELOAD: Duration = Duration::from_millis(200);
/// Promotion ends recovery at the last byte received; that is moments, unless replay was far behind. Then it is seen to end later.
const PROMOTE_MAX: Duration = Duration::from_secs(10);
/// A checkpoint, here or on the primary, writes all that is dirty. The machine gives it up sooner if it must.
const CHECKPOINT_MAX: Duration = Duration::from_secs(300);
/// After a crash the log is read through from the last checkpoint to its end.
const READ_LOG_MAX: Duration = Duration::from_secs(240);
/// Progress is for people.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    #[error(transparent)]
    Guard(#[from] guard::Error),
    #[error("there is no guard to ask; see the guard's log")]
    Unguarded,
    #[error(
        "the guard agreed to a promotion {waited:?} after it was asked, so the lease may be over; nothing was done. The host or the daemon was \
         stopped, or is starved of processor time"
    )]
    TooLate { waited: Duration },
    #[error(
        "the server was told to follow nobody and still receives from its upstream before; if that goes on, see why its replay stands still"
    )]
    StillReceives,
}

impl Why {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Failure(failure) if !failure.is_waiting() => Outlook::Open,
            _ => Outlook::Waiting,
        }
    }
}

/// Tells progress, but not too often.
pub(super) fn throttled(id: u64, me: Address<Input>) -> impl Fn(Progress) + Send + Sync {
    let told: Mutex<Option<Instant>> = Mutex::new(None);
    move |progress| {
        let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
            *told = Some(Instant::now());
            me.tell(Input::Progressed { id, percent: progress.percent, detail: progress.detail });
        }
    }
}

/// Carries the operation out.
pub(super) async fn carry_out(shop: &Shop, operation: Operation, progress: &(dyn Fn(Progress) + Send + Sync)) -> Outcome {
    let failed = |why: Why| Outcome::Failed { reason: why.to_string(), outlook: why.outlook() };
    try_to(shop, operation, progress).await.unwrap_or_else(failed)
}

async fn try_to(shop: &Shop, operation: Operation, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<Outcome, Why> {
    let site = shop.site();
    // Programs of another version would spoil what they touch, or fail with words that nobody understands.
    match &operation {
        Operation::InitDb | Operation::Adopt | Operation::Rewind(_) => drop(installed(site).await?),
        Operation::Clone(upstream) => drop(installed_for(site, &upstream.database, BRIEF).await?),
        _ => {}
    }
    match operation {
        Operation::InitDb => return Ok(Outcome::Founded(initdb(site).await?)),
        Operation::Adopt => return Ok(Outcome::Founded(adopt(site).await?)),
        Operation::StartPrimary(_, Some(least)) if let Some(older) = lacks(site, least, None).await? => return Ok(Outcome::Older(older)),
        Operation::StartPrimary(epoch, _) => return Ok(start(shop, Start::Primary(epoch)).await?),
        Operation::StartStandby(upstream) => return Ok(start(shop, Start::Standby(upstream.map(|upstream| upstream.database))).await?),
        Operation::Promote(epoch, least) => return promote(shop, epoch, least).await,
        Operation::Aim(upstream) => return aim(shop, &upstream).await,
        Operation::Tend => tend(shop).await?,
        Operation::Configure(upstream) => configure(shop, upstream.as_ref()).await?,
        Operation::Checkpoint => session(shop).await?.checkpoint(CHECKPOINT_MAX).await.map_err(Failure::from)?,
        Operation::StopFast => stop(shop, StopMode::Fast).await?,
        Operation::StopImmediately => stop(shop, StopMode::Immediate).await?,
        Operation::Compare(upstream) => return Ok(Outcome::Compared(fork(&compare(shop, &upstream).await?.0))),
        Operation::Preserve(upstream) => preserve(shop, &upstream).await?,
        Operation::Rewind(upstream) => {
            checkpoint_remote(site, &upstream, CHECKPOINT_MAX).await?;
            rewind(site, &upstream, progress).await?;
        }
        Operation::Clone(upstream) => basebackup(site, &upstream, progress).await?,
    }
    Ok(Outcome::Done)
}

/// A session of its own, so that what takes long does not keep the looks waiting.
async fn session(shop: &Shop) -> Result<Session, Failure> {
    Ok(Session::open(shop.site(), BRIEF).await?)
}

/// The guard hears of it first: from then on it ends the server with the lease. It agrees only while more than its margin is left of that.
async fn promote(shop: &Shop, epoch: Epoch, least: Option<Position>) -> Result<Outcome, Why> {
    let client = shop.surroundings.tether.client().ok_or(Why::Unguarded)?;
    let mut session = session(shop).await?;
    if let Some(least) = least {
        let at = session.observe(BRIEF).await.map_err(Failure::from)?.position;
        if let Some(older) = lacks(shop.site(), least, Some(at)).await? {
            return Ok(Outcome::Older(older));
        }
    }
    let asked = boottime();
    client.expect_promotion(epoch, BRIEF).await?;
    let waited = boottime().since(asked);
    if waited >= client.identity().kill_margin {
        return Err(Why::TooLate { waited });
    }
    session.promote(shop.site(), PROMOTE_MAX).await?;
    Ok(Outcome::Done)
}

/// Whatever the upstream before still sends comes before the comparison or not at all.
async fn aim(shop: &Shop, upstream: &Upstream) -> Result<Outcome, Why> {
    let site = shop.site();
    let mut session = session(shop).await?;
    write_configuration(site, None).await?;
    session.reload(BRIEF).await.map_err(Failure::from)?;
    let deadline = Instant::now() + BRIEF;
    loop {
        // A receiver that ends by itself at this moment is started again until the server has read that there is nobody to follow.
        sleep(RELOAD).await;
        if session.observe(BRIEF).await.map_err(Failure::from)?.receiver.is_none() {
            break;
        }
        if Instant::now() > deadline {
            return Err(Why::StillReceives);
        }
    }
    let fork = fork(&compare(shop, upstream).await?.0);
    if fork != Fork::Prefix {
        return Ok(Outcome::Compared(fork));
    }
    shop.with_log(ServerLog::begin_anew).await;
    follow(site, &mut session, &upstream.database, BRIEF).await?;
    Ok(Outcome::Done)
}

async fn configure(shop: &Shop, upstream: Option<&Upstream>) -> Result<(), Why> {
    let mended = write_configuration(shop.site(), upstream.map(|upstream| &upstream.database)).await?;
    shop.survey.lock().await.mended(mended);
    Ok(session(shop).await?.reload(BRIEF).await.map_err(Failure::from)?)
}

async fn tend(shop: &Shop) -> Result<(), Why> {
    // Before anybody copies this database. Slots do not wait until there is room for the note.
    let lineage = shop.known.lock().await.seen_lineage();
    if let Err(failure) = note_marks(shop.site(), &lineage).await {
        tracing::warn!(%failure, "by which a copy of this database would know its timelines is not noted; it is tried again");
    }
    let data_nodes = (shop.surroundings.data_nodes)();
    let own = shop.site().settings.node;
    let mut session = session(shop).await?;
    let clashing = session.ensure_slots(own, &data_nodes, BRIEF).await.map_err(Failure::from)?;
    let clashing = clashing.map(|names| {
        leftovers::SLOT_NAME_CLASH.seen(format!("the failover slots {names} of this standby are its own, from when it was the primary"))
    });
    shop.survey.lock().await.slots(clashing.into_iter().collect());
    let ensured = session.ensure_rights(shop.site(), BRIEF).await;
    shop.known.lock().await.rights_are(ensured);
    if let Err(failure) = session.note_databases(shop.site(), BRIEF).await {
        tracing::warn!(%failure, "which other databases could be entered is not noted; it is tried again");
    }
    // Looked after is only what leads or streams: whatever a clone has replaced is of no more use.
    discard_previous(shop.site()).await?;
    remove_meanwhile(shop);
    Ok(())
}

/// To remove a large database takes minutes, for which no promotion and no stop can wait: it goes on beside them, once at a time.
fn remove_meanwhile(shop: &Shop) {
    let Ok(only_one) = Arc::clone(&shop.removing).try_lock_owned() else { return };
    let site = shop.site().clone();
    tokio::spawn(async move {
        if let Err(failure) = remove_discarded(&site).await {
            tracing::warn!(%failure, "what a clone has replaced is not removed; it is tried again");
        }
        drop(only_one);
    });
}

async fn stop(shop: &Shop, mode: StopMode) -> Result<(), Why> {
    let client = shop.surroundings.tether.client().ok_or(Why::Unguarded)?;
    Ok(client.stop(mode, BRIEF).await?)
}

const fn fork(relation: &Relation) -> Fork {
    match relation {
        Relation::Prefix => Fork::Prefix,
        Relation::Twin { .. } => Fork::Twin,
        Relation::Diverged { .. } | Relation::Unrelated => Fork::Diverged,
    }
}

/// How what is here relates to the upstream's history, and where it ends.
async fn compare(shop: &Shop, upstream: &Upstream) -> Result<(Relation, EndOfWal), Failure> {
    // A running server says where its log ends; the log of a stopped one is read.
    let end = match session(shop).await {
        Ok(mut session) => {
            let at = session.observe(BRIEF).await?.position;
            EndOfWal { timeline: at.timeline, lsn: at.lsn, clean: false, seen: true }
        }
        Err(_) => end_of_wal(shop.site(), READ_LOG_MAX).await?,
    };
    Ok((relate(shop.site(), end, &upstream.database, BRIEF).await?, end))
}

async fn preserve(shop: &Shop, upstream: &Upstream) -> Result<(), Failure> {
    let (relation, end) = compare(shop, upstream).await?;
    let fork = match relation {
        Relation::Prefix => return Ok(()),
        Relation::Diverged { fork } | Relation::Twin { fork } => fork,
        // All of it is something that the primary never had.
        Relation::Unrelated => Position { timeline: end.timeline, lsn: crate::model::Lsn(0) },
    };
    let kept = preserve_diverged(shop.site(), fork, end).await?;
    tracing::warn!(folder = %kept.folder.display(), from = %fork.lsn, to = %end.lsn, "what was written here past the fork is kept aside");
    Ok(())
}
