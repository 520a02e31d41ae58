use crate::scene::cluster;
use anyhow::{Result, ensure};
use chaos::live::Node;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// For a daemon that cannot run to say so.
const PROMPT: Duration = Duration::from_secs(15);

/// Aim: a port that somebody else uses is a start-up error that names the port.
/// Method: listen on the daemon's port, then start it.
#[tokio::test]
async fn a_port_in_use_is_named() -> Result<()> {
    let cluster = cluster()?.prepare()?;
    let node = cluster.node(0);
    let (host, port) = node.address();
    let _occupied = TcpListener::bind((host, port))?;
    ends_with_an_error_that_names(node, &[&port.to_string()]).await
}

/// Aim: PostgreSQL's programs not being where the file says is a start-up error that names the folder.
/// Method: name an empty folder.
#[tokio::test]
async fn missing_programs_are_named() -> Result<()> {
    let cluster = cluster()?.set("postgres.bin_dir", "/nonexistent/bin").prepare()?;
    ends_with_an_error_that_names(cluster.node(0), &["/nonexistent/bin"]).await
}

/// Aim: a data directory that others may enter, which PostgreSQL refuses, is a start-up error that names it.
/// Method: a data directory with something in it and the permissions 0777.
#[tokio::test]
async fn a_data_directory_that_is_open_to_others_is_named() -> Result<()> {
    let cluster = cluster()?.prepare()?;
    let node = cluster.node(0);
    let directory = node.database_directory();
    fs::create_dir(&directory)?;
    fs::write(directory.join("PG_VERSION"), "15\n")?;
    own(node)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777))?;
    ends_with_an_error_that_names(node, &[&directory.to_string_lossy(), "0700"]).await
}

/// Aim: a folder of Witch's own that its user cannot write is a start-up error that names it.
/// Method: a folder without any permission for its owner.
#[tokio::test]
async fn an_unwritable_folder_is_named() -> Result<()> {
    let cluster = cluster()?.prepare()?;
    let node = cluster.node(0);
    let directory = node.witch_directory();
    fs::create_dir(&directory)?;
    own(node)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o500))?;
    ends_with_an_error_that_names(node, &[&directory.to_string_lossy()]).await
}

/// Aim: a data directory that belongs to somebody else is a start-up error that names it.
/// Method: as root, leave the directory with root while the daemon runs as another user.
#[tokio::test]
async fn a_data_directory_of_another_owner_is_named() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: only root can make a directory that belongs to somebody else");
        return Ok(());
    }
    let cluster = cluster()?.prepare()?;
    let directory = cluster.node(0).database_directory();
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
    ends_with_an_error_that_names(cluster.node(0), &[&directory.to_string_lossy(), "own"]).await
}

/// Gives what a test made in a node's folder to the node's user.
fn own(node: &Node) -> Result<()> {
    chaos::live::Identity::choose()?.own(node.home())?;
    Ok(())
}

async fn ends_with_an_error_that_names(node: &Node, words: &[&str]) -> Result<()> {
    node.start()?;
    let status = node.await_exit(PROMPT).await?;
    ensure!(!status.success(), "the daemon ended as if all were well");
    let said = node.log();
    for word in words {
        ensure!(said.contains(word), "the daemon does not mention `{word}`:\n{said}");
    }
    ensure!(node.guard_pid().is_none() && node.server_pids().is_empty(), "something was started");
    Ok(())
}
