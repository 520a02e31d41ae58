//! How a link's TCP connection is set up.

use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use tokio::net::TcpStream;

/// A connection whose other end answers nothing for so long is dead.
const DEAD_AFTER_MS: u32 = 5000;
/// A silent connection is asked after this, and again each second: a link that only receives learns of a dead host no other way.
const ASK_AFTER_S: u32 = 2;

/// Small frames leave at once, and a peer that vanished without a word is noticed.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &ASK_AFTER_S)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &1)?;
    setsockopt(stream, sockopt::TcpKeepCount, &3)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &DEAD_AFTER_MS)?;
    Ok(())
}
