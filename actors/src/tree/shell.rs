//! The generic actor around every machine.
//!
//! It reads the clock, steps the machine, has the hands perform the effects in the order listed, and re-arms one alarm. It holds no state of
//! its own besides: what must survive a death is in the log or in the database.

use super::address::Address;
use super::clock::Clock;
use super::supervisor::{Facts, Name};
use crate::machine::{Machine, Timestamp, Woken};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::error::Error;
use std::marker::PhantomData;
use std::time::Duration;

/// A step that takes longer than this is worth a warning: nothing else of the node's business is done meanwhile.
const STEP_MAX: Duration = Duration::from_millis(100);
/// An alarm is re-checked at least this often, since the runtime's timers stand still while the host sleeps, and deadlines do not.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What performs a machine's effects.
pub trait Hands<M: Machine>: Send + 'static {
    /// Performs one effect. It must not wait: what takes time is spawned, and its outcome told to `me` as one more fact. An error ends the
    /// actor, and its supervisor takes over.
    fn perform(&mut self, now: Timestamp, effect: M::Effect, me: &Address<M::Input>) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// What arrives in a shell's mailbox.
#[derive(Debug)]
pub enum Parcel<I> {
    /// A fact.
    Told(I),
    /// The alarm of this number went off; alarms of other numbers were re-armed meanwhile.
    Alarm(u64),
}

/// Carries a machine.
pub(super) struct Shell<M, H>(PhantomData<fn() -> (M, H)>);

impl<M, H> Shell<M, H> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

pub(super) struct Carried<M: Machine, H> {
    /// Names the actor in every line that is logged during a step.
    span: tracing::Span,
    machine: M,
    hands: H,
    clock: Clock,
    address: Address<M::Input>,
    alarm: Alarm,
    /// Told before anything that arrives, once.
    facts: Option<Facts<M>>,
}

/// What a shell starts with.
pub(super) struct Start<M: Machine, H> {
    pub(super) name: Name,
    pub(super) machine: M,
    pub(super) hands: H,
    pub(super) facts: Facts<M>,
    pub(super) clock: Clock,
    pub(super) address: Address<M::Input>,
}

#[derive(Default)]
struct Alarm {
    number: u64,
    armed_for: Option<Timestamp>,
    sleeper: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(sleeper) = self.sleeper.take() {
            sleeper.abort();
        }
    }
}

impl<M, H> Actor for Shell<M, H>
where
    M: Machine,
    H: Hands<M>,
{
    type Msg = Parcel<M::Input>;
    type State = Carried<M, H>;
    type Arguments = Start<M, H>;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, start: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        let Start { name, machine, hands, facts, clock, address } = start;
        let span = tracing::error_span!("actor", %name);
        Ok(Carried { span, machine, hands, clock, address, alarm: Alarm::default(), facts: Some(facts) })
    }

    async fn post_start(&self, myself: ActorRef<Self::Msg>, carried: &mut Self::State) -> Result<(), ActorProcessingErr> {
        carried.address.move_in(myself.clone());
        for fact in carried.facts.take().into_iter().flat_map(|facts| facts()) {
            carried.step(&myself, fact)?;
        }
        carried.step(&myself, Woken.into())
    }

    async fn handle(&self, myself: ActorRef<Self::Msg>, parcel: Self::Msg, carried: &mut Self::State) -> Result<(), ActorProcessingErr> {
        match parcel {
            Parcel::Told(input) => carried.step(&myself, input),
            Parcel::Alarm(number) if number == carried.alarm.number => {
                carried.alarm.armed_for = None;
                carried.step(&myself, Woken.into())
            }
            Parcel::Alarm(_) => Ok(()),
        }
    }
}

impl<M, H> Carried<M, H>
where
    M: Machine,
    H: Hands<M>,
{
    fn step(&mut self, myself: &ActorRef<Parcel<M::Input>>, input: M::Input) -> Result<(), ActorProcessingErr> {
        let _whose = self.span.clone().entered();
        let now = self.clock.now();
        for effect in self.machine.step(now, input) {
            self.hands.perform(now, effect, &self.address)?;
        }
        let took = self.clock.now().since(now);
        if took > STEP_MAX {
            tracing::warn!(took_ms = took.as_millis(), "a step took long; the host may be short of CPU or memory");
        }
        self.arm(myself);
        Ok(())
    }

    /// One alarm at a time. It is armed anew only when the wanted instant has changed, so that a busy mailbox does not spawn a task per
    /// message.
    fn arm(&mut self, myself: &ActorRef<Parcel<M::Input>>) {
        let wanted = self.machine.wake_at();
        if wanted == self.alarm.armed_for && self.alarm.sleeper.as_ref().is_some_and(|sleeper| !sleeper.is_finished()) {
            return;
        }
        if let Some(sleeper) = self.alarm.sleeper.take() {
            sleeper.abort();
        }
        self.alarm.number += 1;
        self.alarm.armed_for = wanted;
        let Some(at) = wanted else { return };
        let number = self.alarm.number;
        let clock = self.clock;
        let myself = myself.clone();
        self.alarm.sleeper = Some(tokio::spawn(async move {
            loop {
                let left = at.since(clock.now());
                if left.is_zero() {
                    break;
                }
                tokio::time::sleep(left.min(SLEEP_MAX)).await;
            }
            // The actor is gone if this fails, and with it the need for an alarm.
            let _ = myself.send_message(Parcel::Alarm(number));
        }));
    }
}
