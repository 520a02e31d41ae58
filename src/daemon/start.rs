//! Opening and wiring.

use super::{End, parts};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use actors::fsm::actor::{Board, Released, Wiring};
use actors::guard::wire::Refusal;
use actors::machine::Timestamp;
use actors::model::{Boot, NodeId, Status};
use actors::pg::actor::operations::{Answer, Installation, Site, Whom, probe_fresh, startup_faults};
use actors::pg::actor::{Held, PgHands, Surroundings, Tether};
use actors::raft::actor::RaftHands;
use actors::raft::actor::halt::Halt;
use actors::raft::actor::links::Links;
use actors::raft::actor::log_thread::LogThread;
use actors::raft::actor::store::Store;
use actors::star::Star;
use actors::tree::clock::{Clock, boottime};
use actors::tree::restart::RestartPolicy;
use actors::tree::{Child, Tree};
use actors::{api, fsm, pg, probe, raft};
use anyhow::{Context, anyhow};
use rand::Rng;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The guard answers a new end of the lease within microseconds; one that needs longer is stopped, and the lease does not count.
const GUARD_ANSWER_MAX: Duration = Duration::from_millis(500);
/// A node that ends waits for its guard no longer than this.
const GUARD_FAREWELL_MAX: Duration = Duration::from_secs(2);

/// A running node.
#[derive(Debug)]
pub(super) struct Node {
    tree: Tree,
    board: Board,
    tether: Tether,
    links: Links,
    exit: mpsc::Receiver<()>,
    halted: mpsc::Receiver<String>,
    _api_stop: watch::Sender<bool>,
}

impl Node {
    /// Opens everything that can fail first, then starts the tree.
    pub(super) async fn start(config: Config) -> Result<Self, Failure> {
        let folder = config.cluster.data_dir.clone();
        make_folder(&folder)?;
        let usage = |error: anyhow::Error| Failure { exit: Exit::Usage, cause: error };
        let api_config = parts::api(&config);
        let listener = api::listen(&api_config).await.map_err(|error| usage(error.into()))?;
        let (store, _) = Store::open(&folder, config.cluster.node, &config.cluster.name)
            .map_err(|error| Failure { exit: Exit::LogLost, cause: error.into() })?;
        // The store's lock says that the folder, and a socket that lies in it, is nobody else's now.
        let listener = listener.with_socket(&api_config).map_err(|error| usage(error.into()))?;
        let released = Released::new(&folder);
        let last_released = released.read().map_err(|error| Failure { exit: Exit::LogLost, cause: error.into() })?;
        let installation = Installation::discover_for(&config.postgres.data_dir, config.postgres.bin_dir.as_deref())
            .await
            .map_err(|error| usage(error.into()))?;
        let site = Site { settings: parts::postgres(&config), installation };
        refuse_faults(site.settings.faults())?;
        // A server that runs under a guard is taken over whatever its directory looks like.
        if std::os::unix::net::UnixStream::connect(folder.join("guard.sock")).is_err() {
            refuse_faults(startup_faults(&site))?;
        }

        let (halt, halted) = Halt::channel();
        let log = LogThread::start(store, halt.clone()).context("cannot start the thread that writes the log")?;
        let star = Star::new(Clock::Boot, config.peers.iter().map(|peer| peer.node));
        let board = star.board().clone();
        board.tell(fsm::Input::ReleaseRecorded { epoch: last_released });
        let tether = Tether::start(parts::guard(&config), star.pg().clone(), {
            let board = board.clone();
            Arc::new(move |Held { lease, released }| {
                board.tell(fsm::Input::GuardFound { lease });
                if let Some(released) = released {
                    board.tell(fsm::Input::GuardRemembers { released });
                }
            })
        });
        let links = Links::start(parts::local(&config, Boot(random())), &config.members(), star.routes());
        let (status, published) = watch::channel(None);
        let (pulse, _) = watch::channel(Timestamp::default());
        let (exit, exited) = mpsc::channel(1);
        let (stop_api, stopping_api) = watch::channel(false);
        let answers = api::Answers::new();

        let wiring = Wiring {
            raft: star.raft().clone(),
            database: star.database(),
            guard_lease: guard_lease(&tether, &board),
            record_release: record_release(&tether, &board, released, halt.clone()),
            report: star.report(),
            refuse: {
                let answers = answers.clone();
                Arc::new(move |(id, refusal)| answers.refuse(id, refusal))
            },
            status,
            pulse,
            exit,
        };
        let wires = api::Wires {
            clock: Clock::Boot,
            status: published.clone(),
            ask: {
                let board = board.clone();
                Arc::new(move |id, request| board.tell(fsm::Input::Requested { id, request }))
            },
            answers,
            peer_link: {
                let links = links.clone();
                Arc::new(move |stream, remote| links.accept(stream, remote))
            },
        };
        let surroundings = Surroundings {
            site: site.clone(),
            tether: tether.clone(),
            data_nodes: data_nodes(published.clone()),
            successor: successor(published),
            report: star.reported(),
        };
        let config = Arc::new(config);
        let mut children = vec![
            raft_child(&config, &star, &log, &links, &halt),
            fsm_child(&config, &star, &wiring),
            pg_child(&config, &star, surroundings),
        ];
        children.extend(probe_children(&config, &star, &links, &site));
        children.push(api::child(listener, api_config, wires, stopping_api));
        let tree = Tree::start(Clock::Boot, RestartPolicy::default(), children)
            .await
            .map_err(|gave_up| Failure { exit: Exit::RestartIntensity, cause: gave_up.into() })?;
        Ok(Self { tree, board, tether, links, exit: exited, halted, _api_stop: stop_api })
    }

