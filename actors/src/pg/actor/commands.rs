//! The commands that a server runs outside of itself, such as `archive_cleanup_command` or the program of a `COPY`, when it is to stop or to be
//! promoted.
//!
//! PostgreSQL waits for each of them without a limit, and hears of nothing meanwhile: a hung `restore_command` or `recovery_end_command` holds a
//! promotion up, a hung `archive_cleanup_command` keeps the next primary from every checkpoint and a stop from its end, and the program of a
//! `COPY` keeps its session, and so the stop. Who gets on is waited for; who stands still, or takes too long, is ended. The archive command of a
//! primary that steps down is seen to elsewhere (`make_way`).
//!
//! A process of the server that somebody stopped (SIGSTOP, or a shell's Ctrl-Z on a debugger) hears of nothing either. It is let go on: the
//! alternative is to kill the whole server once its time is over, after an outage of that length. One that a debugger holds cannot be.
//!
//! A server whose process that replays loses its command to a signal ends itself. Then it is started anew without such commands: its promotion
//! calls them again and again.

use super::operations::{Site, blocking};
use super::processes::{Told, line, moved, told};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What shows no sign of work for so long stands still.
pub(super) const STILL_MAX: Duration = Duration::from_secs(2);
/// What takes longer than this is ended though it works: nobody can write meanwhile.
const WORK_MAX: Duration = Duration::from_secs(10);
/// The session whose transaction such a program serves has been told to end.
const SESSION_MAX: Duration = Duration::from_millis(200);
/// A program that is asked to end is killed after this time.
const END_MAX: Duration = Duration::from_millis(500);
/// Between two looks.
pub(super) const STEP: Duration = Duration::from_millis(100);
/// A stop takes no longer, or is a kill by then; a promotion's checkpoint has been begun.
const USHER_MAX: Duration = Duration::from_secs(60);

/// The settings that run commands in the process that replays, and around it.
pub(super) const OF_RECOVERY: [&str; 3] = ["restore_command", "recovery_end_command", "archive_cleanup_command"];

/// Whose command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// `archive_command`.
    Archiver,
    /// `archive_cleanup_command`.
    Checkpointer,
    /// `restore_command`, `recovery_end_command`.
    Startup,
    /// A program of `COPY`, or of a function.
    Session,
}

/// A command that a process of the server waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) owner: Owner,
    /// As it was called.
    pub(super) line: String,
    /// Its first process, and what that started.
    pub(super) processes: Vec<u32>,
    /// What changes while it works: the time it took of a processor, and what it read and wrote.
    signs: (u64, u64),
}

/// A process of the server that does nothing, since somebody stopped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Halted {
    pub(super) process: u32,
    pub(super) title: String,
    pub(super) owner: Owner,
    /// By a debugger, which alone can let it go on.
    pub(super) traced: bool,
}

/// What is seen of a server's processes.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) commands: Vec<Command>,
    pub(super) halted: Vec<Halted>,
}

/// The commands of that server, and whom somebody stopped. It may block.
pub(super) fn look(postmaster: u32, cluster: &str) -> Sight {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: BTreeMap<u32, Told> = numbers.filter_map(|process| Some((process, told(process)?))).collect();
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (process, told) in &all {
        children.entry(told.parent).or_default().push(*process);
    }
    let of = |process: u32| children.get(&process).into_iter().flatten().copied();
    let commands = of(postmaster).flat_map(|server| of(server).map(move |first| (server, first))).map(|(server, first)| {
        let mut processes = vec![first];
        let mut next = 0;
        while let Some(process) = processes.get(next) {
            processes.extend(of(*process));
            next += 1;
        }
        let ticks = processes.iter().filter_map(|process| all.get(process)).map(|told| told.ticks).sum();
        let bytes = processes.iter().map(|process| moved(*process)).sum();
        Command { owner: owner(&line(server), cluster), line: line(first), processes, signs: (ticks, bytes) }
    });
    let commands = commands.collect();
    let halted = of(postmaster).filter_map(|process| {
        let state = all.get(&process)?.state;
        let title = line(process);
        matches!(state, 'T' | 't').then(|| Halted { process, owner: owner(&title, cluster), title, traced: state == 't' })
    });
    Sight { commands, halted: halted.collect() }
}

/// A process of a server says in its command line what it does: behind the name of the cluster.
fn owner(title: &str, cluster: &str) -> Owner {
    let title = title.strip_prefix("postgres: ").unwrap_or(title);
    let title = title.strip_prefix(cluster).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(title);
    match title.split(' ').next() {
        Some("archiver") => Owner::Archiver,
        Some("checkpointer") => Owner::Checkpointer,
        Some("startup") => Owner::Startup,
        _ => Owner::Session,
    }
}

