//! `cargo xtask bench`: measures the addon's server, the engine's own class, the class of 3.6 and the floor, in turn in one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::bench_report::{self, COMPRESSION_SECTION, Host, Report, SECTION, replace_section};
use crate::bench_rows::{Scenario, Subject, select};
use crate::bench_svg;
use crate::bench_trial::TrialSetup;
use crate::engine::Engine;
use crate::engines::{self, Generation};
use crate::repo::Repo;
use crate::{addon, foreign, ui};

/// What to measure, and how often.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchOptions {
    /// Measure these rows only: core, echo, echo60, idle, memory, broadcast, join, tls, stall, relay, crowd, resume, compression
    #[arg(long, value_name = "ROW,..", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Run N times and report the medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Measure once
    #[arg(long, conflicts_with = "repeat")]
    quick: bool,
    /// Replace what is between <!-- bench:begin --> and <!-- bench:end --> in FILE and in docs/performance.md, the tables of
    /// compression there, and docs/images/bench.svg
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    pub(crate) markdown: Option<PathBuf>,
}

impl BenchOptions {
    pub(crate) fn turns(&self) -> usize {
        if self.quick { 1 } else { self.repeat as usize }
    }
}

/// Builds the programs, measures, and shows the table. Returns `Ok(false)` if something could not be measured.
pub(crate) fn run(repo: &Repo, options: &BenchOptions) -> Result<bool> {
    let scenarios = select(&options.only)?;
    let documents = documents(repo, options)?;
    let setup = prepare(repo, &scenarios)?;
    // A server and its client keep two cores busy, so another process would distort the figures.
    if let Some(load) = bench_report::load_average().filter(|load| *load > QUIET) {
        ui::step(&format!(
            "The load average is {load}: a busy machine spoils the figures, the tight loop's most"
        ));
    }
    let started = Instant::now();
    let host = Host::describe(repo, setup.engine.as_ref());
    let mut report = Report::new(scenarios.clone(), options.turns(), host);
    report.faults.extend(setup.absent.values().cloned());
    for turn in 1..=options.turns() {
        for scenario in &scenarios {
            for &subject in &scenario.subjects {
                if setup.absent.contains_key(&subject) {
                    continue;
                }
                let label =
                    format!("{turn}/{} {} {}", options.turns(), scenario.name, name(scenario, subject));
                match setup.measure(scenario, subject, &label) {
                    Ok(trial) => {
                        ui::detail(&format!("{label}: {}", trial.summary(scenario)));
                        report.add(scenario, subject, &trial);
                    }
                    Err(error) => {
                        ui::detail(&format!("{label}: NOT MEASURED: {error:#}"));
                        let text = format!("{error:#}");
                        report.faults.push(format!("{label}: {}", text.lines().next().unwrap_or_default()));
                    }
                }
            }
        }
    }
    ui::step(&format!("Measured in {}", ui::seconds(started.elapsed())));
    print!("{}", report.text());
    let [full, compression] = [report.full(), report.compression()];
    let picture = bench_svg::picture(&report.headlines(), &report.caption());
    let folder = repo.target.join("bench");
    fs::create_dir_all(&folder)?;
    write(&folder.join("report.md"), &format!("{full}\n{compression}"))?;
    write(&folder.join("bench.svg"), &picture)?;
    write(&folder.join("figures.json"), &format!("{:#}\n", report.to_json()))?;
    if let Some([readme, performance, image]) = &documents {
        let section = report.short();
        write(readme, &replace_section(&fs::read_to_string(readme)?, SECTION, &section)?)?;
        let text = replace_section(&fs::read_to_string(performance)?, SECTION, &full)?;
        write(performance, &replace_section(&text, COMPRESSION_SECTION, &compression)?)?;
        write(image, &picture)?;
    }
    Ok(report.faults.is_empty())
}

/// The files that `--markdown` rewrites, checked before a run of many minutes.
fn documents(repo: &Repo, options: &BenchOptions) -> Result<Option<[PathBuf; 3]>> {
    let Some(readme) = &options.markdown else { return Ok(None) };
    let documents =
        [readme.clone(), repo.root.join("docs/performance.md"), repo.root.join("docs/images/bench.svg")];
    for (file, section) in [(0, SECTION), (1, SECTION), (1, COMPRESSION_SECTION)] {
        let file = &documents[file];
        replace_section(&fs::read_to_string(file)?, section, "")
            .with_context(|| file.display().to_string())?;
    }
    fs::create_dir_all(repo.root.join("docs/images"))?;
    Ok(Some(documents))
}

