//! Reads single values, and notes everything that is wrong with them instead of stopping at the first.
//!
//! Whatever a section asks for is thereby known: what stands in the file and was never
//! asked for is an unknown key. So there is no list of keys beside the code that reads them.

use super::Surroundings;
use super::fault::{Fault, Place};
use super::hazards::{Kept, Origin, is_sample};
use super::layers::Layers;
use super::secret::Secret;
use config::ValueKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest time that any key may name.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A configuration while it is read.
pub(crate) struct Reading {
    layers: Layers,
    asked: BTreeSet<String>,
    /// Relative paths of secrets start here.
    folder: PathBuf,
    /// What makes the configuration unusable.
    pub(crate) faults: Vec<Fault>,
    /// What is doubtful.
    pub(crate) warnings: Vec<Fault>,
    /// What is in force, as far as it may be shown.
    pub(crate) settings: Vec<Setting>,
    /// The secrets in force.
    pub(super) secrets: Vec<Kept>,
}

/// A value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// As `section.key`.
    pub(crate) key: String,
    /// Secrets are `***`.
    pub(crate) value: String,
    /// Where it was set; nowhere for a default.
    pub(crate) place: Place,
}

impl Reading {
    /// Layers `text`, which lies in `folder`, and the environment.
    pub(crate) fn new(text: &str, folder: &Path, surroundings: &Surroundings) -> Self {
        let (layers, faults) = Layers::of(text, surroundings);
        let folder = folder.to_path_buf();
        Self { layers, asked: BTreeSet::new(), folder, faults, warnings: Vec::new(), settings: Vec::new(), secrets: Vec::new() }
    }

