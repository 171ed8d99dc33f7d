//! The engine test cases, a few at a time.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail};
use fs_err as fs;

use crate::case::{Case, Program};
use crate::engine::Outcome;
use crate::engine_run::TestBed;
use crate::engines::{self, Generation};
use crate::foreign::Foreign;
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{CannotRun, addon, bench, files, ui};

/// Runs the cases whose name contains one of `filters` (none: all of them).
pub(crate) fn run(repo: &Repo, mut cases: Vec<Case>, filters: &[String], long: bool) -> Result<Tally> {
    if !filters.is_empty() {
        cases.retain(|case| filters.iter().any(|filter| case.name.contains(filter)));
    }
    let mut tally = Tally::default();
    let all = cases.len();
    // A long case runs when it is named.
    cases.retain(|case| long || !case.long || filters.contains(&case.name));
    if cases.len() < all {
        _ = write!(tally.note, "{} only with --long. ", all - cases.len());
    }
    if cases.is_empty() {
        bail!("there are no engine cases to run");
    }
    let mut engine_4 = engines::provide(repo, Generation::Four)?;
    if cases.iter().any(|case| needs_load_client(repo, case)) {
        engine_4.environment.push((LOAD_CLIENT, bench::build_client(repo)?));
    }
    let mut engine_3 = None;
    let mut foreign = Foreign::default();
    for program in [Program::Engine3].into_iter().chain(Foreign::PROGRAMS) {
        let before = cases.len();
        if !cases.iter().any(|case| case.needs(program)) {
            continue;
        }
        let outcome = match program {
            Program::Engine3 => {
                engines::provide(repo, Generation::Three).map(|engine| engine_3 = Some(engine))
            }
            _ => foreign.provide(program),
        };
        if let Err(error) = outcome {
            if !error.is::<CannotRun>() {
                return Err(error);
            }
            cases.retain(|case| !case.needs(program));
            let skipped = before - cases.len();
            tally.skipped += skipped;
            _ = write!(tally.note, "{skipped} skipped: {error}. ");
            ui::detail(&format!("skipping {skipped} cases that need {program:?}: {error}"));
        }
    }
    if cases.is_empty() {
        return Ok(tally);
    }
    addon::stage(repo)?;
    let needs_web = cases.iter().any(|case| case.needs(Program::Web));
    let bed = TestBed { repo: repo.clone(), engine_4, engine_of_first: None, engine_3, foreign, slower: 1 };
    ui::detail(&format!("{} cases on {}", cases.len(), bed.engine_4.version));
    bed.engine_4.import(&repo.test_project())?;
    if needs_web {
        addon::stage_web(repo)?;
        bed.engine_4.import(&repo.web_project())?;
    }
    // Only the logs of this run are kept.
    files::empty(&repo.logs())?;
    let Tally { passed, failed, note, .. } = play(&bed, cases);
    tally.note.push_str(&note);
    Ok(Tally { passed, failed, ..tally })
}

/// Plays cases, a few at a time, and then those that run alone.
pub(crate) fn play(bed: &TestBed, cases: Vec<Case>) -> Tally {
    let (serial, parallel): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.serial);
    // The number of passed cases, and the names of failed ones. Locked while a case is shown, so that the lines of two cases do not mix.
    let results = Mutex::new((0, Vec::new()));
    // An emulator leaves no processor idle.
    let most = if bed.slower > 1 { 1 } else { WORKERS };
    for (cases, workers) in [(parallel, most), (serial, 1)] {
        let cases = Mutex::new(cases.into_iter());
        let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(case) = next() {
                let outcome = bed.run(&case);
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                if show(bed, &case.name, outcome) {
                    results.0 += 1;
                } else {
                    results.1.push(case.name);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(work);
            }
        });
    }
    let (passed, failed) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut tally = Tally { passed, failed: failed.len(), ..Tally::default() };
    if !failed.is_empty() {
        // In the table too: the lines above are many, and a log may be cut.
        tally.note = format!("failed: {}. ", failed.join(", "));
    }
    tally
}

/// A case whose head names this variable gets the path of the load client in it.
fn needs_load_client(repo: &Repo, case: &Case) -> bool {
    let script = repo.test_project().join("cases").join(format!("{}.gd", case.script));
    fs::read_to_string(script).is_ok_and(|text| text.contains(LOAD_CLIENT))
}

/// Prints the line of a case, and the details of a failure. Returns true if it passed.
fn show(bed: &TestBed, name: &str, outcome: Result<Outcome>) -> bool {
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
            println!("--- whole output: {}", bed.log(name).display());
            false
        }
        Err(error) => {
            ui::detail(&format!("FAIL  {name}: {error:#}"));
            false
        }
    }
}

const LOAD_CLIENT: &str = "WSLOAD";

/// The number of cases at a time, also on a machine with two processors: each has several engine processes, which mostly wait.
const WORKERS: usize = 3;
