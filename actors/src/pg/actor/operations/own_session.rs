//! Where every session of Witch begins: what is pinned, as whom, into which database, and how much the server is trusted with.

use super::Site;
use super::connection::Whom;
use super::databases::{self, DATABASE};
use super::running_port::running_port;
use super::wary::Wary;
use crate::model::Endpoint;
use crate::pg::Secret;
use crate::pg::pins::{self, Role};
use bytes::BytesMut;
use postgres_protocol::message::frontend::startup_message;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_postgres::error::DbError;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, NoTls};

/// A session, and the task that carries it.
pub(super) struct Begun {
    pub(super) client: Client,
    pub(super) driver: AbortHandle,
    /// The database that could be entered.
    pub(super) database: String,
}

/// Why a session did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotBegun {
    #[error("no connection")]
    Unreachable(#[from] io::Error),
    #[error(transparent)]
    Server(#[from] tokio_postgres::Error),
}

impl NotBegun {
    /// The server's refusal, if it answered at all.
    pub(super) fn refusal(&self) -> Option<&DbError> {
        match self {
            Self::Unreachable(_) => None,
            Self::Server(error) => error.as_db_error(),
        }
    }
}

/// Begins a session as that role.
pub(super) async fn begin(site: &Site, whom: Whom<'_>, role: Role, within: Duration) -> Result<Begun, NotBegun> {
    match whom {
        Whom::Remote(endpoint) => enter(site, role, &Way::Network(endpoint.clone())).await,
        Whom::Local => {
            let port = running_port(site).await;
            let over_tcp = Way::Network(Endpoint { host: loopback(&site.settings.listen).into(), port });
            let Some(dir) = site.settings.socket_dir() else { return enter(site, role, &over_tcp).await };
            let deadline = Instant::now() + within;
            let socket = Way::Socket(PathBuf::from(dir).join(format!(".s.PGSQL.{port}")));
            match enter(site, role, &socket).await {
                // The server did not answer here; a cleaner of temporary files may have taken the socket away.
                Err(error) if error.refusal().is_none() && Instant::now() < deadline => {
                    enter(site, role, &over_tcp).await.map_err(|_| error)
                }
                other => other,
            }
        }
    }
}

/// How a server is reached.
enum Way {
    /// Its folder is Witch's own, so that only the own server answers there.
    Socket(PathBuf),
    /// Anybody may answer there.
    Network(Endpoint),
}

/// Enters the first database that can be entered. A refusal is that of the usual one.
async fn enter(site: &Site, role: Role, way: &Way) -> Result<Begun, NotBegun> {
    let refused = match begin_in(site, role, way, DATABASE).await {
        Err(error) if error.refusal().is_some_and(databases::is_closed) => error,
        other => return other,
    };
    for database in databases::others(site).await {
        match begin_in(site, role, way, &database).await {
            Err(error) if error.refusal().is_some_and(databases::is_closed) => {}
            other => return other,
        }
    }
    Err(refused)
}

/// Writes the start-up packet of the replication role, for what the driver cannot say.
///
/// # Errors
/// A name that no packet can carry.
pub(super) fn start_up(site: &Site, wish: (&str, &str), packet: &mut BytesMut) -> io::Result<()> {
    let options = pins::options(Role::Ungranted, site.installation.major());
    let user = site.settings.replication_user.as_str();
    startup_message([("user", user), wish, ("application_name", "witch"), ("options", &options)], packet)
}

/// As whom a session is begun.
pub(super) fn name_of(site: &Site, role: Role) -> &str {
    match role {
        Role::Superuser => &site.settings.user,
        Role::Replication | Role::Ungranted => &site.settings.replication_user,
    }
}

async fn begin_in(site: &Site, role: Role, way: &Way, database: &str) -> Result<Begun, NotBegun> {
    let settings = &site.settings;
    let password = match role {
        Role::Superuser => &settings.password,
        Role::Replication | Role::Ungranted => &settings.replication_password,
    };
    let mut config = Config::new();
    config.user(name_of(site, role)).dbname(database).application_name("witch").options(pins::options(role, site.installation.major()));
    if let Some(password) = password.as_ref().map(Secret::reveal) {
        config.password(password);
    }
    let (client, driver) = match way {
        Way::Socket(path) => carry(config.connect_raw(UnixStream::connect(path).await?, NoTls).await?),
        Way::Network(endpoint) => {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            stream.set_nodelay(true)?;
            carry(config.connect_raw(Wary::new(stream), NoTls).await?)
        }
    };
    Ok(Begun { client, driver, database: database.to_owned() })
}

fn carry<S>((client, driver): (Client, tokio_postgres::Connection<S, NoTlsStream>)) -> (Client, AbortHandle)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let driver = tokio::spawn(async move {
        // The next query reports it; until then the server's notices and its end are nobody's business.
        let _ = driver.await;
    });
    (client, driver.abort_handle())
}

/// An address on which the server that listens on `listen` can be reached from its own host.
fn loopback(listen: &str) -> &str {
    match listen.split(',').map(str::trim).next().unwrap_or_default() {
        "" | "*" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_server_is_reached_where_it_listens() {
        assert_eq!(loopback("*"), "127.0.0.1");
        assert_eq!(loopback("localhost"), "localhost");
        assert_eq!(loopback("10.0.0.7, 127.0.0.1"), "10.0.0.7");
        assert_eq!(loopback("::"), "::1");
    }
}
