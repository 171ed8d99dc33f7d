//! The modes, and their reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::conn::Upgrade;
use crate::crowd::{Copies, Crowd};
use crate::load::{Echo, Levels, Relay, Sink, Steady};
use crate::swarm::Swarm;
use crate::tls::Tls;
use crate::{Mode, Options, processor, resume};

pub(crate) fn run(options: &Options) -> Result<Value> {
    let mut swarm = swarm(options)?;
    let mut report = match options.mode {
        Mode::Connect => connect(&mut swarm, options),
        Mode::Echo => echo(&mut swarm, options),
        Mode::Steady => steady(&mut swarm, options),
        Mode::Storm => storm(&mut swarm, options),
        Mode::Relay => relay(&mut swarm, options),
        Mode::Level => level(&mut swarm, options),
        Mode::Crowd => crowd(&mut swarm, options),
        Mode::Idle | Mode::Sink => sink(&mut swarm, options),
        // Its clients are no swarm.
        Mode::Resume => return resume::run(options),
    }?;
    report["mode"] = json!(format!("{:?}", options.mode).to_lowercase());
    report["wanted"] = json!(options.count);
    report["opened"] = json!({
        "since_start": swarm.since_start.to_json(),
        "since_connect": swarm.since_connect.to_json(),
        "refused": swarm.refused.values().sum::<usize>(),
        "refused_because": swarm.refused,
        "timed_out": swarm.timed_out,
    });
    report["lost"] = json!(swarm.lost);
    report["pings"] = json!(swarm.pings());
    Ok(report)
}

fn swarm(options: &Options) -> Result<Swarm> {
    let tls = options.tls.then(Tls::new).transpose()?;
    let offer = match options {
        Options { session: true, .. } => "resume; v=1",
        Options { copies: Copies::Once, .. } => "relay-list; v=1",
        _ => "",
    };
    let upgrade =
        Upgrade::new(&options.address.to_string(), &options.path, options.wire, offer, options.deflate);
    Swarm::new(options.address, upgrade, tls)
}

fn connect(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let mut load = Sink::default();
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    let usable = swarm.usable;
    swarm.close(&mut load)?;
    Ok(json!({ "usable": usable }))
}

fn echo(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let mut load = Echo::new(options.wire, options.content, options.size, 2);
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    let usable = swarm.usable;
    let sizes = sizes(swarm, options, &mut load)?;
    let now = Instant::now();
    swarm.flush_all(|conn| load.fill(conn, options.in_flight, now));
    swarm.run(WARM_UP, &mut load)?;
    load.stage.store(1, Ordering::Relaxed);
    load.messages = 0;
    let processor = processor_time(options)?;
    let started = Instant::now();
    swarm.run(options.seconds, &mut load)?;
    let took = started.elapsed();
    let processor = per_message(processor, processor_time(options)?, load.messages);
    load.stopped = true;
    let (messages, latency) = (load.messages, load.latency[1].clone());
    swarm.close(&mut load)?;
    let rate = messages as f64 / took.as_secs_f64();
    Ok(json!({
        "usable": usable,
        "in_flight": options.in_flight,
        "size": options.size,
        "seconds": took.as_secs_f64(),
        "messages": messages,
        "messages_per_second": rate.round(),
        "megabytes_per_second": (rate * options.size as f64 / 1e4).round() / 100.0,
        "latency": latency.to_json(),
        "within_percent": latency.share_within(options.within) * 100.0,
        "sizes": sizes,
        "processor_usec": processor,
        "wrong": load.wrong,
        "system_messages": load.system_messages,
    }))
}

/// The sizes of messages, from a number of them that does not depend on the server's speed.
fn sizes(swarm: &mut Swarm, options: &Options, load: &mut Echo) -> Result<Value> {
    let (before, wanted) = (swarm.traffic(), load.sample() * swarm.usable as u64);
    load.most = load.sample();
    let now = Instant::now();
    swarm.flush_all(|conn| load.fill(conn, options.in_flight, now));
    while load.messages < wanted && now.elapsed() < SIZES_LIMIT && swarm.usable > 0 {
        swarm.run(TICK, load)?;
    }
    ensure!(load.messages == wanted, "{} of {wanted} messages came back in time", load.messages);
    load.most = u64::MAX;
    Ok(swarm.traffic().since(before).per_message(wanted))
}

fn steady(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let mut load = Steady::new(options.wire, options.size, options.rate, 1, Arc::default());
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    let usable = swarm.usable;
    load.start();
    let end = Instant::now() + options.seconds;
    while Instant::now() < end && swarm.usable > 0 {
        let now = Instant::now();
        swarm.flush_all(|conn| load.fill(conn, now));
        swarm.run(TICK, &mut load)?;
    }
    // The last messages get time to return.
    let end = Instant::now() + DRAIN;
    while load.timeline.lost() > 0 && Instant::now() < end && swarm.usable > 0 {
        swarm.run(TICK, &mut load)?;
    }
    let held = swarm.usable;
    swarm.close(&mut load)?;
    Ok(json!({
        "usable": usable,
        "held": held,
        "sent": load.timeline.sent,
        "messages_lost": load.timeline.lost(),
        "wrong": load.wrong(),
        "recovery": load.timeline.to_json(),
    }))
}

