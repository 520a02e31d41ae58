use crate::scene::{WITCH, programs};
use anyhow::{Context, Result, ensure};
use std::fs;
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
