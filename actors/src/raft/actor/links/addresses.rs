//! From the name of a peer to a connection.
//!
//! A name server that is down, or an address family whose packets are dropped, must not keep a peer away: looking the name up and each of its
//! addresses have limits of their own. A lookup that is late goes on beside the dialling, since the system's own cannot be interrupted, and
//! meanwhile the addresses count that the last one found. A second address is tried while the first one is silent still.

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long a lookup is waited for where no earlier one found anything.
const LOOKUP_MAX: Duration = Duration::from_secs(1);
/// And where one did.
const LOOKUP_MAX_KNOWN: Duration = Duration::from_millis(250);
/// Each address has so long.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// The next address is not kept waiting for longer than this.
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// No host has more addresses that are worth trying.
const ADDRESSES_MAX: usize = 16;

/// The system's resolver, or a test's.
pub(super) type Resolver = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The one of the system.
pub(super) fn system() -> Resolver {
    Arc::new(|host, port| async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) }.boxed())
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Undialled {
    /// No answer in time.
    #[error(
        "the name \"{name}\" was not looked up within {ms} ms, and no address of it is known: the name servers of this host are slow or down; it \
         is tried on. An entry in /etc/hosts, or an address instead of the name, does without them"
    )]
    LookupSlow {
        /// The name.
        name: String,
        /// How long it was waited for.
        ms: u128,
    },
    /// The answer is no.
    #[error("the name \"{name}\" cannot be looked up ({cause}): correct it in [[peers]], or the name servers of this host")]
    LookupFailed {
        /// The name.
        name: String,
        /// In the resolver's words.
        cause: String,
    },
    /// Nobody takes the connection.
    #[error("{}", each(.tried, *.stale))]
    Addresses {
        /// Each address, and what was the matter with it.
        tried: Vec<(SocketAddr, String)>,
        /// The addresses are those of an earlier lookup.
        stale: bool,
    },
}

fn each(tried: &[(SocketAddr, String)], stale: bool) -> impl fmt::Display {
    let each: Vec<_> = tried.iter().map(|(address, cause)| format!("{address}: {cause}")).collect();
    let stale = if stale { "; the name could not be looked up just now, these are its addresses of before" } else { "" };
    format!("{}{stale}", each.join("; "))
}

/// Where one peer is.
pub(super) struct Addresses {
    host: String,
    port: u16,
    resolver: Resolver,
    /// What the last good lookup found; the address that answered last comes first.
    known: Vec<SocketAddr>,
    lookup: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
}

impl Drop for Addresses {
    fn drop(&mut self) {
        if let Some(lookup) = &self.lookup {
            lookup.abort();
        }
    }
}

impl Addresses {
    pub(super) fn new(host: &str, port: u16, resolver: Resolver) -> Self {
        Self { host: host.to_owned(), port, resolver, known: Vec::new(), lookup: None }
    }

    /// Every address at which the peer is known to be.
    pub(super) fn known(&self) -> impl Iterator<Item = IpAddr> {
        self.known.iter().map(|address| address.ip().to_canonical())
    }

    /// Looks the name up, as far as that is done in time. Answers whether the addresses are old ones.
    pub(super) async fn look_up(&mut self) -> Result<bool, Undialled> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            self.known = vec![SocketAddr::new(ip, self.port)];
            return Ok(false);
        }
        let limit = if self.known.is_empty() { LOOKUP_MAX } else { LOOKUP_MAX_KNOWN };
        // One at a time, however long it takes: each holds a thread.
        let lookup = self.lookup.get_or_insert_with(|| tokio::spawn((self.resolver)(self.host.clone(), self.port)));
        let found = match timeout(limit, &mut *lookup).await {
            Ok(found) => found.unwrap_or_else(|error| Err(io::Error::other(error))),
            Err(_) if self.known.is_empty() => return Err(Undialled::LookupSlow { name: self.host.clone(), ms: limit.as_millis() }),
            Err(_) => return Ok(true),
        };
        self.lookup = None;
        let cause = match found {
            Ok(mut found) if !found.is_empty() => {
                found.truncate(ADDRESSES_MAX);
                // The one that answered before is the best guess, if it is still one of them.
                if let Some(best) = self.known.first().and_then(|best| found.iter().position(|address| address == best)) {
                    found[..=best].rotate_right(1);
                }
                self.known = found;
                return Ok(false);
            }
            Ok(_) => "it has no address".to_owned(),
            Err(error) => error.to_string(),
        };
        if self.known.is_empty() { Err(Undialled::LookupFailed { name: self.host.clone(), cause }) } else { Ok(true) }
    }

    /// Dials the addresses: the first one first, the others soon after it.
    pub(super) async fn connect(&mut self, stale: bool) -> Result<TcpStream, Undialled> {
        let mut tried = Vec::new();
        let mut waiting = self.known.clone().into_iter();
        let mut dialling = FuturesUnordered::new();
        loop {
            if let Some(address) = waiting.next() {
                dialling.push(async move { (address, dial(address).await) });
            }
            // With none left to begin, those that are under way are waited for: each has its own limit.
            let next = async { if waiting.len() == 0 { std::future::pending::<()>().await } else { sleep(NEXT_AFTER).await } };
            tokio::select! {
                biased;
                ended = dialling.next() => match ended {
                    Some((address, Ok(stream))) => {
                        if let Some(index) = self.known.iter().position(|known| *known == address) {
                            self.known[..=index].rotate_right(1);
                        }
                        return Ok(stream);
                    }
                    Some((address, Err(cause))) => tried.push((address, cause)),
                    None => return Err(Undialled::Addresses { tried, stale }),
                },
                () = next => {}
            }
        }
    }
}