/// Returns whether one of these rows has this column.
fn uses(scenarios: &[&Scenario], subject: Subject) -> bool {
    scenarios.iter().any(|scenario| scenario.subjects.contains(&subject))
}

fn prepare(repo: &Repo, scenarios: &[&'static Scenario]) -> Result<TrialSetup> {
    raise_file_limit();
    let core = scenarios.iter().any(|scenario| scenario.is_core());
    let engine = if scenarios.iter().all(|scenario| scenario.is_core()) { None } else { Some(engine(repo)?) };
    ui::step("Building the load client and what the addon is compared with (release)");
    let client = build_client(repo)?;
    let example = |name: &str| {
        let arguments = ["--release", "--package=websocket-multiplayer-core", &format!("--example={name}")];
        if core { repo.build(&arguments, &[], name) } else { Ok(PathBuf::new()) }
    };
    let (core, bare) = (example("echo")?, example("bare")?);
    let null_peer = if uses(scenarios, Subject::Floor) { null_peer(repo)? } else { PathBuf::new() };
    let (mut engine_3, mut absent) = (None, BTreeMap::new());
    if uses(scenarios, Subject::Three) {
        engine_3 = engines::provide(repo, Generation::Three).ok();
        if engine_3.is_none() {
            absent
                .insert(Subject::Three, format!("the column of 3.6: there is no {} here", Generation::Three));
        }
    }
    if uses(scenarios, Subject::Node)
        && let Err(error) = foreign::node_with_ws()
    {
        absent.insert(Subject::Node, format!("the columns of Node: {error:#}"));
    }
    let tls = repo.scratch.join("tls");
    fs::create_dir_all(&tls)?;
    let made = Command::new(&client).arg("certificate").arg(&tls).status().context("cannot start wsload")?;
    ensure!(made.success(), "wsload made no certificate");
    Ok(TrialSetup { repo: repo.clone(), engine, engine_3, absent, client, core, bare, null_peer, tls })
}

/// Builds the addon, and returns an engine that can load it.
fn engine(repo: &Repo) -> Result<Engine> {
    addon::build(repo, addon::BuildOptions::LEAN)?;
    let engine = engines::provide(repo, Generation::Four)?;
    addon::stage(repo)?;
    let project = repo.test_project();
    engine.import(&project)?;
    engine.require_classes(repo, &project, &["WebSocketServer", "WebSocketMultiplayerPeer"])?;
    Ok(engine)
}

/// Builds the load client in release and returns its path.
pub(crate) fn build_client(repo: &Repo) -> Result<PathBuf> {
    repo.build(&["--release", "--package=websocket-multiplayer-bench", "--bin=wsload"], &[], "wsload")
}

/// Builds the peer without a network, and a manifest by which a script loads it. The manifest is in no project, so that no other
/// test loads it.
fn null_peer(repo: &Repo) -> Result<PathBuf> {
    let arguments = ["--release", "--package=websocket-multiplayer-null-peer"];
    let library = repo.build(&arguments, &[], "null_peer")?;
    let manifest = repo.scratch.join("null_peer.gdextension");
    let library = library.display().to_string().replace('\\', "/");
    let text = format!(
        "[configuration]\nentry_symbol = \"null_peer_init\"\ncompatibility_minimum = \"4.3\"\n\n[libraries]\n{} = \"{library}\"\n",
        std::env::consts::OS
    );
    write(&manifest, &text)?;
    Ok(manifest)
}

/// The engine does not raise its limit of open files; it inherits the one of this process.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // If the limit is too low, the client of the rows with 10,000 connections reports what it needs.
        _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

fn name(scenario: &Scenario, subject: Subject) -> &'static str {
    match (scenario.is_core(), subject) {
        (_, Subject::Node) => "node",
        (true, Subject::Addon) => "core",
        (true, _) => "bare loop",
        (_, Subject::Addon) => "addon",
        (_, Subject::Engine) => "engine",
        (_, Subject::Three) => "3.6",
        (_, Subject::Floor) => "null peer",
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)?;
    ui::detail(&format!("written: {}", file.display()));
    Ok(())
}

/// Above this load another process is busy; the build before the run counts too.
const QUIET: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_have_room_for_the_tables() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let readme = fs::read_to_string(root.join("README.md")).expect("exists");
        let performance = fs::read_to_string(root.join("docs/performance.md")).expect("exists");
        assert!(replace_section(&readme, SECTION, "").is_ok());
        for section in [SECTION, COMPRESSION_SECTION] {
            assert!(replace_section(&performance, section, "").is_ok(), "{section}");
        }
    }
}
