//! `wsload`: loads a WebSocket multiplayer server from outside, on one thread, and prints one JSON line about it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

mod conn;
mod content;
mod crowd;
mod deflate;
mod enet;
mod frame;
mod load;
mod modes;
mod processor;
mod resume;
mod stats;
mod swarm;
mod timeline;
mod tls;
mod wire;

use content::Content;
use crowd::Copies;
use deflate::Deflate;
use wire::Wire;

const USAGE: &str = "\
wsload MODE [N] --port PORT [options]

  connect N    open N connections at once; after what time the first, the median, the last one is usable
  echo         keep messages in flight on each connection of a server that echoes
  steady       send at a fixed rate to a server that echoes; how long nothing comes back, and how long it is slow after that
  storm N      open N connections at once while others are in use; how the latency of those grows
  level N      N clients that get one level of --size bytes after the other, from a server that sends what is large to all but the client that
               has sent the last small message; the latency of small messages of one more client meanwhile
  relay        as echo, but each client sends to another one
  crowd N      N players: each sends its state to all others in each frame, through the server
  idle N       hold N connections open and answer pings
  sink N       hold N connections open and count what comes
  resume N     N clients of the core whose connections are all reset at once, again and again, at a server that echoes and gives sessions: how
               soon what each sends then is echoed
  certificate FOLDER   write key.pem and certificate.pem for a server

  --host IP         a loopback address (127.0.0.1)
  --path PATH       of the request (/)
  --wire WIRE       raw, godot4 (the default; first comes the client's id) or godot3 (nine bytes before each packet)
  --tls             over TLS, without verifying the certificate
  --enet            crowd: over ENet (UDP), as clients of ENetMultiplayerPeer
  --lists           crowd: one message for all other players (the lists of docs/protocol.md)
  --alone           crowd: the state goes to the server only
  --session         idle: with sessions that survive the loss of their connections
  --deflate HOW     off, shared or dedicated: permessage-deflate is offered, and the server has to compress in this way
  --content WHAT    echo: bytes (the default), json (a game's), sync (packets of synchronizers)
  --pid PID         echo, level: the server's process, whose processor time is reported
  --timeout S       for opening (15)
  --parallel P      connections on their way at a time (connect, storm: all; otherwise 32)
  --seconds S       for all but connect and storm (5); level: half of it before the levels
  --conns C         echo, steady, storm, relay: connections (10)
  --inflight K      echo, storm, relay: messages in flight on each connection; resume: sent right before each reset (16)
  --rate R          steady, level: messages per second on each connection; crowd: frames per second (100)
  --size B          bytes of a message (64)
  --within MS       echo: the share that is answered by then is reported (33.4: two frames of 60 per second)";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Connect,
    Echo,
    Steady,
    Storm,
    Relay,
    Level,
    Crowd,
    Idle,
    Sink,
    Resume,
}

#[derive(Clone, Debug)]
struct Options {
    mode: Mode,
    /// Connections; in a storm, the new ones that all connect at once.
    count: usize,
    /// Storm: connections that exchange messages meanwhile.
    others: usize,
    address: SocketAddr,
    path: String,
    wire: Wire,
    tls: bool,
    session: bool,
    deflate: Option<Deflate>,
    content: Content,
    /// The server's process.
    pid: Option<u32>,
    copies: Copies,
    enet: bool,
    timeout: Duration,
    parallel: usize,
    seconds: Duration,
    in_flight: usize,
    rate: f64,
    size: usize,
    within: Duration,
}

/// The parsed command line.
#[derive(Debug)]
enum Wanted {
    Help,
    Load(Box<Options>),
    Certificate(PathBuf),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wsload: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let wanted = parse(lexopt::Parser::from_env())
        .map_err(|error| anyhow::anyhow!("{error}\n`wsload --help` shows all modes and options"))?;
    match wanted {
        Wanted::Help => {
            println!("{USAGE}");
            Ok(())
        }
        Wanted::Certificate(folder) => tls::write_certificate(&folder),
        Wanted::Load(options) => {
            // A client of `resume` has a poller of its own, and its connection has four ends here.
            let per_client = if options.mode == Mode::Resume { 8 } else { 1 };
            let files = raise_file_limit(options.count * per_client + options.others)?;
            let mut report = if options.enet { enet::run(&options)? } else { modes::run(&options)? };
            report["file_limit"] = files.into();
            println!("{report}");
            Ok(())
        }
    }
}

/// Raises the soft limit of open files as far as the system permits. Fails if that is not enough.
fn raise_file_limit(conns: usize) -> Result<u64> {
    let limit = rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let needed = conns as u64 + 32;
    if needed > limit {
        bail!("{conns} connections need {needed} open files, the hard limit is {limit}");
    }
    Ok(limit)
}

fn parse(mut parser: lexopt::Parser) -> Result<Wanted, lexopt::Error> {
    let (mut mode, mut count, mut port, mut conns) = (None, None, None, 10);
    let mut host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (mut path, mut wire, mut tls, mut parallel) = ("/".to_owned(), Wire::Godot4, false, None);
    let (mut session, mut enet, mut copies) = (false, false, Copies::Each);
    let (mut deflate, mut content, mut pid) = (None, Content::Bytes, None);
    let (mut timeout, mut seconds, mut within) = (15.0, 5.0, 33.4);
    let (mut in_flight, mut size, mut rate) = (16, 64, 100.0);
    while let Some(argument) = parser.next()? {
        match argument {
            Value(word) if mode.is_none() => {
                mode = Some(match word.string()?.as_str() {
                    "connect" => Mode::Connect,
                    "echo" => Mode::Echo,
                    "steady" => Mode::Steady,
                    "storm" => Mode::Storm,
                    "relay" => Mode::Relay,
                    "level" => Mode::Level,
                    "crowd" => Mode::Crowd,
                    "idle" => Mode::Idle,
                    "sink" => Mode::Sink,
                    "resume" => Mode::Resume,
                    "certificate" => return Ok(Wanted::Certificate(parser.value()?.into())),
                    other => return Err(format!("there is no mode {other:?}").into()),
                });
            }
            Value(number) if count.is_none() => count = Some(number.parse()?),
            Long("help") | Short('h') => return Ok(Wanted::Help),
            Long("conns") => conns = parser.value()?.parse()?,
            Long("port") => port = Some(parser.value()?.parse()?),
            Long("host") => host = parser.value()?.parse()?,
            Long("path") => path = parser.value()?.string()?,
            Long("wire") => {
                wire = match parser.value()?.string()?.as_str() {
                    "raw" => Wire::Raw,
                    "godot4" => Wire::Godot4,
                    "godot3" => Wire::Godot3,
                    other => return Err(format!("there is no wire {other:?}").into()),
                }
            }
            Long("tls") => tls = true,
            Long("session") => session = true,
            Long("deflate") => {
                deflate = Some(match parser.value()?.string()?.as_str() {
                    "off" => Deflate::Off,
                    "shared" => Deflate::Shared,
                    "dedicated" => Deflate::Dedicated,
                    other => return Err(format!("nothing is compressed {other:?}").into()),
                });
            }
            Long("content") => {
                content = match parser.value()?.string()?.as_str() {
                    "bytes" => Content::Bytes,
                    "json" => Content::Json,
                    "sync" => Content::Sync,
                    other => return Err(format!("there is no content {other:?}").into()),
                }
            }
            Long("pid") => pid = Some(parser.value()?.parse()?),
            Long("lists") => copies = Copies::Once,
            Long("alone") => copies = Copies::None,
            Long("enet") => enet = true,
            Long("timeout") => timeout = parser.value()?.parse()?,
            Long("parallel") => parallel = Some(parser.value()?.parse()?),
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("inflight") => in_flight = parser.value()?.parse()?,
            Long("rate") => rate = parser.value()?.parse()?,
            Long("size") => size = parser.value()?.parse()?,
            Long("within") => within = parser.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    let mode = mode.ok_or("the mode is missing")?;
    let by_option = matches!(mode, Mode::Echo | Mode::Steady | Mode::Relay);
    let count = count
        .or_else(|| by_option.then_some(conns))
        .filter(|count| *count > 0)
        .ok_or("the number of connections is missing")?;
    if mode == Mode::Relay && count % 2 == 1 {
        return Err("clients talk in pairs: --conns must be even".into());
    }
    if (enet || copies != Copies::Each) && mode != Mode::Crowd {
        return Err("--enet, --lists and --alone are for the mode crowd".into());
    }
    if copies == Copies::Once && (enet || wire != Wire::Godot4) {
        return Err("--lists needs WebSocket and the wire godot4".into());
    }
    if content != Content::Bytes && mode != Mode::Echo {
        return Err("--content is for the mode echo".into());
    }
    if pid.is_some() && !matches!(mode, Mode::Echo | Mode::Level) {
        return Err("--pid is for the modes echo and level".into());
    }
    if mode == Mode::Level && wire == Wire::Godot3 {
        return Err("levels have no header of the wire godot3".into());
    }
    let port = port.ok_or("--port is missing")?;
    if !host.is_loopback() {
        return Err(
            format!("{host} is not a loopback address: wsload loads servers on this machine only").into()
        );
    }
    let time = |seconds: f64, name: &str| {
        let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
        time.ok_or_else(|| format!("{name} must be a time"))
    };
    if size == 0 || in_flight == 0 || parallel == Some(0) {
        return Err("--size, --inflight and --parallel must be at least 1".into());
    }
    if !(rate > 0.0 && rate <= 1e6) {
        return Err("--rate must be messages per second".into());
    }
    let at_once = matches!(mode, Mode::Connect | Mode::Storm);
    Ok(Wanted::Load(Box::new(Options {
        mode,
        count,
        others: if mode == Mode::Storm { conns } else { 0 },
        address: SocketAddr::new(host, port),
        path,
        wire,
        tls,
        session,
        deflate,
        content,
        pid,
        copies,
        enet,
        timeout: time(timeout, "--timeout")?,
        parallel: parallel.unwrap_or(if at_once { usize::MAX } else { 32 }),
        seconds: time(seconds, "--seconds")?,
        in_flight,
        rate,
        size,
        within: time(within / 1e3, "--within")?,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options, lexopt::Error> {
        match parse(lexopt::Parser::from_args(words))? {
            Wanted::Load(options) => Ok(*options),
            other => Err(format!("{other:?}").into()),
        }
    }

    #[test]
    fn only_loopback_is_loaded() {
        let message =
            options(&["idle", "5", "--port", "80", "--host", "192.0.2.1"]).expect_err("refused").to_string();
        assert!(message.contains("not a loopback address"), "{message}");
        let accepted = options(&["idle", "5", "--port", "80", "--host", "::1"]).expect("accepted");
        assert_eq!(accepted.address, "[::1]:80".parse().expect("an address"));
    }

    #[test]
    fn defaults_and_mistakes() {
        let echo = options(&["echo", "--port=1"]).expect("accepted");
        assert_eq!((echo.mode, echo.count, echo.in_flight, echo.size), (Mode::Echo, 10, 16, 64));
        let json = options(&["echo", "--port=1", "--deflate=off", "--content=json"]).expect("accepted");
        assert_eq!((json.deflate, json.content), (Some(Deflate::Off), Content::Json));
        let storm = options(&["storm", "100", "--port=1", "--conns=7", "--tls"]).expect("accepted");
        assert_eq!((storm.count, storm.others, storm.tls, storm.parallel), (100, 7, true, usize::MAX));
        for words in [
            &["echo"][..],
            &["idle", "--port=1"],
            &["idle", "0", "--port=1"],
            &["fly", "--port=1"],
            &["echo", "--port=1", "--size=0"],
            &["echo", "--port=1", "--seconds=-1"],
            &["relay", "--port=1", "--conns=5"],
            &["echo", "--port=1", "--wire=godot5"],
            &["steady", "--port=1", "--rate=0"],
            &["echo", "--port=1", "--enet"],
            &["echo", "--port=1", "--lists"],
            &["crowd", "3", "--port=1", "--lists", "--enet"],
            &["echo", "--port=1", "--deflate=yes"],
            &["steady", "--port=1", "--content=json"],
            &["idle", "5", "--port=1", "--pid=1"],
            &["level", "5", "--port=1", "--wire=godot3"],
            &["certificate"],
        ] {
            assert!(options(words).is_err(), "{words:?}");
        }
    }
}
