//! How a text is written so that PostgreSQL, in each of its little languages, reads it back as it was.

use alloc::format;
use alloc::string::String;

/// A string in `postgresql.conf`.
#[must_use]
pub fn conf_value(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A value in a connection string.
#[must_use]
pub fn conninfo_value(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A field of a passfile.
#[must_use]
pub fn passfile_field(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

/// A name in SQL.
#[must_use]
pub fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A string in SQL, whatever `standard_conforming_strings` says.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A word of `pg_hba.conf`; in quotes it loses any special meaning, such as that of `all`.
#[must_use]
pub fn hba_word(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_escapes_what_is_special_in_it() {
        let odd = r#"a'b\c"d:e"#;
        assert_eq!(conf_value(odd), r#"'a''b\\c"d:e'"#);
        assert_eq!(conninfo_value(odd), r#"'a\'b\\c"d:e'"#);
        assert_eq!(passfile_field(odd), r#"a'b\\c"d\:e"#);
        assert_eq!(identifier(odd), r#""a'b\c""d:e""#);
        assert_eq!(literal(odd), r#"E'a''b\\c"d:e'"#);
    }
}
