//! Whether a server answers at all.

use super::Site;
use super::connection::{Connection, SqlFailure, Whom};
use super::databases::DATABASE;
use super::own_session::start_up;
use crate::model::Endpoint;
use bytes::BytesMut;
use postgres_protocol::message::backend::{ErrorResponseBody, Header, Message};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::fallible_iterator::FallibleIterator;

/// What a new connection with `SELECT 1` showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answered.
    Ok,
    /// It answered with an error of that SQLSTATE: too many connections (53300), starting up (57P03), a wrong password. Never a miss.
    Sql(String),
    /// No answer within the deadline, or no connection; in words.
    Miss(String),
}

/// Opens a *new* connection and has it answered, within one deadline. An old connection would prove little: its backend may go on
/// answering when the server accepts nobody any more. The own server answers `SELECT 1`. Who answers on another node's port is not known,
/// so nothing is proved there that could be of use to somebody else: that the login begins, or is refused, is answer enough.
pub async fn probe_fresh(site: &Site, whom: Whom<'_>, within: Duration) -> Answer {
    match whom {
        Whom::Local => match try_login(site, within).await {
            Ok(()) => Answer::Ok,
            Err(SqlFailure::Refused { state, .. }) => Answer::Sql(state.code().to_owned()),
            Err(failure) => Answer::Miss(failure.to_string()),
        },
        Whom::Remote(endpoint) => {
            let answer = async { knock(site, endpoint).await.unwrap_or_else(|error| Answer::Miss(error.to_string())) };
            timeout(within, answer).await.unwrap_or_else(|_| Answer::Miss(format!("no answer within {} ms", within.as_millis())))
        }
    }
}

/// Has a new connection to this node's own server answered, and tells the server's words.
///
/// # Errors
/// It refuses, or does not answer.
pub async fn try_login(site: &Site, within: Duration) -> Result<(), SqlFailure> {
    let ask = async {
        let mut connection = Connection::open(site, Whom::Local, within).await?;
        connection.ask("answer SELECT 1", "SELECT 1", within).await
    };
    let server = || "the server".to_owned();
    timeout(within, ask).await.unwrap_or_else(|_| Err(SqlFailure::TooLate { server: server(), what: "answer SELECT 1", within })).map(drop)
}

/// A server's refusal is a few lines long.
const ANSWER_MAX: usize = 16 * 1024;

/// Begins a login, and goes away when the server has said how it wants to be convinced.
async fn knock(site: &Site, endpoint: &Endpoint) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    let mut bytes = BytesMut::new();
    start_up(site, ("database", DATABASE), &mut bytes)?;
    stream.write_all(&bytes).await?;
    bytes.clear();
    loop {
        if let Some(answer) = answer_in(&mut bytes)? {
            return Ok(answer);
        }
        if bytes.len() > ANSWER_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "what answers is no PostgreSQL server"));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection without an answer"));
        }
    }
}

/// None: there is more to come.
fn answer_in(bytes: &mut BytesMut) -> io::Result<Option<Answer>> {
    while let Some(header) = Header::parse(bytes)? {
        if header.tag() == b'R' {
            return Ok(Some(Answer::Ok));
        }
        match Message::parse(bytes)? {
            Some(Message::ErrorResponse(refusal)) => return Ok(Some(Answer::Sql(state_of(&refusal)?))),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

fn state_of(refusal: &ErrorResponseBody) -> io::Result<String> {
    let mut fields = refusal.fields();
    while let Some(field) = fields.next()? {
        if field.type_() == b'C' {
            return Ok(String::from_utf8_lossy(field.value_bytes()).into_owned());
        }
    }
    Ok(String::new())
}
