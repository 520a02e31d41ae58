//! What is to be said of the surroundings of the server: its programs, its files, what was left behind. Taken in the course of a look.

use super::configuration::has_lapsed;
use super::sockets::sockets;
use super::user_files::{self, UserFiles};
use super::{Installation, NotInstalled, Site, next_start};
use crate::model::Condition;
use crate::pg::Upkeep;
use crate::pg::actor::commands::{self, Owner, Watch};
use crate::pg::conditions::{leftovers, ownership, programs, replay};
use crate::pg::owned;
use crate::pg::said::alike;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// It is taken so often, and at once after something was mended.
const EVERY: Duration = Duration::from_secs(1);
/// The programs may take so long to say their version.
const ASKED_MAX: Duration = Duration::from_secs(1);
/// What was mended is shown for so long.
const SHOWN: Duration = Duration::from_secs(600);
/// So much of it is shown: a tool may rewrite a file every minute.
const SHOWN_MAX: usize = 8;
/// A few segments are on their way to the archive at any time.
const UNARCHIVED_MAX: usize = 2;
/// The commands of the server are looked at so often: every process of the host is read for it.
const COMMANDS_EVERY: Duration = Duration::from_secs(10);
/// A command that stands still for so long is worth a word.
const COMMAND_MAX: Duration = Duration::from_secs(30);

/// What is kept from one to the next.
#[derive(Debug, Default)]
pub(in crate::pg::actor) struct Survey {
    taken: Option<(Instant, Option<u32>)>,
    conditions: Vec<Condition>,
    upkeep: Option<Upkeep>,
    /// Files were written that the server may not have read.
    unread: bool,
    mended: Vec<(Instant, String)>,
    /// What is installed, as it was asked last.
    installed: Option<Installation>,
    /// What was seen when the slots were looked after.
    slots: Vec<Condition>,
    /// The commands of the server, and what is to be said of them.
    watched: Option<(Instant, Option<u32>)>,
    watch: Watch,
    hanging: Vec<Condition>,
}

/// With which programs a server was started.
struct Started {
    version: String,
    stamp: String,
}

impl Survey {
    /// Notes down with which programs a server was started: the daemon that asks later may be another one.
    pub(in crate::pg::actor) async fn note(site: &Site, pid: u32) -> std::io::Result<()> {
        let text = format!("{pid}\n{}\n{}\n", site.installation.version(), site.installation.stamp());
        tokio::fs::write(note_of(site), text).await
    }

    /// The configuration was written, and something of the user's taken back; the server has yet to read it.
    pub(in crate::pg::actor) fn mended(&mut self, what: Vec<String>) {
        self.taken = None;
        self.unread = true;
        let now = Instant::now();
        self.mended.retain(|(_, before)| !what.contains(before));
        self.mended.extend(what.into_iter().map(|what| (now, what)));
        let surplus = self.mended.len().saturating_sub(SHOWN_MAX);
        self.mended.drain(..surplus);
    }

    /// The server was told to read what was written.
    pub(in crate::pg::actor) const fn told(&mut self) {
        self.unread = false;
    }

    /// What the look after the slots has to say.
    pub(in crate::pg::actor) fn slots(&mut self, conditions: Vec<Condition>) {
        self.taken = None;
        self.slots = conditions;
    }

