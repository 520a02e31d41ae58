//! A connection over which no password goes but by SCRAM.
//!
//! Whoever answers on a server's port may ask for the password as it is, or as an MD5 that is worth as much; only SCRAM proves the
//! password to a server, and the server to us, without showing it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads along until the server has said how it wants to be convinced.
#[derive(Debug)]
pub(super) struct Wary<S> {
    stream: S,
    greeting: Greeting,
}

/// The server asked for the password in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    InClear,
    AsMd5,
    Otherwise,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self {
            Self::InClear => "the password in clear text",
            Self::AsMd5 => "an MD5 password",
            Self::Otherwise => "another proof than a password (GSSAPI, SSPI or older)",
        };
        write!(
            f,
            "it asks for {how}, and over the network Witch proves passwords by SCRAM only; on that server set password_encryption to \
             scram-sha-256, give the role its password anew, and let pg_hba.conf say scram-sha-256 for it"
        )
    }
}

impl std::error::Error for Refused {}

impl<S> Wary<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, greeting: Greeting { head: Vec::new(), skipping: 0, over: false } }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wary<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let heard = self.greeting.hear(&buffer.filled()[before..]);
        Poll::Ready(heard.map_err(|refused| io::Error::new(io::ErrorKind::PermissionDenied, refused)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wary<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What was heard so far of the messages up to the first on authentication. A session has one proof, so nothing after it is of interest.
#[derive(Debug)]
struct Greeting {
    head: Vec<u8>,
    skipping: usize,
    over: bool,
}

/// The kind of a message and its length.
const HEAD: usize = 5;
/// And how the server wants to be convinced.
const METHOD: usize = HEAD + 4;

impl Greeting {
    fn hear(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        for byte in bytes {
            if self.over {
                return Ok(());
            }
            if self.skipping > 0 {
                self.skipping -= 1;
                continue;
            }
            self.head.push(*byte);
            self.understand()?;
        }
        Ok(())
    }

    fn understand(&mut self) -> Result<(), Refused> {
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_be_bytes);
        match (self.head.first(), self.head.len()) {
            (Some(b'R'), METHOD) => {
                self.over = true;
                match number(&self.head[HEAD..]) {
                    // Nobody is to be convinced, or by SASL.
                    0 | 10 => Ok(()),
                    3 => Err(Refused::InClear),
                    5 => Err(Refused::AsMd5),
                    _ => Err(Refused::Otherwise),
                }
            }
            (Some(b'R'), _) => Ok(()),
            (Some(_), HEAD) => {
                // A refusal, or something that is said before.
                self.over = self.head[0] == b'E';
                self.skipping = usize::try_from(number(&self.head[1..])).unwrap_or(usize::MAX).saturating_sub(4);
                self.head.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[&[u8]]) -> Result<(), Refused> {
        let mut greeting = Wary::new(()).greeting;
        pieces.iter().try_for_each(|piece| greeting.hear(piece))
    }

    fn asks(method: u8) -> [u8; METHOD] {
        [b'R', 0, 0, 0, 8, 0, 0, 0, method]
    }

    #[test]
    fn only_scram_or_no_proof_at_all_is_agreed_to() {
        assert_eq!(heard(&[&asks(0)]), Ok(()));
        assert_eq!(heard(&[&asks(10), &asks(3)]), Ok(()), "a session has one proof");
        assert_eq!(heard(&[&asks(3)]), Err(Refused::InClear));
        assert_eq!(heard(&[&asks(5)]), Err(Refused::AsMd5));
        assert_eq!(heard(&[&asks(7)]), Err(Refused::Otherwise));
    }

    #[test]
    fn what_comes_in_pieces_or_after_a_notice_is_understood() {
        let asked = asks(3);
        let pieces: Vec<&[u8]> = asked.chunks(1).collect();
        assert_eq!(heard(&pieces), Err(Refused::InClear));
        assert_eq!(heard(&[&[b'N', 0, 0, 0, 6, b'R', 0], &asked]), Err(Refused::InClear));
        assert_eq!(heard(&[&[b'v', 0, 0, 0, 4], &asks(10)]), Ok(()));
        assert_eq!(heard(&[&[b'E', 0, 0, 0, 4], &asked]), Ok(()), "after a refusal nothing is sent");
    }
}
