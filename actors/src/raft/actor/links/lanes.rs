//! The queue of one link, in two lanes, bounded in frames and in bytes.
//!
//! What does not fit is dropped, the newest first: Raft, leases and reports all say again what still matters, and what waits in front is older
//! but sooner there. A queue lives exactly as long as its connection, so that nothing stale is sent over the next one.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Of one lane.
const FRAMES_MAX: usize = 256;
/// Of both lanes together; one frame always fits.
const BYTES_MAX: usize = 8 << 20;

/// Where frames are put in.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    urgent: mpsc::Sender<Bytes>,
    bulk: mpsc::Sender<Bytes>,
    weight: Arc<Weight>,
}

/// Where they come out.
#[derive(Debug)]
pub(super) struct Outlet {
    urgent: mpsc::Receiver<Bytes>,
    bulk: mpsc::Receiver<Bytes>,
    weight: Arc<Weight>,
}

#[derive(Debug, Default)]
struct Weight {
    queued: AtomicUsize,
    dropped: AtomicU64,
}

pub(super) fn lanes() -> (Lanes, Outlet) {
    let ((urgent, urgent_out), (bulk, bulk_out)) = (mpsc::channel(FRAMES_MAX), mpsc::channel(FRAMES_MAX));
    let weight = Arc::new(Weight::default());
    (Lanes { urgent, bulk, weight: Arc::clone(&weight) }, Outlet { urgent: urgent_out, bulk: bulk_out, weight })
}

impl Lanes {
    /// Queues a frame, or drops it. Never waits.
    pub(super) fn put(&self, frame: Bytes, bulk: bool) -> bool {
        let length = frame.len();
        let before = self.weight.queued.fetch_add(length, Ordering::SeqCst);
        let fits = before == 0 || before + length <= BYTES_MAX;
        let lane = if bulk { &self.bulk } else { &self.urgent };
        if fits && lane.try_send(frame).is_ok() {
            return true;
        }
        self.weight.queued.fetch_sub(length, Ordering::SeqCst);
        self.weight.dropped.fetch_add(1, Ordering::SeqCst);
        false
    }

    /// How many frames were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.weight.dropped.load(Ordering::SeqCst)
    }
}

impl Outlet {
    /// The next frame, the urgent ones first. None when nobody can put one in any more. Safe to be cancelled.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let frame = tokio::select! {
            biased;
            Some(frame) = self.urgent.recv() => frame,
            Some(frame) = self.bulk.recv() => frame,
            else => return None,
        };
        Some(self.weigh_out(frame))
    }

    /// The next frame, if one is there.
    pub(super) fn try_next(&mut self) -> Option<Bytes> {
        let frame = self.urgent.try_recv().or_else(|_| self.bulk.try_recv()).ok()?;
        Some(self.weigh_out(frame))
    }

    fn weigh_out(&self, frame: Bytes) -> Bytes {
        self.weight.queued.fetch_sub(frame.len(), Ordering::SeqCst);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Bytes {
        vec![0; length].into()
    }

    #[test]
    fn urgent_frames_overtake_bulk() {
        let (lanes, mut outlet) = lanes();
        for (length, bulk) in [(100, true), (101, true), (1, false), (2, false)] {
            assert!(lanes.put(frame(length), bulk));
        }
        let lengths: Vec<_> = std::iter::from_fn(|| outlet.try_next()).map(|frame| frame.len()).collect();
        assert_eq!(lengths, [1, 2, 100, 101]);
    }

    #[test]
    fn a_full_lane_drops_the_newest_and_counts_it_and_the_other_lane_is_open() {
        let (lanes, mut outlet) = lanes();
        for length in 1..=FRAMES_MAX + 5 {
            assert_eq!(lanes.put(frame(length), true), length <= FRAMES_MAX);
        }
        assert_eq!(lanes.dropped(), 5);
        assert!(lanes.put(frame(7), false));
        assert_eq!(outlet.try_next().map(|frame| frame.len()), Some(7));
        assert_eq!(outlet.try_next().map(|frame| frame.len()), Some(1), "the oldest is still there");
        assert!(lanes.put(frame(9), true), "there is room again");
    }

    #[test]
    fn few_large_frames_fill_it_as_well_and_one_always_fits() {
        let (lanes, mut outlet) = lanes();
        assert!(lanes.put(frame(BYTES_MAX + 1), true));
        assert!(!lanes.put(frame(1), true), "it is full");
        assert!(outlet.try_next().is_some());
        for _ in 0..8 {
            assert!(lanes.put(frame(BYTES_MAX / 8), true));
        }
        assert!(!lanes.put(frame(1), true));
    }

    #[tokio::test]
    async fn it_ends_with_its_senders_and_after_what_they_queued() {
        let (lanes, mut outlet) = lanes();
        lanes.put(frame(3), true);
        drop(lanes);
        assert!(outlet.next().await.is_some());
        assert!(outlet.next().await.is_none());
    }
}
