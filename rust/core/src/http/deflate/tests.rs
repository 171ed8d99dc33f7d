//! Tests that every legal form of an offer and an answer is met, and no other.

use super::*;

fn headers(lines: &[&str]) -> Headers {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| httparse::Header { name: "Sec-WebSocket-Extensions", value: line.as_bytes() })
        .collect();
    Headers::new(&lines)
}

/// Returns the parameters of a server's answer, and the window and whether each side keeps, with [`Compression::Dedicated`].
fn answer(lines: &[&str]) -> Option<(String, u8, bool, bool)> {
    let (agreed, answer) = accept(&headers(lines), Compression::Dedicated)?;
    let params = answer.strip_prefix(NAME).expect("its name").trim_start_matches("; ").to_owned();
    Some((params, agreed.send.window, agreed.send.keeps, agreed.receive_keeps))
}

#[test]
fn a_server_meets_each_legal_offer() {
    let both = "server_no_context_takeover; client_no_context_takeover";
    for (offer, params, window, keeps, receive_keeps) in [
        ("permessage-deflate", "", 15, true, true),
        ("PerMessage-Deflate", "", 15, true, true),
        (" permessage-deflate ;", "", 15, true, true),
        ("permessage-deflate; server_no_context_takeover", "server_no_context_takeover", 15, false, true),
        ("permessage-deflate; client_no_context_takeover", "client_no_context_takeover", 15, true, false),
        (
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
            both,
            15,
            false,
            false,
        ),
        ("permessage-deflate;SERVER_NO_CONTEXT_TAKEOVER;Client_No_Context_Takeover", both, 15, false, false),
        ("permessage-deflate; server_max_window_bits=8", "server_max_window_bits=8", 8, true, true),
        ("permessage-deflate; server_max_window_bits=9", "server_max_window_bits=9", 9, true, true),
        ("permessage-deflate; server_max_window_bits=10", "server_max_window_bits=10", 10, true, true),
        ("permessage-deflate; server_max_window_bits=15", "server_max_window_bits=15", 15, true, true),
        ("permessage-deflate; server_max_window_bits = 12", "server_max_window_bits=12", 12, true, true),
        ("permessage-deflate; server_max_window_bits=\"11\"", "server_max_window_bits=11", 11, true, true),
        ("permessage-deflate; server_max_window_bits=\"1\\1\"", "server_max_window_bits=11", 11, true, true),
        // Chromium, Firefox and the libraries that ask for no window.
        ("permessage-deflate; client_max_window_bits", "", 15, true, true),
        ("permessage-deflate; client_max_window_bits=8", "", 15, true, true),
        ("permessage-deflate; client_max_window_bits=15", "", 15, true, true),
        ("permessage-deflate; client_max_window_bits=\"9\"", "", 15, true, true),
        // What Python's websockets sends.
        (
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            "server_max_window_bits=12",
            12,
            true,
            true,
        ),
        // All four.
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=10",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
            9,
            false,
            false,
        ),
        // Other extensions are passed over.
        ("x-webkit-deflate-frame, permessage-deflate", "", 15, true, true),
        (
            "bbf-usp-protocol; a=\"x, permessage-deflate; y\", permessage-deflate; server_max_window_bits=9",
            "server_max_window_bits=9",
            9,
            true,
            true,
        ),
        ("permessage-bzip2; level=9, permessage-deflate", "", 15, true, true),
        // The second one is the first that is legal.
        (
            "permessage-deflate; what, permessage-deflate; server_no_context_takeover",
            "server_no_context_takeover",
            15,
            false,
            true,
        ),
        ("permessage-deflate; server_max_window_bits, permessage-deflate", "", 15, true, true),
        // The first one of two.
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "server_max_window_bits=10",
            10,
            true,
            true,
        ),
    ] {
        let expected = Some((params.to_owned(), window, keeps, receive_keeps));
        assert_eq!(answer(&[offer]), expected, "{offer}");
        // In the form without takeover both sides keep nothing.
        let (agreed, answer) = accept(&headers(&[offer]), Compression::Shared).expect("the same");
        assert!(answer.starts_with(&format!("{NAME}; {both}")), "{answer}");
        assert_eq!((agreed.send.window, agreed.send.keeps, agreed.receive_keeps), (window, false, false));
    }
    let lines =
        ["permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=14"];
    assert_eq!(answer(&lines), Some(("server_max_window_bits=14".to_owned(), 14, true, true)));
}

