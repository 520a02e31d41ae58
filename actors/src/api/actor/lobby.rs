//! Who may stay when there are too many HTTP connections.
//!
//! A load balancer's question is complete as soon as it comes, so those who wait for a head are the ones to go, and among them whoever has
//! waited longest, never the newest. Some places are kept for connections whose request is complete, and one address has a few only; those of
//! this host's own loopback have more, since a proxy beside the daemon speaks for many.

use crate::tree::neighbourhood::neighbourhood;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The part of the places that only a complete request takes: 16 of 256.
const KEPT: usize = 16;
/// The part of them that one address gets while it waits for heads: 32 of 256.
const EACH: usize = 8;
/// And one of this host's own.
const EACH_AT_HOME: usize = 2;

/// Told to leave when the other end is dropped.
pub(super) type ShownOut = oneshot::Receiver<()>;

/// Clones lead to the same lobby.
#[derive(Clone, Debug)]
pub(super) struct Lobby {
    places: usize,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    /// Counts what happens, so that it has an order.
    now: u64,
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    from: IpAddr,
    /// No request of it is being answered.
    waits: bool,
    /// Since it waits, or is being answered.
    since: u64,
    _show_out: oneshot::Sender<()>,
}

/// Somebody's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    lobby: Lobby,
    number: u64,
}

impl Lobby {
    pub(super) fn new(places: usize) -> Self {
        Self { places, book: Arc::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody in, and shows somebody out where that makes one too many. Answers whether somebody had to go.
    pub(super) fn enter(&self, from: IpAddr) -> (Place, ShownOut, bool) {
        let from = neighbourhood(from);
        let mut book = self.book();
        let leaving = book.place_for(from, self.places);
        if let Some(number) = leaving {
            book.guests.remove(&number);
        }
        book.now += 1;
        let (number, (show_out, told)) = (book.now, oneshot::channel());
        book.guests.insert(number, Guest { from, waits: true, since: number, _show_out: show_out });
        (Place { lobby: self.clone(), number }, told, leaving.is_some())
    }
}

impl Place {
    /// Its request is complete.
    pub(super) fn is_answered(&self) {
        self.turn(false);
    }

    /// The answer is on its way: the next request is waited for.
    pub(super) fn waits(&self) {
        self.turn(true);
    }

    fn turn(&self, waits: bool) {
        let mut book = self.lobby.book();
        book.now += 1;
        let now = book.now;
        if let Some(guest) = book.guests.get_mut(&self.number) {
            (guest.waits, guest.since) = (waits, now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.book().guests.remove(&self.number);
    }
}

impl Book {
    fn place_for(&self, from: IpAddr, places: usize) -> Option<u64> {
        let longest =
            |guests: &mut dyn Iterator<Item = (&u64, &Guest)>| guests.min_by_key(|(_, guest)| guest.since).map(|(number, _)| *number);
        let waiting = || self.guests.iter().filter(|(_, guest)| guest.waits);
        let neighbours = || waiting().filter(|(_, guest)| guest.from == from);
        let each = (places / if from.is_loopback() { EACH_AT_HOME } else { EACH }).max(1);
        if neighbours().count() >= each {
            return longest(&mut neighbours());
        }
        let full = self.guests.len() >= places || waiting().count() >= places - places / KEPT;
        // Without anybody who waits, whoever is answered longest: a client that takes nothing in must not hold the last place.
        full.then(|| longest(&mut waiting()).or_else(|| longest(&mut self.guests.iter()))).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, host])
    }

    fn is_out(told: &mut ShownOut) -> bool {
        told.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn one_address_gets_a_part_and_shows_out_its_own_oldest() {
        let lobby = Lobby::new(256);
        let (_other, mut told, _) = lobby.enter(host(9));
        let mut crowd: Vec<_> = (0..40).map(|_| lobby.enter(host(1))).collect();
        let out = crowd.iter_mut().filter_map(|(_, told, _)| is_out(told).then_some(())).count();
        assert_eq!(out, 8);
        assert!(crowd.iter_mut().take(8).all(|(_, told, _)| is_out(told)), "those who came first");
        assert!(!is_out(&mut told));
    }

    #[test]
    fn who_is_being_answered_stays_and_who_waits_longest_goes() {
        let lobby = Lobby::new(32);
        let (answered, mut told, _) = lobby.enter(host(200));
        answered.is_answered();
        let mut crowd: Vec<_> = (0..60).map(|n| lobby.enter(host(n))).collect();
        assert!(!is_out(&mut told));
        let staying = crowd.iter_mut().position(|(_, told, _)| !is_out(told));
        assert_eq!(staying, Some(30), "two of 32 places are kept for complete requests");
        // A new wait begins when the answer is on its way.
        answered.waits();
        let _newcomer = lobby.enter(host(201));
        assert!(!is_out(&mut told) && is_out(&mut crowd[30].1));
    }

    #[test]
    fn whoever_leaves_makes_room_and_nobody_holds_the_last_place_for_ever() {
        let lobby = Lobby::new(2);
        for _ in 0..10 {
            assert!(!lobby.enter(host(1)).2);
        }
        let mut all: Vec<_> = (0..2).map(|n| lobby.enter(host(n))).collect();
        all.iter().for_each(|(place, _, _)| place.is_answered());
        let (_newcomer, mut told, _) = lobby.enter(host(7));
        assert!(is_out(&mut all[0].1) && !is_out(&mut all[1].1) && !is_out(&mut told));
    }
}
