//! Open connections: for any bytes and any cuts, the game receives exactly what the model finds, and the answers are complete, well-formed
//! frames.

use super::lists;
use super::model::{Said, frames, understand};
use super::scripted::{Cuts, Line, MAX_MESSAGE, ScriptedHub};
use super::upgrades;
use crate::base::CloseReason;
use crate::channel::Notice;
use crate::config::{Mode, WireFormat};

/// Frames from a client. The first byte selects the mode, whether the client offers control messages and lists, and how much it reads; two
/// bytes follow with the seed of the cuts.
pub fn server(data: &[u8]) {
    let Some((script, bytes)) = Script::split(data) else { return };
    let godot4 = script.options & 1 != 0;
    let mode = if godot4 { Mode::Multiplayer(WireFormat::Godot4) } else { Mode::Raw };
    let mut hub = ScriptedHub::server(mode, &[]);
    let offers = script.options & 2 != 0;
    let request = String::from_utf8_lossy(upgrades::REQUEST);
    let target = if offers { "/game?godot-multiplayer=alive.v1" } else { "/game" };
    let mut request = request.replacen("/game", target, 1);
    let has_lists = godot4 && script.options & 4 != 0;
    if has_lists {
        request = request.replace("\r\n\r\n", "\r\nGodot-Multiplayer: relay-list; v=1\r\n\r\n");
    }
    let request = request.into_bytes();
    let mut line = Line::new(request, script.cuts.clone(), Cuts::WHOLE);
    line.ends = false;
    let conn = hub.accept(line);
    if !script.takes_all() {
        // The client reads the response first; otherwise the frames directly follow the request.
        hub.run();
    }
    let mut line = hub.line(conn);
    line.input.extend_from_slice(bytes);
    line.writing = script.writing();
    drop(line);
    hub.run();
    hub.finish();
    let output = std::mem::take(&mut hub.line(conn).output);
    let answers = behind_head(&output);
    let mut said = understand(bytes, true, MAX_MESSAGE);
    let mut frames = frames(answers, false, script.takes_all());
    let own_id = connected(&hub).and_then(|id| id.try_into().ok()).map_or(0, i32::from_le_bytes);
    if has_lists {
        lists::end_at_breach(&mut said, own_id);
    }
    let agreed = godot4 && offers;
    if agreed {
        let agreement = frames.remove(0);
        assert!(agreement.first == 0x81 && agreement.payload.starts_with(b"alive 1 "), "{agreement:?}");
        obey_control_messages(&mut said, &mut frames, script.takes_all());
    }
    if has_lists {
        let terms = frames.remove(0);
        assert_eq!((terms.first, terms.payload.as_slice()), (0x81, lists::TERMS));
        lists::expand(&mut said, own_id);
    }
    if godot4 {
        let id = frames.remove(0);
        assert_eq!((id.first, id.payload.len()), (0x82, 4), "the id comes first");
        assert_eq!(connected(&hub), Some(id.payload));
    }
    check_news(&hub, &said, 1);
    check_answers(&frames, &said, &script, agreed);
}

/// Takes out what was said and answered in control messages.
fn obey_control_messages(said: &mut Vec<Said>, answers: &mut Vec<super::model::Frame>, takes_all: bool) {
    let (mut came, mut asked, mut last_asked) = (0, 0, 0);
    let mut fault = None;
    let mut others = Vec::new();
    for one in said.drain(..) {
        match one {
            Said::Message { text: true, payload } => {
                let words = String::from_utf8(payload).expect("text is UTF-8");
                let numbers =
                    words.strip_prefix("ack").filter(|rest| rest.is_empty() || rest.starts_with(' '));
                // Nothing is sent, so none can have been received.
                let right = format!(" 0 {came}");
                let is_right = |rest: &str| rest == right || rest.starts_with(&format!("{right} "));
                if words.len() > 256 {
                    fault = Some(1009);
                } else if words == "ack?" || words.starts_with("ack? ") {
                    (asked, last_asked) = (asked + 1, came);
                } else if numbers.is_some_and(|rest| !is_right(rest)) {
                    fault = Some(1002);
                }
            }
            one => {
                came += usize::from(matches!(one, Said::Message { .. }));
                others.push(one);
            }
        }
        if let Some(code) = fault {
            others.push(Said::Violation(code));
            break;
        }
    }
    let goes_on = !matches!(others.last(), Some(Said::Close { .. } | Said::Violation(_)));
    *said = others;
    let (mut acknowledged, mut count) = (0, 0);
    answers.retain(|frame| {
        let Some(counts) = frame.payload.strip_prefix(b"ack ").filter(|_| frame.first == 0x81) else {
            return true;
        };
        let counts = std::str::from_utf8(counts).expect("text is UTF-8");
        let received =
            counts.strip_suffix(" 0").and_then(|received| received.parse().ok()).expect("two counts");
        assert!(
            (acknowledged..=came).contains(&received),
            "it received {received} of {came}, and {acknowledged} before"
        );
        (acknowledged, count) = (received, count + 1);
        false
    });
    assert!(count <= asked, "{count} answers to {asked} questions");
    if takes_all && goes_on {
        assert_eq!(
            (count > 0, acknowledged >= last_asked),
            (asked > 0, true),
            "the last question is answered"
        );
    }
}

