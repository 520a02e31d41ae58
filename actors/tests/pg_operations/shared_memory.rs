//! The shared memory of a server, as the kernel shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// What a server holds, or has left behind.
pub(crate) struct SharedMemory {
    server: u32,
    files: BTreeSet<PathBuf>,
}

impl SharedMemory {
    /// Of a server that runs.
    pub(crate) fn of(server: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{server}/maps")).unwrap();
        let files = maps.lines().filter_map(|line| line.find("/dev/shm/").map(|at| PathBuf::from(&line[at..]))).collect();
        Self { server, files }
    }

    /// How many processes use each of the segments of System V that it made.
    fn users(&self) -> Vec<u32> {
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let heads = fields(table.lines().next().unwrap());
        let column = |name: &str| heads.iter().position(|head| head == name).unwrap();
        let (creator, users) = (column("cpid"), column("nattch"));
        let rows = table.lines().skip(1).map(fields);
        rows.filter(|row| row[creator] == self.server.to_string()).map(|row| row[users].parse().unwrap()).collect()
    }

    pub(crate) fn segments(&self) -> usize {
        self.users().len()
    }

    /// Whether none of its processes uses it any more.
    pub(crate) fn is_detached(&self) -> bool {
        self.users().iter().all(|&users| users == 0)
    }

    pub(crate) fn files(&self) -> usize {
        self.files.iter().filter(|file| file.exists()).count()
    }
}
