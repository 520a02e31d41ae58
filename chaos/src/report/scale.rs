//! From instants to places on the picture, and the colours of the nodes. Pure.

use crate::history::History;
use actors::machine::Timestamp;
use std::time::Duration;

/// Left of the time there are names.
pub(super) const GUTTER: f64 = 104.0;
/// Right of it there is some air, where the last labels end.
const MARGIN: f64 = 130.0;
/// The time is drawn at least and at most so wide.
const WIDTH: (f64, f64) = (1030.0, 9000.0);
/// And in between, so many pixels a second.
const PIXELS_PER_SECOND: f64 = 5.0;
const PALETTE: [&str; 9] = ["#2f7fd0", "#2e9e6b", "#c9702a", "#8d5fc7", "#b0485f", "#4b8f98", "#8a8a2a", "#6b6f7a", "#a0579b"];

/// The time axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    began: Timestamp,
    length: Duration,
    width: f64,
}

impl Scale {
    pub(super) fn of(history: &History) -> Self {
        let last = history.records.iter().map(|record| record.at).max().unwrap_or(history.began);
        let length = last.since(history.began).max(Duration::from_secs(1));
        let width = (length.as_secs_f64() * PIXELS_PER_SECOND).clamp(WIDTH.0, WIDTH.1);
        Self { began: history.began, length, width }
    }

    pub(super) const fn length(&self) -> Duration {
        self.length
    }

    /// Of the whole picture.
    pub(super) fn picture_width(&self) -> f64 {
        GUTTER + self.width + MARGIN
    }

    pub(super) fn right(&self) -> f64 {
        GUTTER + self.width
    }

    pub(super) fn x(&self, at: Timestamp) -> f64 {
        self.x_after(at.since(self.began))
    }

    pub(super) fn x_after(&self, passed: Duration) -> f64 {
        GUTTER + self.width * (passed.as_secs_f64() / self.length.as_secs_f64()).min(1.0)
    }

    /// Seconds between two ticks, so that they stand neither too close nor too far apart.
    pub(super) fn tick(&self) -> u64 {
        let wanted = 70.0 * self.length.as_secs_f64() / self.width;
        [5_u32, 10, 15, 30, 60, 120, 300, 600].into_iter().find(|&tick| f64::from(tick) >= wanted).unwrap_or(1800).into()
    }
}

/// The colour of the node at a place.
pub(super) fn node_colour(place: usize) -> &'static str {
    PALETTE[place % PALETTE.len()]
}