    /// Tells the node to end, and to take its database along.
    pub(super) fn stop(&self) {
        self.board.tell(fsm::Input::Stopped);
    }

    /// Waits until something inside ends the node.
    pub(super) async fn end(&mut self) -> End {
        tokio::select! {
            Some(()) = self.exit.recv() => End::Done,
            Some(reason) = self.halted.recv() => End::Halted(reason),
            gave_up = self.tree.gave_up() => End::GaveUp(gave_up),
        }
    }

    /// No server is left, so no guard is needed.
    pub(super) async fn dismiss_guard(&self) {
        self.links.close();
        if let Err(error) = self.tether.dismiss(GUARD_FAREWELL_MAX).await {
            tracing::warn!(%error, "the guard stays");
        }
    }

    /// The last resort of a stop that took too long.
    pub(super) async fn kill_server(&self) {
        if tokio::time::timeout(GUARD_FAREWELL_MAX, self.tether.kill_server()).await.is_err() {
            tracing::error!("the server could not be killed; the guard ends it if it is writable when the lease ends");
        }
    }
}

fn random() -> u64 {
    // At most 63 bits and never zero, so that every reader and every store can hold it.
    rand::rng().random_range(1..=i64::MAX.unsigned_abs())
}

/// Witch's own folder: made if it is missing, and nobody else's.
fn make_folder(folder: &Path) -> Result<(), Failure> {
    let usage = |cause: anyhow::Error| Failure { exit: Exit::Usage, cause };
    let path = folder.display();
    let owner = nix::unistd::geteuid();
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        let fix = format!("make it with `install -d -m 700 -o {owner} {path}`, or set cluster.data_dir to another folder");
        return Err(usage(anyhow!("cannot make Witch's own folder {path}: {error}; {fix}")));
    }
    let metadata = folder.metadata().with_context(|| format!("cannot look at {path}")).map_err(usage)?;
    if metadata.uid() != owner.as_raw() {
        let fix = format!("`chown -R {owner} {path}`");
        return Err(usage(anyhow!("Witch's own folder {path} belongs to user {}, and witch runs as user {owner}: {fix}", metadata.uid())));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(usage(anyhow!("Witch's own folder {path} is open to other users, and holds secrets: `chmod 700 {path}`")));
    }
    // What has to be written in the middle of a switchover is better known to be impossible now.
    let trial = folder.join("writable");
    let written = std::fs::write(&trial, b"written at the start of the daemon to see whether the folder can be written to\n");
    written.and_then(|()| std::fs::remove_file(&trial)).map_err(|error| {
        usage(anyhow!("Witch's own folder {path} cannot be written to: {error}; make room, remount it, or `chmod 700 {path}`"))
    })
}

fn refuse_faults(faults: Vec<String>) -> Result<(), Failure> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure { exit: Exit::Usage, cause: anyhow!(faults.join("\n")) })
}

