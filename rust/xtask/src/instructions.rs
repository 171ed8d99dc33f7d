//! The suite that measures speed without a clock: the number of instructions per packet, counted by callgrind and compared with committed
//! figures.
//!
//! `gungraun` counts in the same way, but needs an installed runner of exactly its own version (179 crates). It compares with its own last
//! run, or with limits in the source. Here, the committed figures are instructions per packet without the cost of the start, which people
//! can read and `--update` can write.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use crate::repo::Repo;
use crate::suites::Tally;
use crate::{CannotRun, debian, ui};

/// Counts every scenario. With `update`, the counts become the committed figures.
pub(crate) fn run(repo: &Repo, update: bool) -> Result<Tally> {
    if (env::consts::OS, env::consts::ARCH) != ("linux", "x86_64") {
        bail!(CannotRun("the committed figures are those of Linux on x86_64".to_owned()));
    }
    let file = repo.root.join(FIGURES);
    let text = fs::read_to_string(&file)?;
    let committed: Figures = toml::from_str(&text).with_context(|| format!("{FIGURES} is damaged"))?;
    let valgrind = debian::program("valgrind", "valgrind", "valgrind")?;
    let arguments = ["--release", "--package=websocket-multiplayer-core", "--example=instructions"];
    let program = repo.build(&arguments, &[], "instructions")?;
    let counted = count_all(&valgrind, &program, &repo.scratch, committed.instructions.keys())?;
    if update {
        fs::write(&file, committed.with(&counted).to_toml())?;
        ui::detail(&format!("written into {FIGURES}"));
    }
    let mut tally = Tally::default();
    let mut rows = Vec::new();
    let mut hints = 0;
    for (scenario, &before) in &committed.instructions {
        let now = counted[scenario];
        let verdict = Verdict::of(before, now, committed.tolerance_percent);
        match verdict {
            Verdict::Worse if !update => tally.failed += 1,
            Verdict::Better => hints += 1,
            _ => {}
        }
        let change = (now / before - 1.0) * 100.0;
        let words = if update { "" } else { verdict.words() };
        rows.push(vec![
            scenario.clone(),
            format!("{before:.1}"),
            format!("{now:.1}"),
            format!("{change:+.1} %"),
            words.to_owned(),
        ]);
    }
    tally.passed = rows.len() - tally.failed;
    print!("{}", ui::table(&["instructions per packet", "committed", "now", "change", ""], &rows));
    if tally.failed > 0 {
        ui::detail(&format!(
            "A packet takes more than {} % more instructions than {FIGURES} says. If that is worth it, \
             commit what `{UPDATE}` writes, and say why.",
            committed.tolerance_percent
        ));
        tally.note = format!("{} on the way of a packet got slower, see above", tally.failed);
    } else if hints > 0 && !update {
        tally.note = format!("faster than committed: `{UPDATE}` keeps it so");
    }
    Ok(tally)
}

/// Instructions per packet.
#[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
struct Figures {
    tolerance_percent: f64,
    instructions: BTreeMap<String, f64>,
}

impl Figures {
    fn with(&self, counted: &BTreeMap<String, f64>) -> Self {
        let rounded = counted.iter().map(|(name, figure)| (name.clone(), (figure * 10.0).round() / 10.0));
        Self { tolerance_percent: self.tolerance_percent, instructions: rounded.collect() }
    }

    fn to_toml(&self) -> String {
        format!("{HEAD}\n{}", toml::to_string(self).expect("names and numbers can be written"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Same,
    Worse,
    Better,
}

impl Verdict {
    fn of(committed: f64, now: f64, tolerance_percent: f64) -> Self {
        let tolerance = tolerance_percent / 100.0;
        if now > committed * (1.0 + tolerance) {
            Self::Worse
        } else if now < committed * (1.0 - tolerance) {
            Self::Better
        } else {
            Self::Same
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Worse => "WORSE",
            Self::Better => "better",
        }
    }
}

/// Counts all scenarios, several at once: what counts is not time.
fn count_all<'a>(
    valgrind: &Path,
    program: &Path,
    scratch: &Path,
    scenarios: impl Iterator<Item = &'a String> + Send,
) -> Result<BTreeMap<String, f64>> {
    let scenarios = Mutex::new(scenarios);
    let next = || scenarios.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut counted = Vec::new();
        while let Some(scenario) = next() {
            counted.push((scenario.clone(), count(valgrind, program, scratch, scenario)?));
        }
        anyhow::Ok(counted)
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| anyhow!("a worker panicked"))??);
        }
        Ok(all)
    })
}

