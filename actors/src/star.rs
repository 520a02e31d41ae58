//! The star of one node: who lives where, who hears what of whom, and what each life of an actor is told first.
//!
//! What stands here outlives the actors: the addresses, the board before the FSM, the newest report and the newest order. The hands come from
//! outside, so the daemon and the tests under virtual time wire the same star and differ only in what touches the world.

use crate::fsm::actor::{Board, DatabaseOrder, Tell};
use crate::machine::Machine;
use crate::model::{NodeId, Report};
use crate::raft::actor::ToFsm;
use crate::raft::actor::links::Routes;
use crate::raft::actor::log_thread::Persisted;
use crate::tree::clock::Clock;
use crate::tree::{Address, Child, Hands, Life};
use crate::{fsm, pg, probe, raft};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// A machine and its hands, or why there are none.
pub type Made<M, H> = Result<(M, H), Box<dyn Error + Send + Sync>>;

/// Addresses, and what the next life of an actor has to know.
#[derive(Clone, Debug)]
pub struct Star {
    clock: Clock,
    fsm: Address<fsm::Input>,
    raft: Address<raft::Input>,
    pg: Address<pg::Input>,
    probes: Arc<BTreeMap<NodeId, Address<probe::Input>>>,
    board: Board,
    report: Newest<Report>,
    order: Newest<DatabaseOrder>,
}

/// The newest of what an actor was told, for its next life.
type Newest<T> = Arc<Mutex<Option<T>>>;

fn read<T: Clone>(newest: &Newest<T>) -> Option<T> {
    newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn write<T>(newest: &Newest<T>, value: T) {
    *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn ordered(order: DatabaseOrder) -> pg::Input {
    let DatabaseOrder { number, order, hurry } = order;
    pg::Input::Ordered { number, order, hurry }
}

impl Star {
    /// A star in which nobody lives yet, with a probe for each of these peers.
    #[must_use]
    pub fn new(clock: Clock, peers: impl IntoIterator<Item = NodeId>) -> Self {
        let fsm = Address::vacant();
        Self {
            clock,
            board: Board::new(fsm.clone()),
            fsm,
            raft: Address::vacant(),
            pg: Address::vacant(),
            probes: Arc::new(peers.into_iter().map(|peer| (peer, Address::vacant())).collect()),
            report: Arc::default(),
            order: Arc::default(),
        }
    }

    /// Where facts for the FSM are told.
    #[must_use]
    pub const fn board(&self) -> &Board {
        &self.board
    }

    /// Where orders for consensus are told.
    #[must_use]
    pub const fn raft(&self) -> &Address<raft::Input> {
        &self.raft
    }

    /// Where the guard's facts are told.
    #[must_use]
    pub const fn pg(&self) -> &Address<pg::Input> {
        &self.pg
    }

    /// The FSM's orders to the adapter.
    #[must_use]
    pub fn database(&self) -> Tell<DatabaseOrder> {
        let (newest, adapter) = (Arc::clone(&self.order), self.pg.clone());
        Arc::new(move |order: DatabaseOrder| {
            write(&newest, order.clone());
            adapter.tell(ordered(order));
        })
    }

    /// The FSM's reports to the probes.
    #[must_use]
    pub fn report(&self) -> Tell<Report> {
        let (newest, probes) = (Arc::clone(&self.report), Arc::clone(&self.probes));
        Arc::new(move |report: Report| {
            write(&newest, report.clone());
            for probe in probes.values() {
                probe.tell(probe::Input::Reported(report.clone()));
            }
        })
    }

    /// The adapter's reports to the FSM.
    #[must_use]
    pub fn reported(&self) -> Tell<pg::Reported> {
        let board = self.board.clone();
        Arc::new(move |reported| board.tell(fsm::Input::Reported(Box::new(reported))))
    }

    /// The facts of consensus to the FSM.
    #[must_use]
    pub fn to_fsm(&self) -> ToFsm {
        let board = self.board.clone();
        Arc::new(move |fact| board.tell(fsm::Input::Raft(fact)))
    }

    /// The word of the disk to consensus.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        let raft = self.raft.clone();
        Arc::new(move |number| {
            raft.tell(raft::Input::Persisted { number });
        })
    }

    /// Everything that arrives on a link goes to consensus, but reports go to the probes; both hear whether a link is up.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let (raft, probes) = (self.raft.clone(), Arc::clone(&self.probes));
        let machine = Arc::new(move |input: raft::Input| {
            let linked = match &input {
                raft::Input::Linked { node } => Some((*node, probe::Input::Linked)),
                raft::Input::Unlinked { node } => Some((*node, probe::Input::Unlinked)),
                _ => None,
            };
            if let Some((node, fact)) = linked
                && let Some(probe) = probes.get(&node)
            {
                probe.tell(fact);
            }
            raft.tell(input);
        });
        let probes = Arc::clone(&self.probes);
        let report = Arc::new(move |node: NodeId, report: Report| {
            if let Some(probe) = probes.get(&node) {
                probe.tell(probe::Input::Heard(report));
            }
        });
        Routes { machine, report }
    }

    /// Consensus. Each life reads the log anew.
    pub fn raft_child<M, H>(&self, make: impl Fn() -> Made<M, H> + Send + Sync + 'static) -> Child
    where
        M: Machine<Input = raft::Input>,
        H: Hands<M>,
    {
        Child::new("raft", self.clock, self.raft.clone(), move || {
            let (machine, hands) = make()?;
            Ok(Life::new(machine, hands))
        })
    }

    /// The FSM. Each life is told first what stands on the board.
    pub fn fsm_child<M, H>(&self, make: impl Fn() -> Made<M, H> + Send + Sync + 'static) -> Child
    where
        M: Machine<Input = fsm::Input>,
        H: Hands<M>,
    {
        let board = self.board.clone();
        Child::new("fsm", self.clock, self.fsm.clone(), move || {
            let ((machine, hands), board) = (make()?, board.clone());
            Ok(Life::knowing(machine, hands, move || vec![fsm::Input::Recalled(board.facts())]))
        })
    }

    /// The adapter. Each life is told the order in force, and looks at the database.
    pub fn pg_child<M, H>(&self, make: impl Fn() -> Made<M, H> + Send + Sync + 'static) -> Child
    where
        M: Machine<Input = pg::Input>,
        H: Hands<M>,
    {
        let order = Arc::clone(&self.order);
        Child::new("pg", self.clock, self.pg.clone(), move || {
            let ((machine, hands), order) = (make()?, Arc::clone(&order));
            Ok(Life::knowing(machine, hands, move || read(&order).map(ordered).into_iter().collect()))
        })
    }

    /// A probe for each peer. Each life is told our newest report.
    #[must_use]
    pub fn probe_children(&self, config: probe::Config, send: probe::SendTo, ask_database: probe::AskDatabase) -> Vec<Child> {
        let wires = probe::Wires {
            newest: {
                let report = Arc::clone(&self.report);
                Arc::new(move || read(&report))
            },
            send,
            observed: {
                let board = self.board.clone();
                Arc::new(move |observed: probe::Observed| {
                    let probe::Observed { peer, health, report, .. } = observed;
                    board.tell(fsm::Input::Observed { peer, health, report: report.map(Box::new) });
                })
            },
            ask_database,
        };
        let child =
            |(node, address): (&NodeId, &Address<probe::Input>)| probe::child(*node, config, self.clock, address.clone(), wires.clone());
        self.probes.iter().map(child).collect()
    }
}
