//! From the file to the configuration of each part.

use crate::config::{Config, Secret, socket};
use actors::machine::Timestamp;
use actors::model::{Boot, Settings};
use actors::raft::actor::handshake::{Local, Token};
use actors::raft::actor::slog_drain;
use actors::tree::clock;
use actors::{api, fsm, guard, pg, probe, raft};
use std::path::Path;
use std::time::Duration;

/// How long a primary that has just started waits for its lease before it shows its database read-only.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a switchover's target may take to receive the end of the old primary's log.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);
/// How many deaths within ten minutes are met with a restart in place: the third is failed over.
const RESTARTS_IN_PLACE: u32 = 2;

/// For one life of the FSM.
pub(super) fn fsm(config: &Config, boot: Boot, started: Timestamp) -> fsm::Config {
    fsm::Config {
        node: config.cluster.node,
        name: config.cluster.node_name.clone(),
        members: config.members(),
        witness: false,
        boot,
        started,
        started_at: clock::wall(),
        tags: config.tags.clone(),
        timing: config.failover.lease,
        patience: PATIENCE,
        // A checkpoint and the stop after it may each take as long as a stop.
        step_down_max: config.failover.stop_timeout * 2 + CATCH_UP_MAX,
        start_max: config.failover.start_timeout,
        catch_up_max: CATCH_UP_MAX,
        restarts_in_place: RESTARTS_IN_PLACE,
    }
}

/// For one life of consensus.
pub(super) fn raft(config: &Config, seed: u64) -> raft::Config {
    let settings = Settings {
        max_replication_lag: config.failover.maximum_lag_on_failover,
        lease_ttl_ms: u64::try_from(config.failover.lease.ttl.as_millis()).unwrap_or(u64::MAX),
        ..Settings::default()
    };
    raft::Config {
        settings,
        heartbeat: config.raft.heartbeat,
        election_timeout: config.raft.election_timeout,
        snapshot_entries: config.raft.snapshot_entries,
        lease: config.failover.lease,
        logger: slog_drain::logger(),
        ..raft::Config::new(config.cluster.node, config.cluster.name.clone(), config.members(), seed)
    }
}

/// What this node says of itself on the links.
pub(super) fn local(config: &Config, boot: Boot) -> Local {
    Local {
        cluster: config.cluster.name.clone(),
        node: config.cluster.node,
        boot,
        endpoint: config.cluster.advertised(),
        token: Token::new(config.cluster.token.as_ref().map_or("", Secret::expose)),
    }
}

pub(super) fn probe(config: &Config) -> probe::Config {
    probe::Config {
        interval: config.failover.health_check_interval,
        timeout: config.failover.health_check_timeout,
        failures: config.failover.health_check_failures,
    }
}

pub(super) fn api(config: &Config) -> api::Config {
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let own = [&config.cluster.advertise_host, &config.cluster.bind.host, &config.cluster.node_name].into_iter().chain(&hostname);
    api::Config {
        socket: Some(socket(&config.cluster.data_dir).to_string_lossy().into_owned()),
        hosts: api::access::Hosts::new(own.chain(&config.api.hosts).map(String::as_str)),
        host: config.cluster.bind.host.clone(),
        port: config.cluster.bind.port,
        token: config.api.token.as_ref().map(|token| api::Token(token.expose().to_owned())),
        switchover_timeout: config.failover.stop_timeout + Duration::from_secs(30),
        ..api::Config::default()
    }
}

pub(super) fn timing(config: &Config) -> pg::Timing {
    pg::Timing {
        start_timeout: config.failover.start_timeout,
        stop_timeout: config.failover.stop_timeout,
        health_check_interval: config.failover.health_check_interval,
        health_check_timeout: config.failover.health_check_timeout,
        health_check_failures: config.failover.health_check_failures,
    }
}

pub(super) fn guard(config: &Config) -> guard::Options {
    let folder = &config.cluster.data_dir;
    guard::Options {
        arguments: guard::Arguments {
            socket: folder.join("guard.sock"),
            pgdata: config.postgres.data_dir.clone(),
            kill_margin: config.failover.lease.kill_margin,
            lock: folder.join("guard.lock"),
        },
        log: folder.join("guard.log"),
    }
}

pub(super) fn postgres(config: &Config) -> pg::Settings {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| pg::Secret::new(secret.expose().to_owned()));
    pg::Settings {
        node: config.cluster.node,
        cluster: config.cluster.name.clone(),
        bin_dir: config.postgres.bin_dir.as_deref().map(text),
        data_dir: text(&config.postgres.data_dir),
        state_dir: text(&config.cluster.data_dir),
        listen: config.postgres.listen.clone(),
        port: config.database.port,
        user: config.database.user.clone(),
        password: secret(&config.database.password),
        replication_user: config.postgres.replication_user.clone(),
        replication_password: secret(&config.postgres.replication_password),
        pg_hba: config.postgres.pg_hba.clone().unwrap_or_default(),
        initdb: config.postgres.initdb.clone(),
        parameters: config.postgres.parameters.clone(),
    }
}
