//! Which names a statement leaves to the search path: none, in a statement of Witch.
//!
//! A name without a schema is looked up along the search path, and the best match need not be the catalogue's. The path is pinned, and
//! every name is qualified besides, so that neither depends on the other. Each statement is checked when it is asked, in every build with
//! debug assertions; so one that is added later is covered by whichever test runs it first.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// A word, a sign or a literal of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// Several signs in a row are one operator.
    Operator(String),
    /// Brackets, commas, dots, semicolons.
    Mark(char),
    /// A string or a number.
    Literal,
    /// `::`.
    Cast,
}

/// What a statement names in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A function, by its name.
    Function(String),
    /// An operator.
    Operator(String),
    /// A table or a view.
    Relation(String),
    /// A type.
    Type(String),
}

/// What looks like a call of a function and is part of the grammar.
const NO_FUNCTIONS: &[&str] = &[
    "and", "any", "array", "as", "by", "case", "coalesce", "cross", "else", "exists", "from", "greatest", "if", "join", "least", "not",
    "on", "or", "select", "then", "values", "when", "where", "with",
];
/// What the grammar turns into an operator or a function that is looked up along the path.
const IMPLICIT: &[&str] = &[
    "between",
    "cast",
    "distinct",
    "extract",
    "ilike",
    "in",
    "like",
    "nullif",
    "overlaps",
    "overlay",
    "position",
    "similar",
    "substring",
    "trim",
    "using",
];
/// What ends the list of relations after FROM.
const AFTER_FROM: &[&str] = &["where", "on", "group", "order", "having", "limit", "offset", "union", "select", "then"];
/// Statements that are words of the grammar only.
const PLAIN: &[&str] = &["checkpoint", "alter", "create", "grant", "do", "begin", "set", "show"];
const SIGNS: &str = "+-*/<>=~!@#%^&|`?";

/// What is wrong with a statement: each name that the search path would resolve. Empty: nothing.
#[must_use]
pub fn unqualified(statement: &str) -> Vec<String> {
    read(statement).1
}

/// The names of the catalogue in a statement.
#[must_use]
pub fn names(statement: &str) -> Vec<Name> {
    read(statement).0
}

/// Whether a text looks like SQL, and not like English that begins with the same word.
#[must_use]
pub fn is_statement(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let is_sql = |word: &str| word == word.to_ascii_uppercase() && word.bytes().any(|byte| byte.is_ascii_uppercase());
    let known = first == "SELECT" || PLAIN.iter().any(|plain| plain.to_ascii_uppercase() == first);
    known && is_sql(first) && (first == "CHECKPOINT" || words.next().is_some())
}

fn read(statement: &str) -> (Vec<Name>, Vec<String>) {
    let tokens = tokens(statement);
    let mut found = Reader { tokens: &tokens, names: Vec::new(), faults: Vec::new() };
    found.read();
    (found.names, found.faults)
}

