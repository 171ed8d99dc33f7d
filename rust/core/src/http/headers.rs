//! The header lines of a message.

use super::token;

/// Header lines in the order of the message, names in lower case, values trimmed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Copies the header lines that the parser found.
    pub(super) fn new(lines: &[httparse::Header<'_>]) -> Self {
        let line = |line: &httparse::Header<'_>| {
            (line.name.to_ascii_lowercase(), String::from_utf8_lossy(line.value).trim().to_owned())
        };
        Self(lines.iter().map(line).collect())
    }

    /// Returns the value of the first line with this name, in lower case.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the values of all lines with this name, in lower case.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the number of lines with this name.
    pub(super) fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// Returns the elements of a list over all lines with this name (RFC 9110 section 5.6.1).
    pub(super) fn elements<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(token::elements)
    }

    /// Returns whether a list has this element, in upper or lower case; browsers send `Connection: keep-alive, Upgrade`.
    pub(super) fn has_element(&self, name: &str, wanted: &str) -> bool {
        self.elements(name).any(|found| found.eq_ignore_ascii_case(wanted))
    }

    /// Removes all lines with this name, in lower case.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Returns all lines, for the game.
    pub(crate) fn lines(&self) -> &[(String, String)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let lines: Vec<_> =
            lines.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        Headers::new(&lines)
    }

    #[test]
    fn names_are_in_lower_case_and_values_trimmed() {
        let headers = headers(&[("Host", " h "), ("X-A", "1"), ("x-a", "2")]);
        let expected = [("host", "h"), ("x-a", "1"), ("x-a", "2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(headers.lines(), expected);
        assert_eq!((headers.first("x-a"), headers.first("x-b")), (Some("1"), None));
        assert_eq!(headers.all("x-a").rev().collect::<Vec<_>>(), ["2", "1"]);
        assert_eq!((headers.count("x-a"), headers.count("x-b")), (2, 0));
    }

    #[test]
    fn a_list_goes_over_all_lines_of_its_name() {
        let headers = headers(&[("A", "x, y"), ("B", "other"), ("a", "z")]);
        assert_eq!(headers.elements("a").collect::<Vec<_>>(), ["x", "y", "z"]);
        assert!(headers.elements("c").next().is_none());
        assert!(headers.has_element("a", "Z") && !headers.has_element("a", "other"));
    }
}