/// S3: a lease counts once the guard has acknowledged its end.
fn guard_lease(tether: &Tether, board: &Board) -> fsm::actor::Tell<(actors::model::Epoch, Timestamp)> {
    let (tether, board) = (tether.clone(), board.clone());
    Arc::new(move |(epoch, end)| {
        let (client, board) = (tether.client(), board.clone());
        tokio::spawn(async move {
            let Some(guard) = client else { return };
            match guard.lease(epoch, end, GUARD_ANSWER_MAX).await {
                Ok(end) => board.tell(fsm::Input::LeaseGuarded { epoch, end }),
                Err(actors::guard::Error::Refused(Refusal::Dropped { dropped, .. })) => {
                    board.tell(fsm::Input::GuardRemembers { released: dropped });
                }
                Err(error) => tracing::warn!(%error, %epoch, "the guard did not take the lease, so it does not count"),
            }
        });
    })
}

/// S8: on disk first, then the guard drops the lease, then it is told.
fn record_release(tether: &Tether, board: &Board, released: Released, halt: Halt) -> fsm::actor::Tell<actors::model::Epoch> {
    let (tether, board) = (tether.clone(), board.clone());
    Arc::new(move |epoch| {
        let (client, board, released, halt) = (tether.client(), board.clone(), released.clone(), halt.clone());
        tokio::spawn(async move {
            match tokio::task::spawn_blocking(move || released.write(epoch)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return halt.order(format!("{:#}", anyhow::Error::from(error))),
                Err(error) => return tracing::error!(%error, "recording a release died; it is tried again"),
            }
            // Without a guard there is no lease that it could drop: a new one knows of none.
            if let Some(guard) = client
                && let Err(error) = guard.drop_lease(epoch, GUARD_ANSWER_MAX).await
            {
                return tracing::warn!(%error, %epoch, "the guard did not drop the lease; it is tried again");
            }
            board.tell(fsm::Input::ReleaseRecorded { epoch });
        });
    })
}

fn data_nodes(status: watch::Receiver<Option<Arc<Status>>>) -> Arc<dyn Fn() -> std::collections::BTreeSet<NodeId> + Send + Sync> {
    Arc::new(move || {
        let status = status.borrow();
        let state = status.as_ref().and_then(|status| status.state.as_ref());
        state.map(|state| state.data_nodes().map(|member| member.node).collect()).unwrap_or_default()
    })
}

fn successor(status: watch::Receiver<Option<Arc<Status>>>) -> Arc<dyn Fn() -> Option<NodeId> + Send + Sync> {
    Arc::new(move || Some(status.borrow().as_ref()?.state.as_ref()?.switchover.as_ref()?.to))
}

fn raft_child(config: &Arc<Config>, star: &Star, log: &LogThread, links: &Links, halt: &Halt) -> Child {
    let (config, log, links, halt) = (Arc::clone(config), log.clone(), links.clone(), halt.clone());
    let (persisted, to_fsm) = (star.persisted(), star.to_fsm());
    star.raft_child(move || {
        let (writer, stored) = log.begin_life(Arc::clone(&persisted))?;
        let machine = raft::Machine::new(parts::raft(&config, random()), &stored, boottime())?;
        Ok((machine, RaftHands::new(writer, links.clone(), Arc::clone(&to_fsm), halt.clone())))
    })
}

fn fsm_child(config: &Arc<Config>, star: &Star, wiring: &Wiring) -> Child {
    let (config, wiring) = (Arc::clone(config), wiring.clone());
    star.fsm_child(move || Ok((fsm::Machine::new(parts::fsm(&config, Boot(random()), boottime())), wiring.clone())))
}

fn pg_child(config: &Arc<Config>, star: &Star, surroundings: Surroundings) -> Child {
    let timing = parts::timing(config);
    star.pg_child(move || Ok((pg::Machine::new(timing), PgHands::new(surroundings.clone()))))
}

fn probe_children(config: &Arc<Config>, star: &Star, links: &Links, site: &Site) -> Vec<Child> {
    let databases: Arc<BTreeMap<_, _>> = Arc::new(config.peers.iter().map(|peer| (peer.node, peer.database.clone())).collect());
    let (links, site, timeout) = (links.clone(), site.clone(), config.failover.health_check_timeout);
    let send: probe::SendTo = Arc::new(move |node, message| {
        // Dropped: the next report says more.
        let _ = links.send(node, &message);
    });
    let ask_database: probe::AskDatabase = Arc::new(move |node| {
        let (site, databases) = (site.clone(), Arc::clone(&databases));
        Box::pin(async move {
            match databases.get(&node) {
                Some(database) => !matches!(probe_fresh(&site, Whom::Remote(database), timeout).await, Answer::Miss(_)),
                None => false,
            }
        })
    });
    star.probe_children(parts::probe(config), send, ask_database)
}
