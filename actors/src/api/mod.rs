//! The one shared port: who knocks is told apart by its first bytes, and HTTP is answered here.
//!
//! `GET`s answer from a status that the FSM publishes and stamps, never by asking anybody: a wedged FSM cannot look healthy, and a flood of
//! readers cannot slow it down. The few calls that change something draw an id, tell the FSM, and wait for a refusal or for the committed
//! state to say how the request ended.
//!
//! This is the one actor that is no machine: it decides nothing about the cluster. What it does decide (who may call, what a status
//! means in HTTP) stands in the pure files. `docs/api.md` is the contract with its users, and a test compares it with the real answers.
//!
//! Talks to: the FSM (requests out; refusals and the published status in), and the peer links, which get the connections that are theirs.

pub mod access;
pub mod cluster;
pub mod first_bytes;
pub mod health;
pub mod outcome;
pub mod problem;
pub mod target;

#[cfg(feature = "shell")]
mod actor;

pub use access::Token;
#[cfg(feature = "shell")]
pub use actor::{Answers, ListenError, Listener, Wires, child, listen, serve};
pub use problem::Problem;

use alloc::string::String;
use core::time::Duration;

/// The limits and time-outs of the shared port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name or address to listen on.
    pub host: String,
    /// The port; zero lets the kernel choose.
    pub port: u16,
    /// The Unix socket over which root and the daemon's own user command without a token; in Witch's own folder.
    pub socket: Option<String>,
    /// What a caller has to show over the network before it may change anything. None: nobody may, over the network.
    pub token: Option<Token>,
    /// The names that a request may call this node by, besides its addresses and `localhost`.
    pub hosts: access::Hosts,
    /// A status older than this is not believed: the FSM publishes at every step, and steps several times a second.
    pub status_age_max: Duration,
    /// A connection has so long to show by its first bytes what it is.
    pub first_bytes_timeout: Duration,
    /// The first request's head must be complete in this time.
    pub first_head_timeout: Duration,
    /// A later one in this; an idle connection is closed after it, too.
    pub head_timeout: Duration,
    /// A request's body must be complete in this time.
    pub body_timeout: Duration,
    /// A client that takes nothing of an answer for so long is cut off.
    pub write_timeout: Duration,
    /// The longest body of a request.
    pub body_max: usize,
    /// So many HTTP connections at a time, and so many more that have not yet shown what they are.
    pub connections_max: usize,
    /// So many requests that change something at a time.
    pub changes_max: usize,
    /// A switchover is waited for so long.
    pub switchover_timeout: Duration,
    /// Pausing or resuming is waited for so long.
    pub pause_timeout: Duration,
    /// At a stop, answers that are under way have so long to finish.
    pub stop_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: String::from("0.0.0.0"),
            port: 7000,
            socket: None,
            token: None,
            hosts: access::Hosts::default(),
            status_age_max: Duration::from_secs(1),
            first_bytes_timeout: Duration::from_secs(5),
            first_head_timeout: Duration::from_secs(2),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            body_max: 64 * 1024,
            connections_max: 256,
            changes_max: 16,
            switchover_timeout: Duration::from_secs(60),
            pause_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(3),
        }
    }
}
