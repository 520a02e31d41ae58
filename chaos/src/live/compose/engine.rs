//! The container engine, by its own command line: one project of Compose and the image that it runs.

use super::super::process::{self, Pid};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMPOSE_FILE: &str = include_str!("../../../compose/compose.yaml");
const DOCKERFILE: &str = include_str!("../../../../deploy/docker/Dockerfile");
/// The base of the image, for machines where the default is not to be had.
const BASE_VARIABLE: &str = "WITCH_CHAOS_BASE";
const BASE_DEFAULT: &str = "debian:trixie-slim";
/// How Compose is called, in one or two words; found out unless it is told.
const COMPOSE_VARIABLE: &str = "WITCH_COMPOSE";
/// What is ours bears the number of the process that made it.
const LABEL: &str = "witch.chaos.owner";
/// Installing PostgreSQL into an image may take minutes on a busy machine; everything else is a matter of seconds.
const BUILD_SECONDS: u32 = 900;
const SECONDS: u32 = 120;

/// The containers of one cluster; they, their network and their image are gone after the drop.
#[derive(Debug)]
pub(super) struct Project {
    compose: Vec<String>,
    name: String,
    file: PathBuf,
    variables: [(&'static str, String); 4],
}

impl Project {
    /// Builds the image around a `witch`; `home` is a folder of ours that has a folder for each node. Nothing runs yet.
    pub(super) fn build(home: &Path, witch: &Path, subnet: u8) -> Result<Self> {
        docker(&["info"]).context("no container engine answers; start one, or run this below scripts/docker-engine")?;
        sweep()?;
        let owner = Pid::this().to_string();
        let name = format!("witch-chaos-{owner}-{subnet}");
        let context = home.join("context");
        let (dockerfile, file) = (context.join("Dockerfile"), home.join("compose.yaml"));
        fs::create_dir(&context).context("cannot make the folder of the image's parts")?;
        fs::copy(witch, context.join("witch")).context("cannot copy witch to the image's parts")?;
        fs::write(&dockerfile, DOCKERFILE)?;
        fs::write(&file, COMPOSE_FILE)?;
        let variables = [
            ("WITCH_CHAOS_IMAGE", name.clone()),
            ("WITCH_CHAOS_OWNER", owner.clone()),
            ("WITCH_CHAOS_SUBNET", subnet.to_string()),
            ("WITCH_CHAOS_HOME", home.to_string_lossy().into_owned()),
        ];
        let project = Self { compose: compose()?, name, file, variables };
        let base = std::env::var(BASE_VARIABLE).unwrap_or_else(|_| BASE_DEFAULT.to_owned());
        let (base, label) = (format!("BASE={base}"), format!("{LABEL}={owner}"));
        let (dockerfile, context) = (dockerfile.to_string_lossy(), context.to_string_lossy());
        let build = [
            "docker",
            "build",
            "--quiet",
            "--build-arg",
            &base,
            "--label",
            &label,
            "--tag",
            &project.name,
            "--file",
            &dockerfile,
            &context,
        ];
        run(BUILD_SECONDS, &build, &[])
            .context("the image cannot be built; deploy/docker/base-image makes its base where no registry is reachable")?;
        Ok(project)
    }

    /// Brings up some of the services.
    pub(super) fn up(&self, services: &[String]) -> Result<()> {
        let words: Vec<&str> = ["up", "--detach"].into_iter().chain(services.iter().map(String::as_str)).collect();
        self.compose(&words).map(drop)
    }

    /// The container of a service.
    pub(super) fn container(&self, service: &str) -> Result<String> {
        let id = self.compose(&["ps", "--quiet", service])?.trim().to_owned();
        ensure!(!id.is_empty(), "Compose knows no container of {service}");
        Ok(id)
    }

    fn compose(&self, words: &[&str]) -> Result<String> {
        let file = self.file.to_string_lossy();
        let program: Vec<&str> = self.compose.iter().map(String::as_str).collect();
        run(SECONDS, &[&program, &["--project-name", &self.name, "--file", &file][..], words].concat(), &self.variables)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        drop(self.compose(&["down", "--volumes", "--timeout", "0"]));
        drop(docker(&["image", "rm", "--force", &self.name]));
    }
}

/// What a client of the engine prints.
pub(super) fn docker(words: &[&str]) -> Result<String> {
    run(SECONDS, &[&["docker"], words].concat(), &[])
}

fn compose() -> Result<Vec<String>> {
    if let Ok(told) = std::env::var(COMPOSE_VARIABLE) {
        return Ok(told.split_whitespace().map(str::to_owned).collect());
    }
    [&["docker", "compose"][..], &["docker-compose"]]
        .into_iter()
        .find(|program| run(SECONDS, &[program, &["version"][..]].concat(), &[]).is_ok())
        .map(|program| program.iter().map(|&word| word.to_owned()).collect())
        .context("there is no Compose; install the plugin or docker-compose")
}

/// Runs a program for so many seconds at most.
fn run(seconds: u32, words: &[&str], variables: &[(&str, String)]) -> Result<String> {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string()]).args(words).envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().context("cannot run `timeout` of the coreutils")?;
    let said = || [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned()).join("\n");
    ensure!(output.status.success(), "`{}` failed ({}): {}", words.join(" "), output.status, said());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Removes what processes left behind that are gone.
fn sweep() -> Result<()> {
    let label = format!("label={LABEL}");
    let owner = format!("{{{{.ID}}}} {{{{index .Labels \"{LABEL}\"}}}}");
    let in_lists = format!("{{{{.ID}}}} {{{{.Label \"{LABEL}\"}}}}");
    let orphans = |listed: String| -> Vec<String> {
        let entries =
            listed.lines().filter_map(|line| line.split_once(' ').map(|(id, owner)| (id.to_owned(), owner.trim().parse::<i32>().ok())));
        entries.filter(|(_, owner)| owner.is_some_and(|owner| !process::is_alive(Pid::from_raw(owner)))).map(|(id, _)| id).collect()
    };
    for container in orphans(docker(&["ps", "--all", "--filter", &label, "--format", &in_lists])?) {
        docker(&["rm", "--force", "--volumes", &container])?;
    }
    for network in orphans(docker(&["network", "ls", "--filter", &label, "--format", &in_lists])?) {
        docker(&["network", "rm", &network])?;
    }
    for image in docker(&["image", "ls", "--quiet", "--filter", &label])?.split_whitespace() {
        let said = docker(&["image", "inspect", "--format", &owner.replace(".Labels", ".Config.Labels"), image])?;
        for orphan in orphans(said) {
            docker(&["image", "rm", "--force", &orphan])?;
        }
    }
    Ok(())
}
