//! What becomes of a machine's effects in the world, and what must be true of them.

use super::{Happening, World};
use crate::machine::Machine as _;
use crate::model::NodeId;
use crate::raft::{Batch, Effect, Fact, Input, PeerMessage, Stored};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl World {
    /// One step of a machine, and all that follows from it.
    pub(crate) fn step(&mut self, node: NodeId, input: Input) {
        let now = self.local(node, self.now);
        let Some(machine) = self.host_mut(node.0).machine.as_mut() else { return };
        let effects = machine.step(now, input);
        let alarm = machine.wake_at();
        for effect in effects {
            self.perform(node, effect);
        }
        if let Some(alarm) = alarm {
            let at = self.true_time(node, alarm).max(self.now + 1);
            self.schedule(at, node, Happening::Alarm);
        }
    }

    fn perform(&mut self, node: NodeId, effect: Effect) {
        match effect {
            Effect::Persist(batch) => {
                let (low, high) = self.hosts[&node].disk_delay;
                let delay = self.dice.between(low, high);
                let now = self.now;
                let host = self.host_mut(node.0);
                host.disk_free_at = host.disk_free_at.max(now) + delay;
                let (at, number) = (host.disk_free_at, batch.number);
                host.writing.push(*batch);
                self.schedule(at, node, Happening::Durable(number));
            }
            Effect::Send { to, message } => self.transmit(node, to, message),
            Effect::Tell(fact) => self.told(node, fact),
            Effect::Link(members) => self.host_mut(node.0).links = members.iter().map(|member| member.node).collect(),
            Effect::Note { text, .. } => self.host_mut(node.0).notes.push(text),
            Effect::Halt { reason } => panic!("node {node} halts: {reason}"),
        }
    }

    fn transmit(&mut self, from: NodeId, to: NodeId, message: Box<PeerMessage>) {
        if matches!(*message, PeerMessage::Introduction(_)) {
            *self.introductions.entry(from).or_default() += 1;
        }
        let lost = self.network.loss > 0 && self.dice.one_in(self.network.loss);
        let up = self.hosts.get(&to).is_some_and(|host| host.machine.is_some()) && self.hosts[&from].links.contains(&to);
        if lost || !up || self.cuts.contains(&(from, to)) {
            return;
        }
        // What links send has been through their codec; a sample of it shows whether it gets through.
        let message = if self.dice.one_in(16) {
            let bytes = rmp_serde::to_vec(&message).expect("a message encodes");
            rmp_serde::from_slice(&bytes).expect("a message decodes")
        } else {
            message
        };
        let (often, long) = self.network.straggle;
        let (low, high) = self.network.delay;
        let delay = if often > 0 && self.dice.one_in(often) { self.dice.between(high, long) } else { self.dice.between(low, high) };
        self.schedule(self.now + delay, to, Happening::Arrive { from, message });
    }

    fn told(&mut self, node: NodeId, fact: Fact) {
        if let Fact::Committed { index, state, .. } = &fact
            && self.foreign != Some(node)
        {
            let bytes = rmp_serde::to_vec_named(state).expect("a state encodes");
            let known = self.history.entry(*index).or_insert_with(|| bytes.clone());
            assert!(*known == bytes, "at {} us node {node} has another state at index {index} than somebody before it", self.now);
            if let Some(primary) = &state.primary
                && self.appointments.insert(primary.epoch, primary.appointed_at.0).is_none()
            {
                let proposed = &self.proposed[&primary.appointed_at.0];
                assert!(proposed.still_valid.is_empty(), "epoch {} was appointed although {:?}", primary.epoch, proposed.still_valid);
            }
        }
        self.granted += u64::from(matches!(fact, Fact::Leased(_)));
        let host = self.host_mut(node.0);
        let released = host.released;
        let Some((epoch, end)) = host.holder.hear(fact, released) else { return };
        let end = self.true_time(node, end);
        if end <= self.now {
            return;
        }
        self.grants += 1;
        let others: Vec<String> = self
            .hosts
            .iter()
            .filter(|(other, _)| **other != node)
            .filter_map(|(other, host)| {
                let (epoch, end) = host.lease?;
                (end > self.now).then(|| format!("node {other} holds epoch {epoch} for another {} us", end - self.now))
            })
            .collect();
        assert!(others.is_empty(), "at {} us node {node} holds a lease of epoch {epoch}, but {others:?}", self.now);
        let host = self.host_mut(node.0);
        let end = host.lease.filter(|(held, _)| *held == epoch).map_or(end, |(_, held)| held.max(end));
        host.lease = Some((epoch, end));
    }
}

/// What a store does with a batch.
pub(crate) fn write(stored: &mut Stored, batch: Batch) {
    if batch.reset {
        *stored = Stored::default();
    }
    if let Some(identity) = batch.identity {
        stored.identity = Some(identity);
    }
    if let Some(image) = batch.snapshot {
        stored.entries.retain(|entry| entry.index > image.index);
        stored.snapshot = Some(image);
    }
    if let Some(first) = batch.entries.first() {
        stored.entries.retain(|entry| entry.index < first.index);
        stored.entries.extend(batch.entries);
    }
    if let Some(hard_state) = batch.hard_state {
        stored.hard_state = hard_state;
    }
}
