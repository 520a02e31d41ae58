//! Whether what a store holds is one unbroken log.

use super::error::Flaw;
use crate::raft::Stored;

/// `written` is the last index that was ever written into this log, as the store itself noted it.
pub(super) fn check(stored: &Stored, written: u64) -> Result<(), Flaw> {
    let (start, mut term) = stored.snapshot.as_ref().map_or((0, 0), |snapshot| (snapshot.index, snapshot.term));
    let mut last = start;
    for entry in &stored.entries {
        if entry.index <= start {
            return Err(Flaw::Covered { index: entry.index, snapshot: start });
        }
        if entry.index != last + 1 {
            return Err(Flaw::Gap { after: last, found: entry.index });
        }
        if entry.term < term {
            return Err(Flaw::TermsFall { index: entry.index, term: entry.term, before: term });
        }
        (last, term) = (entry.index, entry.term);
    }
    if last != written {
        return Err(Flaw::Cut { written, found: last });
    }
    if stored.hard_state.commit > last {
        return Err(Flaw::CommittedIsMissing { commit: stored.hard_state.commit, last });
    }
    let empty = Stored { identity: None, ..Stored::default() };
    if stored.identity.is_none() && *stored != empty {
        return Err(Flaw::Nameless);
    }
    Ok(())
}
