use crate::scene::{WITCH, programs};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// The program, with PostgreSQL's programs of this machine in its path and nothing of our own environment.
fn witch(arguments: &[&str]) -> Result<Output> {
    let path = programs()?.postgres_bin;
    Command::new(WITCH).args(arguments).env_clear().env("PATH", path).output().context("cannot run witch")
}

fn root(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_string_lossy().into_owned()
}

/// Aim: the three files that the README shows are files that Witch takes, without a warning, and they are files of one cluster.
/// Method: `check-config` on each; what must be the same on every node is, and each names the two others.
#[test]
fn the_example_files_are_accepted() -> Result<()> {
    for number in 1..=3 {
        let path = root(&format!("deploy/example/db{number}.toml"));
        let output = witch(&["--config", &path, "check-config"])?;
        let (said, warned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success() && warned.is_empty(), "{path} is refused or doubted: {warned}");
        ensure!(said.contains(&format!("is node {number} (db{number}) of 3 in cluster main")), "{path} says something else: {said}");
        let text = fs::read_to_string(&path)?;
        for other in 1..=3 {
            let host = format!("\"10.0.0.{other}\"");
            ensure!(text.matches(&host).count() == 1, "{path} does not name {host} once");
        }
    }
    Ok(())
}

/// Aim: nobody runs a cluster with secrets that everybody knows, or that other users of the host can read.
/// Method: `witch run` on a file of the README as it is, and on one with secrets of its own that is open to all; both say what to do. Without its
/// secrets in it, the file may be open.
#[test]
fn a_daemon_does_not_run_with_secrets_that_others_know() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("witch.toml");
    let file = path.to_str().context("a path in Unicode")?;
    let sample = fs::read_to_string(root("deploy/example/db1.toml"))?;
    let own = sample.replace("replace-this-by-a-secret-of-your-own", &"0123456789abcdef".repeat(2)).replace("replace this", "swordfish");
    for (text, mode, said) in [(&sample, 0o600, "is the sample of the documentation"), (&own, 0o644, "chmod 600")] {
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        let output = witch(&["--config", file, "run"])?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2) && told.contains(said), "{:?}: {told}", output.status);
        ensure!(!told.contains("swordfish"), "it tells a password: {told}");
        let output = witch(&["--config", file, "check-config"])?;
        ensure!(String::from_utf8_lossy(&output.stdout).contains(said), "check-config does not say so");
    }
    Ok(())
}

/// Aim: the table of exit codes in the operator's manual is that of the program.
/// Method: each line of the legend in `witch --help` is a row of the table.
#[test]
fn the_exit_codes_are_documented() -> Result<()> {
    let help = String::from_utf8(witch(&["--help"])?.stdout)?;
    let (_, legend) = help.split_once("Exit codes:\n").context("the help has no exit codes")?;
    let manual = fs::read_to_string(root("docs/operations.md"))?;
    let mut rows = 0;
    for line in legend.lines().filter(|line| !line.trim().is_empty()) {
        let (code, meaning) = line.trim().split_once("  ").with_context(|| format!("`{line}` is no code with its meaning"))?;
        ensure!(manual.contains(&format!("| {code} | {meaning} |")), "docs/operations.md does not say: | {code} | {meaning} |");
        rows += 1;
    }
    ensure!(rows > 5, "the legend is not where it is looked for");
    Ok(())
}