/// The clients that exchange messages have a thread of their own, so that the handshakes of the new ones do not delay them in this process.
fn storm(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let stage = Arc::new(AtomicUsize::new(0));
    let probe = thread::spawn({
        let (options, stage) = (options.clone(), Arc::clone(&stage));
        move || in_use(&options, &stage)
    });
    let wait = |at_least: usize| {
        while stage.load(Ordering::Relaxed) < at_least && !probe.is_finished() {
            thread::sleep(TICK);
        }
    };
    wait(WARMING);
    thread::sleep(WARM_UP);
    stage.store(BEFORE, Ordering::Relaxed);
    thread::sleep(options.seconds);
    stage.store(DURING, Ordering::Relaxed);
    let mut load = Sink::default();
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    stage.store(AFTER, Ordering::Relaxed);
    let usable = swarm.usable;
    let mut report = probe.join().map_err(|_| anyhow!("the clients in use have panicked"))??;
    swarm.close(&mut load)?;
    report["usable"] = json!(usable);
    Ok(report)
}

fn in_use(options: &Options, stage: &Arc<AtomicUsize>) -> Result<Value> {
    let mut swarm = swarm(options)?;
    let mut load = Echo::new(options.wire, options.content, options.size, STAGES);
    load.stage = Arc::clone(stage);
    swarm.open(options.others, 32, options.timeout, &mut load)?;
    let now = Instant::now();
    swarm.flush_all(|conn| (0..options.in_flight).for_each(|_| load.send(conn, now)));
    stage.store(WARMING, Ordering::Relaxed);
    while stage.load(Ordering::Relaxed) != AFTER && swarm.usable > 0 {
        swarm.run(TICK, &mut load)?;
    }
    let held = swarm.usable;
    load.stopped = true;
    swarm.close(&mut load)?;
    let [before, during] = [BEFORE, DURING].map(|stage| &load.latency[stage]);
    let growth = during.percentile(0.99).as_secs_f64() / before.percentile(0.99).as_secs_f64();
    Ok(json!({
        "held": held,
        "before": before.to_json(),
        "during": during.to_json(),
        "p99_growth": if growth.is_finite() { json!(growth) } else { Value::Null },
        "wrong": load.wrong,
    }))
}

/// The client that sends small packets meanwhile has a thread of its own, so that inflating does not delay it in this process.
fn level(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let mut load = Levels::new(options.size);
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    let usable = swarm.usable;
    let stage = Arc::new(AtomicUsize::new(0));
    let probe = thread::spawn({
        let (options, stage) = (options.clone(), Arc::clone(&stage));
        move || small_packets(&options, &stage)
    });
    while stage.load(Ordering::Relaxed) < WARMING && !probe.is_finished() {
        thread::sleep(TICK);
    }
    thread::sleep(WARM_UP);
    stage.store(BEFORE, Ordering::Relaxed);
    swarm.run(options.seconds / 2, &mut load)?;
    // Each of them once shows their sizes. The first one takes memory that those after it reuse.
    stage.store(WARMING, Ordering::Relaxed);
    let before = swarm.traffic();
    for _ in 0..load.different() {
        send_levels(swarm, &mut load, Duration::ZERO)?;
    }
    let first = load.received;
    let sizes = swarm.traffic().since(before).per_message(first);
    let processor = processor_time(options)?;
    stage.store(DURING, Ordering::Relaxed);
    let started = Instant::now();
    send_levels(swarm, &mut load, options.seconds)?;
    let took = started.elapsed().as_secs_f64();
    stage.store(AFTER, Ordering::Relaxed);
    let (copies, is_done) = (load.received - first, load.is_done());
    let processor = per_message(processor, processor_time(options)?, copies);
    let mut report = probe.join().map_err(|_| anyhow!("the client of small packets has panicked"))??;
    swarm.close(&mut load)?;
    if !is_done {
        return Err(anyhow!("a level did not reach all clients"));
    }
    report["usable"] = json!(usable);
    report["messages"] = json!(copies);
    report["levels_per_second"] = json!(copies as f64 / usable.max(1) as f64 / took);
    report["sizes"] = sizes;
    report["processor_usec"] = processor;
    report["wrong"] = json!(report["wrong"].as_u64().unwrap_or(0) + load.wrong);
    Ok(report)
}