    /// The first of these keys that somebody set, for a rule that binds them; if none is set, the first.
    pub(crate) fn culprit<'a>(&self, keys: &[&'a str]) -> &'a str {
        keys.iter().find(|key| self.is_set(key)).unwrap_or(&keys[0])
    }

    /// How many tables the array of tables `name` has.
    pub(crate) fn tables(&mut self, name: &str) -> usize {
        let misplaced = |path: &&String| *path == name || path.starts_with(&format!("{name}."));
        let misplaced = self.layers.values.keys().filter(misplaced).cloned().collect::<Vec<_>>();
        let empty = self.layers.values.get(name) == Some(&ValueKind::Array(Vec::new()));
        self.asked.extend(misplaced.iter().cloned());
        if !misplaced.is_empty() && !empty {
            self.fault(name, "is a list of sections", format!("write [[{name}]], in double brackets, above each of them"));
        }
        self.layers.count(name)
    }

    /// Whether anything stands there, right or wrong.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.layers.values.contains_key(key)
    }

    /// Where the key stands; for a missing key, where its section begins.
    pub(crate) fn place(&self, key: &str) -> Place {
        self.layers.place(key)
    }

    /// Notes that `key` breaks a rule.
    pub(crate) fn fault(&mut self, key: &str, rule: impl Into<String>, fix: impl Into<String>) {
        let fault = Fault { place: self.place(key), key: key.to_string(), rule: rule.into(), fix: fix.into() };
        self.faults.push(fault);
    }

    /// Notes that `key` is legal, and yet hardly what somebody wants.
    pub(crate) fn warn(&mut self, key: &str, rule: impl Into<String>, fix: impl Into<String>) {
        let warning = Fault { place: self.place(key), key: key.to_string(), rule: rule.into(), fix: fix.into() };
        self.warnings.push(warning);
    }

    /// Text; empty text is as good as none.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        let text = self.raw_text(key).filter(|text| !text.is_empty());
        self.settle(key, text.as_deref().unwrap_or("-"));
        text
    }

    /// Text, or the default.
    pub(crate) fn text_or(&mut self, key: &str, default: &str) -> String {
        let text = self.raw_text(key).filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_string());
        self.settle(key, &text);
        text
    }

    /// Text that must be there.
    pub(crate) fn required(&mut self, key: &str, fix: &str) -> String {
        let wrong_already = self.faults.len();
        let text = self.text(key);
        if text.is_none() && self.faults.len() == wrong_already {
            self.fault(key, "is not set", fix);
        }
        text.unwrap_or_default()
    }

    /// One of these words; the first is the default.
    pub(crate) fn choice(&mut self, key: &str, words: &[&'static str]) -> &'static str {
        let default = words[0];
        let text = self.text_or(key, default);
        words.iter().find(|word| **word == text).copied().unwrap_or_else(|| {
            let quoted = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
            self.fault(key, format!("`{text}` is not among its values"), format!("set it to {quoted}"));
            default
        })
    }

    /// True or false; false if it is not set.
    pub(crate) fn flag(&mut self, key: &str) -> bool {
        let flag = match self.ask(key) {
            None => None,
            Some(ValueKind::Boolean(flag)) => Some(flag),
            Some(ValueKind::String(text)) if self.is_variable(key) => match text.as_str() {
                "" => None,
                "true" | "on" | "yes" | "1" => Some(true),
                "false" | "off" | "no" | "0" => Some(false),
                _ => self.wrong_type(key, "true or false", &format!("`{text}`")),
            },
            Some(other) => self.wrong_type(key, "true or false", describe(&other)),
        };
        self.settle(key, flag.unwrap_or(false));
        flag.unwrap_or(false)
    }

    /// A whole number within a range.
    pub(crate) fn whole<N: TryFrom<u64> + Into<u64> + Copy>(&mut self, key: &str, default: N, range: RangeInclusive<u64>) -> N {
        let number = self.raw_whole(key).and_then(|number| {
            let legal = u64::try_from(number).ok().filter(|number| range.contains(number)).and_then(|number| N::try_from(number).ok());
            if legal.is_none() {
                let (least, most) = range.clone().into_inner();
                let fix =
                    if most >= i64::MAX as u64 { format!("set it to at least {least}") } else { format!("set it to {least} ... {most}") };
                self.fault(key, format!("{number} is out of range"), fix);
            }
            legal
        });
        let number = number.unwrap_or(default);
        self.settle(key, number.into());
        number
    }

    /// A time in milliseconds, at least one.
    pub(crate) fn millis(&mut self, key: &str, default: u64) -> Duration {
        Duration::from_millis(self.whole(key, default, 1..=DAY_MS))
    }

    /// A list of texts. In the environment it is split at line ends, if there are any, and at commas otherwise.
    pub(crate) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let list = match self.ask(key) {
            None => None,
            Some(ValueKind::String(text)) if self.is_variable(key) => {
                let separator = if text.contains('\n') { '\n' } else { ',' };
                Some(text.split(separator).map(str::trim).filter(|text| !text.is_empty()).map(String::from).collect())
            }
            Some(ValueKind::Array(values)) => {
                let texts = values.into_iter().map(|value| match value.kind {
                    ValueKind::String(text) => Ok(text),
                    other => Err(describe(&other)),
                });
                match texts.collect::<Result<Vec<_>, _>>() {
                    Ok(texts) => Some(texts),
                    Err(other) => self.wrong_type(key, "a list of texts", &format!("a list with {other} in it")),
                }
            }
            Some(other) => self.wrong_type(key, "a list of texts", describe(&other)),
        };
        self.settle(key, list.as_ref().map_or_else(|| "-".into(), |list| format!("{list:?}")));
        list
    }

    /// A secret, given by its key or by the file that `<key>_file` names, of which a trailing line end is cut off.
    pub(crate) fn secret(&mut self, key: &str) -> Option<Secret> {
        let by_file = format!("{key}_file");
        let text = self.raw_text(key).filter(|text| !text.is_empty());
        let file = self.raw_text(&by_file).filter(|file| !file.is_empty());
        if text.is_some() {
            self.settle(key, "***");
        } else if let Some(file) = &file {
            self.settle(&by_file, file);
        } else {
            self.settle(key, "-");
        }
        match (text, file) {
            (Some(_), Some(_)) => {
                self.fault(&by_file, format!("{key} is set as well"), "keep one of the two");
                None
            }
            (Some(text), None) => {
                let origin = if self.is_variable(key) { Origin::Variable } else { Origin::File };
                self.keep(key, origin, &text);
                Some(Secret::new(text))
            }
            (None, Some(file)) => self.secret_in(&by_file, &file),
            (None, None) => None,
        }
    }

    fn secret_in(&mut self, key: &str, file: &str) -> Option<Secret> {
        let path = self.folder.join(file);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = text.trim_end_matches(['\n', '\r']);
                if text.is_empty() {
                    self.fault(key, format!("{} is empty", path.display()), "write the secret into it");
                }
                if text.is_empty() {
                    return None;
                }
                self.keep(key, Origin::Named(path), text);
                Some(Secret::new(text.to_string()))
            }
            Err(error) => {
                let fix = "name a file that the user who runs witch can read";
                self.fault(key, format!("cannot read {}: {error}", path.display()), fix);
                None
            }
        }
    }

    fn keep(&mut self, key: &str, origin: Origin, text: &str) {
        let kept = Kept { key: key.to_string(), origin, place: self.place(key), is_sample: is_sample(text) };
        self.secrets.push(kept);
    }

    /// Values under `section` whose names nobody knows beforehand, as the texts that PostgreSQL's files would have.
    pub(crate) fn free(&mut self, section: &str) -> BTreeMap<String, String> {
        let prefix = format!("{section}.");
        let keys = self.layers.values.keys().filter(|key| key.starts_with(&prefix)).cloned().collect::<Vec<_>>();
        let mut found = BTreeMap::new();
        for key in keys {
            let text = match self.ask(&key) {
                Some(ValueKind::String(text)) => Some(text),
                Some(ValueKind::I64(number)) => Some(number.to_string()),
                Some(ValueKind::Float(number)) => Some(number.to_string()),
                Some(ValueKind::Boolean(flag)) => Some(if flag { "on".into() } else { "off".into() }),
                Some(other) => self.wrong_type(&key, "a text, a number, true or false", describe(&other)),
                None => None,
            };
            if let Some(text) = text {
                self.settle(&key, &text);
                found.insert(key[prefix.len()..].to_string(), text);
            }
        }
        found
    }

    /// Makes a fault of every key that nobody asked for, with the nearest known one.
    pub(crate) fn refuse_unknown_keys(&mut self) {
        let unknown = self.layers.values.keys().filter(|key| !self.asked.contains(*key)).cloned().collect::<Vec<_>>();
        for key in unknown {
            if self.asked.iter().any(|asked| asked.starts_with(&format!("{key}."))) {
                if !matches!(self.layers.values[&key], ValueKind::Table(_)) {
                    self.fault(&key, "is a section and not a value", format!("write [{key}] on a line of its own"));
                }
                continue;
            }
            let likeness = |asked: &&String| (strsim::jaro_winkler(&key, asked) * 1000.0).round() as u64;
            let nearest = self.asked.iter().max_by_key(likeness).filter(|asked| likeness(asked) > 850);
            let fix = nearest.map_or_else(|| "remove it".into(), |nearest| format!("did you mean `{nearest}`? Otherwise remove it"));
            self.fault(&key, "there is no such key", fix);
        }
    }

    fn ask(&mut self, key: &str) -> Option<ValueKind> {
        self.asked.insert(key.to_string());
        self.layers.values.get(key).cloned()
    }

    fn raw_text(&mut self, key: &str) -> Option<String> {
        match self.ask(key)? {
            ValueKind::String(text) => Some(text),
            other => self.wrong_type(key, "text in quotes", describe(&other)),
        }
    }

    fn raw_whole(&mut self, key: &str) -> Option<i64> {
        match self.ask(key)? {
            ValueKind::I64(number) => Some(number),
            ValueKind::String(text) if self.is_variable(key) && text.is_empty() => None,
            ValueKind::String(text) if self.is_variable(key) => {
                text.parse().ok().or_else(|| self.wrong_type(key, "a whole number", &format!("`{text}`")))
            }
            other => self.wrong_type(key, "a whole number", describe(&other)),
        }
    }

    fn is_variable(&self, key: &str) -> bool {
        self.layers.variables.contains_key(key)
    }

    fn wrong_type<T>(&mut self, key: &str, wanted: &str, found: &str) -> Option<T> {
        self.fault(key, format!("must be {wanted}, and is {found}"), format!("set it to {wanted}"));
        None
    }

    /// Notes what is in force, unless `key` was read before.
    fn settle(&mut self, key: &str, shown: impl Display) {
        if self.settings.iter().all(|setting| setting.key != key) {
            let place = if self.is_set(key) { self.place(key) } else { Place::Nowhere };
            self.settings.push(Setting { key: key.to_string(), value: shown.to_string(), place });
        }
    }
}

fn describe(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
        ValueKind::Float(_) => "a fraction",
        ValueKind::String(_) => "text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}
