//! Numbers as people read them.

use std::time::Duration;

/// `512 B`, `1.5 MiB`.
pub(super) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut scaled = count as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", units[unit])
}

/// `2.4 s`, `3 min`, `5 h`.
pub(super) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_meaning() {
        for (count, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (16 << 20, "16.0 MiB"), (5 << 50, "5120.0 TiB")] {
            assert_eq!(bytes(count), text);
        }
        for (millis, text) in [(0, "0.0 s"), (2440, "2.4 s"), (10_000, "10 s"), (119_000, "119 s"), (180_000, "3 min"), (18_000_000, "5 h")]
        {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}
