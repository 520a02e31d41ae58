//! `[log]`: how the daemon tells what it does.

use super::reading::Reading;
use tracing_subscriber::filter::Targets;

/// What is logged if the file says nothing. Raft's own voice is only heard when something is wrong.
const DEFAULT: &str = "info";

/// Levels by name.
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// The daemon's log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// JSON for machines; otherwise text for people.
    pub(crate) json: bool,
    /// What is logged: levels by target, as `tracing_subscriber` reads them.
    pub(crate) filter: String,
}

/// Reads the section.
pub(super) fn read(reading: &mut Reading) -> Log {
    let json = reading.choice("log.format", &["text", "json"]) == "json";
    let level = reading.text_or("log.level", DEFAULT);
    let filter = filter_for(&level);
    // A filter takes a word that is no level for the name of a module.
    let is_word = level.chars().all(char::is_alphanumeric);
    if is_word && !LEVELS.contains(&level.as_str()) || filter.parse::<Targets>().is_err() {
        let fix = "set it to error, warn, info, debug or trace, or to a list such as \"info,actors::raft=debug\"";
        reading.fault("log.level", format!("`{level}` is not a level"), fix);
    }
    Log { json, filter }
}

/// A plain level leaves Raft's own messages at warnings, and the spans that ractor draws around every actor out, which name it by a number;
/// whoever wants them writes a list.
fn filter_for(level: &str) -> String {
    match level {
        "info" | "debug" | "trace" => format!("{level},raft_rs=warn,ractor=warn"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_level_keeps_raft_quiet_and_a_list_is_taken_as_it_is() {
        assert_eq!(filter_for("debug"), "debug,raft_rs=warn,ractor=warn");
        assert_eq!(filter_for("error"), "error");
        assert_eq!(filter_for("info,raft_rs=debug"), "info,raft_rs=debug");
    }
}