async fn dial(address: SocketAddr) -> Result<TcpStream, String> {
    match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} ms", CONNECT_MAX.as_millis())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    /// Answers after a while, and counts how often it is asked.
    fn resolver(after: Duration, answer: &[SocketAddr]) -> (Resolver, Arc<AtomicUsize>) {
        let (asked, answer) = (Arc::new(AtomicUsize::new(0)), answer.to_vec());
        let count = Arc::clone(&asked);
        let resolver: Resolver = Arc::new(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            async move {
                sleep(after).await;
                Ok(answer)
            }
            .boxed()
        });
        (resolver, asked)
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_lookup_goes_on_and_its_answer_is_used() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let (resolver, asked) = resolver(Duration::from_millis(3500), &[address]);
        let mut addresses = Addresses::new("db2", 9, resolver);
        for _ in 0..3 {
            let error = addresses.look_up().await.expect_err("it is late").to_string();
            assert!(error.contains("the name \"db2\" was not looked up within 1000 ms"), "{error}");
        }
        assert!(!addresses.look_up().await.expect("it has come"));
        assert_eq!(asked.load(Ordering::SeqCst), 1, "one lookup at a time");
        // What is known serves while the next one is late, and nobody waits a second for it.
        let since = Instant::now();
        assert!(addresses.look_up().await.expect("it is known"));
        assert!(since.elapsed() < Duration::from_millis(300));
        assert_eq!(addresses.known().collect::<Vec<_>>(), [address.ip()]);
    }

    #[tokio::test]
    async fn an_address_that_swallows_everything_does_not_keep_the_next_one_waiting() {
        let (_held, good) = listener().await;
        // Of a network that is for documentation: nobody answers, or there is no way there. Either is no connection.
        let dropped = SocketAddr::from(([192, 0, 2, 1], 7000));
        let (resolver, _) = resolver(Duration::ZERO, &[dropped, good]);
        let mut addresses = Addresses::new("db2", 7000, resolver);
        let stale = addresses.look_up().await.expect("it is looked up");
        let stream = addresses.connect(stale).await.expect("the second address answers");
        assert_eq!(stream.peer_addr().expect("a peer"), good);
        assert_eq!(addresses.known[0], good, "the one that answered is tried first from now on");
        assert!(!addresses.look_up().await.expect("it is looked up"));
        assert_eq!(addresses.known[0], good, "after a new lookup, too");
    }

    #[tokio::test]
    async fn the_error_tells_a_name_from_an_address() {
        let (held, address) = listener().await;
        drop(held);
        let (resolver, _) = resolver(Duration::ZERO, &[address]);
        let mut addresses = Addresses::new("db2", 7000, resolver);
        addresses.look_up().await.expect("it is looked up");
        let error = addresses.connect(false).await.expect_err("nobody listens").to_string();
        assert!(error.contains(&format!("{address}: ")) && !error.contains("name"), "{error}");
        let failing: Resolver = Arc::new(|_, _| async { Err(io::Error::other("no such host")) }.boxed());
        let error = Addresses::new("db9", 7000, failing).look_up().await.expect_err("no address").to_string();
        assert!(error.contains("the name \"db9\" cannot be looked up (no such host)"), "{error}");
    }
}
