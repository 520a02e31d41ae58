//! A seeded world around the policy: a daemon that asks for anything in any order, a server that is promoted, crashes and lies, and an
//! alarm that goes off when the policy wants it. After every step the world checks, with a ledger of its own, that no writable server
//! lives without its lease.

use super::*;

/// splitmix64: good enough to vary the traces, and the same on every host.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

/// What really runs.
#[derive(Debug)]
struct Truth {
    as_primary: bool,
    state: DbState,
    time: i64,
    standby_signal: bool,
    /// Somebody has triggered a promotion, which has not finished yet.
    promoting: bool,
    /// Since when it accepts writes, and whether the guard was told to expect it.
    writable: Option<(Timestamp, bool)>,
    expected: bool,
}

struct World {
    policy: Policy,
    dice: Dice,
    now: Timestamp,
    server: Option<Truth>,
    /// The ledger: the leases that were acknowledged, and what was dropped.
    lease: Option<(u64, Timestamp)>,
    dropped: u64,
    kills: u64,
    renewals: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut policy = Policy::new(identity());
        policy.step(at(0), Input::Requested { id: 0, request: Request::Hello { protocol: PROTOCOL } });
        Self { policy, dice: Dice(seed), now: at(1000), server: None, lease: None, dropped: 0, kills: 0, renewals: 0 }
    }

    fn control(&self) -> Option<ControlFile> {
        self.server.as_ref().map(|truth| control(truth.state, truth.time))
    }

    /// Steps the policy and carries out what it wants, as the process does: at once and in order.
    fn tell(&mut self, input: Input) {
        for effect in self.policy.step(self.now, input) {
            match effect {
                Effect::Look => {
                    let standby_signal = self.server.as_ref().is_some_and(|truth| truth.standby_signal);
                    let look = Look { control: self.control(), standby_signal };
                    self.tell(Input::Looked(look));
                }
                Effect::Start(launch) => self.start(&launch),
                Effect::Kill => {
                    if self.server.take().is_some() {
                        self.kills += 1;
                        self.tell(Input::PostmasterEnded(ExitStatus::Signal(9)));
                    }
                    self.tell(Input::NoneLeft { survivors_killed: 0 });
                }
                Effect::Say(Said::Answer { answer: Answer::Leased { end }, id }) => {
                    let epoch = id;
                    assert!(epoch > self.dropped, "a lease for a dropped epoch");
                    assert!(self.lease.is_none_or(|(known, _)| epoch >= known), "a lease for an older epoch");
                    assert!(self.lease.is_none_or(|(known, before)| epoch > known || end >= before), "the end moved back");
                    self.lease = Some((epoch, end));
                    self.renewals += 1;
                }
                Effect::Say(_) | Effect::Stop(_) => {}
                Effect::Quit => panic!("nobody asked for that"),
            }
        }
    }

    fn start(&mut self, launch: &Launch) {
        assert!(self.server.is_none(), "two servers");
        let as_primary = launch.as_primary.is_some();
        let found = [DbState::ShutDown, DbState::InProduction, DbState::ShutDownInRecovery][self.dice.roll(3) as usize];
        let writable = as_primary.then_some((self.now, true));
        let truth =
            Truth { as_primary, state: found, time: 0, standby_signal: !as_primary, promoting: false, writable, expected: as_primary };
        self.server = Some(truth);
        let control = self.control();
        self.tell(Input::Started { pid: 1, control });
    }

    /// Something happens to the server.
    fn live(&mut self) {
        let roll = self.dice.roll(6);
        let now = self.now;
        let Some(truth) = &mut self.server else { return };
        let write = |truth: &mut Truth, state| {
            truth.state = state;
            // Several writes fall into one second.
            truth.time += i64::from(roll.is_multiple_of(2));
        };
        match roll {
            _ if truth.as_primary => write(truth, DbState::InProduction),
            0 if truth.writable.is_none() && truth.state == DbState::InProduction => write(truth, DbState::InCrashRecovery),
            0 | 1 if truth.writable.is_none() => write(truth, DbState::InArchiveRecovery),
            2 if truth.writable.is_none() && truth.state == DbState::InArchiveRecovery => truth.promoting = true,
            3 if truth.promoting => {
                truth.promoting = false;
                truth.standby_signal = false;
                truth.writable = Some((now, truth.expected));
                write(truth, DbState::InProduction);
            }
            // A promoted server loses a backend and recovers.
            4 if truth.writable.is_some() => write(truth, DbState::InCrashRecovery),
            5 if truth.writable.is_some() => write(truth, DbState::InProduction),
            _ => {}
        }
    }

    fn ask(&mut self) {
        let newest = self.lease.map_or(1, |(epoch, _)| epoch).max(self.dropped);
        let epoch = (newest + self.dice.roll(4)).saturating_sub(1).max(1);
        let request = match self.dice.roll(10) {
            0..=3 => Request::Lease { epoch: Epoch(epoch), end: self.now + Duration::from_millis(self.dice.roll(3000)) },
            4 => Request::DropLease { epoch: Epoch(epoch) },
            5 => Request::Start(launch(None)),
            6 => Request::Start(launch(Some(Epoch(epoch)))),
            7 => Request::ExpectPromotion { epoch: Epoch(epoch) },
            8 => Request::Stop(StopMode::Fast),
            _ if self.dice.roll(8) == 0 => Request::Kill,
            _ => Request::Status,
        };
        if let Request::DropLease { epoch: Epoch(epoch) } = request {
            self.dropped = self.dropped.max(epoch);
            self.lease = self.lease.filter(|(leased, _)| *leased > epoch);
        }
        let expects = matches!(request, Request::ExpectPromotion { .. });
        // The number tells which epoch an answer is about.
        let id = epoch;
        if expects
            && let [Effect::Say(Said::Answer { answer: Answer::Done, .. })] =
                self.policy.step(self.now, Input::Requested { id, request: request.clone() }).as_slice()
            && let Some(truth) = &mut self.server
        {
            truth.expected = true;
        }
        if !expects {
            self.tell(Input::Requested { id, request });
        }
    }

    /// Time passes, but never past the alarm.
    fn pass(&mut self) {
        let step = Duration::from_millis(self.dice.roll(400));
        let alarm = self.policy.wake_at().unwrap_or(self.now + step);
        self.now = (self.now + step).min(alarm.max(self.now));
        self.tell(Input::Woken);
    }

    fn check(&self, seed: u64) {
        let Some(Truth { writable: Some((since, expected)), .. }) = &self.server else { return };
        let leased = self.lease.is_some_and(|(_, end)| self.now < end - MARGIN);
        // A promotion that nobody announced is seen at the next look.
        let unseen = !expected && self.now.since(*since) < LOOK_EVERY;
        assert!(leased || unseen, "seed {seed}: writable at {:?} under {:?}", self.now, self.lease);
    }
}

