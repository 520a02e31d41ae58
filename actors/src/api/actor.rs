//! The API's door to the world.

mod answers;
mod body;
mod change;
mod door;
mod head;
mod http;
mod listen;
mod lobby;
mod local;
mod read;
mod reply;
mod routes;
mod throttle;

#[cfg(test)]
mod tests;

pub use answers::Answers;
pub use listen::{ListenError, Listener, listen};

use super::Config;
use crate::fsm::Request;
use crate::model::{RequestId, Status};
use crate::tree::Child;
use crate::tree::clock::Clock;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

/// What the API is wired to. The callbacks may not wait.
#[derive(Clone)]
pub struct Wires {
    /// The clock that stamps the status.
    pub clock: Clock,
    /// What the FSM publishes.
    pub status: watch::Receiver<Option<Arc<Status>>>,
    /// Tells the FSM a request.
    pub ask: Arc<dyn Fn(RequestId, Request) + Send + Sync>,
    /// Where the FSM's hands put refusals.
    pub answers: Answers,
    /// Takes over a connection that opens with the peer link's magic, of which nothing is consumed yet.
    pub peer_link: Arc<dyn Fn(TcpStream, SocketAddr) + Send + Sync>,
}

impl std::fmt::Debug for Wires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wires").field("clock", &self.clock).field("answers", &self.answers).finish_non_exhaustive()
    }
}

/// Serves the shared port until `stop` turns true; then what is under way has `stop_timeout` to finish.
pub async fn serve(listener: Listener, config: Arc<Config>, wires: Wires, stop: watch::Receiver<bool>) {
    let changes = Semaphore::new(config.changes_max);
    let api = Arc::new(Api { config: Arc::clone(&config), wires: wires.clone(), changes });
    door::serve(&listener, &config, &wires, routes::routes(&api), stop).await;
}

/// The supervised actor. The listener is bound once, and every life of the actor accepts from it.
#[must_use]
pub fn child(listener: Listener, config: Config, wires: Wires, stop: watch::Receiver<bool>) -> Child {
    let config = Arc::new(config);
    Child::task("api", move || {
        let serving = serve(listener.clone(), Arc::clone(&config), wires.clone(), stop.clone());
        async move {
            serving.await;
            Ok::<(), Box<dyn Error + Send + Sync>>(())
        }
    })
}

/// What every request is answered from.
struct Api {
    config: Arc<Config>,
    wires: Wires,
    /// Bounds the requests that change something.
    changes: Semaphore,
}