    /// Takes it. `running`: the server's process. It waits for the disk.
    pub(in crate::pg::actor) async fn take(&mut self, site: &Site, running: Option<u32>) -> (Vec<Condition>, Upkeep) {
        let fresh = self.taken.is_some_and(|(at, of)| at.elapsed() < EVERY && of == running);
        if !fresh || self.upkeep == Some(Upkeep::Configure) {
            let (programs, outdated) = self.programs(site, running).await;
            // What cannot be read is complained of by whoever needs it.
            let files = user_files::read(site).unwrap_or_default();
            let lapsed = running.is_some() && (self.unread || has_lapsed(site, &files).unwrap_or(false));
            self.conditions = programs;
            self.conditions.extend(ownership(site, &files));
            self.conditions.extend(left_behind(site, &files, running));
            self.conditions.extend(next_start::survey(site, &files));
            self.look_at_commands(site, running);
            self.conditions.extend(self.hanging.iter().cloned());
            let hangs = self.hanging.iter().any(|condition| condition.id == replay::RESTORE_HANGS.id);
            self.upkeep = Some(match (lapsed, outdated || hangs) {
                (true, _) => Upkeep::Configure,
                (false, true) => Upkeep::Restart,
                (false, false) => Upkeep::Nothing,
            });
            self.taken = Some((Instant::now(), running));
        }
        self.mended.retain(|(at, _)| at.elapsed() < SHOWN);
        let mended = self.mended.iter().map(|(_, what)| ownership::REWRITTEN.seen(what));
        let slots = self.slots.iter().filter(|_| running.is_some()).cloned();
        (self.conditions.iter().cloned().chain(mended).chain(slots).collect(), self.upkeep.unwrap_or(Upkeep::Nothing))
    }

    fn look_at_commands(&mut self, site: &Site, running: Option<u32>) {
        if self.watched.is_some_and(|(at, of)| at.elapsed() < COMMANDS_EVERY && of == running) {
            return;
        }
        self.watched = Some((Instant::now(), running));
        let there = running.map(|pid| commands::look(pid, &site.settings.cluster)).unwrap_or_default();
        let hanging = self.watch.look(there.commands).into_iter().filter(|(_, _, still)| *still >= COMMAND_MAX);
        let hanging = hanging.filter_map(|(command, _, still)| {
            // Not as it was called: a command may hold secrets, and everybody may read the status.
            let (row, what) = match command.owner {
                Owner::Startup => (&replay::RESTORE_HANGS, "restore_command or recovery_end_command"),
                Owner::Checkpointer => (&replay::COMMAND_HANGS, "archive_cleanup_command"),
                Owner::Archiver => (&replay::COMMAND_HANGS, "archive_command"),
                Owner::Session => return None,
            };
            let (process, seconds) = (command.processes.first()?, still.as_secs());
            Some(row.seen(format!("{what} (process {process}) has stood still for {seconds} s")))
        });
        self.hanging = hanging.collect();
        // The process that replays has a row of its own.
        let halted = there.halted.into_iter().filter(|halted| halted.owner != Owner::Startup);
        self.hanging.extend(halted.map(|halted| {
            let how = if halted.traced { "is held by a debugger" } else { "is stopped" };
            replay::HALTED.seen(format!("`{}` (process {}) {how}", halted.title, halted.process))
        }));
        let arguments = running.and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok()).unwrap_or_default();
        if arguments.split(|byte| *byte == 0).any(|argument| argument == b"restore_command=") {
            self.hanging.push(replay::WITHOUT_COMMANDS.seen("this server was started without restore_command and its like"));
        }
    }

    /// What is installed, compared with what runs. True: a restart would bring up another program.
    async fn programs(&mut self, site: &Site, running: Option<u32>) -> (Vec<Condition>, bool) {
        let known = self.installed.as_ref().unwrap_or(&site.installation);
        // Programs on a disk that hangs say nothing, and keep no look waiting.
        let Ok(now) = timeout(ASKED_MAX, known.now()).await else { return (Vec::new(), false) };
        let installed = match now {
            Ok(installed) => installed,
            Err(missing @ NotInstalled::Incomplete { .. }) => return (vec![programs::MISSING.seen(missing)], false),
            Err(other) => return (vec![programs::UNUSABLE.seen(other)], false),
        };
        self.installed = Some(installed.clone());
        let version = fs::read_to_string(site.data_dir().join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
        if let Err(other) = installed.clone().of_major(version.unwrap_or(site.installation.major())) {
            return (vec![programs::UNUSABLE.seen(other)], false);
        }
        let Some(pid) = running else { return (Vec::new(), false) };
        let seen = match started(site, pid) {
            Some(started) if started.stamp == installed.stamp() => return (Vec::new(), false),
            Some(started) if started.version != installed.version() => {
                format!("pending restart: {} installed, {} runs", installed.version(), started.version)
            }
            Some(started) => format!("pending restart: {} was installed anew while it ran", started.version),
            None if is_deleted(pid) => format!("pending restart: {} installed, and what runs is gone from the disk", installed.version()),
            None => return (Vec::new(), false),
        };
        (vec![programs::PENDING_RESTART.seen(seen)], true)
    }
}

