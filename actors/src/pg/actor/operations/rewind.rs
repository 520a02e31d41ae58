//! Brings a diverged directory back onto the primary's history with `pg_rewind`.

use super::clearing::Outside;
use super::configuration::{set_standby_signal, write_configuration, write_configuration_that_keeps_log};
use super::connection::{Connection, SqlFailure, Whom};
use super::directory::control_head;
use super::lock::OperationLock;
use super::lock_files::remove_stale_locks;
use super::marker::{self, Unfinished};
use super::position::controldata;
use super::program::Patience;
use super::{Failure, Progress, Site, own_files, rights};
use crate::model::{Endpoint, Lsn, SystemIdentifier, Timeline};
use crate::pg::Upstream;
use crate::pg::ancestry::Ancestry;
use crate::pg::pins::{self, Role};
use crate::pg::quoting::{conninfo_value, literal};
use crate::pg::wal::history_file_name;
use std::time::Duration;
use tokio_postgres::SimpleQueryRow;
use tokio_postgres::error::SqlState;

/// How long the primary may take for a question.
const QUESTION: Duration = Duration::from_secs(5);
/// How long it may take for a checkpoint: it writes out all of its changed blocks.
const CHECKPOINT: Duration = Duration::from_secs(300);
/// `pg_rewind` is silent while it reads the log since the fork, and while it recovers a crashed target before that.
const REWIND: Patience = Patience::Silence(Duration::from_secs(1800));

const WHO_IT_IS: &str = "say who it is";
const STATUS: &str = "
    SELECT s.in_recovery, (SELECT c.system_identifier FROM pg_catalog.pg_control_system() AS c) AS identity,
           (SELECT c.timeline_id FROM pg_catalog.pg_control_checkpoint() AS c) AS checkpoint_timeline,
           CASE WHEN NOT s.in_recovery THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END AS file,
           CASE WHEN NOT s.in_recovery THEN pg_catalog.pg_current_wal_lsn() END AS written
      FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery OFFSET 0) AS s";

const MADE: &str = "
    SELECT i.data_page_checksum_version AS checksums, i.bytes_per_wal_segment AS segment FROM pg_catalog.pg_control_init() i";

/// Makes the primary write a checkpoint on its new timeline: before that, `pg_rewind` wrongly says that no rewind is required.
///
/// # Errors
/// It cannot be asked, does not accept writes, or is not on the timeline of its promotion.
pub async fn checkpoint_remote(site: &Site, upstream: &Upstream, within: Duration) -> Result<(), Failure> {
    let mut primary = Primary::ask(site, &upstream.database, QUESTION.min(within)).await?;
    primary.must_be(upstream)?;
    if primary.checkpoint_timeline != primary.timeline {
        primary.checkpoint(site, within).await?;
        let now = Primary::ask(site, &upstream.database, QUESTION.min(within)).await?;
        now.must_be(upstream)?;
        if now.checkpoint_timeline != now.timeline {
            return Err(not_ready(&upstream.database, "its checkpoint is not on its timeline yet"));
        }
    }
    Ok(())
}

/// The history of the primary's timeline.
///
/// # Errors
/// It cannot be asked, does not accept writes, or its file is malformed.
pub async fn upstream_ancestry(site: &Site, upstream: &Endpoint, within: Duration) -> Result<Ancestry, Failure> {
    Primary::ask(site, upstream, within).await?.ancestry(within).await
}

