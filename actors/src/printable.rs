//! Words from outside, made fit to be shown: in a line of the log, on a terminal, in an error.
//!
//! Who reaches a port chooses what stands there. A line end would forge a line, an escape sequence paints over the screen, and the signs that
//! turn the direction of writing or have no width make one name look like another. Each of them becomes `?`.

use alloc::string::String;

/// Whether a terminal or a log would obey the sign instead of showing it.
#[must_use]
pub fn is_obeyed(sign: char) -> bool {
    sign.is_control()
        || matches!(
            sign,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FE00}'
                ..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// At most so many signs of it, on one line.
#[must_use]
pub fn printable(text: &str, max: usize) -> String {
    text.chars().take(max).map(|sign| if is_obeyed(sign) { '?' } else { sign }).collect()
}

/// All of it, on the lines that it has: for what was put together from many words, line by line.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.chars().map(|sign| if sign != '\n' && is_obeyed(sign) { '?' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_obeyed_and_everything_else_is_kept() {
        assert_eq!(printable("a\nb\r\tc\u{1b}[2J\u{7f}\u{9b}", 100), "a?b??c?[2J??");
        for sign in ['\u{202A}', '\u{202E}', '\u{2066}', '\u{2069}', '\u{2028}', '\u{2029}', '\u{200B}', '\u{200D}', '\u{FEFF}', '\u{061C}']
        {
            assert!(is_obeyed(sign), "{sign:?}");
        }
        assert_eq!(printable("grün, 東京, naïve — 1 €", 100), "grün, 東京, naïve — 1 €");
        assert_eq!(printable(&"x".repeat(100), 64).len(), 64);
        assert_eq!(printable_lines("a\nb\u{1b}c"), "a\nb?c");
    }
}
