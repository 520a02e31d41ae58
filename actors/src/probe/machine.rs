//! One peer's probe: what to send it, and what to make of what it sends.

use super::{Config, Detector};
use crate::machine::{Machine, Timestamp, Woken};
use crate::model::{Boot, Health, NodeId, Report};
use alloc::vec::Vec;
use core::time::Duration;

/// Changes of our own report that follow each other faster than this are sent as one: a burst of them must not flood the link on which
/// Raft's heartbeats travel, too.
const SEND_GAP_MIN: Duration = Duration::from_millis(20);

/// What a probe takes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The alarm.
    Woken,
    /// Our own newest report. Told again at least once an interval, since a probe that was restarted has forgotten it.
    Reported(Report),
    /// The peer's report arrived.
    Heard(Report),
    /// The link to the peer came up.
    Linked,
    /// The link to the peer broke.
    Unlinked,
    /// The peer's database was asked.
    Asked(Opinion),
}

impl From<Woken> for Input {
    fn from(_: Woken) -> Self {
        Self::Woken
    }
}

/// What the peer's database made of our question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// The question that this answers; an answer to an older question is of no use.
    pub number: u64,
    /// Whether it answered. An error in PostgreSQL's own words is an answer, too.
    pub reachable: bool,
}

/// What a probe orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send our report to the peer.
    Send(Report),
    /// Ask the peer's database, on a new connection, and tell the probe the outcome.
    AskDatabase {
        /// The number of the question, to be repeated in the [`Opinion`].
        number: u64,
    },
    /// Tell the FSM.
    Tell(Observed),
}

/// What the FSM hears of a peer: with every report of it, and whenever its health changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Who.
    pub peer: NodeId,
    /// How it looks.
    pub health: Health,
    /// Its newest report. Kept when it falls silent, so that its last word stays known.
    pub report: Option<Report>,
    /// When that arrived.
    pub heard_at: Option<Timestamp>,
    /// Whether its database answers although the peer is silent. None while the peer is not red, and until the first answer.
    pub database_answers: Option<bool>,
}

/// The machine.
#[derive(Debug)]
pub struct Probe {
    config: Config,
    detector: Detector,
    peer: NodeId,
    /// Our newest report.
    own: Option<Report>,
    /// When we sent which report last.
    sent: Option<(Timestamp, Report)>,
    /// The peer should have our newest report before the interval is over.
    urgent: bool,
    /// The peer's newest report, and when it arrived.
    heard: Option<(Timestamp, Report)>,
    /// The peer's life before the present one: what still arrives from it is no news, as long as the present one is heard.
    former_boot: Option<Boot>,
    /// The link broke and nothing has arrived since.
    severed: bool,
    /// The first step: silence before it was not silence.
    born_at: Option<Timestamp>,
    inquiry: Inquiry,
    told: Option<Observed>,
    wake_at: Option<Timestamp>,
}

/// The second opinion on a red peer.
#[derive(Debug, Default)]
struct Inquiry {
    number: u64,
    asked_at: Option<Timestamp>,
    answer: Option<bool>,
}

impl Probe {
    /// Watches `peer`.
    #[must_use]
    pub fn new(peer: NodeId, config: Config) -> Self {
        Self {
            config,
            detector: Detector::new(&config),
            peer,
            own: None,
            sent: None,
            urgent: false,
            heard: None,
            former_boot: None,
            severed: false,
            born_at: None,
            inquiry: Inquiry::default(),
            told: None,
            wake_at: None,
        }
    }