/// Whether the commands that are looked at again and again get on.
#[derive(Debug, Default)]
pub(super) struct Watch(BTreeMap<u32, Watched>);

#[derive(Debug)]
struct Watched {
    seen: Instant,
    signs: (u64, u64),
    processes: usize,
    moved: Instant,
}

impl Watch {
    /// Takes them in, and answers for how long each has been seen, and for how long it has stood still.
    pub(super) fn look(&mut self, commands: Vec<Command>) -> Vec<(Command, Duration, Duration)> {
        let now = Instant::now();
        let there: BTreeSet<u32> = commands.iter().filter_map(|command| command.processes.first().copied()).collect();
        self.0.retain(|process, _| there.contains(process));
        let account = |command: Command| {
            let fresh = || Watched { seen: now, signs: command.signs, processes: command.processes.len(), moved: now };
            let known = self.0.entry(command.processes.first().copied().unwrap_or_default()).or_insert_with(fresh);
            if (known.signs, known.processes) != (command.signs, command.processes.len()) {
                (known.signs, known.processes, known.moved) = (command.signs, command.processes.len(), now);
            }
            (command, now - known.seen, now - known.moved)
        };
        commands.into_iter().map(account).collect()
    }
}

/// Looks after the commands of one server while it stops or is promoted.
#[derive(Debug)]
pub(super) struct Usher {
    postmaster: u32,
    cluster: String,
    watch: Watch,
    asked: BTreeMap<u32, Instant>,
    /// The process that replays is let go on as well, if somebody stopped it. Not for a promotion: others are appointed before that one.
    stops: bool,
}

impl Usher {
    pub(super) fn of_a_promotion(site: &Site, postmaster: u32) -> Self {
        Self { stops: false, ..Self::of_a_stop(site, postmaster) }
    }

    pub(super) fn of_a_stop(site: &Site, postmaster: u32) -> Self {
        Self { postmaster, cluster: site.settings.cluster.clone(), watch: Watch::default(), asked: BTreeMap::new(), stops: true }
    }

    /// Lets those go on whom somebody stopped. Answers whom only a debugger can let go.
    pub(super) async fn let_go(&mut self) -> Vec<Halted> {
        let (postmaster, cluster) = (self.postmaster, self.cluster.clone());
        let sight = blocking(move || look(postmaster, &cluster)).await;
        self.continue_those(sight.halted)
    }

    fn continue_those(&self, halted: Vec<Halted>) -> Vec<Halted> {
        let (traced, stopped): (Vec<_>, Vec<_>) = halted.into_iter().partition(|halted| halted.traced);
        for halted in stopped.iter().filter(|halted| self.stops || halted.owner != Owner::Startup) {
            tracing::warn!(process = halted.process, title = halted.title, "somebody stopped this process of the server: it is let go on");
            let _ = kill(Pid::from_raw(halted.process.cast_signed()), Signal::SIGCONT);
        }
        traced
    }

    /// Ends the commands of those owners that have had their time. Answers who is there still, and whether it was asked to end.
    pub(super) async fn step(&mut self, owners: &[Owner]) -> Vec<(Command, bool)> {
        let (postmaster, cluster) = (self.postmaster, self.cluster.clone());
        let sight = blocking(move || look(postmaster, &cluster)).await;
        self.continue_those(sight.halted);
        let watched = self.watch.look(sight.commands).into_iter().filter(|(command, ..)| owners.contains(&command.owner));
        let mut there = Vec::new();
        for (command, seen, still) in watched {
            let overdue = match command.owner {
                Owner::Session => seen >= SESSION_MAX,
                _ => still >= STILL_MAX || seen >= WORK_MAX,
            };
            if overdue {
                self.end(&command, still);
            }
            there.push((command, overdue));
        }
        there
    }

    fn end(&mut self, command: &Command, still: Duration) {
        let now = Instant::now();
        let first = command.processes.first().copied().unwrap_or_default();
        let signal = match self.asked.get(&first) {
            None => Signal::SIGTERM,
            Some(asked) if now - *asked >= END_MAX => Signal::SIGKILL,
            Some(_) => return,
        };
        self.asked.entry(first).or_insert_with(|| {
            tracing::warn!(command = command.line, owner = ?command.owner, ?still, "a command that the server waits for is ended");
            now
        });
        for process in &command.processes {
            // One that is gone, or runs as somebody else, is told nothing.
            let _ = kill(Pid::from_raw(process.cast_signed()), signal);
        }
    }

