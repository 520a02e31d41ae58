use crate::scene::{cluster, programs};
use anyhow::{Result, ensure};
use std::fs;
use std::process::Command;

/// Aim: a bad file is refused with all of its errors at once, each with line, key, rule and fix; nothing is started.
/// Method: put three faults of different kinds into one file, and run both `check-config` and `run` on it.
#[tokio::test]
async fn every_fault_of_a_file_is_named_at_once() -> Result<()> {
    let cluster = cluster()?.set("cluster.node_id", "one").set("failover.lease_ttl_ms", 200).set("cluster.colour", "green").prepare()?;
    let node = cluster.node(0);
    let text = fs::read_to_string(node.config_path())?;
    for command in ["check-config", "run"] {
        let output = node.witch(&["--config", &node.config_path().to_string_lossy(), command]).output()?;
        ensure!(!output.status.success(), "`{command}` accepted the file");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        for key in ["node_id", "lease_ttl_ms", "colour"] {
            let line = text.lines().position(|line| line.starts_with(key)).map_or(0, |index| index + 1);
            let place = format!("witch.toml:{line}");
            ensure!(said.contains(&place) && said.contains(key), "`{command}` does not name {key} at {place}:\n{said}");
        }
    }
    ensure!(node.guard_pid().is_none() && node.server_pids().is_empty(), "something was started");
    Ok(())
}

/// Aim: `check-config` is content with a good file, and its exit code says so.
/// Method: the file that every other test runs with.
#[tokio::test]
async fn a_good_file_is_accepted() -> Result<()> {
    let cluster = cluster()?.prepare()?;
    let node = cluster.node(0);
    let output = node.witch(&["--config", &node.config_path().to_string_lossy(), "check-config"]).output()?;
    ensure!(output.status.success(), "the file was refused: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Aim: a secret is never printed, neither by a check nor in a log.
/// Method: look for the token and the passwords in what `check-config` says.
#[tokio::test]
async fn a_check_prints_no_secret() -> Result<()> {
    let cluster = cluster()?.prepare()?;
    let node = cluster.node(0);
    let output = node.witch(&["--config", &node.config_path().to_string_lossy(), "check-config"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for secret in ["a database password", "a replication password", "a-token-that-every-node-knows"] {
        ensure!(!said.contains(secret), "a secret was printed:\n{said}");
    }
    Ok(())
}

/// Aim: words that are no command, and a file that is not there, end with an error that says so, not with a daemon.
/// Method: run the program with each.
#[tokio::test]
async fn a_wrong_command_line_is_refused() -> Result<()> {
    for words in [["fly"].as_slice(), &["--config", "/no/such/witch.toml", "run"], &["run", "--fast"]] {
        let output = Command::new(programs()?.witch).args(words).output()?;
        ensure!(!output.status.success(), "`witch {}` succeeded", words.join(" "));
        ensure!(!output.stderr.is_empty(), "`witch {}` failed without a word", words.join(" "));
    }
    Ok(())
}