struct Reader<'a> {
    tokens: &'a [Token],
    names: Vec<Name>,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn word(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is(&self, at: usize, mark: char) -> bool {
        self.tokens.get(at) == Some(&Token::Mark(mark))
    }

    /// The name after `pg_catalog.`.
    fn qualified(&self, at: usize) -> Option<&str> {
        (self.word(at) == Some("pg_catalog") && self.is(at + 1, '.')).then(|| self.word(at + 2)).flatten()
    }

    fn read(&mut self) {
        // Per depth of brackets: whether a list of relations goes on.
        let mut in_from = vec![false];
        let mut at = 0;
        while at < self.tokens.len() {
            let in_list = in_from.last().copied().unwrap_or_default();
            match &self.tokens[at] {
                Token::Mark('(' | '[') => in_from.push(false),
                Token::Mark(')' | ']') => drop(in_from.pop()),
                Token::Mark(',') if in_list => self.relation(at + 1),
                Token::Cast => self.named_type(at + 1),
                Token::Operator(sign) => self.operator(at, &sign.clone()),
                Token::Word(word) => {
                    let word = word.clone();
                    if matches!(word.as_str(), "from" | "join") && self.word(at.wrapping_sub(1)) != Some("distinct") {
                        in_from.pop();
                        in_from.push(true);
                        self.relation(at + 1);
                    } else if AFTER_FROM.contains(&word.as_str()) {
                        in_from.pop();
                        in_from.push(false);
                    }
                    self.word_alone(at, &word);
                }
                Token::Mark(_) | Token::Literal => {}
            }
            at += 1;
        }
    }

    fn relation(&mut self, at: usize) {
        match self.qualified(at) {
            // A function in the list is seen when its name is read.
            Some(name) if !self.is(at + 3, '(') => self.names.push(Name::Relation(name.to_string())),
            Some(_) => {}
            None if self.is(at, '(') || self.word(at) == Some("lateral") || at >= self.tokens.len() => {}
            None => self.faults.push(format!("relation {}", self.word(at).unwrap_or("?"))),
        }
    }

    fn named_type(&mut self, at: usize) {
        match self.qualified(at) {
            Some(name) => self.names.push(Name::Type(name.to_string())),
            None => self.faults.push(format!("type {}", self.word(at).unwrap_or("?"))),
        }
    }

    fn operator(&mut self, at: usize, sign: &str) {
        let before = at.checked_sub(4).filter(|before| self.word(*before) == Some("operator"));
        if before.is_some_and(|before| self.word(before + 2) == Some("pg_catalog")) {
            self.names.push(Name::Operator(sign.to_string()));
            return;
        }
        // `SELECT *` and `count(*)`.
        let is_all = sign == "*" && (self.is(at.wrapping_sub(1), '(') || self.word(at.wrapping_sub(1)) == Some("select"));
        if !is_all {
            self.faults.push(format!("operator {sign}"));
        }
    }

    fn word_alone(&mut self, at: usize, word: &str) {
        if self.is(at.wrapping_sub(1), '.') {
            let is_type = matches!(self.tokens.get(at.wrapping_sub(3)), Some(Token::Cast));
            match self.is(at + 1, '(') && !is_type {
                true if self.word(at.wrapping_sub(2)) == Some("pg_catalog") => self.names.push(Name::Function(word.to_string())),
                true => self.faults.push(format!("function {word}")),
                false => {}
            }
            return;
        }
        if IMPLICIT.contains(&word) {
            self.faults.push(format!("{word}, which stands for an operator or a function"));
        }
        if word == "case" && self.word(at + 1) != Some("when") {
            self.faults.push("case with a value, which stands for an operator".to_string());
        }
        if self.is(at + 1, '(') && word != "operator" && !NO_FUNCTIONS.contains(&word) && self.word(at.wrapping_sub(1)) != Some("as") {
            self.faults.push(format!("function {word}"));
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    let run = |from: usize, wanted: &dyn Fn(char) -> bool| chars[from..].iter().take_while(|c| wanted(**c)).count();
    while let Some(&c) = chars.get(at) {
        let escaping = matches!(c, 'e' | 'E') && chars.get(at + 1) == Some(&'\'');
        if c.is_whitespace() {
            at += 1;
        } else if c == '\'' || escaping {
            at = end_of_string(&chars, at + 1 + usize::from(escaping), escaping);
            tokens.push(Token::Literal);
        } else if c == '"' {
            let length = run(at + 1, &|c| c != '"');
            tokens.push(Token::Word(format!("\"{}", chars[at + 1..at + 1 + length].iter().collect::<String>())));
            at += length + 2;
        } else if c == '{' {
            // A place in a text that is made by `format!`: some literal.
            at += run(at, &|c| c != '}') + 1;
            tokens.push(Token::Literal);
        } else if c.is_ascii_digit() {
            at += run(at, &|c| c.is_ascii_digit());
            tokens.push(Token::Literal);
        } else if c.is_alphabetic() || c == '_' {
            let length = run(at, &|c| c.is_alphanumeric() || c == '_');
            tokens.push(Token::Word(chars[at..at + length].iter().collect::<String>().to_lowercase()));
            at += length;
        } else if c == ':' && chars.get(at + 1) == Some(&':') {
            tokens.push(Token::Cast);
            at += 2;
        } else if SIGNS.contains(c) {
            let length = run(at, &|c| SIGNS.contains(c));
            tokens.push(Token::Operator(chars[at..at + length].iter().collect()));
            at += length;
        } else {
            tokens.push(Token::Mark(c));
            at += 1;
        }
    }
    tokens
}

/// Past the closing quote of the string whose text begins at `at`.
fn end_of_string(chars: &[char], mut at: usize, escaping: bool) -> usize {
    while let Some(&c) = chars.get(at) {
        match c {
            '\\' if escaping => at += 2,
            '\'' if chars.get(at + 1) == Some(&'\'') => at += 2,
            '\'' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_path_would_resolve_is_found() {
        for (statement, fault) in [
            ("SELECT pg_promote(false)", "function pg_promote"),
            ("SELECT public.pg_promote(false) FROM pg_catalog.x WHERE a ~ 'b'", "operator ~"),
            ("SELECT 1 FROM pg_roles", "relation pg_roles"),
            ("SELECT 1 FROM pg_catalog.a, pg_roles AS r", "relation pg_roles"),
            ("SELECT 1 FROM pg_catalog.a LEFT JOIN pg_roles ON true", "relation pg_roles"),
            ("SELECT '1'::pg_lsn", "type pg_lsn"),
            ("SELECT (a + b)", "operator +"),
            ("SELECT a IS DISTINCT FROM b", "distinct, which stands for an operator or a function"),
            ("SELECT CASE x WHEN 1 THEN 2 END", "case with a value, which stands for an operator"),
            ("SELECT a OPERATOR(public.=) b", "operator ="),
        ] {
            assert!(unqualified(statement).contains(&fault.to_string()), "{statement}: {:?}", unqualified(statement));
        }
    }

    #[test]
    fn what_is_qualified_or_grammar_is_none() {
        for statement in [
            "SELECT pg_catalog.pg_promote(false)",
            "SELECT coalesce(greatest(a, b) OPERATOR(pg_catalog.-) '0/1'::pg_catalog.pg_lsn, 'it''s pg_x(') AS x",
            "SELECT * FROM pg_catalog.pg_roles AS r WHERE (r.rolname OPERATOR(pg_catalog.=) E'a\\'b~' AND NOT r.rolsuper) OR r.x IS NULL",
            "SELECT pg_catalog.count(*) FROM (SELECT 1 OFFSET 0) AS r CROSS JOIN pg_catalog.pg_ls_waldir() AS f",
            "SELECT '1'::pg_catalog.bit(32)",
            "CHECKPOINT",
        ] {
            assert_eq!(unqualified(statement), Vec::<String>::new(), "{statement}");
        }
        let names =
            names("SELECT pg_catalog.f(a OPERATOR(pg_catalog.||) '1'::pg_catalog.bit(32)) FROM pg_catalog.r AS r, pg_catalog.g() AS g");
        let expected = [
            Name::Function("f".into()),
            Name::Operator("||".into()),
            Name::Type("bit".into()),
            Name::Relation("r".into()),
            Name::Function("g".into()),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn english_is_no_statement() {
        assert!(is_statement("\n    SELECT 1") && is_statement("CHECKPOINT") && is_statement("GRANT EXECUTE ON"));
        assert!(!is_statement("set postgres.bin_dir") && !is_statement("SELECT") && !is_statement("create the folder"));
    }
}
