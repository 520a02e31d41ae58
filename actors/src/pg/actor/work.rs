//! The operations of the machine, composed of the operations on PostgreSQL.

use super::archiver::try_archiver;
use super::commands::{Owner, Usher};
use super::launch::{NotStarted, Start, start};
use super::make_way::{Prepared, make_way};
use super::operations::{
    EndOfWal, Failure, Progress, Session, adopt, basebackup, checkpoint_remote, clone_is_whole, copy_is_possible, discard_previous,
    end_of_wal, follow, initdb, installed, installed_for, lacks, log_goes_on, note_marks, preserve_diverged, relate, reload,
    remove_discarded, rewind, spend_clone, write_configuration,
};
use super::processes::{end_receiver, receivers};
use super::promotion::{clear_replay, promote};
use super::server_log::ServerLog;
use super::{Input, Shop};
use crate::guard::{self, wire::StopMode};
use crate::model::Position;
use crate::pg::ancestry::Relation;
use crate::pg::conditions::leftovers;
use crate::pg::{Fork, Operation, Outcome, Outlook, Upstream};
use crate::tree::Address;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A connection to the own server, or one question over it.
const BRIEF: Duration = Duration::from_secs(5);
/// So long after a reload each process of the server has read the configuration, or is starved of processor time.
const RELOAD: Duration = Duration::from_millis(200);
/// A receiver that does not end within this time is stuck: it was stopped, or its server does not get to reading that there is nobody to follow.
const UNAIMED_MAX: Duration = Duration::from_secs(2);
/// A checkpoint, here or on the primary, writes all that is dirty. The machine gives it up sooner if it must.
const CHECKPOINT_MAX: Duration = Duration::from_secs(300);
/// After a crash the log is read through from the last checkpoint to its end.
const READ_LOG_MAX: Duration = Duration::from_secs(240);
/// Progress is for people.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
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
    #[error(
        "the server was told to accept writes and does not within {within:?}; it may do so later, and the server's log says what it does"
    )]
    NotPromoted { within: Duration },
    #[error("the guard has no server that could be told anything; see the server's log for why it ended")]
    NoServer,
    #[error(
        "the switchover's target {0}; the primary goes on, and steps down as soon as the target is ready, or the switchover is called off"
    )]
    TargetNotReady(String),
    #[error(
        "a debugger holds process {process} of the server ({title}), and the server would not stop before that is let go; the primary goes on, \
         and steps down once it is, or the switchover is called off"
    )]
    Traced { process: u32, title: String },
    #[error(transparent)]
    NoCheckpoint(Failure),
}

impl Why {
    fn outlook(&self) -> Outlook {
        match self {
            // As long as this server runs.
            Self::StillReceives => Outlook::Hopeless,
            Self::Failure(failure) => failure.outlook(),
            Self::NoCheckpoint(_) => Outlook::Open,
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
        Operation::Clone(upstream, _) => drop(installed_for(site, &upstream.database, BRIEF).await?),
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
        Operation::ClearReplay => clear_replay(shop).await?,
        Operation::Checkpoint => prepare_stop(shop).await?,
        Operation::StopFast => stop(shop, StopMode::Fast).await?,
        Operation::StopImmediately => stop(shop, StopMode::Immediate).await?,
        Operation::Compare(upstream) => return Ok(Outcome::Compared(compare(shop, &upstream).await?.fork())),
        Operation::Preserve(upstream) => preserve(shop, &upstream).await?,
        Operation::Rewind(upstream) => {
            checkpoint_remote(site, &upstream, CHECKPOINT_MAX).await?;
            rewind(site, &upstream, progress).await?;
        }
        Operation::Clone(upstream, mend) => {
            // What would be refused is not booked.
            copy_is_possible(site, &upstream).await?;
            spend_clone(site, &mend).await?;
            basebackup(site, &upstream, progress).await?;
            clone_is_whole(site, &mend).await?;
        }
    }
    Ok(Outcome::Done)
}

/// A session of its own, so that what takes long does not keep the looks waiting.
async fn session(shop: &Shop) -> Result<Session, Failure> {
    Ok(Session::open(shop.site(), BRIEF).await?)
}

/// No session is needed for it: they may all be taken, and a standby that is not open yet has none. Whatever the upstream before still sends comes
/// before the comparison or not at all.
async fn aim(shop: &Shop, upstream: &Upstream) -> Result<Outcome, Why> {
    let site = shop.site();
    let postmaster = shop.postmaster(BRIEF).await.ok_or(Why::NoServer)?;
    follow(site, postmaster, None).await?;
    let deadline = Instant::now() + UNAIMED_MAX;
    loop {
        // A receiver that ends by itself at this moment is started again until the server has read that there is nobody to follow.
        sleep(RELOAD).await;
        let receivers = receivers(site).await;
        if receivers.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            return Err(Why::StillReceives);
        }
        for receiver in receivers {
            end_receiver(site, receiver).await;
        }
    }
    let fork = compare(shop, upstream).await?.fork();
    if fork != Fork::Prefix {
        return Ok(Outcome::Compared(fork));
    }
    shop.with_log(ServerLog::begin_anew).await;
    follow(site, postmaster, Some(&upstream.database)).await?;
    Ok(Outcome::Done)
}

