//! Text from the network in messages and log lines.

use std::fmt::{self, Write as _};

/// Displays a text from the network in one line: control characters are escaped.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if is_invisible(char) {
                write!(f, "{}", char.escape_default())?;
            } else {
                f.write_char(char)?;
            }
        }
        Ok(())
    }
}

/// Returns whether a character ends a line or changes the order of others, instead of being visible itself.
pub(crate) fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_in_one_line() {
        assert_eq!(Escaped("a\r\nb \u{1b}[31m ü \u{202e}").to_string(), "a\\r\\nb \\u{1b}[31m ü \\u{202e}");
    }
}
