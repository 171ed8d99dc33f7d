//! A soak: servers and clients that come and go, on loopback and in one process. Every packet is counted, and all memory, files
//! and threads are released in the end.
//!
//! `wssoak --seconds 60 --clients 500 [--seed N]`. Clients connect, send requests, get replies and broadcasts, send to each other over the
//! Godot 3 wire, stop polling for a while, and leave: with a Close frame, by closing the socket, or by a reset. Prints the faults, and ends
//! with exit code 1 if a packet was lost or something was not released.

mod client;
mod foreign_client;
mod packet;
mod run;
mod server;
mod system;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use lexopt::prelude::*;

use run::Soak;

fn main() -> ExitCode {
    match run() {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                println!("FAULT: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Vec<String>> {
    let (mut seconds, mut clients, mut seed) = (60, 500, rand::random());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("clients") => clients = parser.value()?.parse()?,
            Long("seed") => seed = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if clients < 10 {
        bail!("--clients must be at least 10");
    }
    // Each client is a socket on both sides, a poller and its waker.
    let files = rlimit::increase_nofile_limit(u64::MAX)?;
    if files < clients as u64 * 4 + 100 {
        bail!("{clients} clients need {} open files, the limit is {files}", clients * 4 + 100);
    }
    println!("{clients} clients for {seconds} s, seed {seed}");
    let mut faults = Vec::new();
    // What a process allocates once and keeps (memory of the allocator, tables of the library) is not a leak. It is allocated here, before
    // the first measurement.
    let warm_up = Duration::from_secs((seconds / 6).clamp(5, 60));
    let mut base = None;
    for (length, seed) in [(warm_up, seed), (Duration::from_secs(seconds), seed ^ 1)] {
        let mut soak = Soak::new(clients, seed, base)?;
        let end = Instant::now() + length;
        while Instant::now() < end && soak.faults().is_empty() {
            soak.tick()?;
        }
        let (left, more) = soak.end();
        println!("{left:?} is held after the end");
        faults.extend(more);
        if !faults.is_empty() {
            break;
        }
        base = left;
    }
    Ok(faults)
}