async fn configure(shop: &Shop, upstream: Option<&Upstream>) -> Result<(), Why> {
    let mended = write_configuration(shop.site(), upstream.map(|upstream| &upstream.database)).await?;
    shop.survey.lock().await.mended(mended);
    reload(shop.site(), shop.postmaster(BRIEF).await.ok_or(Why::NoServer)?).await?;
    shop.survey.lock().await.told();
    Ok(())
}

/// A failure here delays no stop, but for one: a target that could not take over.
async fn prepare_stop(shop: &Shop) -> Result<(), Why> {
    *shop.prepared() = Prepared::default();
    if let Some(mut usher) = usher(shop).await {
        if let Some(held) = usher.let_go().await.into_iter().next() {
            return Err(Why::Traced { process: held.process, title: held.title });
        }
        usher.free_the_checkpointer().await;
    }
    let mut session = session(shop).await.map_err(Why::NoCheckpoint)?;
    // First, because what is written while it is tried is a part of the checkpoint, and who receives has to be looked at last.
    shop.prepared().archiver = Some(try_archiver(shop, &mut session).await.map_err(Why::NoCheckpoint)?);
    session.checkpoint(CHECKPOINT_MAX).await.map_err(|failure| Why::NoCheckpoint(failure.into()))?;
    match make_way(shop, &mut session).await.map_err(Why::NoCheckpoint)? {
        Some(hindrance) => Err(Why::TargetNotReady(hindrance)),
        None => Ok(()),
    }
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
    let usher = if mode == StopMode::Fast { usher(shop).await } else { None };
    let Some(mut usher) = usher else { return Ok(client.stop(mode, BRIEF).await?) };
    // Of a primary that was seen to before, while everybody could write.
    if tokio::fs::try_exists(shop.site().data_dir().join("standby.signal")).await.unwrap_or(false) {
        usher.free_the_checkpointer().await;
    }
    client.stop(mode, BRIEF).await?;
    usher.goes_on(&[Owner::Checkpointer, Owner::Startup, Owner::Session]);
    Ok(())
}

/// Who looks after the commands of the server that runs. None: nobody knows of one.
async fn usher(shop: &Shop) -> Option<Usher> {
    let status = shop.surroundings.tether.client()?.status(BRIEF).await.ok()?;
    Some(Usher::of_a_stop(shop.site(), status.server?.pid?))
}

/// How what is here relates to the upstream's history.
struct Compared {
    relation: Relation,
    /// Where the log here ends.
    end: EndOfWal,
    /// The upstream still has the log from there on.
    goes_on: bool,
}

impl Compared {
    const fn fork(&self) -> Fork {
        match self.relation {
            Relation::Prefix if self.goes_on => Fork::Prefix,
            Relation::Prefix => Fork::Removed,
            Relation::Twin { .. } => Fork::Twin,
            Relation::Diverged { .. } | Relation::Unrelated => Fork::Diverged,
        }
    }
}

async fn compare(shop: &Shop, upstream: &Upstream) -> Result<Compared, Failure> {
    shop.refusals.primary_is(&upstream.database);
    let site = shop.site();
    // A running server says where its log ends; the log of a stopped one is read, and of one that lets nobody in.
    let (end, runs) = match session(shop).await {
        Ok(mut session) => {
            let at = shop.is_at(&session.observe(BRIEF).await?).await?;
            (EndOfWal { timeline: at.timeline, lsn: at.lsn, clean: false, seen: true }, true)
        }
        Err(_) => (end_of_wal(site, READ_LOG_MAX).await?, shop.postmaster(BRIEF).await.is_some()),
    };
    let compared = async {
        let relation = relate(site, end, &upstream.database, BRIEF).await?;
        let goes_on = relation != Relation::Prefix || log_goes_on(site, end, &upstream.database, BRIEF).await?;
        Ok(Compared { relation, end, goes_on })
    };
    match compared.await {
        // What a server runs on is not thrown away for a file that it does without.
        Err(Failure::Damaged { path, reason }) if runs => Err(Failure::Directory { path, reason }),
        other => other,
    }
}

async fn preserve(shop: &Shop, upstream: &Upstream) -> Result<(), Failure> {
    let Compared { relation, end, .. } = compare(shop, upstream).await?;
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