    fn fold(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Woken => {}
            Input::Reported(report) => {
                self.urgent |= self.sent.as_ref().is_none_or(|(_, sent)| !same_content(sent, &report));
                self.own = Some(report);
            }
            Input::Heard(report) => self.hear(now, report),
            Input::Linked => {
                self.severed = false;
                self.urgent = true;
            }
            Input::Unlinked => self.severed = true,
            Input::Asked(opinion) => {
                if self.inquiry.asked_at.is_some() && opinion.number == self.inquiry.number {
                    self.inquiry.answer = Some(opinion.reachable);
                }
            }
        }
    }

    /// An equal `seq` is the same account once more: a sign of life. A lower one is late.
    ///
    /// Which of two lives is the later one shows only in who goes on talking: a report of a life before the former one may arrive so late that
    /// the present life passes for the former.
    fn hear(&mut self, now: Timestamp, report: Report) {
        let talks = self.detector.judge(now.since(self.silent_since())) != Health::Red;
        if report.node != self.peer || self.former_boot == Some(report.boot) && talks {
            return;
        }
        if let Some((_, newest)) = &self.heard {
            if newest.boot != report.boot {
                self.former_boot = Some(newest.boot);
            } else if report.seq < newest.seq {
                return;
            }
        }
        self.severed = false;
        self.heard = Some((now, report));
    }

    fn send(&mut self, now: Timestamp) -> Option<Effect> {
        if self.send_at()? > now {
            return None;
        }
        let own = self.own.clone()?;
        self.sent = Some((now, own.clone()));
        self.urgent = false;
        Some(Effect::Send(own))
    }

    fn send_at(&self) -> Option<Timestamp> {
        self.own.as_ref()?;
        let Some((sent_at, _)) = &self.sent else { return Some(Timestamp::default()) };
        Some(*sent_at + if self.urgent { SEND_GAP_MIN.min(self.config.interval) } else { self.config.interval })
    }

    fn silent_since(&self) -> Timestamp {
        self.heard.as_ref().map(|(at, _)| *at).or(self.born_at).unwrap_or_default()
    }

    fn health(&self, now: Timestamp) -> Health {
        let judged = self.detector.judge(now.since(self.silent_since()));
        match (&self.heard, self.severed) {
            (None, _) => Health::Red,
            (Some(_), true) => judged.max(Health::Yellow),
            (Some(_), false) => judged,
        }
    }

    /// A peer that was never heard is red from the start, but its silence still has to last before anybody asks behind its back. While it
    /// stays red the question is repeated, since an old answer misleads.
    fn ask(&mut self, now: Timestamp) -> Option<Effect> {
        if self.detector.judge(now.since(self.silent_since())) != Health::Red {
            self.inquiry.asked_at = None;
            self.inquiry.answer = None;
            return None;
        }
        if self.inquiry.asked_at.is_some_and(|asked_at| now < asked_at + self.ask_again_after()) {
            return None;
        }
        self.inquiry.number += 1;
        self.inquiry.asked_at = Some(now);
        Some(Effect::AskDatabase { number: self.inquiry.number })
    }

    /// Never before the previous question has run out of time.
    fn ask_again_after(&self) -> Duration {
        self.detector.red_after().max(self.config.timeout * 2)
    }

    fn tell(&mut self, now: Timestamp) -> Option<Effect> {
        let observed = Observed {
            peer: self.peer,
            health: self.health(now),
            report: self.heard.as_ref().map(|(_, report)| report.clone()),
            heard_at: self.heard.as_ref().map(|(at, _)| *at),
            database_answers: self.inquiry.answer,
        };
        if self.told.as_ref() == Some(&observed) {
            return None;
        }
        self.told = Some(observed.clone());
        Some(Effect::Tell(observed))
    }

    fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.silent_since();
        let change = self.detector.next_change(now.since(since));
        // A peer that was never heard does not turn yellow first.
        let change = if self.heard.is_some() { change } else { change.map(|_| self.detector.red_after()) };
        let judged_anew = change.map(|silence| since + silence);
        let ask_again = self.inquiry.asked_at.map(|asked_at| asked_at + self.ask_again_after());
        [self.send_at(), judged_anew, ask_again].into_iter().flatten().min()
    }
}

impl Machine for Probe {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        self.born_at.get_or_insert(now);
        self.fold(now, input);
        let effects = [self.send(now), self.ask(now), self.tell(now)].into_iter().flatten().collect();
        self.wake_at = self.next_wake(now);
        effects
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.wake_at
    }
}

/// Whether the two say the same, whenever they say it.
fn same_content(left: &Report, right: &Report) -> bool {
    let Report { node, boot, seq: _, epoch, stopping, tags, database } = left;
    (node, boot, epoch, stopping, tags, database) == (&right.node, &right.boot, &right.epoch, &right.stopping, &right.tags, &right.database)
}

#[cfg(test)]
mod tests;