#[test]
fn a_server_declines_what_is_no_legal_offer() {
    for offer in [
        "",
        ",",
        "x-webkit-deflate-frame",
        "deflate",
        "permessage-deflate2",
        "\"permessage-deflate\"",
        "permessage-deflate; what",
        "permessage-deflate; what=1",
        "permessage-deflate; server_no_context_takeover=true",
        "permessage-deflate; client_no_context_takeover=\"\"",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=015",
        "permessage-deflate; server_max_window_bits=-9",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=100",
        "permessage-deflate; server_max_window_bits=9 9",
        "permessage-deflate; server_max_window_bits=\"9",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=99",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        "a=\"permessage-deflate, permessage-deflate",
    ] {
        assert_eq!(answer(&[offer]), None, "{offer}");
    }
    // Not every one of a thousand is looked at.
    let many = ["x"; 1000].join(", ");
    assert_eq!(answer(&[&format!("{many}, permessage-deflate")]), None);
}

#[test]
fn a_client_takes_each_legal_answer() {
    let agreed =
        |window, keeps, receive_keeps| Some(Agreed { send: Sending { window, keeps }, receive_keeps });
    for (answer, expected) in [
        ("permessage-deflate", agreed(15, true, true)),
        ("permessage-deflate; server_no_context_takeover", agreed(15, true, false)),
        ("permessage-deflate; client_no_context_takeover", agreed(15, false, true)),
        (
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
            agreed(15, false, false),
        ),
        ("permessage-deflate; client_max_window_bits=8", agreed(8, true, true)),
        (
            "permessage-deflate; client_max_window_bits=\"10\"; server_max_window_bits=9",
            agreed(10, true, true),
        ),
        ("", None),
    ] {
        let found = |wanted| check(&headers(&[answer]), Some(wanted)).expect(answer);
        assert_eq!(found(Compression::Dedicated), expected, "{answer}");
        // It keeps nothing even if the server has not asked for that.
        let shared =
            expected.map(|agreed| Agreed { send: Sending { keeps: false, ..agreed.send }, ..agreed });
        assert_eq!(found(Compression::Shared), shared, "{answer}");
    }
}

#[test]
fn a_client_says_what_is_wrong_with_an_answer() {
    for (answer, words) in [
        ("x-other", "the server chose an extension that was not offered: x-other"),
        ("permessage-deflate, x", "the server chose more than one extension: permessage-deflate, x"),
        (
            "permessage-deflate, permessage-deflate",
            "the server chose more than one extension: permessage-deflate, permessage-deflate",
        ),
        (
            "permessage-deflate; x",
            "the server's answer to permessage-deflate has a parameter that was not offered: permessage-deflate; x",
        ),
        (
            "permessage-deflate; client_max_window_bits",
            "the server's answer to permessage-deflate has a parameter without its value: permessage-deflate; client_max_window_bits",
        ),
        (
            "permessage-deflate; server_max_window_bits=7",
            "the server's answer to permessage-deflate has a window that is not 8 to 15: permessage-deflate; server_max_window_bits=7",
        ),
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "the server's answer to permessage-deflate has a parameter twice: permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        ),
        (
            "permessage-deflate; server_no_context_takeover=1",
            "the server's answer to permessage-deflate has a value where none may be: permessage-deflate; server_no_context_takeover=1",
        ),
    ] {
        for wanted in [Compression::Shared, Compression::Dedicated] {
            assert_eq!(check(&headers(&[answer]), Some(wanted)), Err(words.to_owned()));
        }
    }
    let words = "the server chose an extension that was not offered: permessage-deflate".to_owned();
    assert_eq!(check(&headers(&["permessage-deflate"]), None), Err(words));
    assert_eq!(check(&headers(&[]), None), Ok(None));
}

#[test]
fn each_offer_of_a_client_is_met_by_a_server_with_either_setting() {
    for wanted in [Compression::Shared, Compression::Dedicated] {
        for given in [Compression::Shared, Compression::Dedicated] {
            let (server, answer) = accept(&headers(&[offer(wanted)]), given).expect("it is legal");
            let client = check(&headers(&[&answer]), Some(wanted)).expect("it is legal").expect("agreed");
            // Who receives must be able to read whatever the other end sends.
            assert!(client.receive_keeps || !server.send.keeps, "{wanted:?} {given:?}");
            assert!(server.receive_keeps || !client.send.keeps, "{wanted:?} {given:?}");
        }
    }
}
