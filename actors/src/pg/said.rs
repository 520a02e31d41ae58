//! What the user's own configuration files say: PostgreSQL's grammar of a line, and the last word on each setting.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A line of a configuration file that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The setting, in small letters as PostgreSQL compares names; or `include`, `include_if_exists`, `include_dir`.
    pub name: String,
    /// Its value, without quotes.
    pub value: String,
    /// Counted from one.
    pub number: usize,
}

/// The last word on a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The value.
    pub value: String,
    /// The file and line that say so.
    pub place: String,
}

/// The last word on each setting, of files that are read in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(BTreeMap<String, Word>);

impl Said {
    /// Takes in one more line, which wins over those before.
    pub fn hear(&mut self, file: &str, line: Line) {
        let place = format!("{file}:{}", line.number);
        self.0.insert(line.name, Word { value: line.value, place });
    }

    /// What is said of a setting.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Word> {
        self.0.get(name)
    }

    /// The value of a setting.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|word| word.value.as_str())
    }

    /// Every setting, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Word)> {
        self.0.iter().map(|(name, word)| (name.as_str(), word))
    }
}

/// The lines of a file. What is no setting is left out: the server itself complains of it.
#[must_use]
pub fn lines(text: &[u8]) -> Vec<Line> {
    let numbered = text.split(|byte| *byte == b'\n').enumerate();
    numbered.filter_map(|(index, line)| parse(&String::from_utf8_lossy(line), index + 1)).collect()
}

fn parse(line: &str, number: usize) -> Option<Line> {
    let line = line.trim_start();
    let end = line.find(|c: char| c.is_whitespace() || matches!(c, '=' | '#' | '\'')).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let value = match rest.strip_prefix('\'') {
        Some(quoted) => unquote(quoted)?,
        None => rest.split(|c: char| c.is_whitespace() || c == '#').next().filter(|value| !value.is_empty())?.to_string(),
    };
    Some(Line { name: name.to_ascii_lowercase(), value, number })
}

/// What stands before the closing quote. None: there is none.
fn unquote(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut rest = text.chars().peekable();
    loop {
        match rest.next()? {
            '\'' if rest.peek() == Some(&'\'') => {
                rest.next();
                value.push('\'');
            }
            '\'' => return Some(value),
            '\\' => value.push(match rest.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                digit @ '0'..='7' => {
                    let mut code = u32::from(digit) - u32::from('0');
                    for _ in 0..2 {
                        let Some(digit) = rest.next_if(|c| ('0'..='7').contains(c)) else { break };
                        code = code * 8 + u32::from(digit) - u32::from('0');
                    }
                    char::from_u32(code & 0xff)?
                }
                other => other,
            }),
            other => value.push(other),
        }
    }
}

/// The folders in the value of `unix_socket_directories`: a list with commas, where quotes keep commas and spaces.
#[must_use]
pub fn folders(value: &str) -> Vec<String> {
    let mut folders = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let mut folder = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let Some((before, after)) = quoted.split_once('"') else {
                    folder.push_str(quoted);
                    quoted = "";
                    break;
                };
                folder.push_str(before);
                let Some(more) = after.strip_prefix('"') else {
                    quoted = after;
                    break;
                };
                folder.push('"');
                quoted = more;
            }
            rest = quoted.split_once(',').map_or("", |(_, after)| after).trim_start();
        } else {
            let (before, after) = rest.split_once(',').unwrap_or((rest, ""));
            folder.push_str(before.trim());
            rest = after.trim_start();
        }
        if !folder.is_empty() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Whether two values of one setting mean the same, as far as that can be told without knowing its unit.
#[must_use]
pub fn alike(one: &str, other: &str) -> bool {
    fn plain(value: &str) -> String {
        let value = value.trim().to_ascii_lowercase();
        match value.as_str() {
            "true" | "yes" | "1" | "t" | "y" => "on".to_string(),
            "false" | "no" | "0" | "f" | "n" => "off".to_string(),
            _ => value,
        }
    }
    fn amount(value: &str) -> Option<u128> {
        let value = value.trim();
        let digits = value.bytes().take_while(u8::is_ascii_digit).count();
        let number: u128 = value[..digits].parse().ok()?;
        let unit = match value[digits..].trim() {
            "kB" | "s" => 1000,
            "ms" => 1,
            "min" => 60_000,
            "h" => 3_600_000,
            "MB" => 1024 * 1000,
            "GB" => 1024 * 1024 * 1000,
            "TB" => 1024 * 1024 * 1024 * 1000,
            _ => return None,
        };
        Some(number * unit)
    }
    plain(one) == plain(other) || amount(one).is_some_and(|one| amount(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn values(text: &str) -> Vec<(String, String)> {
        lines(text.as_bytes()).into_iter().map(|line| (line.name, line.value)).collect()
    }

    #[test]
    fn a_line_is_read_as_postgresql_reads_it() {
        let text = "# a comment\n  Work_Mem = 4MB # more\nport 5433\narchive_command='cp \"%p\" ''/a b/%f'' # not a comment'\n\
                    search_path = '\"$user\", public'\nlog_line_prefix = '%m \\'[%p]\\' \\101'\nbroken = 'open\nempty = ''\n=\ninclude 'x.conf'\r\n";
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        let expected = vec![
            pair("work_mem", "4MB"),
            pair("port", "5433"),
            pair("archive_command", "cp \"%p\" '/a b/%f' # not a comment"),
            pair("search_path", "\"$user\", public"),
            pair("log_line_prefix", "%m '[%p]' A"),
            pair("empty", ""),
            pair("include", "x.conf"),
        ];
        assert_eq!(values(text), expected);
        assert_eq!(lines(b"\n\na = 1")[0].number, 3);
    }

    #[test]
    fn the_last_word_counts_and_its_place_is_known() {
        let mut said = Said::default();
        for (file, text) in [("postgresql.conf", "a = 1\nb = 2\n"), ("postgresql.auto.conf", "A = '3'\n")] {
            for line in lines(text.as_bytes()) {
                said.hear(file, line);
            }
        }
        assert_eq!(said.of("a"), Some(&Word { value: "3".into(), place: "postgresql.auto.conf:1".into() }));
        assert_eq!(said.value("b"), Some("2"));
        assert_eq!(said.value("c"), None);
    }

    #[test]
    fn a_list_of_folders_keeps_what_is_quoted() {
        assert_eq!(folders("/run/postgresql, /tmp"), ["/run/postgresql", "/tmp"]);
        assert_eq!(folders(r#""/a, b/""c""", @name,/tmp,/tmp"#), ["/a, b/\"c\"", "@name", "/tmp"]);
        assert_eq!(folders("  "), Vec::<String>::new());
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        assert!(alike("TRUE", "on") && alike("10000ms", "10s") && alike("4GB", "4096MB") && alike("1h", "60min"));
        assert!(!alike("off", "on") && !alike("10", "10s") && !alike("4GB", "4096"));
    }
}