/// Frames from a server that has accepted the upgrade.
pub fn client(data: &[u8]) {
    let Some((script, bytes)) = Script::split(data) else { return };
    let mode = match script.options % 3 {
        0 => Mode::Raw,
        1 => Mode::Multiplayer(WireFormat::Godot4),
        _ => Mode::Multiplayer(WireFormat::Godot3),
    };
    let mut hub = ScriptedHub::client(mode);
    let mut line = Line::new(Vec::new(), Cuts::WHOLE, Cuts::WHOLE);
    line.ends = false;
    let conn = hub.dial(&[], line);
    hub.run();
    let mut line = hub.line(conn);
    let mut input = upgrades::answer_to(&line.output);
    input.extend_from_slice(bytes);
    line.input = input;
    (line.reading, line.writing) = (script.cuts.clone(), script.writing());
    let asked = line.output.len();
    drop(line);
    hub.run();
    hub.finish();
    let output = std::mem::take(&mut hub.line(conn).output);
    let mut said = understand(bytes, false, MAX_MESSAGE);
    match mode {
        Mode::Raw => check_news(&hub, &said, 1),
        Mode::Multiplayer(wire) => check_client_news(&hub, &mut said, wire),
    }
    check_answers(&frames(&output[asked..], true, script.takes_all()), &said, &script, false);
}

/// The decisions of the first three bytes.
struct Script {
    options: u8,
    cuts: Cuts,
    seed: u16,
}

impl Script {
    fn split(data: &[u8]) -> Option<(Self, &[u8])> {
        let [options, low, high, bytes @ ..] = data else { return None };
        let seed = u16::from_le_bytes([*low, *high]);
        let cuts = if seed == 0 { Cuts::WHOLE } else { Cuts::new(seed) };
        Some((Self { options: options & 0x7f, cuts, seed }, bytes))
    }

    /// A remote reads everything, some bytes at a time, or nothing until the end.
    fn writing(&self) -> Cuts {
        match self.options >> 4 & 3 {
            0 | 1 => Cuts::WHOLE,
            2 => Cuts::new(self.seed ^ 0x5555),
            _ => Cuts::NONE,
        }
    }

    fn takes_all(&self) -> bool {
        self.options >> 4 & 3 < 2
    }
}

/// The id message for the id that the game knows.
fn connected(hub: &ScriptedHub) -> Option<Vec<u8>> {
    hub.notices.iter().find_map(|notice| match notice {
        Notice::Connected { shared, .. } => Some(shared.id.0.to_le_bytes().to_vec()),
        _ => None,
    })
}

/// Checks that the game's notices are those of the model, in order; the first `skip` are about the handshake.
fn check_news(hub: &ScriptedHub, said: &[Said], skip: usize) {
    let mut notices = hub.notices.iter().skip(skip);
    // The game gets no notices about pings and pongs.
    for said in said.iter().filter(|said| !matches!(said, Said::Ping(_) | Said::Pong)) {
        match (said, notices.next()) {
            (Said::Message { text, payload }, Some(Notice::Packet(packet))) => {
                assert_eq!((packet.text, packet.payload.as_ref()), (*text, payload.as_slice()));
            }
            (
                Said::Close { code, reason },
                Some(Notice::CloseRequested { code: notified, reason: why, .. }),
            ) => {
                assert_eq!((*notified, why.as_str()), (*code, reason.trim_end_matches('\0')));
                assert!(
                    matches!(notices.next(), Some(Notice::Disconnected { reason, .. }) if reason.is_clean())
                );
            }
            (Said::Violation(_), Some(Notice::Disconnected { reason: CloseReason::Violation(_), .. })) => {}
            (said, fresh) => panic!("{said:?} is reported as {fresh:?}"),
        }
    }
    if !matches!(said.last(), Some(Said::Close { .. } | Said::Violation(_))) {
        let end = notices.next();
        assert!(
            matches!(end, Some(Notice::Disconnected { reason: CloseReason::TransportError(_), .. })),
            "the stream ends inside: {end:?}"
        );
    }
    assert!(notices.next().is_none(), "nothing is reported after the end");
}

