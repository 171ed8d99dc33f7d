//! Lists in the headers of the handshake (RFC 9110 section 5.6.1).

/// The elements of a list header over all its lines. Empty ones are left out, and an element in quotes is what is inside.
pub(super) fn elements<'a>(headers: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |(known, _)| known == name).flat_map(|(_, value)| split(value))
}

/// Says whether a list header has this element, in upper or lower case; browsers send `Connection: keep-alive, Upgrade`.
pub(super) fn has_element(headers: &[(String, String)], name: &str, wanted: &str) -> bool {
    elements(headers, name).any(|found| found.eq_ignore_ascii_case(wanted))
}

/// Names for a line or an answer, as many as fit.
pub(crate) fn named(names: &[String]) -> String {
    let mut line = String::new();
    for (at, name) in names.iter().enumerate() {
        if line.len() + name.len() > LONGEST_LINE {
            line.push_str(&format!("{}{} more", if at == 0 { "" } else { " and " }, names.len() - at));
            break;
        }
        line.push_str(if at == 0 { "" } else { ", " });
        line.push_str(name);
    }
    line
}

/// A comma in quotes divides nothing.
fn split(value: &str) -> impl Iterator<Item = &str> {
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
            _ => char == ',' && !quoted,
        }
    };
    value.split(divides).map(unquoted).filter(|element| !element.is_empty())
}

fn unquoted(element: &str) -> &str {
    let element = element.trim();
    let inner = element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or(element, str::trim)
}

/// Bytes of the names in one line.
const LONGEST_LINE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(lines: &[&str]) -> Vec<String> {
        let headers: Vec<_> = lines.iter().map(|line| ("a".to_owned(), (*line).to_owned())).collect();
        elements(&headers, "a").map(str::to_owned).collect()
    }

    #[test]
    fn empty_elements_are_left_out_and_lines_are_joined() {
        assert_eq!(list(&[", a ,, b,", "", ",", "\tc\t"]), ["a", "b", "c"]);
        assert!(list(&["", " , ,"]).is_empty());
        assert!(elements(&[("b".to_owned(), "x".to_owned())], "a").next().is_none());
    }

    #[test]
    fn quotes_keep_their_commas() {
        assert_eq!(list(&[r#""a", "b,c" , d;e="f,g", "h\",i""#]), ["a", "b,c", r#"d;e="f,g""#, r#"h\",i"#]);
        assert_eq!(list(&[r#""", a\, b"#]), [r"a\", "b"], "a backslash outside of quotes is no escape");
        assert_eq!(list(&[r#""open, a"#]), [r#""open, a"#], "nothing is made up for the missing quote");
    }

    #[test]
    fn a_line_names_as_many_as_fit() {
        let names = |count: usize, len| (0..count).map(|_| "n".repeat(len)).collect::<Vec<_>>();
        assert_eq!(named(&names(3, 1)), "n, n, n");
        assert!(named(&names(40, 10)).ends_with("n and 32 more"), "{}", named(&names(40, 10)));
        assert_eq!(named(&names(2, 5000)), "2 more");
        assert_eq!(named(&[]), "");
    }
}
