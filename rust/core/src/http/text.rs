//! Text from the network in one readable line: names, plain text, JSON, and the words of a page.

use crate::base::is_invisible;

/// The content of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Text,
    Html,
    /// No type was named: text if it looks like text.
    Unknown,
    Binary,
}

/// Reads the value of a `Content-Type`; true: each byte is one character.
pub(super) fn kind(content_type: Option<&str>) -> (Kind, bool) {
    let Some(content_type) = content_type.map(str::to_ascii_lowercase) else { return (Kind::Unknown, false) };
    let (media, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
    let kind = match media.trim() {
        "" => Kind::Unknown,
        "text/html" | "application/xhtml+xml" => Kind::Html,
        "application/json" => Kind::Text,
        media if media.starts_with("text/") || media.ends_with("+json") => Kind::Text,
        _ => Kind::Binary,
    };
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    let latin1 = ["iso-8859-1", "latin1", "windows-1252", "us-ascii"];
    (kind, charset.is_some_and(|name| latin1.contains(&name.trim_matches('"'))))
}

/// Returns the text of a body whose end may be missing; an empty string if the body is no text.
pub(super) fn readable(bytes: &[u8], kind: Kind, latin1: bool) -> String {
    let said = decode(bytes, latin1);
    let begins = |what: &str| {
        said.trim_start().get(..what.len()).is_some_and(|first| first.eq_ignore_ascii_case(what))
    };
    match kind {
        Kind::Html => words_of_page(&said),
        Kind::Unknown if begins("<!doctype html") || begins("<html") => words_of_page(&said),
        Kind::Unknown if said.contains([char::REPLACEMENT_CHARACTER, '\0']) => String::new(),
        Kind::Text | Kind::Unknown => said,
        Kind::Binary => String::new(),
    }
}

/// Decodes UTF-8, without a character that is cut off at the end.
pub(super) fn decode(bytes: &[u8], latin1: bool) -> String {
    if latin1 {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    String::from_utf8_lossy(whole).into_owned()
}

/// Returns one line of at most `most` characters: invisible characters become a space, and several spaces become one.
pub(super) fn tidy(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for word in
        text.split(|char: char| char.is_whitespace() || is_invisible(char)).filter(|word| !word.is_empty())
    {
        if count > 0 {
            line.push(' ');
            count += 1;
        }
        for char in word.chars() {
            if count >= most {
                line.truncate(line.trim_end().len());
                line.push('…');
                return line;
            }
            line.push(char);
            count += 1;
        }
    }
    line
}

/// Lists names for a log line or a response, as many as fit.
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

/// Returns a page without tags, title, and hidden text.
fn words_of_page(page: &str) -> String {
    let mut words = String::new();
    let mut rest = page;
    while let Some((shown, tag)) = rest.split_once('<') {
        words.push_str(shown);
        words.push(' ');
        let hidden = ["title", "style", "script"].into_iter().find(|name| {
            let (first, behind) = tag.split_at_checked(name.len()).unwrap_or_default();
            first.eq_ignore_ascii_case(name) && !behind.starts_with(|char: char| char.is_ascii_alphanumeric())
        });
        rest = match hidden {
            _ if tag.starts_with("!--") => tag.split_once("-->").map_or("", |(_, behind)| behind),
            Some(name) => behind_end(tag, name),
            None => tag.split_once('>').map_or("", |(_, behind)| behind),
        };
    }
    words.push_str(rest);
    for (entity, char) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
    {
        words = words.replace(entity, char);
    }
    words
}

/// Returns the text after the end tag of an element.
fn behind_end<'a>(text: &'a str, name: &str) -> &'a str {
    for (at, _) in text.match_indices("</") {
        let end = &text[at + 2..];
        if end.get(..name.len()).is_some_and(|first| first.eq_ignore_ascii_case(name)) {
            return end.split_once('>').map_or("", |(_, behind)| behind);
        }
    }
    ""
}

/// Bytes of the names in one line.
const LONGEST_LINE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_that_can_be_read() {
        assert_eq!(tidy(" a\r\n\tb \u{1b}[31mc\0d\u{202e}e \u{85}", 100), "a b [31mc d e");
        assert_eq!(tidy("grüße an alle", 5), "grüße…");
        assert_eq!(tidy("grüße an alle", 6), "grüße…", "no space before the end");
        assert_eq!(tidy("grüße", 5), "grüße");
        assert_eq!(tidy("", 5), "");
    }

    #[test]
    fn a_page_is_what_is_seen_of_it() {
        let nginx = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n\
            <center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n\
            <!-- a padding to disable MSIE and Chrome friendly error page -->\r\n";
        assert_eq!(tidy(&readable(nginx.as_bytes(), Kind::Html, false), 100), "404 Not Found nginx");
        let flask = "<!doctype html>\n<html lang=en>\n<TITLE>403 Forbidden</TITLE>\n<style>p { x }</style>\n\
            <h1>Forbidden</h1>\n<p>You don&#39;t have a &lt;key&gt; &amp;lt;</p>\n<script>x</script";
        assert_eq!(
            tidy(&readable(flask.as_bytes(), Kind::Unknown, false), 100),
            "Forbidden You don't have a <key> &lt;"
        );
        // A tag that begins like a known one, and pages that are cut off anywhere.
        assert_eq!(tidy(&readable(b"<titles>a</titles>", Kind::Html, false), 100), "a");
        for page in [nginx, flask] {
            for len in 0..page.len() {
                let _ = readable(&page.as_bytes()[..len], Kind::Html, false);
            }
        }
    }

    #[test]
    fn the_type_says_what_it_is() {
        for (content_type, expected) in [
            (None, (Kind::Unknown, false)),
            (Some(""), (Kind::Unknown, false)),
            (Some("text/plain; charset=utf-8"), (Kind::Text, false)),
            (Some("Text/Plain; Charset=\"ISO-8859-1\""), (Kind::Text, true)),
            (Some("application/problem+json"), (Kind::Text, false)),
            (Some("text/html;charset=windows-1252"), (Kind::Html, true)),
            (Some("image/png"), (Kind::Binary, false)),
            (Some("application/octet-stream"), (Kind::Binary, false)),
        ] {
            assert_eq!(kind(content_type), expected, "{content_type:?}");
        }
    }

    #[test]
    fn a_text_in_any_encoding_and_no_picture() {
        assert_eq!(readable("März".as_bytes(), Kind::Text, false), "März");
        assert_eq!(readable(b"M\xe4rz", Kind::Text, true), "März");
        assert_eq!(readable(b"M\xe4rz", Kind::Text, false), "M\u{fffd}rz");
        assert_eq!(readable(b"caf\xc3", Kind::Text, false), "caf", "the rest of the character is missing");
        assert_eq!(readable(b"{\"a\":1}", Kind::Unknown, false), "{\"a\":1}");
        assert_eq!(readable(b"\x89PNG\r\n", Kind::Unknown, false), "");
        assert_eq!(readable(b"PK\x03\x04\0\0", Kind::Unknown, false), "");
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