/// At least one, and no further one after `time`.
fn send_levels(swarm: &mut Swarm, load: &mut Levels, time: Duration) -> Result<()> {
    let clients = swarm.usable;
    let end = Instant::now() + time;
    loop {
        swarm.flush_all(|conn| load.fill(conn, clients));
        let late = Instant::now() + LEVEL_LIMIT;
        while !load.is_done() && Instant::now() < late && swarm.usable > 0 {
            swarm.run(TICK / 5, load)?;
        }
        if Instant::now() >= end || !load.is_done() {
            return Ok(());
        }
    }
}

fn small_packets(options: &Options, stage: &Arc<AtomicUsize>) -> Result<Value> {
    let mut swarm = swarm(options)?;
    let mut load = Steady::new(options.wire, SMALL, options.rate, STAGES, Arc::clone(stage));
    swarm.open(1, 1, options.timeout, &mut load)?;
    load.start();
    stage.store(WARMING, Ordering::Relaxed);
    while stage.load(Ordering::Relaxed) != AFTER && swarm.usable > 0 {
        let now = Instant::now();
        swarm.flush_all(|conn| load.fill(conn, now));
        swarm.run(TICK / 5, &mut load)?;
    }
    let held = swarm.usable;
    swarm.close(&mut load)?;
    Ok(json!({
        "held": held,
        "before": load.latency(BEFORE).to_json(),
        "during": load.latency(DURING).to_json(),
        "wrong": load.wrong(),
        "lost_small": load.timeline.lost(),
    }))
}

fn processor_time(options: &Options) -> Result<Option<Duration>> {
    Ok(options.pid.map(processor::time_of).transpose()?.flatten())
}

/// Microseconds.
fn per_message(before: Option<Duration>, after: Option<Duration>, messages: u64) -> Value {
    let used = after.zip(before).filter(|_| messages > 0).map(|(after, before)| after.saturating_sub(before));
    json!(used.map(|used| used.as_nanos() as f64 / 1e3 / messages as f64))
}

fn relay(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    swarm.open(options.count, options.parallel, options.timeout, &mut Sink::default())?;
    // Each client must know of the others before it sends to one.
    swarm.run(WARM_UP, &mut Sink::default())?;
    let usable = swarm.usable;
    let mut load = Relay::new(options.wire, options.size, swarm.ids());
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
    Ok(json!({
        "usable": usable,
        "messages": messages,
        "messages_per_second": (messages as f64 / took).round(),
        "latency": latency,
        "wrong": load.wrong,
    }))
}

/// The players join one after the other.
fn crowd(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    swarm.open(options.count, 1, options.timeout, &mut Sink::default())?;
    // Each client must know of the others before it sends to one.
    swarm.run(WARM_UP, &mut Sink::default())?;
    let usable = swarm.usable;
    let counted = [2 * WARM_UP, 2 * WARM_UP + options.seconds];
    let mut load = Crowd::new(options.wire, options.copies, options.size, options.rate, swarm.ids(), counted);
    let end = Instant::now() + counted[1];
    while Instant::now() < end && swarm.usable > 0 {
        swarm.flush_all(|conn| load.fill(conn));
        swarm.run(Duration::from_millis(1), &mut load)?;
    }
    // A server that does not keep up gets time for what waits.
    let end = Instant::now() + DRAIN;
    while load.received < load.owed && Instant::now() < end && swarm.usable > 0 {
        swarm.run(TICK, &mut load)?;
    }
    swarm.close(&mut load)?;
    Ok(load.report(usable, options.seconds.as_secs_f64()))
}

fn sink(swarm: &mut Swarm, options: &Options) -> Result<Value> {
    let mut load = Sink::default();
    swarm.open(options.count, options.parallel, options.timeout, &mut load)?;
    let usable = swarm.usable;
    eprintln!("wsload: {usable} of {} usable, holding them", options.count);
    swarm.run(options.seconds, &mut load)?;
    let held = swarm.usable;
    let Sink { messages, bytes, span, .. } = load;
    let took = span.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
    swarm.close(&mut load)?;
    Ok(json!({
        "usable": usable,
        "held": held,
        "messages": messages,
        "messages_per_second": if took > 0.0 { (messages as f64 / took).round() } else { 0.0 },
        "bytes": bytes,
        "system_messages": load.system_messages,
    }))
}

pub(crate) const WARM_UP: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(5);
pub(crate) const DRAIN: Duration = Duration::from_secs(3);
/// For the messages that show the sizes.
const SIZES_LIMIT: Duration = Duration::from_secs(20);
/// For a level to reach all clients.
const LEVEL_LIMIT: Duration = Duration::from_secs(20);
/// Bytes of a packet that is sent meanwhile.
const SMALL: usize = 64;
/// Stages of a storm, or of levels: opening, warming up, and the counted ones.
const WARMING: usize = 1;
const BEFORE: usize = 2;
const DURING: usize = 3;
const AFTER: usize = 4;
const STAGES: usize = 5;
