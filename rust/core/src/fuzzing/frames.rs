//! The frame reader compared with tungstenite's: for any bytes and any cuts, both must receive the same.

use std::io::{self, Cursor, ErrorKind, Read, Write};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::{Role as WireRole, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use super::scripted::Cuts;
use crate::session::reader::{Frame, Reader, may_be_sent};
use crate::session::{Pool, ReadBurst, Role};

/// Frames from either side. The first byte selects the role, the limit, and the number of frames after which data is discarded; two bytes
/// follow with the seed of the cuts.
pub fn frames(data: &[u8]) {
    let [options, low, high, bytes @ ..] = data else { return };
    let script = Script {
        role: if options & 1 == 0 { Role::Server } else { Role::Client },
        max_message: LIMITS[usize::from(options >> 1 & 3)],
        discard_behind: None,
    };
    let cuts = || Cuts::new(u16::from_le_bytes([*low, *high]));
    let whole = ours(bytes, &script, Cuts::WHOLE);
    assert_eq!(ours(bytes, &script, cuts()), whole, "cuts change what is received");
    assert_eq!(ours(bytes, &script, Cuts::SINGLE), whole, "single bytes change what is received");
    compare(bytes, &script, &whole);
    // After a Close sent here there is nothing to compare: tungstenite still validates data that is discarded.
    let script = Script { discard_behind: Some(usize::from(options >> 3)), ..script };
    let discarding = ours(bytes, &script, Cuts::WHOLE);
    assert_eq!(ours(bytes, &script, cuts()), discarding, "cuts change what is received behind a Close");
    assert_eq!(ours(bytes, &script, Cuts::SINGLE), discarding, "single bytes do, behind a Close");
    let messages = discarding.iter().skip(usize::from(options >> 3));
    assert!(
        !messages.into_iter().any(|received| matches!(received, Received::Message { .. })),
        "data is discarded"
    );
}

struct Script {
    role: Role,
    max_message: usize,
    discard_behind: Option<usize>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Received {
    Message {
        text: bool,
        payload: Vec<u8>,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The last thing.
    Close {
        code: Option<u16>,
        reason: String,
    },
    /// The last thing.
    Violation(u16),
}

impl Received {
    fn is_last(&self) -> bool {
        matches!(self, Self::Close { .. } | Self::Violation(_))
    }
}

/// Returns what our reader receives with these cuts.
fn ours(bytes: &[u8], script: &Script, mut cuts: Cuts) -> Vec<Received> {
    let mut reader = Reader::default();
    let mut received = Vec::new();
    let mut came = 0;
    while came < bytes.len() {
        let n = cuts.next().min(bytes.len() - came);
        let mut piece = bytes[came..came + n].to_vec();
        came += n;
        let mut burst = ReadBurst::new(&mut piece);
        loop {
            if script.discard_behind == Some(received.len()) {
                reader.discard();
            }
            received.push(
                match reader.next(&mut burst, script.role, script.max_message, &mut Pool::default()) {
                    Ok(None) => break,
                    Ok(Some(Frame::Message { payload, text })) => {
                        Received::Message { text, payload: payload.bytes().to_vec() }
                    }
                    Ok(Some(Frame::Ping(payload))) => Received::Ping(payload.bytes().to_vec()),
                    Ok(Some(Frame::Pong(payload))) => Received::Pong(payload.bytes().to_vec()),
                    Ok(Some(Frame::Close { code: Some(code), .. })) if !may_be_sent(code) => {
                        Received::Close { code: Some(1002), reason: "Protocol violation".to_owned() }
                    }
                    Ok(Some(Frame::Close { code, reason })) => Received::Close { code, reason },
                    Ok(Some(Frame::Unfinished)) => unreachable!("nothing is compressed"),
                    Err(violation) => Received::Violation(violation.code),
                },
            );
            if received.last().is_some_and(Received::is_last) {
                return received;
            }
        }
        assert!(burst.is_empty(), "what is not whole is taken, too");
        assert!(reader.holds() <= 4096.max(2 * came) + 125, "memory grows with what came");
    }
    received
}

/// Checks that both receive the same, except for the differences listed here.
fn compare(bytes: &[u8], script: &Script, ours: &[Received]) {
    let mut oracle = theirs(bytes, script);
    if let (Some(Received::Violation(code)), false) =
        (ours.last(), oracle.last().is_some_and(Received::is_last))
    {
        if *code == 1008 {
            // tungstenite has no limit for the fragments of one message, only for the message.
            assert!(oracle.starts_with(&ours[..ours.len() - 1]));
            return;
        }
        // Our reader validates a frame by its header, and text byte by byte. tungstenite waits for the whole frame, whose rest is added
        // here.
        let missing = missing(bytes).expect("a frame is begun that has its head");
        oracle = theirs(&[bytes, &vec![0; missing]].concat(), script);
    }
    // tungstenite does not know 1014, which IANA has registered since.
    let unknown = Received::Close { code: Some(1002), reason: "Protocol violation".to_owned() };
    if let [before @ .., Received::Close { code: Some(1014), .. }] = ours
        && let Some((last, oracle)) = oracle.split_last()
    {
        assert_eq!((before, last), (oracle, &unknown), "the oracle hears something else");
        return;
    }
    assert_eq!(ours, oracle, "the oracle hears something else");
}

/// Returns what tungstenite receives. It merges its pongs, so the pings are compared.
fn theirs(bytes: &[u8], script: &Script) -> Vec<Received> {
    let limits = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(script.max_message))
        .max_frame_size(Some(script.max_message));
    let role = match script.role {
        Role::Server => WireRole::Server,
        Role::Client => WireRole::Client,
    };
    let mut context = WebSocketContext::new(role, Some(limits));
    let mut stream = Bytes(bytes);
    let mut received = Vec::new();
    loop {
        received.push(match context.read(&mut stream) {
            Ok(Message::Text(payload)) => {
                Received::Message { text: true, payload: payload.as_bytes().to_vec() }
            }
            Ok(Message::Binary(payload)) => Received::Message { text: false, payload: payload.to_vec() },
            Ok(Message::Ping(payload)) => Received::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Received::Pong(payload.to_vec()),
            Ok(Message::Close(None)) => Received::Close { code: None, reason: String::new() },
            Ok(Message::Close(Some(frame))) => {
                Received::Close { code: Some(frame.code.into()), reason: frame.reason.as_str().to_owned() }
            }
            Ok(Message::Frame(_)) => unreachable!("reading makes no raw frames"),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return received,
            Err(Error::Capacity(_)) => Received::Violation(1009),
            Err(Error::Utf8(_)) => Received::Violation(1007),
            Err(Error::Protocol(_)) => Received::Violation(1002),
            Err(error) => panic!("no end was sent: {error}"),
        });
        if received.last().is_some_and(Received::is_last) {
            return received;
        }
    }
}

/// Returns how many bytes are missing of the frame at the end.
fn missing(bytes: &[u8]) -> Option<usize> {
    let mut cursor = Cursor::new(bytes);
    while let Ok(Some((_, size))) = FrameHeader::parse(&mut cursor) {
        let end = usize::try_from(size).ok()?.checked_add(usize::try_from(cursor.position()).ok()?)?;
        if end > bytes.len() {
            return Some(end - bytes.len());
        }
        cursor.set_position(end as u64);
    }
    None
}

/// A stream that returns the bytes and then blocks, and takes whatever is written.
struct Bytes<'a>(&'a [u8]);

impl Read for Bytes<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(out) }
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Limits of messages: one smaller than a control frame, one that short inputs reach, and the largest sizes of each form of a header.
const LIMITS: [usize; 4] = [1000, 100, 0xffff, 1 << 20];
