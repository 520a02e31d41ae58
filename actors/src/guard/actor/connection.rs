//! The guard's end of the socket. It never waits for the daemon: what does not fit into a bounded buffer costs the daemon its connection.

use crate::guard::wire::{Asked, FRAME_MAX, Said, decode, encode};
use bytes::{Bytes, BytesMut};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::geteuid;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// So much is read at a time, so that a babbling daemon does not keep the guard from the clock.
const READ_MAX: usize = 4 << 10;
/// A daemon that has not read so much of what was said to it is stuck.
const UNREAD_MAX: usize = 2 * FRAME_MAX;

/// Why a connection was closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("it was closed from the other side")]
    ByDaemon,
    #[error("the process at the other end belongs to user {0}, not to ours")]
    Stranger(u32),
    #[error("the daemon does not read what the guard says")]
    Stuck,
    #[error(transparent)]
    Nonsense(#[from] crate::guard::wire::WireError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Frames as daemon and guard write them: a big-endian `u32` of the length, then the body.
pub(super) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_MAX).new_codec()
}

/// A connected daemon.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    codec: LengthDelimitedCodec,
    unparsed: BytesMut,
    unsent: BytesMut,
}

impl Connection {
    /// The next one in the queue. Only processes of our own user are served.
    pub(super) fn accept(listener: &UnixListener) -> Result<Self, Closed> {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let peer = getsockopt(&stream, PeerCredentials).map_err(io::Error::from)?;
        if peer.uid() != geteuid().as_raw() {
            return Err(Closed::Stranger(peer.uid()));
        }
        Ok(Self { stream, codec: codec(), unparsed: BytesMut::new(), unsent: BytesMut::new() })
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads once and answers the requests that are complete.
    pub(super) fn receive(&mut self) -> Result<Vec<Asked>, Closed> {
        let mut chunk = [0; READ_MAX];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(Closed::ByDaemon),
            Ok(length) => self.unparsed.extend_from_slice(&chunk[..length]),
            Err(error) if is_transient(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let mut requests = Vec::new();
        while let Some(body) = self.codec.decode(&mut self.unparsed)? {
            requests.push(decode(&body)?);
        }
        Ok(requests)
    }

    /// Says something, now or as soon as the daemon reads again.
    pub(super) fn say(&mut self, said: &Said) -> Result<(), Closed> {
        self.codec.encode(Bytes::from(encode(said)?), &mut self.unsent)?;
        self.send()?;
        if self.unsent.len() > UNREAD_MAX { Err(Closed::Stuck) } else { Ok(()) }
    }

    /// Sends what the socket takes.
    pub(super) fn send(&mut self) -> Result<(), Closed> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) => drop(self.unsent.split_to(length)),
                Err(error) if is_transient(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
