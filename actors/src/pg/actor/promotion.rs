//! A standby becomes the primary, or is made ready for it.
//!
//! The promotion itself needs no session: sessions may all be taken, or the password be wrong. One is used, if it can be had, to end the readers that
//! hold the replay up.

use super::commands::{self, Owner, Usher};
use super::operations::{Failure, Replay, Session, Site, controldata, is_in_production, lacks, reload, trigger_promotion};
use super::processes::told;
use super::work::Why;
use super::{Known, Shop};
use crate::model::{Epoch, Position};
use crate::pg::{Hold, Life, Outcome};
use crate::tree::clock::boottime;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The guard's answer to a request.
const GUARD_MAX: Duration = Duration::from_secs(5);
/// One question to the own server. Nobody can write while it is waited for.
const BRIEF: Duration = Duration::from_millis(500);
/// Promotion ends recovery at the last byte received; that is moments, unless replay was far behind. Then it is seen to end later.
const PROMOTE_MAX: Duration = Duration::from_secs(10);
/// How often a promotion is looked at.
const PROMOTION_STEP: Duration = Duration::from_millis(5);
/// So often it is seen to whether readers hold up what is left to replay.
const CLEAR_EVERY: Duration = Duration::from_millis(50);

/// The guard hears of it first: from then on it ends the server with the lease. It agrees only while more than its margin is left of that.
pub(super) async fn promote(shop: &Shop, epoch: Epoch, least: Option<Position>) -> Result<Outcome, Why> {
    let site = shop.site();
    let client = shop.surroundings.tether.client().ok_or(Why::Unguarded)?;
    // Before the lease is asked for: both take a moment.
    if let Some(least) = least {
        let at = position(shop).await;
        if let Some(older) = lacks(site, least, at).await? {
            return Ok(Outcome::Older(older));
        }
    }
    let freed = clear(shop).await;
    let asked = boottime();
    client.expect_promotion(epoch, GUARD_MAX).await?;
    let postmaster = shop.postmaster(GUARD_MAX).await.ok_or(Why::NoServer)?;
    let waited = boottime().since(asked);
    if waited >= client.identity().kill_margin {
        return Err(Why::TooLate { waited });
    }
    trigger_promotion(site, postmaster).await?;
    if freed {
        tracing::info!("the standby's replay was held up, and is let go");
    }
    let (begun, mut cleared) = (Instant::now(), Instant::now());
    let (mut usher, mut ushered) = (Usher::of_a_promotion(site, postmaster), Instant::now());
    while !is_in_production(site, postmaster).await? {
        if ushered.elapsed() >= commands::STEP {
            ushered = Instant::now();
            end_commands(shop, &mut usher).await;
        }
        if begun.elapsed() >= PROMOTE_MAX {
            return Err(Why::NotPromoted { within: PROMOTE_MAX });
        }
        sleep(PROMOTION_STEP).await;
        if cleared.elapsed() >= CLEAR_EVERY {
            cleared = Instant::now();
            if clear(shop).await {
                // It may sleep for up to a second before it looks whether the readers are gone.
                trigger_promotion(site, postmaster).await?;
            }
        }
    }
    // What cleans the archive up is a standby's, and keeps the checkpointer of the new primary from its work.
    usher.goes_on(&[Owner::Checkpointer]);
    Ok(Outcome::Done)
}

/// Ends the commands that hold the promotion up. The server ends with one of the process that replays, and is started anew without any.
async fn end_commands(shop: &Shop, usher: &mut Usher) {
    for (command, ended) in usher.step(&[Owner::Checkpointer, Owner::Startup]).await {
        if ended && command.owner == Owner::Startup {
            shop.command_hangs();
            tracing::warn!(
                command = command.line,
                "a command of recovery held the promotion up and is ended; the server ends with it, and is started anew without restore_command, \
                 recovery_end_command and archive_cleanup_command"
            );
        }
    }
}

/// How far the running standby says that it is. None: it lets nobody in, and its log has to tell.
async fn position(shop: &Shop) -> Option<Position> {
    let mut known = shop.known.lock().await;
    let session = known.line(shop.site()).await.ok()?;
    session.observe(BRIEF).await.ok().map(|seen| seen.position)
}

/// Lets the replay of a standby that is to be the next primary go on.
pub(super) async fn clear_replay(shop: &Shop) -> Result<(), Why> {
    let postmaster = shop.postmaster(GUARD_MAX).await.ok_or(Why::NoServer)?;
    if clear(shop).await {
        // The process that replays sleeps for up to a second between two looks at a conflict; any signal wakes it.
        reload(shop.site(), postmaster).await?;
    }
    Ok(())
}

/// Ends what holds the replay up. True: there was something. Without a session nothing can be done about it, and nothing may be in the way.
async fn clear(shop: &Shop) -> bool {
    let mut known = shop.known.lock().await;
    match known.clear(shop.site()).await {
        Ok(cleared) => cleared,
        Err(failure) => {
            tracing::debug!(%failure, "whether anything holds the replay up cannot be asked");
            false
        }
    }
}

impl Known {
    async fn clear(&mut self, site: &Site) -> Result<bool, Failure> {
        let session = self.line(site).await?;
        match session.replay(BRIEF).await?.hold {
            Some(Hold::Readers) => {
                let ended = session.end_readers(BRIEF).await?;
                if !ended.is_empty() {
                    tracing::warn!(
                        readers = ended.join(", "),
                        "readers held the replay up, and this node is to be the primary: they are ended"
                    );
                }
                Ok(true)
            }
            Some(Hold::Pause) => {
                session.resume_replay(BRIEF).await?;
                tracing::warn!("the replay was paused, and this node is to be the primary: it goes on");
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The session of the looks, which was opened when there was room, or a new one.
    async fn line(&mut self, site: &Site) -> Result<&mut Session, Failure> {
        if self.session.as_ref().is_none_or(|(_, session)| session.is_closed()) {
            self.session = None;
            self.spare = match self.spare.take().filter(|spare| !spare.is_closed()) {
                Some(spare) => Some(spare),
                None => Some(Session::open(site, BRIEF).await?),
            };
        }
        let kept = self.session.as_mut().map(|(_, session)| session);
        Ok(kept.or(self.spare.as_mut()).expect("one of them is open"))
    }

    /// What holds up the replay of a standby that answers.
    pub(super) async fn hold(&mut self, site: &Site, life: Life, replay: Replay, before: u8) -> Option<Hold> {
        if replay.startup.is_some_and(is_stopped) {
            return Some(Hold::Stopped);
        }
        if replay.hold == Some(Hold::Pause) {
            let required = match self.required {
                Some((of, at, required)) if of == life && at.elapsed() < REQUIRED_FOR => required,
                _ => {
                    let required = controldata(site).await.ok()?.capacities;
                    self.required = Some((life, Instant::now(), required));
                    required
                }
            };
            if replay.room.iter().zip(required).any(|(has, needs)| *has < needs) {
                return Some(Hold::Room { before });
            }
        }
        replay.hold
    }
}

/// What `pg_control` asks for changes only with what the primary sends, so a paused standby need not ask a program at every look.
const REQUIRED_FOR: Duration = Duration::from_secs(1);

/// Whether somebody has stopped that process.
fn is_stopped(process: u32) -> bool {
    told(process).is_some_and(|told| told.state == 'T')
}
