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
    /// It keeps rows from being vacuumed, for a standby that used it once.
    pub(super) holds_rows: bool,
    pub(super) restart: Option<Lsn>,
}

/// The failover slots of a standby that were made here when it was the primary. Versions before 17 have no such columns.
pub(super) const CLASHING: &str = "
    SELECT pg_catalog.string_agg(s.slot_name::pg_catalog.text, ', ') AS names FROM pg_catalog.pg_replication_slots s
     WHERE pg_catalog.pg_is_in_recovery()
       AND (pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.->>) 'failover'::pg_catalog.text) OPERATOR(pg_catalog.=) 'true'::pg_catalog.text
       AND (pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.->>) 'synced'::pg_catalog.text) OPERATOR(pg_catalog.=) 'false'::pg_catalog.text";

/// The statements that bring the slots to what they should be. `replayed` is set on a standby. A slot in use is left alone: it cannot be
/// dropped or moved.
pub(super) fn plan(own: NodeId, data_nodes: &BTreeSet<NodeId>, slots: &BTreeMap<String, Slot>, replayed: Option<Lsn>) -> Vec<String> {
    let wanted: BTreeSet<String> = data_nodes.iter().filter(|node| **node != own).map(|node| Settings::slot_of(*node)).collect();
    let mut statements = Vec::new();
    // What a former primary's slot holds back would go on to hold back the new primary, by feedback and for ever.
    let is_stale = |slot: &Slot| !slot.active && (slot.lost || (slot.holds_rows && replayed.is_some()));
    for (name, slot) in slots {
        if is_stale(slot) || (!slot.active && !wanted.contains(name)) {
            statements.push(format!("SELECT pg_catalog.pg_drop_replication_slot({}::pg_catalog.name)", literal(name)));
        }
    }
    for name in &wanted {
        match slots.get(name) {
            None => statements.push(create(name)),
            Some(slot) if is_stale(slot) => statements.push(create(name)),
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
        Slot { active: false, lost: false, holds_rows: false, restart: Some(Lsn(restart)) }
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
    fn an_idle_slot_on_a_standby_holds_no_rows() {
        let holding = Slot { holds_rows: true, ..idle(16) };
        let anew = [
            "SELECT pg_catalog.pg_drop_replication_slot(E'witch_2'::pg_catalog.name)",
            "SELECT pg_catalog.pg_create_physical_replication_slot(E'witch_2'::pg_catalog.name, true)",
        ];
        assert_eq!(plan_of(&[("witch_2", holding.clone()), ("witch_3", idle(16))], Some(16)), anew);
        assert_eq!(plan_of(&[("witch_2", holding), ("witch_3", idle(16))], None), [""; 0], "its standby may come back to a primary");
    }

    #[test]
    fn a_slot_in_use_is_left_alone_and_a_lost_one_is_made_anew() {
        let active = Slot { active: true, lost: false, holds_rows: true, restart: Some(Lsn(1)) };
        let lost = Slot { active: false, lost: true, holds_rows: false, restart: None };
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
