//! One line of the server's log, whatever stands before its severity.

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// FATAL or PANIC: it ended a process. No statement of a client can be logged so.
    Fatal,
    /// Anything else: a client may have chosen the words (`RAISE LOG`).
    Other,
}

/// A line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// How grave it is.
    pub severity: Severity,
    /// From the severity on.
    pub said: &'a str,
    /// Behind the severity.
    pub message: &'a str,
}

const SEVERITIES: [(&str, Severity); 14] = [
    ("FATAL:  ", Severity::Fatal),
    ("PANIC:  ", Severity::Fatal),
    ("LOG:  ", Severity::Other),
    ("ERROR:  ", Severity::Other),
    ("WARNING:  ", Severity::Other),
    ("NOTICE:  ", Severity::Other),
    ("INFO:  ", Severity::Other),
    ("DETAIL:  ", Severity::Other),
    ("HINT:  ", Severity::Other),
    ("CONTEXT:  ", Severity::Other),
    ("QUERY:  ", Severity::Other),
    ("STATEMENT:  ", Severity::Other),
    ("LOCATION:  ", Severity::Other),
    ("BACKTRACE:  ", Severity::Other),
];

impl<'a> Line<'a> {
    /// None: it goes on with a line before it, or no server wrote it. The first severity in a line is the server's own: what a client chose
    /// stands behind it.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        // The server puts a tab before every further line of a message.
        if line.starts_with('\t') {
            return None;
        }
        // Before it has a log of its own a server says by its name what is wrong with its settings.
        if let Some(message) = line.strip_prefix("postgres: ") {
            return Some(Self { severity: Severity::Fatal, said: line, message });
        }
        let found = SEVERITIES.iter().filter_map(|(word, severity)| Some((line.find(word)?, *word, *severity)));
        let (at, word, severity) = found.min_by_key(|(at, ..)| *at)?;
        Some(Self { severity, said: line[at..].trim_end(), message: line[at + word.len()..].trim_end() })
    }
}

/// Whether nothing that a client chooses stands before the severity of a line with this `log_line_prefix`. A name of a user or a database
/// would be written there as it is, line breaks included.
#[must_use]
pub fn is_trusted(log_line_prefix: &str) -> bool {
    let mut signs = log_line_prefix.chars();
    while let Some(sign) = signs.next() {
        if sign != '%' {
            continue;
        }
        // A width may stand before the letter.
        let letter = signs.by_ref().find(|sign| !sign.is_ascii_digit() && *sign != '-');
        if !letter.is_some_and(|letter| "mtnpPlsvxcebiQq%".contains(letter)) {
            return false;
        }
    }
    !SEVERITIES.iter().any(|(word, _)| log_line_prefix.contains(word))
}
