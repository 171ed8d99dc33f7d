//! `wsload`: loads a WebSocket multiplayer server from outside, on one thread, and prints one JSON line about it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;
use serde_json::{Value, json};

mod conn;
mod frame;
mod load;
mod stats;
mod swarm;

use conn::Upgrade;
use load::{Echo, Sink};
use swarm::Swarm;

const USAGE: &str = "\
wsload MODE [N] --port PORT [options]

  connect N    open N connections at once; when is the first, the median, the last one usable
  echo         keep messages in flight on each connection of a server that echoes
  idle N       hold N connections open and answer pings
  sink N       hold N connections open and count what comes

  --host IP         a loopback address (127.0.0.1)
  --path PATH       of the request (/)
  --raw             the server sends no peer id first
  --timeout S       for opening (15)
  --parallel P      connections on their way at a time (connect: all; otherwise 32)
  --seconds S       for echo, idle and sink (5)
  --conns C         echo: connections (10)
  --inflight K      echo: messages in flight on each connection (16)
  --size B          echo: bytes of a message (64)";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Connect,
    Echo,
    Idle,
    Sink,
}

#[derive(Debug)]
struct Options {
    mode: Mode,
    count: usize,
    address: SocketAddr,
    path: String,
    raw: bool,
    timeout: Duration,
    parallel: usize,
    seconds: Duration,
    in_flight: usize,
    size: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("wsload: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Value> {
    let options = parse(lexopt::Parser::from_env()).map_err(|error| anyhow::anyhow!("{error}\n\n{USAGE}"))?;
    let files = raise_file_limit(options.count)?;
    let host = options.address.to_string();
    let mut swarm = Swarm::new(options.address, Upgrade::new(&host, &options.path, !options.raw))?;
    let mut report = match options.mode {
        Mode::Connect => connect(&mut swarm, &options),
        Mode::Echo => echo(&mut swarm, &options),
        Mode::Idle | Mode::Sink => sink(&mut swarm, &options),
    }?;
    report["mode"] = json!(format!("{:?}", options.mode).to_lowercase());
    report["wanted"] = json!(options.count);
    report["opened"] = opened(&swarm);
    report["lost"] = json!(swarm.lost);
    report["pings"] = json!(swarm.pings());
    report["file_limit"] = json!(files);
    Ok(report)
}

fn connect(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let mut load = Sink::new();
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    let usable = swarm.usable;
    swarm.close(&mut load)?;
    Ok(json!({ "usable": usable }))
}

fn echo(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let mut load = Echo::new(options.size);
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    let usable = swarm.usable;
    let now = Instant::now();
    swarm.flush_all(|conn| (0..options.in_flight).for_each(|_| load.send(conn, now)));
    swarm.run(WARM_UP, &mut load)?;
    load.reset();
    let started = Instant::now();
    swarm.run(options.seconds, &mut load)?;
    let took = started.elapsed().as_secs_f64();
    load.stopped = true;
    let (messages, latency) = (load.messages, load.latency.to_json());
    swarm.close(&mut load)?;
    let rate = messages as f64 / took;
    Ok(json!({
        "usable": usable,
        "in_flight": options.in_flight,
        "size": options.size,
        "seconds": took,
        "messages": messages,
        "messages_per_second": rate.round(),
        "megabytes_per_second": (rate * options.size as f64 / 1e4).round() / 100.0,
        "latency": latency,
        "wrong": load.wrong,
        "system_messages": load.system_messages,
    }))
}

fn sink(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let mut load = Sink::new();
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    let usable = swarm.usable;
    eprintln!("wsload: {usable} of {} usable, holding them", options.count);
    let started = Instant::now();
    // What came while others were still joining is no part of the rate.
    load = Sink { system_messages: load.system_messages, ..Sink::new() };
    swarm.run(options.seconds, &mut load)?;
    let took = started.elapsed().as_secs_f64();
    let held = swarm.usable;
    let Sink { messages, bytes, .. } = load;
    let gaps = load.gaps.to_json();
    swarm.close(&mut load)?;
    Ok(json!({
        "usable": usable,
        "held": held,
        "seconds": took,
        "messages": messages,
        "messages_per_second": (messages as f64 / took).round(),
        "bytes": bytes,
        "bytes_per_second": (bytes as f64 / took).round(),
        "gaps": gaps,
        "system_messages": load.system_messages,
    }))
}

fn opened(swarm: &Swarm) -> Value {
    json!({
        "since_start": swarm.since_start.to_json(),
        "since_connect": swarm.since_connect.to_json(),
        "refused": swarm.refused.values().sum::<usize>(),
        "refused_because": swarm.refused,
        "timed_out": swarm.timed_out,
    })
}

/// Raises the soft limit of open files as far as the system lets us, and says when that is not enough.
fn raise_file_limit(conns: usize) -> Result<u64> {
    let limit = rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let needed = conns as u64 + 32;
    if needed > limit {
        bail!("{conns} connections need {needed} open files, the hard limit is {limit}");
    }
    Ok(limit)
}

fn parse(mut parser: lexopt::Parser) -> Result<Options, lexopt::Error> {
    let (mut mode, mut count, mut port) = (None, None, None);
    let mut host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (mut path, mut raw, mut parallel) = ("/".to_owned(), false, None);
    let (mut timeout, mut seconds) = (15.0, 5.0);
    let (mut in_flight, mut size) = (16, 64);
    while let Some(argument) = parser.next()? {
        match argument {
            Value(word) if mode.is_none() => {
                mode = Some(match word.string()?.as_str() {
                    "connect" => Mode::Connect,
                    "echo" => Mode::Echo,
                    "idle" => Mode::Idle,
                    "sink" => Mode::Sink,
                    other => return Err(format!("there is no mode {other:?}").into()),
                });
            }
            Value(number) if count.is_none() => count = Some(number.parse()?),
            Long("conns") => count = Some(parser.value()?.parse()?),
            Long("port") => port = Some(parser.value()?.parse()?),
            Long("host") => host = parser.value()?.parse()?,
            Long("path") => path = parser.value()?.string()?,
            Long("raw") => raw = true,
            Long("timeout") => timeout = parser.value()?.parse()?,
            Long("parallel") => parallel = Some(parser.value()?.parse()?),
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("inflight") => in_flight = parser.value()?.parse()?,
            Long("size") => size = parser.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    let mode = mode.ok_or("which mode?")?;
    let count =
        count.or_else(|| (mode == Mode::Echo).then_some(10)).filter(|count| *count > 0).ok_or("how many?")?;
    let port = port.ok_or("--port is missing")?;
    if !host.is_loopback() {
        return Err(
            format!("{host} is no loopback address: this is a load generator for the own machine").into()
        );
    }
    let time = |seconds: f64, name: &str| {
        let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
        time.ok_or_else(|| format!("{name} must be a time"))
    };
    if size == 0 || in_flight == 0 || parallel == Some(0) {
        return Err("--size, --inflight and --parallel must be at least 1".into());
    }
    Ok(Options {
        mode,
        count,
        address: SocketAddr::new(host, port),
        path,
        raw,
        timeout: time(timeout, "--timeout")?,
        parallel: parallel.unwrap_or(if mode == Mode::Connect { usize::MAX } else { 32 }),
        seconds: time(seconds, "--seconds")?,
        in_flight,
        size,
    })
}

const WARM_UP: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options, lexopt::Error> {
        parse(lexopt::Parser::from_args(words))
    }

    #[test]
    fn only_loopback_is_loaded() {
        let message =
            options(&["idle", "5", "--port", "80", "--host", "192.0.2.1"]).expect_err("refused").to_string();
        assert!(message.contains("no loopback address"), "{message}");
        let accepted = options(&["idle", "5", "--port", "80", "--host", "::1"]).expect("accepted");
        assert_eq!(accepted.address, "[::1]:80".parse().expect("an address"));
    }

    #[test]
    fn defaults_and_mistakes() {
        let echo = options(&["echo", "--port=1"]).expect("accepted");
        assert_eq!((echo.mode, echo.count, echo.in_flight, echo.size), (Mode::Echo, 10, 16, 64));
        for words in [
            &["echo"][..],
            &["idle", "--port=1"],
            &["idle", "0", "--port=1"],
            &["fly", "--port=1"],
            &["echo", "--port=1", "--size=0"],
            &["echo", "--port=1", "--seconds=-1"],
        ] {
            assert!(options(words).is_err(), "{words:?}");
        }
    }
}
