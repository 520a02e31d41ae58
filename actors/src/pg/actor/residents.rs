//! Who works in the data directory: every process of a server has it as its working directory, whoever its parent is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The processes whose working directory is `directory`, but ourselves. Those of other users cannot be seen.
pub(super) fn of(directory: &Path) -> Vec<u32> {
    let Ok(home) = fs::metadata(directory) else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_here = |pid: &u32| {
        *pid != std::process::id()
            && fs::metadata(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (home.dev(), home.ino()))
    };
    numbers.filter(is_here).collect()
}
