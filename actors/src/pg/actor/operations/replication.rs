//! A replication connection, just long enough to be sure of it: that the role may log in, that the server has a WAL sender to spare, and whose
//! database it is.
//!
//! The driver knows no replication connections, so the few messages of a login are exchanged here. Nothing but SCRAM is answered: a password
//! is never sent.

use super::Site;
use super::connection::SqlFailure;
use super::own_session::start_up;
use crate::model::{Endpoint, SystemIdentifier};
use bytes::BytesMut;
use futures::FutureExt;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::fallible_iterator::FallibleIterator;

/// More than any message of a login.
const MESSAGE_MAX: usize = 1 << 16;

/// Logs in as a standby does, and answers whose database it is.
///
/// # Errors
/// It cannot be reached, or refuses.
pub async fn introduce(site: &Site, to: &Endpoint, within: Duration) -> Result<SystemIdentifier, SqlFailure> {
    let server = format!("the database at {to}");
    let what = "accept a replication connection";
    match timeout(within, Talk::with(site, to).boxed()).await {
        Err(_) => Err(SqlFailure::TooLate { server, what, within }),
        Ok(Ok(identifier)) => Ok(identifier),
        Ok(Err(Trouble::Refused { state, message })) => {
            Err(SqlFailure::Refused { server, what, state: SqlState::from_code(&state), message })
        }
        Ok(Err(Trouble::Broken(error))) => Err(SqlFailure::Unreachable { server, what, reason: error.to_string() }),
        Ok(Err(Trouble::Strange(answer))) => Err(SqlFailure::Unexpected { server, what, answer }),
    }
}

enum Trouble {
    Refused { state: String, message: String },
    Broken(io::Error),
    Strange(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

struct Talk {
    stream: TcpStream,
    heard: BytesMut,
}

impl Talk {
    async fn with(site: &Site, to: &Endpoint) -> Result<SystemIdentifier, Trouble> {
        let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
        let mut talk = Self { stream, heard: BytesMut::new() };
        let settings = &site.settings;
        talk.say(|out| start_up(site, ("replication", "true"), out)).await?;
        talk.log_in(settings.replication_password.as_ref().map(|password| password.reveal().as_bytes())).await?;
        talk.say(|out| frontend::query("IDENTIFY_SYSTEM", out)).await?;
        let mut identifier = None;
        loop {
            match talk.hear().await? {
                Message::DataRow(row) => {
                    let first = row.ranges().next()?.flatten();
                    let text = first.and_then(|range| std::str::from_utf8(row.buffer().get(range)?).ok());
                    identifier = text.and_then(|text| text.parse().ok()).map(SystemIdentifier);
                }
                Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        // The server would log a connection that breaks off.
        talk.say(|out| {
            frontend::terminate(out);
            Ok(())
        })
        .await?;
        identifier.ok_or_else(|| Trouble::Strange("no system identifier".into()))
    }

    async fn log_in(&mut self, password: Option<&[u8]>) -> Result<(), Trouble> {
        let mut scram = None;
        loop {
            match self.hear().await? {
                Message::AuthenticationSasl(offer) => {
                    let known = offer.mechanisms().any(|mechanism| Ok(mechanism == SCRAM_SHA_256))?;
                    let password = password.filter(|_| known).ok_or_else(|| {
                        Trouble::Strange("it asks for a password, and none is set, or for another proof than SCRAM-SHA-256".into())
                    })?;
                    let begun = ScramSha256::new(password, ChannelBinding::unsupported());
                    self.say(|out| frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), out)).await?;
                    scram = Some(begun);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let scram = scram.as_mut().ok_or_else(|| Trouble::Strange("a proof that was not begun".into()))?;
                    scram.update(body.data())?;
                    self.say(|out| frontend::sasl_response(scram.message(), out)).await?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.as_mut().ok_or_else(|| Trouble::Strange("a proof that was not begun".into()))?.finish(body.data())?;
                }
                Message::AuthenticationCleartextPassword | Message::AuthenticationMd5Password(_) => {
                    return Err(Trouble::Strange(
                        "it asks for a password in clear or as MD5, which Witch never sends; set the password anew with \
                         password_encryption = 'scram-sha-256', and write scram-sha-256 in pg_hba.conf"
                            .into(),
                    ));
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }

    async fn say(&mut self, message: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> io::Result<()> {
        let mut out = BytesMut::new();
        message(&mut out)?;
        self.stream.write_all(&out).await
    }

    async fn hear(&mut self) -> Result<Message, Trouble> {
        loop {
            match Message::parse(&mut self.heard)? {
                Some(Message::ErrorResponse(error)) => return Err(refusal(&error)),
                Some(message) => return Ok(message),
                None if self.heard.len() > MESSAGE_MAX => return Err(Trouble::Strange("a message that is too long".into())),
                None => {
                    if self.stream.read_buf(&mut self.heard).await? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                }
            }
        }
    }
}

fn refusal(error: &ErrorResponseBody) -> Trouble {
    let field = |wanted| error.fields().find(|field| Ok(field.type_() == wanted)).ok().flatten();
    let text = |wanted| field(wanted).map(|field| String::from_utf8_lossy(field.value_bytes()).into_owned()).unwrap_or_default();
    Trouble::Refused { state: text(b'C'), message: text(b'M') }
}
