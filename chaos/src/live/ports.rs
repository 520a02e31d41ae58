//! Ports that nobody uses.

use anyhow::{Result, bail};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Below the range from which the kernel takes the near ends of outgoing connections: a node that is down must find its port free again.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// Given to some cluster of this process already.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port on 127.0.0.1 that is free now and is given out only once.
pub(super) fn free() -> Result<u16> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut random = SmallRng::from_os_rng();
    for _ in 0..1000 {
        let port = random.random_range(RANGE);
        if !taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.insert(port);
            return Ok(port);
        }
    }
    bail!("no free port was found between {} and {} on 127.0.0.1", RANGE.start, RANGE.end)
}
