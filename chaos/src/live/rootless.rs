//! Network namespaces without root, where the kernel lets ordinary users make user namespaces.
//!
//! The whole run moves into a user namespace of its own, with a network and mounts of its own. There the user keeps its number, so that
//! PostgreSQL, which refuses root, runs as this very user; and it holds capabilities over what the new namespaces own. `ip` and `tc`, which
//! are started from here, inherit two of them; a node's processes lose them again (`Identity::prefix`), as a daemon on a host has none.
//! All nodes share this one user namespace: in one each, they could not see each other's working directories in `/proc`, nor could a daemon
//! those of the server that its predecessor started.
//! Nothing has to be undone: the namespaces and what is mounted in them vanish with their last process.

use super::scratch;
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities, capability_is_in_ambient_set, configure_capability_in_ambient_set, set_capabilities};
use std::fs;

/// What `ip` and `tc` need: to make and enter namespaces, and to lay and cut cables.
const NEEDED: [CapabilitySet; 2] = [CapabilitySet::SYS_ADMIN, CapabilitySet::NET_ADMIN];

/// Makes this process able to lay a `Network`; root is already. It must have no second thread yet.
pub fn enter() -> Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    // From inside, the processes of a killed run, which live in another user namespace, could not be looked at.
    scratch::sweep();
    make_namespaces().context(
        "this machine does not let an ordinary user make network namespaces; allow it (user.max_user_namespaces above 0, \
         kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0 where these sysctls exist; a container \
         must allow unshare and mount), or run this as root",
    )?;
    pass_on_capabilities().context("cannot pass capabilities on to `ip`")
}

/// Whether the programs that we start may make and change network namespaces.
pub(super) fn entered() -> bool {
    NEEDED.into_iter().all(|capability| capability_is_in_ambient_set(capability).unwrap_or(false))
}

fn make_namespaces() -> Result<()> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("cannot unshare")?;
    let tell = |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text).with_context(|| format!("cannot write {file}"));
    // Without this the kernel does not let us map our group.
    tell("setgroups", "deny".to_owned())?;
    tell("uid_map", format!("{user} {user} 1"))?;
    tell("gid_map", format!("{group} {group} 1"))?;
    // `ip` keeps the names of namespaces in /run/netns. A mount in a user namespace never shows outside.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755")).context("cannot mount a /run of our own")
}

fn pass_on_capabilities() -> Result<()> {
    let mut sets = capabilities(None)?;
    for capability in NEEDED {
        // Only what is inheritable may become ambient, and only what is ambient outlasts the exec of an ordinary user.
        sets.inheritable |= capability;
        set_capabilities(None, sets)?;
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}
