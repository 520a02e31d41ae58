//! Asking a database, each time within a deadline: a server that hangs accepts connections and never answers.

use actors::model::{NodeId, Timeline};
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Where a client finds one database.
#[derive(Clone, Debug)]
pub struct Target {
    /// Of this node.
    pub node: NodeId,
    /// How to get in.
    pub config: Config,
}

/// What a database says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Read-only.
    pub in_recovery: bool,
    /// The timeline it writes, or receives. None: a standby that receives nothing.
    pub timeline: Option<Timeline>,
}

/// Between two rounds through all hosts.
pub(crate) const ROUND_PAUSE: Duration = Duration::from_millis(10);

/// On a primary the timeline that it writes; `pg_control` would still name the one before the promotion.
pub(crate) const WRITTEN_TIMELINE: &str = "('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int";

/// Connects to a single host. The deadline covers all of it, as libpq's `connect_timeout` does.
pub(crate) async fn connect(target: &Target, writable: bool, deadline: Duration) -> Result<Client> {
    let mut config = target.config.clone();
    config.target_session_attrs(if writable { TargetSessionAttrs::ReadWrite } else { TargetSessionAttrs::Any });
    let (client, connection) = timeout(deadline, config.connect(NoTls)).await.context("the server did not let us in in time")??;
    // Ends by itself when the client is dropped or the server goes away; the client learns of it at its next query.
    tokio::spawn(connection);
    Ok(client)
}

/// The first host that lets us in and accepts writes.
pub(crate) async fn writable(targets: &[Target], deadline: Duration) -> Option<(Client, &Target)> {
    for target in targets {
        if let Ok(client) = connect(target, true, deadline).await {
            return Some((client, target));
        }
    }
    None
}

/// The same, tried again until there is one; the caller sets the limit.
pub(crate) async fn await_writable(targets: &[Target], deadline: Duration) -> Client {
    loop {
        if let Some((client, _)) = writable(targets, deadline).await {
            return client;
        }
        sleep(ROUND_PAUSE).await;
    }
}

/// Runs one query on a new connection and gives the values of its rows.
pub(crate) async fn rows(target: &Target, query: &str, deadline: Duration) -> Result<Vec<Vec<Option<String>>>> {
    let ask = async {
        let client = connect(target, false, deadline).await?;
        let messages = client.simple_query(query).await.with_context(|| format!("cannot run `{query}`"))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()),
            _ => None,
        });
        anyhow::Ok(rows.collect())
    };
    timeout(deadline, ask).await.with_context(|| format!("node {} did not answer `{query}` within {deadline:?}", target.node))?
}

/// Whether the database is a primary or a standby, and of which timeline.
pub(crate) async fn facts(target: &Target, deadline: Duration) -> Result<DatabaseFacts> {
    let query = format!(
        "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() \
         THEN (SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming') ELSE {WRITTEN_TIMELINE} END"
    );
    let rows = rows(target, &query, deadline).await?;
    let row = rows.first().context("a row was expected")?;
    let value = |column: usize| row.get(column).cloned().flatten();
    Ok(DatabaseFacts { in_recovery: value(0).as_deref() == Some("t"), timeline: value(1).and_then(|text| text.parse().ok()).map(Timeline) })
}