/// A client in multiplayer mode: the first message must be its id, or connecting fails.
fn check_client_news(hub: &ScriptedHub, said: &mut Vec<Said>, wire: WireFormat) {
    let is_message = |said: &Said| matches!(said, Said::Message { .. });
    let Some(first) = said.iter().position(is_message) else {
        assert!(hub.end().is_some() && connected(hub).is_none());
        return;
    };
    let Said::Message { payload, .. } = &said[first] else { return };
    let id = match wire {
        WireFormat::Godot4 => payload.as_slice().try_into().ok().map(i32::from_le_bytes),
        WireFormat::Godot3 if payload.len() == 13 && payload[0] == 3 => {
            payload[9..].try_into().ok().map(i32::from_le_bytes)
        }
        WireFormat::Godot3 => None,
    };
    let known = hub.notices.iter().find_map(|notice| match notice {
        Notice::Connected { own_id, .. } => Some(own_id.0),
        _ => None,
    });
    assert_eq!(known, id.filter(|id| *id >= 2), "its id");
    if known.is_none() {
        assert!(matches!(hub.end(), Some(CloseReason::Violation(_))));
        said.truncate(first);
        said.push(Said::Violation(1002));
        return;
    }
    match wire {
        WireFormat::Godot4 => {
            // The id message is reported in another way.
            let mut rest = said.clone();
            rest.remove(first);
            check_news(hub, &rest, 1);
        }
        WireFormat::Godot3 => {
            let packets = hub.notices.iter().filter(|notice| matches!(notice, Notice::Packet(_))).count();
            let sent = said.iter().skip(first + 1).filter(
                |said| matches!(said, Said::Message { payload, .. } if payload.len() > 9 && payload[0] == 0),
            );
            assert_eq!(packets, sent.count());
        }
    }
}

/// Returns the bytes after the response to the upgrade.
fn behind_head(output: &[u8]) -> &[u8] {
    assert!(output.starts_with(b"HTTP/1.1 101 "), "it is let in");
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    &output[end + 4..]
}

/// Checks that pongs answer pings, in order and at least the last one, that the Close is the expected one, and that nothing else is sent.
/// `agreed`: the Close has a reason.
fn check_answers(answers: &[super::model::Frame], said: &[Said], script: &Script, agreed: bool) {
    let mut pings = said.iter().filter_map(|said| match said {
        Said::Ping(payload) => Some(payload),
        _ => None,
    });
    let last_ping = pings.clone().next_back();
    let mut answers = answers.iter().peekable();
    let mut last_pong = None;
    while let Some(pong) = answers.next_if(|frame| frame.first == 0x8a) {
        assert!(pings.any(|ping| *ping == pong.payload), "a pong that answers no ping");
        last_pong = Some(&pong.payload);
    }
    let close: Option<Vec<u8>> = match said.last() {
        Some(Said::Close { code: 1005, .. }) => Some(Vec::new()),
        Some(Said::Close { code, reason }) => Some([&code.to_be_bytes()[..], reason.as_bytes()].concat()),
        Some(Said::Violation(code)) => Some(code.to_be_bytes().to_vec()),
        _ => None,
    };
    match (&close, answers.next()) {
        (Some(close), Some(frame)) => {
            let (code, reason) = frame.payload.split_at(frame.payload.len().min(2));
            let violated = matches!(said.last(), Some(Said::Violation(_)));
            if agreed && violated {
                assert_eq!((frame.first, code, reason.is_empty()), (0x88, close.as_slice(), false));
            } else if code == 1009_u16.to_be_bytes() && violated {
                // The reason tells the remote what to change.
                assert!(
                    std::str::from_utf8(reason).is_ok_and(|reason| reason.contains("max_message_size_kb"))
                );
                assert_eq!((frame.first, code), (0x88, close.as_slice()));
            } else {
                assert_eq!((frame.first, &frame.payload), (0x88, close));
            }
        }
        // A remote that is gone, or that reads nothing, gets no Close.
        (Some(_), None) => assert!(!script.takes_all(), "a close that is not said"),
        (None, Some(frame)) => panic!("nobody asked for {frame:?}"),
        (None, None) => {
            if script.takes_all() {
                assert_eq!(last_pong, last_ping, "the last ping is answered");
            }
        }
    }
    assert!(answers.next().is_none(), "nothing is said behind a close");
}
