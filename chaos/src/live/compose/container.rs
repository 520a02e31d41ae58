//! One container, and the processes in it as this host sees them.

use super::super::process::{self, Pid};
use super::engine::docker;
use super::{DATABASE, Part};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

/// One container that stands for a host.
#[derive(Debug)]
pub(super) struct Container {
    id: String,
    /// The service's name, for people.
    name: String,
}

impl Container {
    pub(super) const fn new(id: String, name: String) -> Self {
        Self { id, name }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its process 1, if it runs.
    pub(super) fn init(&self) -> Result<Option<Pid>> {
        let pid: i32 =
            docker(&["inspect", "--format", "{{.State.Pid}}", &self.id])?.trim().parse().context("the engine tells no process")?;
        Ok((pid > 0).then(|| Pid::from_raw(pid)))
    }

    /// Starts it, if it does not run; whether it did not.
    pub(super) fn boot(&self) -> Result<bool> {
        let was_down = self.init()?.is_none();
        if was_down {
            docker(&["start", &self.id])?;
        }
        Ok(was_down)
    }

    /// Ends all that is in it at once.
    pub(super) fn cut_power(&self) -> Result<()> {
        docker(&["kill", &self.id]).map(drop)
    }

    /// Starts a program beside process 1, as the user of the image, with these variables.
    pub(super) fn run_beside(&self, variables: &[String], words: &[&str]) -> Result<()> {
        let variables = variables.iter().flat_map(|variable| ["--env", variable]);
        let command: Vec<&str> =
            ["exec", "--detach"].into_iter().chain(variables).chain([self.id.as_str()]).chain(words.iter().copied()).collect();
        docker(&command).map(drop)
    }

    /// The processes of a part that live.
    pub(super) fn processes_of(&self, part: Part) -> Result<Vec<Pid>> {
        let Some(init) = self.init()? else { return Ok(Vec::new()) };
        let witch = |pid: &Pid, word: &str| process::is_called(*pid, "witch") && process::was_given(*pid, word);
        let mut found = process::in_container_of(init);
        match part {
            Part::Daemon => found.retain(|pid| witch(pid, "run")),
            Part::Guard => found.retain(|pid| witch(pid, "guard")),
            Part::Backend | Part::Server => found.retain(|&pid| process::works_in(pid, DATABASE)),
            // What stands for the machine is none of the node's processes.
            Part::Everything => found.retain(|&pid| pid != init && !process::is_called(pid, "sleep")),
        }
        Ok(found)
    }

    /// The postmaster, if one lives: the only process of the server without a parent in it.
    pub(super) fn postmaster(&self) -> Result<Option<Pid>> {
        let server = self.processes_of(Part::Server)?;
        Ok(server.iter().copied().find(|&pid| process::parent(pid).is_none_or(|parent| !server.contains(&parent))))
    }

    /// Sends a signal to a part, of which something must be there.
    pub(super) fn signal(&self, part: Part, signal: Signal) -> Result<()> {
        let pids = match (part, signal) {
            (Part::Server, Signal::SIGKILL) => self.postmaster()?.into_iter().collect(),
            _ => self.processes_of(part)?,
        };
        ensure!(!pids.is_empty(), "no process of the {part:?} of {} runs", self.name);
        for pid in pids {
            process::signal(pid, signal);
        }
        Ok(())
    }
}
