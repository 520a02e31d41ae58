//! A model of PostgreSQL: what lies in a data directory, and a server that runs on it.
//!
//! The log is a list of records with unique numbers. A record is only ever appended to one history, so two logs that hold the same record at
//! the same place agree on everything before it.

use actors::guard::control_file::{ControlFile, DbState};
use actors::model::{Epoch, Lsn, Position, Promotion, SystemIdentifier, Timeline};
use actors::pg::Phase;

/// The log of a fresh database ends here.
const FIRST: u64 = 0x1000;
/// A checkpoint's record.
pub(super) const CHECKPOINT: u64 = 0x78;

/// A record of the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Unique in the world.
    pub(super) number: u64,
    /// Its end.
    pub(super) end: u64,
}

/// A data directory.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub(super) identifier: SystemIdentifier,
    /// Where each timeline began, oldest first.
    pub(super) history: Vec<Promotion>,
    pub(super) log: Vec<Record>,
    /// The log before this is not here: a clone takes along only what it needs.
    pub(super) oldest: u64,
    /// The marks that were noted beside it, and go along with every copy and rewind.
    pub(super) noted: Vec<Promotion>,
    /// Up to here the log survives the loss of power; all of it from `settles_at` on.
    pub(super) durable: usize,
    pub(super) settles_at: u64,
    pub(super) state: DbState,
    /// When that was written, in seconds.
    pub(super) written: i64,
    pub(super) standby_signal: bool,
    /// Blocks were taken over from a server that had written up to here: without that the database is not consistent, and lets nobody in.
    pub(super) needs: Option<Record>,
    /// A rewind was broken off: nothing but a clone helps.
    pub(super) unfinished: bool,
    /// Somebody else's, and no initdb of this story made it.
    pub(super) foreign: bool,
}

impl Data {
    pub(super) fn fresh(identifier: SystemIdentifier, number: u64) -> Self {
        Self {
            identifier,
            history: vec![Promotion { timeline: Timeline(1), lsn: Lsn(0), mark: None }],
            log: vec![Record { number, end: FIRST }],
            oldest: 0,
            noted: Vec::new(),
            durable: 1,
            settles_at: 0,
            state: DbState::ShutDown,
            written: 0,
            standby_signal: false,
            needs: None,
            unfinished: false,
            foreign: false,
        }
    }

    pub(super) fn end(&self) -> Lsn {
        Lsn(self.log.last().map_or(0, |record| record.end))
    }

    pub(super) fn timeline(&self) -> Timeline {
        self.history.last().map(|promotion| promotion.timeline).unwrap_or_default()
    }

    pub(super) fn position(&self) -> Position {
        Position { timeline: self.timeline(), lsn: self.end() }
    }

    /// Where that many records end.
    pub(super) fn position_after(&self, records: usize) -> Position {
        let lsn = Lsn(records.checked_sub(1).and_then(|last| self.log.get(last)).map_or(0, |record| record.end));
        let timeline = self.history.iter().rev().find(|promotion| promotion.lsn < lsn || promotion.lsn.0 == 0);
        Position { timeline: timeline.map(|promotion| promotion.timeline).unwrap_or_default(), lsn }
    }

    /// What the adapter can read of it: a timeline's mark lies in its first record, or was noted.
    pub(super) fn lineage(&self) -> Vec<Promotion> {
        let noted = |promotion: &Promotion| {
            let noted = self.noted.iter().find(|noted| (noted.timeline, noted.lsn) == (promotion.timeline, promotion.lsn));
            noted.and_then(|noted| noted.mark)
        };
        let read = |promotion: &Promotion| if promotion.lsn.0 >= self.oldest { promotion.mark } else { noted(promotion) };
        let mark = |promotion: &Promotion| if promotion.lsn < self.end() { read(promotion) } else { None };
        self.history.iter().map(|promotion| Promotion { mark: mark(promotion), ..*promotion }).collect()
    }

    pub(super) fn note_marks(&mut self) {
        self.noted = self.lineage();
        self.noted.retain(|promotion| promotion.mark.is_some());
    }

    pub(super) fn control(&self) -> ControlFile {
        ControlFile {
            system_identifier: self.identifier,
            pg_control_version: 1300,
            catalog_version: 1,
            state: self.state,
            time: self.written,
            checkpoint: Lsn(0),
            redo: Lsn(0),
            timeline: self.timeline(),
        }
    }

    /// As the adapter reads it.
    pub(super) const fn phase(&self) -> Phase {
        match self.state {
            DbState::InProduction | DbState::ShuttingDown | DbState::InCrashRecovery => Phase::Production,
            DbState::ShutDown => Phase::ShutDown,
            DbState::Startup | DbState::ShutDownInRecovery | DbState::InArchiveRecovery => Phase::Recovery,
        }
    }