fn note_of(site: &Site) -> PathBuf {
    site.state_dir().join("postgres.programs")
}

/// None: it was started by a daemon that did not note it down.
fn started(site: &Site, pid: u32) -> Option<Started> {
    let text = fs::read_to_string(note_of(site)).ok()?;
    let mut lines = text.lines();
    let is_it = lines.next()?.parse() == Ok(pid);
    let started = Started { version: lines.next()?.to_owned(), stamp: lines.next()?.to_owned() };
    is_it.then_some(started)
}

fn is_deleted(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

/// What the user's files say and does not hold.
fn ownership(site: &Site, files: &UserFiles) -> Vec<Condition> {
    let settings = &site.settings;
    let overridden = owned::overridden(&files.said, |owned| settings.value_of(owned, None, &files.said, site.installation.major()));
    let mut conditions = Vec::new();
    if !overridden.is_empty() {
        conditions.push(ownership::OVERRIDDEN.seen(overridden.join("; ")));
    }
    for folder in sockets(site, &files.said).unusable {
        conditions.push(ownership::SOCKET_FOLDER.seen(folder));
    }
    conditions
}

/// What a restore, another manager or a change of role left.
fn left_behind(site: &Site, files: &UserFiles, running: Option<u32>) -> Vec<Condition> {
    let said = |name: &str| site.settings.wanted(name, &files.said).map(str::trim).filter(|value| !value.is_empty());
    let is = |name: &str, value: &str| said(name).is_some_and(|found| alike(found, value));
    let mut conditions = Vec::new();
    if is("default_transaction_read_only", "on") {
        conditions.push(leftovers::READ_ONLY.seen("default_transaction_read_only = on for the whole server"));
    }
    if is("fsync", "off") {
        conditions.push(leftovers::UNSAFE.seen("fsync = off"));
    }
    if said("recovery_end_command").is_some() {
        conditions.push(leftovers::RECOVERY_END.seen("recovery_end_command is set"));
    }
    if site.settings.synchronizes_slots(&files.said) && is("hot_standby_feedback", "off") {
        conditions.push(leftovers::SLOT_SYNC.seen("sync_replication_slots = on and hot_standby_feedback = off"));
    }
    if running.is_some_and(|pid| is_left_under(site, pid, "backup_label")) {
        conditions.push(leftovers::BACKUP_LABEL.seen("`backup_label` lies in the directory of the running server"));
    }
    let standby = site.data_dir().join("standby.signal").exists();
    let unarchived = if running.is_some() && standby && is("archive_mode", "on") { unarchived(site) } else { 0 };
    if unarchived > UNARCHIVED_MAX {
        conditions.push(leftovers::UNARCHIVED.seen(format!("{unarchived} files of a standby wait for the archive")));
    }
    conditions
}

/// Whether the file lies there though the server has been up for long: it puts such files away once it is past them.
fn is_left_under(site: &Site, pid: u32, name: &str) -> bool {
    let opened = fs::read_to_string(site.data_dir().join("postmaster.pid")).unwrap_or_default();
    let is_up = opened.lines().nth(7).is_some_and(|status| matches!(status.trim(), "ready" | "standby"));
    is_up && opened.lines().next().is_some_and(|first| first.trim().parse() == Ok(pid)) && site.data_dir().join(name).exists()
}

fn unarchived(site: &Site) -> usize {
    let entries = fs::read_dir(site.data_dir().join("pg_wal/archive_status")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".ready")).count()
}
