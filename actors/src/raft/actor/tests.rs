//! The hands in a running tree, with a machine that orders one of everything.

use super::links::Links;
use super::links::tests::{Node, PATIENCE, listen, local, member};
use super::log_thread::LogThread;
use super::store::Store;
use super::*;
use crate::model::{NodeId, RaftId, Term};
use crate::raft::{Batch, Identity, Leadership, Order, PeerMessage};
use crate::tree::clock::Clock;
use crate::tree::restart::RestartPolicy;
use crate::tree::{Child, Tree};
use std::error::Error;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// Persists its identity, greets who is linked, tells what it hears, and dies or halts on demand.
struct Script {
    born: bool,
    begun: bool,
}

fn fact(term: u64, leader: Option<NodeId>) -> Effect {
    Effect::Tell(Fact::Led(Leadership { term: Term(term), leader, ..Leadership::default() }))
}

fn identity() -> Identity {
    Identity {
        raft_id: RaftId(7),
        node: NodeId(1),
        cluster: "prod".to_owned(),
        born: true,
        joining: false,
        members: Vec::new(),
        birth: None,
    }
}

impl Machine for Script {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, _: Timestamp, input: Input) -> Vec<Effect> {
        match input {
            Input::Woken if self.begun => Vec::new(),
            Input::Woken => {
                self.begun = true;
                let batch = Batch { number: 41, identity: Some(identity()), ..Batch::default() };
                vec![
                    fact(u64::from(self.born), None),
                    Effect::Persist(Box::new(batch)),
                    Effect::Note { warning: false, text: "hello".to_owned() },
                ]
            }
            Input::Persisted { number } => vec![fact(number, None)],
            Input::Linked { node } => {
                let message = Box::new(PeerMessage::AskTestimony { term: Term(5) });
                vec![Effect::Send { to: node, message }, fact(1000, Some(node))]
            }
            Input::Unlinked { node } => vec![fact(2000, Some(node))],
            Input::Ordered(Order::HandOver) => panic!("dies on purpose"),
            Input::Ordered(_) => vec![Effect::Halt { reason: "it was asked to".to_owned() }],
            Input::Heard { .. } => vec![Effect::Link(Vec::new())],
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }
}

async fn told(facts: &mut UnboundedReceiver<Fact>, term: u64, leader: Option<u64>) {
    let wanted = Fact::Led(Leadership { term: Term(term), leader: leader.map(NodeId), ..Leadership::default() });
    let hear = async { while facts.recv().await.expect("the actor is alive") != wanted {} };
    timeout(PATIENCE, hear).await.unwrap_or_else(|_| panic!("never told {wanted:?}"));
}

#[tokio::test]
async fn the_actor_persists_links_tells_and_halts_and_finds_all_of_it_again_after_its_death() {
    let folder = TempDir::new().unwrap();
    let (halt, mut halted) = Halt::channel();
    let (store, _) = Store::open(folder.path(), NodeId(1), "prod").unwrap();
    let log = LogThread::start(store, halt.clone()).unwrap();
    let address = Address::vacant();
    let ((listener, port), (_kept, own)) = (listen().await, listen().await);
    let (to_machine, reports) = (address.clone(), Arc::new(|_, _| {}));
    let routes = links::Routes { machine: Arc::new(move |input| _ = to_machine.tell(input)), report: reports };
    let links = Links::start(local(1, 11, own), &[member(2, port)], routes);
    let (tell, mut facts) = unbounded_channel();
    let fsm: ToFsm = Arc::new(move |fact| drop(tell.send(fact)));
    let (acknowledge, shared) = (address.clone(), links.clone());
    let child = Child::new("raft", Clock::Boot, address.clone(), move || -> Result<_, Box<dyn Error + Send + Sync>> {
        let acknowledge = acknowledge.clone();
        let (writer, stored) = log.begin_life(Arc::new(move |number| _ = acknowledge.tell(Input::Persisted { number })))?;
        let script = Script { born: stored.identity.is_some(), begun: false };
        let hands = RaftHands::new(writer, shared.clone(), Arc::clone(&fsm), halt.clone());
        Ok(crate::tree::Life::new(script, hands))
    });
    let _tree = Tree::start(Clock::Boot, RestartPolicy::default(), vec![child]).await.unwrap();
    told(&mut facts, 0, None).await;
    told(&mut facts, 41, None).await;
    let mut two = Node::start(local(2, 22, port), listener, &[member(1, own)]);
    told(&mut facts, 1000, Some(2)).await;
    assert_eq!(two.note(1).await, 5);

    address.tell(Input::Ordered(Order::HandOver));
    told(&mut facts, 1, None).await;
    told(&mut facts, 1000, Some(2)).await;
    assert_eq!(two.note(1).await, 5, "the new life was told of the link and greets again");

    address.tell(Input::Heard { from: NodeId(2), message: Box::new(PeerMessage::AskTestimony { term: Term(1) }) });
    told(&mut facts, 2000, Some(2)).await;
    address.tell(Input::Ordered(Order::RequestLease(lease_request())));
    assert_eq!(timeout(PATIENCE, halted.recv()).await.unwrap().as_deref(), Some("it was asked to"));
    links.close();
}

fn lease_request() -> crate::model::LeaseRequest {
    crate::model::LeaseRequest { node: NodeId(1), epoch: crate::model::Epoch(1), boot: crate::model::Boot(1), seq: 1 }
}