    pub(super) fn set_state(&mut self, now: u64, state: DbState) {
        self.state = state;
        self.written = i64::try_from(now / 1_000_000).expect("a short story");
    }

    /// Appends a record that is on disk from `settles_at` on.
    pub(super) fn append(&mut self, now: u64, settles_at: u64, number: u64, size: u64) {
        self.settle(now);
        let end = self.end().0 + size;
        self.log.push(Record { number, end });
        self.settles_at = settles_at.max(self.settles_at);
    }

    /// Everything up to there is on disk.
    pub(super) fn flushed(&mut self, end: u64) {
        self.durable = self.durable.max(self.log.partition_point(|record| record.end <= end));
    }

    /// What was written long enough ago is durable.
    pub(super) fn settle(&mut self, now: u64) {
        if now >= self.settles_at {
            self.durable = self.log.len();
        }
    }

    /// Power is lost.
    pub(super) fn lose_power(&mut self, now: u64) {
        self.settle(now);
        self.log.truncate(self.durable);
        let end = self.end();
        self.history.retain(|promotion| promotion.lsn <= end);
    }

    fn has(&self, record: Record) -> bool {
        let at = self.log.partition_point(|own| own.end < record.end);
        self.log.get(at) == Some(&record)
    }

    /// It has all that its blocks need.
    pub(super) fn is_consistent(&self) -> bool {
        self.needs.is_none_or(|needs| self.has(needs))
    }

    /// Everything here is also there, record by record, and so is what is needed here and not there yet.
    pub(super) fn is_part_of(&self, other: &Self) -> bool {
        let last = self.log.len().checked_sub(1);
        let fits = self.identifier == other.identifier && self.needs.is_none_or(|needs| self.has(needs) || other.has(needs));
        fits && last.is_none_or(|last| other.log.get(last) == Some(&self.log[last]))
    }

    /// What a walsender would think: it knows only the numbers of timelines and where they began.
    pub(super) fn seems_part_of(&self, other: &Self) -> bool {
        let alike = |ours: &Promotion, theirs: &Promotion| (ours.timeline, ours.lsn) == (theirs.timeline, theirs.lsn);
        let shared = self.history.iter().zip(&other.history).take_while(|(ours, theirs)| alike(ours, theirs)).count();
        let forked = other.history.get(shared).map_or(other.end(), |next| next.lsn);
        shared == self.history.len() && self.end() <= forked.min(other.end())
    }

    /// What it would stream to: it begins with a whole segment that both have, and does not see that the other has more than it.
    pub(super) fn streams_from(&self, other: &Self) -> bool {
        let alike = |ours: &Promotion, theirs: &Promotion| (ours.timeline, ours.lsn) == (theirs.timeline, theirs.lsn);
        let shared = self.history.iter().zip(&other.history).take_while(|(ours, theirs)| alike(ours, theirs)).count();
        shared == self.history.len() && other.history.get(shared).is_none_or(|next| self.end() <= next.lsn)
    }

    /// So many records are in both.
    pub(super) fn shared_with(&self, other: &Self) -> usize {
        let mut shared = self.log.len().min(other.log.len());
        while shared > 0 && self.log[shared - 1] != other.log[shared - 1] {
            shared -= 1;
        }
        shared
    }

    /// Takes over what a sender had up to a record of its log.
    pub(super) fn receive(&mut self, now: u64, settles_at: u64, from: &Self, upto: usize) {
        self.settle(now);
        let have = self.log.len();
        if have < upto {
            self.log.extend_from_slice(&from.log[have..upto]);
            self.settles_at = settles_at;
        }
        let end = self.end();
        self.history = from.history.iter().copied().filter(|promotion| promotion.lsn <= end).collect();
    }

    /// `pg_rewind`: only what is in both is left, and the rest is to be streamed.
    pub(super) fn rewind_to(&mut self, other: &Self) {
        let shared = self.shared_with(other);
        self.log.truncate(shared);
        self.durable = shared;
        self.needs = other.log.last().copied();
        let end = self.end();
        self.history = other.history.iter().copied().filter(|promotion| promotion.lsn < end || promotion.lsn.0 == 0).collect();
        self.noted.clone_from(&other.noted);
    }
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Read-only.
    Standby,
    /// Told to become a primary of that epoch; it may write at any instant.
    Promoting(Epoch),
    /// Writes, or will once it is up.
    Primary(Epoch),
}

