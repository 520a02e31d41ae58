//! Replication slots: which to make, to drop and to move.
//!
//! Every data node has a slot for every other one at all times, so that the day it is promoted they can go on streaming from it. A slot on
//! a standby has no reader; it is moved along by hand, or it would keep the whole log since it was made.

use crate::model::{Lsn, NodeId};
use crate::pg::Settings;
use crate::pg::quoting::literal;
use std::collections::{BTreeMap, BTreeSet};

/// A slot called `witch_<n>` as the server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) active: bool,
    /// The log that it needed is gone; nobody can stream from it again.
    pub(super) lost: bool,
    pub(super) restart: Option<Lsn>,
}

/// The statements that bring the slots to what they should be. `replayed` is set on a standby. A slot in use is left alone: it cannot be
/// dropped or moved.
pub(super) fn plan(own: NodeId, data_nodes: &BTreeSet<NodeId>, slots: &BTreeMap<String, Slot>, replayed: Option<Lsn>) -> Vec<String> {
    let wanted: BTreeSet<String> = data_nodes.iter().filter(|node| **node != own).map(|node| Settings::slot_of(*node)).collect();
    let mut statements = Vec::new();
    for (name, slot) in slots {
        if !slot.active && (slot.lost || !wanted.contains(name)) {
            statements.push(format!("SELECT pg_catalog.pg_drop_replication_slot({}::pg_catalog.name)", literal(name)));
        }
    }
    for name in &wanted {
        match slots.get(name) {
            None => statements.push(create(name)),
            Some(slot) if slot.lost && !slot.active => statements.push(create(name)),
            Some(slot) => {
                if let Some(replayed) = replayed
                    && !slot.active
                    && slot.restart.is_some_and(|restart| restart < replayed)
                {
                    statements.push(format!(
                        "SELECT pg_catalog.pg_replication_slot_advance({}::pg_catalog.name, '{replayed}'::pg_catalog.pg_lsn)",
                        literal(name)
                    ));
                }
            }
        }
    }
    statements
}

fn create(name: &str) -> String {
    format!("SELECT pg_catalog.pg_create_physical_replication_slot({}::pg_catalog.name, true)", literal(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(slots: &[(&str, Slot)], replayed: Option<u64>) -> Vec<String> {
        let slots = slots.iter().map(|(name, slot)| ((*name).to_owned(), slot.clone())).collect();
        plan(NodeId(1), &[NodeId(1), NodeId(2), NodeId(3)].into(), &slots, replayed.map(Lsn))
    }

    fn idle(restart: u64) -> Slot {
        Slot { active: false, lost: false, restart: Some(Lsn(restart)) }
    }

    #[test]
    fn every_other_data_node_gets_a_slot_and_nobody_else_keeps_one() {
        let plan = plan_of(&[("witch_2", idle(5)), ("witch_9", idle(5)), ("witch_1", idle(5))], None);
        assert_eq!(
            plan,
            [
                "SELECT pg_catalog.pg_drop_replication_slot(E'witch_1'::pg_catalog.name)",
                "SELECT pg_catalog.pg_drop_replication_slot(E'witch_9'::pg_catalog.name)",
                "SELECT pg_catalog.pg_create_physical_replication_slot(E'witch_3'::pg_catalog.name, true)",
            ]
        );
    }

    #[test]
    fn a_standby_moves_idle_slots_forward_only() {
        let plan = plan_of(&[("witch_2", idle(5)), ("witch_3", idle(16))], Some(16));
        assert_eq!(plan, ["SELECT pg_catalog.pg_replication_slot_advance(E'witch_2'::pg_catalog.name, '0/10'::pg_catalog.pg_lsn)"]);
    }

    #[test]
    fn a_slot_in_use_is_left_alone_and_a_lost_one_is_made_anew() {
        let active = Slot { active: true, lost: false, restart: Some(Lsn(1)) };
        let lost = Slot { active: false, lost: true, restart: None };
        let plan = plan_of(&[("witch_2", active.clone()), ("witch_3", lost), ("witch_9", active)], Some(16));
        assert_eq!(
            plan,
            [
                "SELECT pg_catalog.pg_drop_replication_slot(E'witch_3'::pg_catalog.name)",
                "SELECT pg_catalog.pg_create_physical_replication_slot(E'witch_3'::pg_catalog.name, true)"
            ]
        );
    }
}
