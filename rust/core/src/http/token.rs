//! Tokens, and lists of them (RFC 9110 sections 5.6.1 and 5.6.2).

/// Returns whether this is a token.
pub(crate) fn is_token(text: impl AsRef<[u8]>) -> bool {
    let bytes = text.as_ref();
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Returns the elements of a list, without empty ones and without quotes.
pub(super) fn elements(value: &str) -> impl Iterator<Item = &str> {
    divided(value, ',').map(unquoted).filter(|element| !element.is_empty())
}

/// Returns the parts between these characters, without empty ones. A character in quotes does not divide.
pub(super) fn divided(value: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let divides = move |char| {
        let is_escaped = std::mem::take(&mut escaped);
        match char {
            _ if is_escaped => false,
            '\\' => {
                escaped = quoted;
                false
            }
            '"' => {
                quoted = !quoted;
                false
            }
            _ => char == at && !quoted,
        }
    };
    value.split(divides).map(str::trim).filter(|part| !part.is_empty())
}

fn unquoted(element: &str) -> &str {
    let element = element.trim();
    let inner = element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or(element, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list<'a>(lines: &[&'a str]) -> Vec<&'a str> {
        lines.iter().flat_map(|line| elements(line)).collect()
    }

    #[test]
    fn a_token_has_no_separators() {
        for token in ["a", "chess-v2", "!#$%&'*+-.^_`|~09AZ"] {
            assert!(is_token(token), "{token}");
        }
        for other in ["", "a b", "a,b", "a/b", "a\"b", "a\0", "ä"] {
            assert!(!is_token(other), "{other:?}");
        }
    }

    #[test]
    fn empty_elements_are_left_out_and_lines_are_joined() {
        assert_eq!(list(&[", a ,, b,", "", ",", "\tc\t"]), ["a", "b", "c"]);
        assert!(list(&["", " , ,"]).is_empty());
    }

    #[test]
    fn quotes_keep_their_commas() {
        assert_eq!(list(&[r#""a", "b,c" , d;e="f,g", "h\",i""#]), ["a", "b,c", r#"d;e="f,g""#, r#"h\",i"#]);
        assert_eq!(list(&[r#""", a\, b"#]), [r"a\", "b"], "a backslash outside of quotes is no escape");
        assert_eq!(list(&[r#""open, a"#]), [r#""open, a"#], "nothing is made up for the missing quote");
    }
}
