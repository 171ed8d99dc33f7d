//! URLs as scripts pass them.

use crate::http::Url;

/// A valid URL equals its parts, and fits into a request; the error about an invalid one does not contain its password.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Url::parse(text) {
        Ok(url) => {
            for part in [&url.host_header(), &url.target] {
                assert!(!part.bytes().any(|byte| byte <= b' ' || byte == 0x7f), "{part:?} in a request line");
            }
            assert!(url.target.starts_with('/') && url.target.is_ascii() && !url.target.contains('#'));
            assert!(url.port > 0 && !url.host.is_empty() && url.host.is_ascii());
            let zone = url.zone.as_deref().unwrap_or("1");
            assert!(!zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%'));
            let scheme = if url.secure { "wss" } else { "ws" };
            let again =
                Url::parse(&format!("{scheme}://{}{}", url.host_header(), url.target)).expect("its parts");
            assert_eq!(Url { given: again.given.clone(), authorization: None, zone: None, ..url }, again);
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.len() < 2000 && !shown.chars().any(char::is_control), "{shown:?}");
            if let Some((_, rest)) = text.trim().split_once("://")
                && let Some((user, _)) = rest[..rest.find(['/', '?']).unwrap_or(rest.len())].rsplit_once('@')
                && let Some((_, password)) = user.split_once(':')
                // Long enough not to appear in our own texts, and without characters that are escaped.
                && text.bytes().all(|byte| (b' '..0x7f).contains(&byte))
                && password.len() > 8
                && password.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && text.matches(password).count() == 1
            {
                assert!(!shown.contains(password), "{shown:?}");
            }
        }
    }
}
