//! Who of a server works in a data directory: every process of a server has it as its working directory, whoever its parent is.
//!
//! Others may be there, too: a shell, an editor, a backup. They are none of our business.

use super::children::processes;
use nix::unistd::{Pid, geteuid, getpid};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the program of a server is called, in every version and packaging.
const PROGRAM: &str = "postgres";
/// What the kernel appends to the path of a program that was replaced by an upgrade.
const DELETED: &str = " (deleted)";

/// The processes of servers of our user whose working directory is `pgdata`. The dead that nobody has reaped work nowhere. It may block.
///
/// # Errors
/// The directory or the processes cannot be looked at, so nothing is proven. Where there is no directory nobody works.
pub fn residents(pgdata: &Path) -> io::Result<Vec<u32>> {
    match fs::metadata(pgdata) {
        Ok(directory) => Ok(residents_of(&directory)?.into_iter().map(|pid| pid.as_raw().cast_unsigned()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(super) fn residents_of(directory: &fs::Metadata) -> io::Result<Vec<Pid>> {
    let user = geteuid().as_raw();
    let lives_here = |pid: &Pid| {
        let is_ours = || fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == user);
        let is_here =
            || fs::metadata(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (directory.dev(), directory.ino()));
        *pid != getpid() && is_ours() && is_here() && is_server(*pid)
    };
    Ok(processes()?.filter(lives_here).collect())
}

/// By its program, or, where an emulator runs it, by the name that the kernel took from it.
fn is_server(pid: Pid) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(is_program) || fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == PROGRAM)
}

fn is_program(path: PathBuf) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_suffix(DELETED).unwrap_or(name) == PROGRAM
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A process that is there until it is dropped.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_server_is_told_from_a_visitor_by_its_program_even_after_an_upgrade() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(PROGRAM);
        // A copy by a program: had this process the file open for writing, another test that forks would keep it so, and it could not be executed.
        assert!(Command::new("cp").arg("/bin/sleep").arg(&program).status().unwrap().success());
        let home = directory.path().join("data");
        fs::create_dir(&home).unwrap();
        let sleep = |program: &Path, place: &Path| Sleeper(Command::new(program).arg("600").current_dir(place).spawn().unwrap());
        let server = sleep(&program, &home);
        let _others = [sleep(Path::new("/bin/sleep"), &home), sleep(&program, directory.path())];
        assert_eq!(residents(&home).unwrap(), [server.0.id()]);
        fs::remove_file(&program).unwrap();
        assert_eq!(residents(&home).unwrap(), [server.0.id()]);
        assert!(residents(&directory.path().join("nowhere")).unwrap().is_empty());
    }

    #[test]
    fn the_kernels_mark_on_a_replaced_program_is_no_part_of_its_name() {
        assert!(is_program("/usr/lib/postgresql/15/bin/postgres (deleted)".into()));
        assert!(!is_program("/usr/bin/postgres_exporter".into()));
        assert!(!is_program("/home/postgres/vim".into()));
    }
}
