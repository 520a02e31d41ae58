//! Work that takes processor and memory away: `stress-ng` where it is installed, and otherwise a busy loop for each processor and a `dd` with
//! a block as large as the memory that is to be used. Both run below `timeout`, so that nothing outlives a killed run for long.

use super::Pressure;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Running work; it ends with the drop.
#[derive(Debug)]
pub(super) struct Work {
    children: Vec<Child>,
}

impl Work {
    pub(super) fn begin(pressure: Pressure) -> Result<Self> {
        let mut work = Self { children: Vec::new() };
        let seconds = pressure.seconds.to_string();
        if Command::new("stress-ng").arg("--version").output().is_ok_and(|output| output.status.success()) {
            let (processes, memory) = (pressure.processes.to_string(), format!("{}m", pressure.memory_mib));
            work.spawn(&[&seconds, "stress-ng", "--quiet", "--cpu", &processes, "--vm", "1", "--vm-bytes", &memory])?;
            return Ok(work);
        }
        for _ in 0..pressure.processes {
            work.spawn(&[&seconds, "sh", "-c", "while :; do :; done"])?;
        }
        if pressure.memory_mib > 0 {
            let block = format!("bs={}M", pressure.memory_mib);
            work.spawn(&[&seconds, "dd", "if=/dev/zero", "of=/dev/null", &block])?;
        }
        Ok(work)
    }

    fn spawn(&mut self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("timeout");
        // A group of its own, so that one signal ends `timeout` and what it runs.
        command.args(arguments).process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.children.push(command.spawn().context("cannot run `timeout` of the coreutils")?);
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        for child in &mut self.children {
            if let Ok(group) = i32::try_from(child.id()) {
                let _gone_already = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            drop(child.wait());
        }
    }
}
