//! What is wrong with a configuration, told so that it can be mended without a manual.

use std::fmt;
use std::path::PathBuf;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this line of the file.
    Line(usize),
    /// In this environment variable.
    Variable(String),
    /// Nowhere: it is the default, or it is missing.
    Nowhere,
}

/// One thing that is wrong, or at least doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where.
    pub(crate) place: Place,
    /// The key as `section.key`; empty if the file cannot be read at all.
    pub(crate) key: String,
    /// The rule that it breaks.
    pub(crate) rule: String,
    /// What to do about it.
    pub(crate) fix: String,
}

/// A configuration that cannot be used, with everything that is wrong with it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) struct Invalid {
    /// The file.
    pub(crate) file: PathBuf,
    /// Never empty.
    pub(crate) faults: Vec<Fault>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        let errors = if count == 1 { "error" } else { "errors" };
        write!(f, "{count} {errors} in the configuration")?;
        for fault in &self.faults {
            write!(f, "\n{}", fault.told_of(&self.file.display().to_string()))?;
        }
        Ok(())
    }
}

impl Fault {
    /// The fault in words: the place and the key, then the rule, then the fix.
    pub(crate) fn told_of(&self, file: &str) -> String {
        let place = match &self.place {
            Place::Line(line) => format!("{file}:{line}"),
            Place::Variable(name) => name.clone(),
            Place::Nowhere => file.to_string(),
        };
        let colon = if self.key.is_empty() { "" } else { ": " };
        format!("  {place}{colon}{}\n      {}\n      fix: {}", self.key, self.rule, self.fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_place_key_rule_and_fix() {
        let fault = |place| Fault { place, key: "raft.heartbeat_ms".into(), rule: "it is too long".into(), fix: "make it shorter".into() };
        let invalid = Invalid { file: "w.toml".into(), faults: vec![fault(Place::Line(7)), fault(Place::Variable("WITCH_X__Y".into()))] };
        assert_eq!(
            invalid.to_string(),
            "2 errors in the configuration\n  w.toml:7: raft.heartbeat_ms\n      it is too long\n      fix: make it shorter\n  \
             WITCH_X__Y: raft.heartbeat_ms\n      it is too long\n      fix: make it shorter"
        );
    }
}
