//! On which line of the file each key stands.

use super::fault::{Fault, Place};
use std::collections::BTreeMap;
use toml_edit::{Document, Item, TableLike, Value};

/// The line of each key and of each section's head, by path: `raft.heartbeat_ms`, `peers[0].host`, `peers[0]`.
pub(crate) type Lines = BTreeMap<String, usize>;

/// Finds the lines, or says where the text is not TOML. The message never quotes the file: the line may hold a password.
pub(crate) fn lines_of(text: &str) -> Result<Lines, Fault> {
    let line = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    let document = Document::parse(text).map_err(|error| Fault {
        place: error.span().map_or(Place::Nowhere, |span| Place::Line(line(span.start))),
        key: String::new(),
        rule: format!("the file is not TOML: {}", error.message()),
        fix: "correct the syntax; a value is a number, true, false, [a list] or \"text in quotes\"".into(),
    })?;
    let mut offsets = BTreeMap::new();
    table(document.as_table(), "", &mut offsets);
    Ok(offsets.into_iter().map(|(path, offset)| (path, line(offset))).collect())
}

fn table(table: &dyn TableLike, path: &str, offsets: &mut BTreeMap<String, usize>) {
    for (name, item) in table.iter() {
        let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        if let Some(span) = table.key(name).and_then(toml_edit::Key::span) {
            offsets.insert(path.clone(), span.start);
        }
        within(item, &path, offsets);
    }
}

fn within(item: &Item, path: &str, offsets: &mut BTreeMap<String, usize>) {
    if let Some(inner) = item.as_table_like() {
        table(inner, path, offsets);
    } else if let Item::ArrayOfTables(tables) = item {
        for (index, inner) in tables.iter().enumerate() {
            element(inner, inner.span(), &format!("{path}[{index}]"), offsets);
        }
    } else if let Item::Value(Value::Array(values)) = item {
        for (index, inner) in values.iter().enumerate() {
            if let Value::InlineTable(inner) = inner {
                element(inner, inner.span(), &format!("{path}[{index}]"), offsets);
            }
        }
    }
}

fn element(inner: &dyn TableLike, span: Option<std::ops::Range<usize>>, path: &str, offsets: &mut BTreeMap<String, usize>) {
    if let Some(span) = span {
        offsets.insert(path.to_string(), span.start);
    }
    table(inner, path, offsets);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_key_has_its_line() {
        let text = "[raft]\nheartbeat_ms = 1\n\n[[peers]]\nhost = 'a'\n[[peers]]\n\nhost = 'b'\n[tls]\ncert = ''\n";
        let lines = lines_of(text).unwrap();
        for (path, line) in
            [("raft", 1), ("raft.heartbeat_ms", 2), ("peers[0]", 4), ("peers[0].host", 5), ("peers[1].host", 8), ("tls.cert", 10)]
        {
            assert_eq!(lines.get(path), Some(&line), "{path} in {lines:?}");
        }
        let lines = lines_of("raft.heartbeat_ms = 1\npeers = [\n  { host = 'a' },\n  { host = 'b' },\n]\n").unwrap();
        assert_eq!((lines["raft.heartbeat_ms"], lines["peers[0].host"], lines["peers[1]"]), (1, 3, 4));
    }

    #[test]
    fn a_syntax_error_names_its_line_and_does_not_quote_it() {
        let fault = lines_of("[database]\npassword = swordfish\n").unwrap_err();
        assert_eq!(fault.place, Place::Line(2));
        assert!(!fault.told_of("f").contains("swordfish"), "{fault:?}");
    }
}
