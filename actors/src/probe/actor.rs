//! The probe's door to the world: three callbacks, so that it knows neither the link nor the database nor the FSM.

use super::{Config, Effect, Input, Observed, Opinion, Probe};
use crate::machine::Timestamp;
use crate::model::{NodeId, Report};
use crate::raft::PeerMessage;
use crate::tree::clock::Clock;
use crate::tree::{Address, Child, Hands, Life};
use futures::future::BoxFuture;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Puts a message on the link to a peer, or drops it.
pub type SendTo = Arc<dyn Fn(NodeId, PeerMessage) + Send + Sync>;
/// Asks a peer's database for any answer on a new connection. It is dropped when its time is up, which counts as no answer.
pub type AskDatabase = Arc<dyn Fn(NodeId) -> BoxFuture<'static, bool> + Send + Sync>;

/// What the probes of a node are wired to. Only `ask_database` may wait.
#[derive(Clone)]
pub struct Wires {
    /// Our own newest report: a probe that is restarted must not fall silent.
    pub newest: Arc<dyn Fn() -> Option<Report> + Send + Sync>,
    /// Reaches the peers.
    pub send: SendTo,
    /// Tells the FSM.
    pub observed: Arc<dyn Fn(Observed) + Send + Sync>,
    /// Reaches the peers' databases.
    pub ask_database: AskDatabase,
}

impl std::fmt::Debug for Wires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wires").finish_non_exhaustive()
    }
}

/// The actor for one peer. `address` is where its facts are to be told.
#[must_use]
pub fn child(peer: NodeId, config: Config, clock: Clock, address: Address<Input>, wires: Wires) -> Child {
    Child::new(format!("probe {peer}"), clock, address, move || {
        let hands = ProbeHands { peer, timeout: config.timeout, wires: wires.clone() };
        let newest = Arc::clone(&wires.newest);
        Ok(Life::knowing(Probe::new(peer, config), hands, move || newest().map(Input::Reported).into_iter().collect()))
    })
}

struct ProbeHands {
    peer: NodeId,
    timeout: Duration,
    wires: Wires,
}

impl Hands<Probe> for ProbeHands {
    fn perform(&mut self, _: Timestamp, effect: Effect, me: &Address<Input>) -> Result<(), Box<dyn Error + Send + Sync>> {
        match effect {
            Effect::Send(report) => (self.wires.send)(self.peer, PeerMessage::Report(report)),
            Effect::Tell(observed) => (self.wires.observed)(observed),
            Effect::AskDatabase { number } => {
                let asked = tokio::time::timeout(self.timeout, (self.wires.ask_database)(self.peer));
                let me = me.clone();
                tokio::spawn(async move {
                    let reachable = asked.await.unwrap_or(false);
                    // A probe that is restarting meanwhile asks again by itself.
                    me.tell(Input::Asked(Opinion { number, reachable }));
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Boot, Epoch, Health, Tags};
    use crate::tree::Tree;
    use crate::tree::restart::RestartPolicy;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::mpsc;

    fn report(node: u64) -> Report {
        Report { node: NodeId(node), boot: Boot(1), seq: 1, epoch: Epoch(1), stopping: false, tags: Tags::default(), database: None }
    }

    async fn until(seen: &mut mpsc::UnboundedReceiver<Observed>, wanted: fn(&Observed) -> bool) {
        let wait = async {
            while let Some(observed) = seen.recv().await {
                if observed.peer == NodeId(2) && wanted(&observed) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it is observed in time");
    }

    /// Two probes over each other's callbacks, under virtual time: they turn green, and red with a second opinion when one is cut off.
    #[tokio::test(start_paused = true)]
    async fn two_probes_keep_each_other_green_until_the_link_is_cut() {
        let clock = Clock::Runtime(tokio::time::Instant::now());
        let (first, second) = (Address::<Input>::vacant(), Address::<Input>::vacant());
        let (seen, mut observed) = mpsc::unbounded_channel();
        let connected = Arc::new(AtomicBool::new(true));
        let wires = |other: Address<Input>| {
            let (seen, connected) = (seen.clone(), Arc::clone(&connected));
            Wires {
                newest: Arc::new(|| None),
                send: Arc::new(move |_, message| {
                    if let PeerMessage::Report(report) = message
                        && connected.load(Ordering::SeqCst)
                    {
                        other.tell(Input::Heard(report));
                    }
                }),
                observed: Arc::new(move |observed| seen.send(observed).expect("the test listens")),
                // A database that hangs for ever, so that only the time limit answers.
                ask_database: Arc::new(|_| Box::pin(futures::future::pending())),
            }
        };
        let children = vec![
            child(NodeId(2), Config::default(), clock, first.clone(), wires(second.clone())),
            child(NodeId(1), Config::default(), clock, second.clone(), wires(first.clone())),
        ];
        let _tree = Tree::start(clock, RestartPolicy::default(), children).await.expect("the probes start");
        // An address is vacant until its actor's first step, so what is told before is told again.
        while !(first.tell(Input::Reported(report(1))) && second.tell(Input::Reported(report(2)))) {
            tokio::task::yield_now().await;
        }
        until(&mut observed, |observed| observed.health == Health::Green).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        connected.store(false, Ordering::SeqCst);
        until(&mut observed, |observed| observed.health == Health::Red && observed.database_answers == Some(false)).await;
    }
}