/// Rewinds the stopped directory to the upstream's history, configures it as its standby, and leaves it stopped. What it is about to
/// lose has to be kept aside before, see [`super::preserve_diverged`].
///
/// # Errors
/// The upstream is another database, is not ready, or `pg_rewind` fails. If it had begun to change files, the directory is marked
/// unfinished and only a clone helps.
pub async fn rewind(site: &Site, upstream: &Upstream, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), Failure> {
    let lock = OperationLock::take(site).await?;
    let own = control_head(site).await.map(|control| control.system_identifier);
    if own != Some(upstream.system_identifier) {
        let found = own.unwrap_or_default();
        return Err(Failure::OtherDatabase { place: site.settings.data_dir.clone(), found, expected: upstream.system_identifier });
    }
    fits(site, upstream).await?;
    checkpoint_remote(site, upstream, CHECKPOINT).await?;
    remove_stale_locks(site).await?;
    // pg_rewind recovers a crashed target in single-user mode, which refuses standbys. That ends with a checkpoint, after which the log from
    // before the fork would be recycled, and pg_rewind reads it next.
    set_standby_signal(site, false).await?;
    write_configuration_that_keeps_log(site).await?;
    marker::set(site, Unfinished::Rewind, Outside::of(site).await?, &lock).await?;
    let source = Primary::ask(site, &upstream.database, QUESTION).await?.source(site);
    own_files::keep_and_make_way(site).await?;
    let pg_rewind = site.installation.run("pg_rewind", REWIND).holding(lock.share());
    let pg_rewind = pg_rewind.arg("--target-pgdata").arg(site.data_dir()).arg("--source-server").arg(source).arg("--progress");
    let mut has_changed_files = false;
    let ended = pg_rewind
        .run(|_, line| {
            // The last thing that it says before it writes.
            has_changed_files |= line.contains("need to copy");
            let detail = line.trim().trim_start_matches("pg_rewind: ").to_owned();
            progress(Progress { percent: super::clone::percent(line), detail });
        })
        .await;
    if let Err(failure) = ended {
        if !has_changed_files {
            own_files::put_back(site, site.data_dir()).await?;
            marker::clear(site, &lock).await?;
        }
        return Err(failure.into());
    }
    // The configuration is the source's now.
    write_configuration(site, Some(&upstream.database)).await?;
    own_files::put_back(site, site.data_dir()).await?;
    set_standby_signal(site, true).await?;
    marker::clear(site, &lock).await?;
    Ok(())
}

/// Whether a rewind would leave a database that is of use. `pg_rewind` copies blocks as they are and the primary's control file over them: where
/// one side has checksums and the other has not it says that it is done, and no login is possible afterwards.
async fn fits(site: &Site, upstream: &Upstream) -> Result<(), Failure> {
    let what = "say how its files are made";
    let own = controldata(site).await?;
    let mut primary = Primary::ask(site, &upstream.database, QUESTION).await?;
    let row = primary.connection.ask_one(what, MADE, QUESTION).await?;
    let theirs: u32 = primary.connection.column(what, &row, "checksums")?;
    let segment: u64 = primary.connection.column(what, &row, "segment")?;
    let said = |on: bool| if on { "has" } else { "has not" };
    let reason = if (theirs != 0) != own.data_checksums {
        format!("this database {} data checksums, and the primary's {}", said(own.data_checksums), said(theirs != 0))
    } else if segment != own.wal_segment_size {
        format!("segments of its log have {} bytes, and the primary's {segment}", own.wal_segment_size)
    } else if !own.data_checksums && !own.wal_log_hints {
        "it ran without data checksums and without wal_log_hints, so not every block that changed is known".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::Unrewindable { reason })
}

/// Whether a primary lets this node ask what a comparison, a rewind or a clone must know.
///
/// # Errors
/// It refuses, or does not answer.
pub async fn can_be_asked(site: &Site, endpoint: &Endpoint, within: Duration) -> Result<(), SqlFailure> {
    Primary::status(site, endpoint, within).await.map(drop)
}

/// A primary that was asked who it is.
///
/// It is asked as the replication role, which a stranger on its port could do little with. That role needs rights which a database of older
/// origin may not have granted yet, and its share of connections; where it is refused, the superuser asks.
#[derive(Debug)]
pub(super) struct Primary {
    pub(super) connection: Connection,
    role: Role,
    endpoint: Endpoint,
    identity: SystemIdentifier,
    timeline: Timeline,
    checkpoint_timeline: Timeline,
    /// How far it had written when it was asked. A standby has at most what is flushed, so never more than this.
    pub(super) written: Lsn,
}

impl Primary {
    pub(super) async fn ask(site: &Site, endpoint: &Endpoint, within: Duration) -> Result<Self, Failure> {
        let (connection, row, role) = Self::status(site, endpoint, within).await?;
        let what = WHO_IT_IS;
        let Some(file) = connection.optional::<String>(what, &row, "file")? else {
            return Err(not_ready(endpoint, "it is in recovery and accepts no writes"));
        };
        let number = file.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let timeline = Timeline(number.ok_or_else(|| connection.unexpected(what, file))?);
        // The identity is shown as a signed number.
        let identity = connection.column::<i64>(what, &row, "identity")?.cast_unsigned();
        let checkpoint_timeline = Timeline(connection.column(what, &row, "checkpoint_timeline")?);
        let written = connection.column(what, &row, "written")?;
        Ok(Self {
            connection,
            role,
            endpoint: endpoint.clone(),
            identity: SystemIdentifier(identity),
            timeline,
            checkpoint_timeline,
            written,
        })
    }