    /// While the server goes on: waits for the checkpointer's command to end, which hears of no stop while it waits for it, and may forget it.
    pub(super) async fn free_the_checkpointer(&mut self) {
        let begun = Instant::now();
        while !self.step(&[Owner::Checkpointer]).await.is_empty() && begun.elapsed() < STILL_MAX + END_MAX * 2 {
            sleep(STEP).await;
        }
    }

    /// Goes on by itself until the server is gone.
    pub(super) fn goes_on(mut self, owners: &'static [Owner]) {
        tokio::spawn(async move {
            let begun = Instant::now();
            while begun.elapsed() < USHER_MAX && tokio::fs::try_exists(format!("/proc/{}", self.postmaster)).await.unwrap_or(false) {
                self.step(owners).await;
                sleep(STEP).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::parent_id;
    use std::process::{Child, Command as Program};

    struct Shell(Child);

    impl Shell {
        fn run(script: &str) -> Self {
            Self(Program::new("sh").args(["-c", script]).spawn().unwrap())
        }

        /// It, as a command of a server: this process would be one of the server's, and its parent the postmaster.
        fn seen(&self) -> Option<Command> {
            look(parent_id(), "c").commands.into_iter().find(|command| command.processes.first() == Some(&self.0.id()))
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[tokio::test]
    async fn a_command_that_works_is_told_from_one_that_stands_still() {
        let (still, works) = (Shell::run("sleep 600; true"), Shell::run("while :; do cat /proc/self/stat > /dev/null; done"));
        let mut watch = Watch::default();
        let begun = Instant::now();
        let mut stood = (Duration::ZERO, Duration::MAX);
        while begun.elapsed() < Duration::from_secs(2) {
            let both = [still.seen(), works.seen()].into_iter().flatten().collect();
            for (command, _, for_long) in watch.look(both) {
                if command.processes.first() == Some(&still.0.id()) {
                    stood.0 = for_long;
                } else {
                    stood.1 = for_long;
                }
            }
            sleep(STEP).await;
        }
        assert!(stood.0 > Duration::from_secs(1) && stood.1 < Duration::from_secs(1), "{stood:?}");
    }

    #[tokio::test]
    async fn what_a_command_started_ends_with_it() {
        let shell = Shell::run("trap '' TERM; sleep 600; true");
        let both = async {
            loop {
                let seen = shell.seen();
                if let Some(seen) = seen.filter(|seen| seen.processes.len() == 2) {
                    return seen;
                }
                sleep(STEP).await;
            }
        };
        let command = tokio::time::timeout(Duration::from_secs(20), both).await.expect("two processes");
        let mut usher = Usher { postmaster: 0, cluster: "c".into(), watch: Watch::default(), asked: BTreeMap::new(), stops: true };
        usher.end(&command, Duration::ZERO);
        sleep(END_MAX).await;
        usher.end(&command, Duration::ZERO);
        let gone = async {
            while command.processes.iter().any(|process| told(*process).is_some()) {
                sleep(STEP).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("both are ended");
    }

    #[tokio::test]
    async fn who_was_stopped_is_let_go_on() {
        // A child of this process, which would be the postmaster.
        let shell = Shell::run("sleep 600; true");
        let pid = Pid::from_raw(shell.0.id().cast_signed());
        let mut usher =
            Usher { postmaster: std::process::id(), cluster: "c".into(), watch: Watch::default(), asked: BTreeMap::new(), stops: true };
        let is_halted = || look(std::process::id(), "c").halted.iter().any(|halted| halted.process == shell.0.id() && !halted.traced);
        kill(pid, Signal::SIGSTOP).unwrap();
        while !is_halted() {
            sleep(STEP).await;
        }
        assert!(usher.let_go().await.is_empty(), "nobody debugs it");
        tokio::time::timeout(Duration::from_secs(20), async {
            while is_halted() {
                sleep(STEP).await;
            }
        })
        .await
        .expect("it goes on");
    }

    #[test]
    fn whose_command_it_is_stands_in_the_title_behind_the_name_of_the_cluster() {
        assert_eq!(owner("postgres: orders: checkpointer ", "orders"), Owner::Checkpointer);
        assert_eq!(owner("postgres: archiver: startup recovering 000000010000000000000003", "archiver"), Owner::Startup);
        assert_eq!(owner("postgres: orders: archiver archiving 000000010000000000000003", "orders"), Owner::Archiver);
        assert_eq!(owner("postgres: orders: app checkpointer 127.0.0.1(4711) COPY", "orders"), Owner::Session);
    }
}
