//! Every SQL statement in the source, found by its text, so that one that is added later is found as well.

use actors::pg::sql;
use std::fs;
use std::path::{Path, PathBuf};

/// Statements and parts of statements in the files of the database adapter, each with its file.
pub(crate) fn statements() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pg"), &mut files);
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("the source can be read");
        let without_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_sql = |text: &String| sql::is_statement(text) || text.contains("pg_catalog.");
        found.extend(literals(without_tests).into_iter().filter(is_sql).map(|text| (file.clone(), text)));
    }
    found
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source can be listed") {
        let path = entry.expect("the source can be listed").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("sql.rs") && !path.ends_with("pins.rs") {
            files.push(path);
        }
    }
}

/// The string literals of a Rust file, as the compiler would read them.
fn literals(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        match c {
            '/' if chars.get(at + 1) == Some(&'/') => at += chars[at..].iter().take_while(|c| **c != '\n').count(),
            // A character, or a lifetime.
            '\'' if chars.get(at + 1) == Some(&'\\') => at += 4,
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 3,
            'r' if matches!(chars.get(at + 1), Some('"' | '#'))
                && !chars[..at].last().is_some_and(|c| c.is_alphanumeric() || *c == '_') =>
            {
                let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                let begin = at + 2 + hashes;
                if chars.get(begin - 1) != Some(&'"') {
                    at += 1;
                    continue;
                }
                let ends = |end: &usize| chars[*end] == '"' && chars[*end + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
                let end = (begin..chars.len()).find(ends).expect("a raw string ends");
                found.push(chars[begin..end].iter().collect());
                at = end + 1 + hashes;
            }
            '"' => {
                let (literal, end) = literal(&chars, at + 1);
                found.push(literal);
                at = end;
            }
            _ => at += 1,
        }
    }
    found
}

fn literal(chars: &[char], mut at: usize) -> (String, usize) {
    let mut text = String::new();
    while chars[at] != '"' {
        if chars[at] != '\\' {
            text.push(chars[at]);
            at += 1;
        } else if chars[at + 1] == '\n' {
            at += 1 + chars[at + 1..].iter().take_while(|c| c.is_whitespace()).count();
        } else {
            text.push(if chars[at + 1] == 'n' { '\n' } else { chars[at + 1] });
            at += 2;
        }
    }
    (text, at + 1)
}