    async fn status(site: &Site, endpoint: &Endpoint, within: Duration) -> Result<(Connection, SimpleQueryRow, Role), SqlFailure> {
        let refused = match Self::status_as_replication(site, endpoint, within).await {
            Ok(Some((connection, row))) => return Ok((connection, row, Role::Replication)),
            Ok(None) => None,
            Err(failure) if failure.state().is_some() => Some(failure),
            Err(failure) => return Err(failure),
        };
        let as_superuser = async {
            let mut connection = Connection::open(site, Whom::Remote(endpoint), within).await?;
            let row = connection.ask_one(WHO_IT_IS, STATUS, within).await?;
            Ok((connection, row, Role::Superuser))
        };
        // What the replication role was refused is what keeps this node from streaming, too.
        as_superuser.await.map_err(|failure| refused.unwrap_or(failure))
    }

    /// None: it may not do all that a node needs which returns.
    async fn status_as_replication(
        site: &Site,
        endpoint: &Endpoint,
        within: Duration,
    ) -> Result<Option<(Connection, SimpleQueryRow)>, SqlFailure> {
        let mut connection = Connection::open_as(site, Whom::Remote(endpoint), Role::Replication, within).await?;
        if !rights::lacking(site, &mut connection, within).await?.is_empty() {
            return Ok(None);
        }
        let row = connection.ask_one(WHO_IT_IS, STATUS, within).await?;
        Ok(Some((connection, row)))
    }

    /// Makes it write a checkpoint. Before version 15 that is for superusers only.
    async fn checkpoint(&mut self, site: &Site, within: Duration) -> Result<(), SqlFailure> {
        let what = "write a checkpoint";
        match self.connection.ask(what, "CHECKPOINT", within).await {
            Err(failure) if failure.state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                let mut connection = Connection::open(site, Whom::Remote(&self.endpoint), QUESTION.min(within)).await?;
                connection.ask(what, "CHECKPOINT", within).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// How `pg_rewind` reaches it: in the database that was entered, and with the rights that were found.
    fn source(&self, site: &Site) -> String {
        let major = site.installation.major();
        let role = if self.role == Role::Replication || site.settings.user == site.settings.replication_user {
            self.role
        } else {
            Role::Ungranted
        };
        let database = conninfo_value(self.connection.database());
        format!("{} dbname={database} {}", site.settings.conninfo(&self.endpoint, major), pins::conninfo(role, major))
    }

    /// The history of its timeline.
    pub(super) async fn ancestry(&mut self, within: Duration) -> Result<Ancestry, Failure> {
        let timeline = self.timeline;
        if timeline <= Timeline(1) {
            return Ok(Ancestry::first(timeline));
        }
        let what = "show its timeline's history";
        // Its last column may hold anything, in any encoding.
        let file = literal(&format!("pg_wal/{}", history_file_name(timeline)));
        let sql = format!("SELECT pg_catalog.encode(pg_catalog.pg_read_binary_file({file}), 'escape') AS history");
        let row = self.connection.ask_one(what, &sql, within).await?;
        let text: String = self.connection.column(what, &row, "history")?;
        Ok(Ancestry::parse(timeline, &text)?)
    }

    /// It is the database that is to be followed, on the timeline on which it was promoted.
    pub(super) fn must_be(&self, upstream: &Upstream) -> Result<(), Failure> {
        if self.identity != upstream.system_identifier {
            let place = format!("the server at {}", self.endpoint);
            return Err(Failure::OtherDatabase { place, found: self.identity, expected: upstream.system_identifier });
        }
        match upstream.promotion {
            Some(promotion) if promotion.timeline == self.timeline => Ok(()),
            Some(promotion) => {
                let reason = format!("it writes on timeline {} and was promoted on {}", self.timeline, promotion.timeline);
                Err(not_ready(&self.endpoint, &reason))
            }
            None => Err(not_ready(&self.endpoint, "it is not known to be promoted")),
        }
    }
}

pub(super) fn not_ready(upstream: &Endpoint, reason: &str) -> Failure {
    Failure::UpstreamNotReady { upstream: upstream.clone(), reason: reason.into() }
}