/// A server: its postmaster, and whatever that has started.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) pid: u32,
    /// The guard that is its parent; zero for one that an operator started.
    pub(super) guard: u64,
    /// When it began.
    pub(super) began: u64,
    pub(super) nature: Nature,
    pub(super) up: bool,
    /// It has recovered in place so often, and its checkpointer is another one each time.
    pub(super) crashes: u32,
    /// Since when, and until when, it recovers in place.
    pub(super) recovers: Option<(u64, u64)>,
    /// The upstream's node.
    pub(super) follows: Option<usize>,
    /// The epoch for which it was told to, if that one was promoted by then: so the histories should have been compared.
    pub(super) compared: Option<Epoch>,
    pub(super) streams: bool,
    /// Whether what it receives goes on from what it has, once that was looked at since it connected. No stands.
    pub(super) vetted: Option<bool>,
    /// Its log says that it has more than its upstream, or something else.
    pub(super) diverged: bool,
    /// A delivery from its upstream is on its way.
    pub(super) awaits: bool,
    /// It has received something since its start.
    pub(super) received: bool,
    /// Of the log on its disk it has replayed so many records, until it has replayed all of them then.
    pub(super) replayed: (usize, u64),
    /// Where the log on its disk ended when that life of the daemon looked.
    pub(super) on_disk: Option<(u64, Position)>,
    /// Told to stop; sessions are closed.
    pub(super) stopping: bool,
    /// Its postmaster is dead: its backends go on until they are gone.
    pub(super) dying: bool,
    /// The guard kills whatever is left.
    pub(super) killed: bool,
}

impl Server {
    /// Whether it may accept a write.
    pub(super) const fn is_writable(&self) -> bool {
        !matches!(self.nature, Nature::Standby)
    }

    pub(super) const fn epoch(&self) -> Option<Epoch> {
        match self.nature {
            Nature::Standby => None,
            Nature::Promoting(epoch) | Nature::Primary(epoch) => Some(epoch),
        }
    }

    /// How far it says that it is.
    pub(super) fn says(&self, now: u64, data: &Data) -> Position {
        let (records, until) = self.replayed;
        if self.received || now >= until || self.nature != Nature::Standby { data.position() } else { data.position_after(records) }
    }

    /// An operator started it.
    pub(super) const fn is_strange(&self) -> bool {
        self.guard == 0
    }

    /// Whether a session could commit something now.
    pub(super) const fn serves_writes(&self) -> bool {
        self.up && !self.stopping && matches!(self.nature, Nature::Primary(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(numbers: &[u64]) -> Data {
        let mut data = Data::fresh(SystemIdentifier(1), 1);
        for number in numbers {
            data.append(0, 10, *number, 16);
        }
        data
    }

    #[test]
    fn what_is_not_on_disk_is_lost_with_the_power() {
        let mut lost = data(&[2, 3]);
        lost.lose_power(5);
        assert_eq!(lost.log.len(), 1);
        let mut kept = data(&[2, 3]);
        kept.lose_power(10);
        assert_eq!(kept.log.len(), 3);
    }

    #[test]
    fn what_was_flushed_survives_while_more_is_written() {
        let mut data = data(&[2]);
        let end = data.end().0;
        data.append(5, 15, 3, 16);
        data.flushed(end);
        data.lose_power(12);
        assert_eq!(data.end().0, end);
    }

    #[test]
    fn a_diverged_log_is_told_from_a_prefix_and_rewound_to_the_fork() {
        let (ours, mut theirs) = (data(&[2, 3, 4]), data(&[2, 5]));
        assert!(data(&[2]).is_part_of(&theirs));
        assert!(!ours.is_part_of(&theirs));
        theirs.append(20, 20, 6, 64);
        let mut rewound = ours;
        rewound.rewind_to(&theirs);
        assert_eq!(rewound.log.len(), 2);
        assert!(rewound.is_part_of(&theirs));
        rewound.receive(30, 31, &theirs, theirs.log.len());
        assert_eq!(rewound.end(), theirs.end());
    }

    #[test]
    fn a_copy_with_more_than_its_primary_streams_all_the_same() {
        let (primary, ahead) = (data(&[2]), data(&[2, 3]));
        assert!(ahead.streams_from(&primary));
        assert!(!ahead.is_part_of(&primary));
    }

    #[test]
    fn two_timelines_of_one_number_seem_the_same_and_are_not() {
        let promote = |number: u64| {
            let mut promoted = data(&[2]);
            let lsn = promoted.end();
            promoted.history.push(Promotion { timeline: Timeline(2), lsn, mark: None });
            promoted.append(20, 20, number, 16);
            promoted
        };
        let (one, twin) = (promote(7), promote(8));
        assert!(one.seems_part_of(&twin));
        assert!(one.streams_from(&twin));
        assert!(!one.is_part_of(&twin));
    }
}
