//! Which ways a cut closes. Pure.

use crate::live::{Place, Way};
use serde::{Deserialize, Serialize};

/// A cut, seen from one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The node from everybody, clients included: its cable is out.
    Unplugged,
    /// The node from the other nodes, while clients reach it: minority and majority, and the worst case for a split brain.
    Alone,
    /// The node and the next one from all others; with three nodes the majority keeps the node.
    WithNext,
    /// The node hears the others and they do not hear it.
    Mute,
    /// The others hear the node and it does not hear them.
    Deaf,
    /// The others fall into two halves that do not reach each other, and the node reaches both.
    Bridge,
    /// Each node's packets reach only the next one; the clients reach all.
    Ring,
}

/// All of them.
pub(super) const ALL: [Shape; 7] = [Shape::Unplugged, Shape::Alone, Shape::WithNext, Shape::Mute, Shape::Deaf, Shape::Bridge, Shape::Ring];

impl Shape {
    /// What it is called.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Unplugged => "cable out",
            Self::Alone => "cut from the other nodes",
            Self::WithNext => "cut into two sides",
            Self::Mute => "one-way cut (mute)",
            Self::Deaf => "one-way cut (deaf)",
            Self::Bridge => "bridge",
            Self::Ring => "one-way ring",
        }
    }

    /// The ways that it closes around a node of so many.
    #[must_use]
    pub fn ways(self, node: usize, nodes: usize) -> Vec<Way> {
        let next = (node + 1) % nodes;
        let closed = |from: usize, to: usize| match self {
            Self::Unplugged | Self::Alone => from == node || to == node,
            Self::WithNext => (from == node || from == next) != (to == node || to == next),
            Self::Mute => from == node,
            Self::Deaf => to == node,
            Self::Bridge => {
                let half = |other: usize| (other + nodes - node) % nodes <= nodes / 2;
                from != node && to != node && half(from) != half(to)
            }
            Self::Ring => to != (from + 1) % nodes,
        };
        let pairs = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to))).filter(|(from, to)| from != to);
        let mut ways: Vec<Way> =
            pairs.filter(|&(from, to)| closed(from, to)).map(|(from, to)| Way { from: Place::Node(from), to: Place::Node(to) }).collect();
        if self == Self::Unplugged {
            let here = Place::Node(node);
            ways.extend([Way { from: here, to: Place::Clients }, Way { from: Place::Clients, to: here }]);
        }
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(shape: Shape, node: usize, nodes: usize) -> Vec<(usize, usize)> {
        let number = |place| match place {
            Place::Node(node) => node,
            Place::Clients => 99,
        };
        shape.ways(node, nodes).into_iter().map(|way| (number(way.from), number(way.to))).collect()
    }

    #[test]
    fn a_node_alone_still_has_its_clients_and_an_unplugged_one_has_not() {
        assert_eq!(closed(Shape::Alone, 0, 3), [(0, 1), (0, 2), (1, 0), (2, 0)]);
        assert_eq!(closed(Shape::Unplugged, 0, 3), [(0, 1), (0, 2), (1, 0), (2, 0), (0, 99), (99, 0)]);
    }

    #[test]
    fn a_one_way_cut_leaves_the_way_back_open() {
        assert_eq!(closed(Shape::Mute, 2, 3), [(2, 0), (2, 1)]);
        assert_eq!(closed(Shape::Deaf, 2, 3), [(0, 2), (1, 2)]);
    }

    #[test]
    fn both_halves_reach_the_bridge_and_not_each_other() {
        assert_eq!(closed(Shape::Bridge, 0, 3), [(1, 2), (2, 1)]);
        let of_five = closed(Shape::Bridge, 0, 5);
        assert!(of_five.contains(&(2, 3)) && !of_five.contains(&(1, 2)) && !of_five.contains(&(3, 4)));
        assert!(of_five.iter().all(|&(from, to)| from != 0 && to != 0));
    }

    #[test]
    fn a_ring_of_three_leaves_one_way_out_of_each_node() {
        assert_eq!(closed(Shape::Ring, 1, 3), [(0, 2), (1, 0), (2, 1)]);
    }

    #[test]
    fn two_sides_are_cut_both_ways() {
        assert_eq!(closed(Shape::WithNext, 2, 3), [(0, 1), (1, 0), (1, 2), (2, 1)]);
        for shape in ALL {
            assert!(!closed(shape, 0, 3).is_empty(), "{shape:?} cuts nothing");
        }
    }
}
