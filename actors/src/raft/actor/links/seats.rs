//! Who is linked, and that no two nodes with one id are.
//!
//! A node has two seats: the connection that we dialled and the one that it dialled. Everybody in a seat has proved who it is; a newcomer with the
//! same id from another life *and* another address, while somebody sits, is a second node with that id (a copied file, a cloned machine) and is
//! refused. From the same address it is the same node after a restart, and from the same life it is the same node over a new connection:
//! both take the seat over.

use super::super::handshake::{Address, Refusal};
use crate::model::{Boot, NodeId};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// The two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Incoming,
    Outgoing,
}

/// Told to get up when the other end is dropped: it was taken over, or the node is no member any more.
pub(super) type Evicted = oneshot::Receiver<()>;

/// Who sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sitter {
    pub(super) boot: Boot,
    pub(super) address: Address,
}

#[derive(Debug)]
struct Seat {
    number: u64,
    sitter: Sitter,
    _evict: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
pub(super) struct Seats {
    next: u64,
    taken: BTreeMap<(NodeId, Direction), Seat>,
}

impl Seats {
    /// Takes the seat, and answers its number. Whoever sat there is told to get up.
    pub(super) fn take(&mut self, node: NodeId, direction: Direction, sitter: Sitter) -> Result<(u64, Evicted), Refusal> {
        let seated = [Direction::Incoming, Direction::Outgoing].into_iter().filter_map(|direction| self.taken.get(&(node, direction)));
        let is_twin = |seat: &&Seat| seat.sitter.boot != sitter.boot && seat.sitter.address != sitter.address;
        if let Some(seat) = seated.into_iter().find(is_twin) {
            return Err(Refusal::Twin { node, linked: seat.sitter.address, newcomer: sitter.address });
        }
        self.next += 1;
        let (evict, evicted) = oneshot::channel();
        self.taken.insert((node, direction), Seat { number: self.next, sitter, _evict: evict });
        Ok((self.next, evicted))
    }

    /// Gets up. False if somebody else sits there by now.
    pub(super) fn leave(&mut self, node: NodeId, direction: Direction, number: u64) -> bool {
        let sits = self.taken.get(&(node, direction)).is_some_and(|seat| seat.number == number);
        if sits {
            self.taken.remove(&(node, direction));
        }
        sits
    }

    /// Only these may sit.
    pub(super) fn retain(&mut self, may_sit: impl Fn(NodeId) -> bool) {
        self.taken.retain(|(node, _), _| may_sit(*node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const NODE: NodeId = NodeId(2);

    fn sitter(boot: u64, host: u8, port: u16) -> Sitter {
        Sitter { boot: Boot(boot), address: Address { ip: IpAddr::from([10, 0, 0, host]), port } }
    }

    fn is_gone(evicted: &mut Evicted) -> bool {
        evicted.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn a_second_node_with_one_id_is_refused_naming_both_addresses() {
        let mut seats = Seats::default();
        let (_, mut first) = seats.take(NODE, Direction::Incoming, sitter(1, 2, 7000)).unwrap();
        for direction in [Direction::Incoming, Direction::Outgoing] {
            let refusal = seats.take(NODE, direction, sitter(9, 3, 7000)).unwrap_err().to_string();
            assert!(refusal.contains("one at 10.0.0.2:7000, which is linked and alive, and one at 10.0.0.3:7000"), "{refusal}");
            let refusal = seats.take(NODE, direction, sitter(9, 2, 7001)).unwrap_err().to_string();
            assert!(refusal.contains("10.0.0.2:7001, which is refused"), "two on one host: {refusal}");
        }
        assert!(!is_gone(&mut first));
    }

    #[test]
    fn the_same_node_takes_over_after_a_restart_and_over_a_new_connection() {
        let mut seats = Seats::default();
        let (_, mut first) = seats.take(NODE, Direction::Incoming, sitter(1, 2, 7000)).unwrap();
        let (_, mut restarted) = seats.take(NODE, Direction::Incoming, sitter(2, 2, 7000)).unwrap();
        assert!(is_gone(&mut first));
        let (_, mut other_network) = seats.take(NODE, Direction::Incoming, sitter(2, 77, 7000)).unwrap();
        assert!(is_gone(&mut restarted) && !is_gone(&mut other_network));
    }

    #[test]
    fn the_second_node_is_let_in_once_the_first_has_left() {
        let mut seats = Seats::default();
        let (number, _) = seats.take(NODE, Direction::Incoming, sitter(1, 2, 7000)).unwrap();
        assert!(seats.take(NODE, Direction::Incoming, sitter(9, 3, 7000)).is_err());
        assert!(seats.leave(NODE, Direction::Incoming, number));
        assert!(seats.take(NODE, Direction::Incoming, sitter(9, 3, 7000)).is_ok());
    }

    #[test]
    fn who_was_taken_over_does_not_take_the_seat_away_when_it_leaves() {
        let mut seats = Seats::default();
        let (first, _) = seats.take(NODE, Direction::Incoming, sitter(1, 2, 7000)).unwrap();
        let (second, mut evicted) = seats.take(NODE, Direction::Incoming, sitter(1, 2, 7000)).unwrap();
        assert!(!seats.leave(NODE, Direction::Incoming, first));
        assert!(!is_gone(&mut evicted));
        assert!(seats.leave(NODE, Direction::Incoming, second));
    }

    #[test]
    fn who_is_no_member_any_more_gets_up() {
        let mut seats = Seats::default();
        let (_, mut evicted) = seats.take(NODE, Direction::Outgoing, sitter(1, 2, 7000)).unwrap();
        seats.retain(|node| node == NODE);
        assert!(!is_gone(&mut evicted));
        seats.retain(|node| node != NODE);
        assert!(is_gone(&mut evicted));
    }
}
