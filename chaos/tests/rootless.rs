//! The real `chaos`, started by an ordinary user, on whose hosts a script plays the daemon and tells what it is and what it may do.

use nix::unistd::{User, geteuid};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The last of the three to have spoken interrupts the run.
const WITCH: &str = r#"#!/bin/sh
[ "$1" = --version ] && exec echo "no witch"
echo "user $(id -u)"
grep CapEff /proc/self/status
ip -brief -4 address show dev eth0
touch spoken
[ "$(ls ../*/spoken | wc -l)" = 3 ] && kill -INT $PPID
"#;

#[test]
fn an_ordinary_user_gets_hosts_where_a_daemon_is_that_user_and_has_no_capability() {
    let folder = tempfile::tempdir().unwrap();
    let [chaos, witch, out] = ["chaos", "witch", "out"].map(|name| folder.path().join(name));
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_chaos"), &chaos).unwrap();
    fs::write(&witch, WITCH).unwrap();
    fs::set_permissions(&witch, Permissions::from_mode(0o755)).unwrap();

    // Past this deadline the run is ended in an orderly way, and the logs lack what is asked for below.
    let mut run = Command::new("timeout");
    run.arg("60");
    let mut user = geteuid();
    if user.is_root() {
        let nobody = User::from_name("nobody").unwrap().expect("every Linux has a user `nobody`");
        user = nobody.uid;
        run.args(["setpriv", "--reuid", &user.to_string(), "--regid", &nobody.gid.to_string(), "--clear-groups", "--"]);
    }
    run.arg(&chaos).args(["run", "--seed", "1", "--skip-without-network", "--witch"]).arg(&witch).arg("--out").arg(&out);
    let done = run.env("TMPDIR", folder.path()).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if said.starts_with("not run: ") {
        eprint!("{said}");
        return;
    }

    let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(complaint.contains("interrupted"), "{said}{complaint}");
    for node in 1..=3 {
        let log = fs::read_to_string(out.join(format!("1/n{node}.log"))).unwrap();
        for expected in [format!("user {user}\n"), "CapEff:\t0000000000000000\n".to_owned(), format!(".{node}/32")] {
            assert!(log.contains(&expected), "{expected:?} is not in the log of n{node}:\n{log}{said}{complaint}");
        }
    }
    let left = fs::read_dir(folder.path()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("live"));
    assert_eq!(left.count(), 0, "the cluster's folder is still there");
}
