//! What a process costs.

use super::process::{self, Pid};
use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};
use std::fs;
use std::time::Duration;

/// Memory and processor time of some processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in KiB; pages that are shared count in each process that has them.
    pub resident_kib: u64,
    /// The proportional share in KiB: a page that two processes map counts half in each.
    pub proportional_kib: u64,
    /// Processor time since the processes were started.
    pub processor: Duration,
}

impl Usage {
    pub(super) fn of(pids: &[Pid]) -> Result<Self> {
        let mut total = Self::default();
        for &pid in pids {
            let rollup =
                fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).with_context(|| format!("cannot see the memory of {pid}"))?;
            total.resident_kib += kib(&rollup, "Rss:")?;
            total.proportional_kib += kib(&rollup, "Pss:")?;
            total.processor += processor_time(pid)?;
        }
        Ok(total)
    }
}

fn kib(rollup: &str, name: &str) -> Result<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("smaps_rollup has no line {name}"))?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

fn processor_time(pid: Pid) -> Result<Duration> {
    let fields = process::stat_fields(pid).context("the process is gone")?;
    // proc(5): utime and stime are the fields 14 and 15; ours begin with the third.
    let field =
        |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok()).context("an unknown form of /proc/PID/stat");
    let ticks = field(14)? + field(15)?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the system has no clock ticks")?;
    Ok(Duration::from_millis(ticks * 1000 / u64::try_from(per_second)?))
}