/// Returns instructions per packet: the difference between a run with many packets and one with few, which excludes the program's start.
fn count(valgrind: &Path, program: &Path, scratch: &Path, scenario: &str) -> Result<f64> {
    let [few, many] = packets(scenario);
    let before = total(valgrind, program, scratch, scenario, few)?;
    let behind = total(valgrind, program, scratch, scenario, many)?;
    Ok((behind as f64 - before as f64) / (many - few) as f64)
}

/// Returns the numbers of packets of the two runs. A compressed one takes so many instructions that fewer packets have to do.
fn packets(scenario: &str) -> [u64; 2] {
    let is_compressed = scenario.ends_with("-shared") || scenario.ends_with("-dedicated");
    if is_compressed { [FEW / 5, MANY / 5] } else { [FEW, MANY] }
}

fn total(valgrind: &Path, program: &Path, scratch: &Path, scenario: &str, packets: u64) -> Result<u64> {
    let file = scratch.join(format!("callgrind.{scenario}"));
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(program).arg(scenario).arg(packets.to_string());
    let output = command.output().context("cannot start valgrind")?;
    if !output.status.success() {
        bail!("{scenario} failed under callgrind: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = fs::read_to_string(&file)?;
    instructions(&text).with_context(|| format!("callgrind wrote no count for {scenario}"))
}

/// Returns the total of a profile.
fn instructions(profile: &str) -> Option<u64> {
    let line = profile
        .lines()
        .find_map(|line| line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: ")))?;
    line.split_whitespace().next()?.parse().ok()
}

const FIGURES: &str = "tests/instructions.toml";
const UPDATE: &str = "cargo xtask test instructions --update";
const HEAD: &str = "\
# Instructions that one packet takes on its way through a server in memory (rust/core/examples/instructions.rs), counted by callgrind on
# Linux x86_64 with the compiler of rust-toolchain.toml. What the I/O thread does once per round and per turn counts too, but for its
# system calls. `ping` and `pong` are one of many in a turn, `fragments-64` is a fragment, `trickle` a segment of 64 bytes that comes
# alone, `idle-1000` a packet and its answer in two rounds while a thousand other clients are idle. `shared` and `dedicated` are compressed
# JSON, and of 64 bytes what synchronizers send; a broadcast goes to fifty clients.
#
# `cargo xtask test instructions` fails when a figure is exceeded by more than the tolerance;
# `cargo xtask test instructions --update` writes new ones.
";
const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_the_tolerance_is_worse() {
        assert_eq!(Verdict::of(1000.0, 1050.0, 5.0), Verdict::Same);
        assert_eq!(Verdict::of(1000.0, 1051.0, 5.0), Verdict::Worse);
        assert_eq!(Verdict::of(1000.0, 950.0, 5.0), Verdict::Same);
        assert_eq!(Verdict::of(1000.0, 949.0, 5.0), Verdict::Better);
    }

    #[test]
    fn the_total_is_read_from_a_profile() {
        let profile = "version: 1\nevents: Ir\nfn=(1) main\n12 500\nsummary: 123456\n\ntotals: 123456\n";
        assert_eq!(instructions(profile), Some(123_456));
        assert_eq!(instructions("version: 1\n"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let counted = BTreeMap::from([("in-64".to_owned(), 123.456)]);
        let figures = Figures { tolerance_percent: 5.0, instructions: counted.clone() }.with(&counted);
        let text = figures.to_toml();
        assert!(text.starts_with("# Instructions"), "{text}");
        assert_eq!(toml::from_str::<Figures>(&text).expect("just written"), figures);
        assert_eq!(figures.instructions["in-64"], 123.5);
    }

    #[test]
    fn the_committed_figures_can_be_read() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FIGURES);
        let text = fs::read_to_string(file).expect("it is committed");
        let figures: Figures = toml::from_str(&text).expect("it is whole");
        assert_eq!(figures.to_toml(), text, "written by hand?");
    }
}
