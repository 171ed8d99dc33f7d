//! The engine test cases, two at a time.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail};

use crate::case::{Case, Program};
use crate::engine_run::{Bench, Outcome, import};
use crate::engines::{self, Generation};
use crate::foreign::Foreign;
use crate::repo::Repo;
use crate::suites::{SIGN_OF_LIFE, Tally};
use crate::ui::Heartbeat;
use crate::{CannotRun, addon, bench, ui};

/// Runs the cases whose name contains one of `filters` (none: all of them).
pub(crate) fn run(repo: &Repo, mut cases: Vec<Case>, filters: &[String], long: bool) -> Result<Tally> {
    if !filters.is_empty() {
        cases.retain(|case| filters.iter().any(|filter| case.name.contains(filter)));
    }
    let mut tally = Tally::default();
    let all = cases.len();
    // Whoever names a long case wants it.
    cases.retain(|case| long || !case.long || filters.contains(&case.name));
    if cases.len() < all {
        _ = write!(tally.note, "{} only with --long. ", all - cases.len());
    }
    if cases.is_empty() {
        bail!("there are no engine cases to run");
    }
    let mut engine_4 = engines::provide(Generation::Four)?;
    if cases.iter().any(|case| needs_load_client(repo, case)) {
        engine_4.environment.push((LOAD_CLIENT, bench::build_client(repo)?));
    }
    let mut engine_3 = None;
    let mut foreign = Foreign::default();
    let others = [Program::Engine3].into_iter().chain(Foreign::PROGRAMS);
    for program in others {
        if !cases.iter().any(|case| case.needs(program)) {
            continue;
        }
        let outcome = match program {
            Program::Engine3 => engines::provide(Generation::Three).map(|engine| engine_3 = Some(engine)),
            _ => foreign.provide(program),
        };
        match outcome {
            Ok(()) => {}
            Err(error) if error.is::<CannotRun>() => {
                let before = cases.len();
                cases.retain(|case| !case.needs(program));
                let skipped = before - cases.len();
                tally.skipped += skipped;
                _ = write!(tally.note, "{skipped} skipped: {error}. ");
                ui::detail(&format!("skipping {skipped} cases that need {program:?}: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    if cases.is_empty() {
        return Ok(tally);
    }
    addon::stage(repo)?;
    let bench = Bench::new(repo, engine_4, engine_3, foreign)?;
    ui::detail(&format!("{} cases on {}", cases.len(), bench.engine_4.version));
    let imported = import(&bench.engine_4, &bench.project_4, &bench.home)?;
    if !imported.faults.is_empty() {
        bail!("the test project cannot be imported: {}\n{}", imported.faults.join("; "), imported.tails);
    }
    // The logs of this run only, so that a kept log is never an old one.
    for entry in fs::read_dir(&bench.logs)?.flatten() {
        fs::remove_file(entry.path())?;
    }
    let (serial, parallel): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.serial);
    run_all(&bench, parallel, WORKERS, &mut tally);
    run_all(&bench, serial, 1, &mut tally);
    Ok(tally)
}

/// A case that asks for this variable gets the path of the load client in it.
fn needs_load_client(repo: &Repo, case: &Case) -> bool {
    let script = repo.test_project().join("cases").join(format!("{}.gd", case.script));
    fs::read_to_string(script).is_ok_and(|text| text.contains(LOAD_CLIENT))
}

enum Event {
    Started(String),
    Ended(String, Result<Outcome>),
}

fn run_all(bench: &Bench, cases: Vec<Case>, workers: usize, tally: &mut Tally) {
    let queue = Mutex::new(VecDeque::from(cases));
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || work(bench, queue, &sender));
        }
        drop(sender);
        let mut heartbeat = Heartbeat::new("engine cases");
        let mut running: Vec<String> = Vec::new();
        loop {
            match receiver.recv_timeout(SIGN_OF_LIFE) {
                Ok(Event::Started(name)) => running.push(name),
                Ok(Event::Ended(name, outcome)) => {
                    running.retain(|other| *other != name);
                    heartbeat.reset();
                    let passed = show(bench, &name, outcome);
                    *(if passed { &mut tally.passed } else { &mut tally.failed }) += 1;
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => heartbeat.tick(&running.join(", ")),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
}

fn work(bench: &Bench, queue: &Mutex<VecDeque<Case>>, sender: &Sender<Event>) {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some(case) = next() {
        let started = sender.send(Event::Started(case.name.clone()));
        let ended = sender.send(Event::Ended(case.name.clone(), bench.run(&case)));
        if started.and(ended).is_err() {
            return;
        }
    }
}

/// Prints the line of a case, and all there is to know about a failure. True: passed.
fn show(bench: &Bench, name: &str, outcome: Result<Outcome>) -> bool {
    match outcome {
        Ok(outcome) if outcome.faults.is_empty() => {
            ui::detail(&format!("ok    {name} ({})", ui::seconds(outcome.took)));
            true
        }
        Ok(outcome) => {
            ui::detail(&format!("FAIL  {name} ({})", ui::seconds(outcome.took)));
            for fault in &outcome.faults {
                ui::detail(&format!("        {fault}"));
            }
            print!("{}", outcome.tails);
            println!("--- whole output: {}", bench.log(name).display());
            false
        }
        Err(error) => {
            ui::detail(&format!("FAIL  {name}: {error:#}"));
            false
        }
    }
}

const LOAD_CLIENT: &str = "WSLOAD";

/// Each case has some engine processes, and time limits that a crowded machine would break.
const WORKERS: usize = 2;