#[test]
fn no_trace_leaves_a_writable_server_without_its_lease() {
    let (mut kills, mut renewals, mut writable_steps) = (0, 0, 0);
    for seed in 0..2000 {
        let mut world = World::new(seed);
        for _ in 0..300 {
            match world.dice.roll(4) {
                0 => world.ask(),
                1 => world.live(),
                _ => world.pass(),
            }
            world.check(seed);
            writable_steps += u64::from(world.server.as_ref().is_some_and(|truth| truth.writable.is_some()));
        }
        kills += world.kills;
        renewals += world.renewals;
    }
    assert!(kills > 1000 && renewals > 10_000 && writable_steps > 10_000, "the world was too quiet: {kills} {renewals} {writable_steps}");
}

#[test]
fn no_standby_is_killed_that_was_never_promoted() {
    for seed in 0..500 {
        let mut world = World::new(seed);
        world.tell(Input::Requested { id: 0, request: Request::Start(launch(None)) });
        for _ in 0..300 {
            let epoch = world.dice.roll(5) + 1;
            match world.dice.roll(4) {
                0 => {
                    let end = world.now + Duration::from_millis(world.dice.roll(3000));
                    let request = Request::Lease { epoch: Epoch(epoch), end };
                    world.policy.step(world.now, Input::Requested { id: epoch, request });
                }
                1 => {
                    if let Some(truth) = &mut world.server {
                        truth.promoting = false;
                    }
                    world.live();
                }
                _ => world.pass(),
            }
            assert!(world.server.is_some(), "seed {seed}: a standby was killed at {:?}", world.now);
        }
    }
}
