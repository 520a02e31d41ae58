//! Ports for the servers of tests.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// How many ports a process of tests has for itself before it begins again with the first.
const EACH: u16 = 20;

/// A port that is free, and stays so until its server listens: below those that the kernel hands out, and in a range that a test process beside this
/// one does not use.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(process::id() % 500).expect("it is small");
    let first = 20_000 + own * EACH;
    let candidates = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::SeqCst) % EACH);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.take(usize::from(EACH)).find(free).expect("one of them is free")
}
