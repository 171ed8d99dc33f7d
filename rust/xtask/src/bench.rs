//! `cargo xtask bench`: the addon's server, the engine's own class, the one of 3.6 and the floor, in turn in one run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bench_report::{self, Host, Sheet};
use crate::bench_rows::{Scenario, Stage, Subject, select};
use crate::bench_svg;
use crate::bench_trial::Laboratory;
use crate::engine_run::{has_classes, import};
use crate::engines::{self, Generation};
use crate::repo::Repo;
use crate::{CannotRun, addon, ui};

/// What to measure, and how often.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchOptions {
    /// Measure these rows only: core, echo, echo60, idle, memory, broadcast, join, tls, stall, relay
    #[arg(long, value_name = "ROW,..", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Take the medians of so many runs
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Measure once
    #[arg(long, conflicts_with = "repeat")]
    quick: bool,
    /// Replace what is between <!-- bench:begin --> and <!-- bench:end --> in FILE and in docs/performance.md, and
    /// docs/images/bench.svg
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    pub(crate) markdown: Option<PathBuf>,
}

impl BenchOptions {
    pub(crate) fn turns(&self) -> usize {
        if self.quick { 1 } else { self.repeat as usize }
    }
}

/// Builds what is needed, measures, and shows the table. `Ok(false)` when something could not be measured.
pub(crate) fn run(repo: &Repo, options: &BenchOptions) -> Result<bool> {
    let scenarios = select(&options.only)?;
    let documents = documents(repo, options)?;
    let laboratory = prepare(repo, &scenarios)?;
    // A server and its client keep two cores busy: whatever else runs is measured, too.
    if let Some(load) = bench_report::load_average().filter(|load| *load > QUIET) {
        ui::step(&format!(
            "The load average is {load}: a busy machine spoils the figures, the tight loop's most"
        ));
    }
    let started = Instant::now();
    let mut sheet = Sheet::default();
    if uses(&scenarios, Subject::Three) && laboratory.engine_3.is_none() {
        sheet.faults.push(format!("the column of 3.6: there is no {} here", Generation::Three));
    }
    for turn in 1..=options.turns() {
        for scenario in &scenarios {
            for &subject in scenario.subjects {
                if subject == Subject::Three && laboratory.engine_3.is_none() {
                    continue;
                }
                let label =
                    format!("{turn}/{} {} {}", options.turns(), scenario.name, name(scenario, subject));
                match laboratory.measure(scenario, subject, &label) {
                    Ok(trial) => {
                        ui::detail(&format!("{label}: {}", trial.summary(scenario)));
                        sheet.add(scenario, subject, &trial);
                    }
                    Err(error) => {
                        ui::detail(&format!("{label}: NOT MEASURED: {error:#}"));
                        sheet.faults.push(format!("{label}: {error:#}"));
                    }
                }
            }
        }
    }
    let host = Host::describe(repo, &laboratory.engine, sheet.build);
    ui::step(&format!("Measured in {}", ui::seconds(started.elapsed())));
    print!("{}", sheet.text(&host, &scenarios, options.turns()));
    let full = sheet.full(&host, &scenarios, options.turns());
    let picture = bench_svg::picture(&sheet.headlines(&scenarios), &host.line(options.turns()));
    let folder = repo.scratch.parent().context("the scratch folder is inside another")?.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(&folder.join("report.md"), &full)?;
    write(&folder.join("bench.svg"), &picture)?;
    write(&folder.join("figures.json"), &format!("{:#}\n", sheet.to_json(&host)))?;
    if let Some([readme, performance, image]) = &documents {
        let section = sheet.short(&host, &scenarios, options.turns());
        write(readme, &bench_report::replace_section(&read(readme)?, &section)?)?;
        write(performance, &bench_report::replace_section(&read(performance)?, &full)?)?;
        write(image, &picture)?;
    }
    Ok(sheet.faults.is_empty())
}

/// The files that `--markdown` rewrites, looked at before the minutes that the run takes.
fn documents(repo: &Repo, options: &BenchOptions) -> Result<Option<[PathBuf; 3]>> {
    let Some(readme) = &options.markdown else { return Ok(None) };
    let documents =
        [readme.clone(), repo.root.join("docs/performance.md"), repo.root.join("docs/images/bench.svg")];
    for file in &documents[..2] {
        bench_report::replace_section(&read(file)?, "").with_context(|| file.display().to_string())?;
    }
    fs::create_dir_all(repo.root.join("docs/images")).context("cannot make docs/images")?;
    Ok(Some(documents))
}

/// Says whether one of these rows has such a column.
fn uses(scenarios: &[&Scenario], subject: Subject) -> bool {
    scenarios.iter().any(|scenario| scenario.subjects.contains(&subject))
}

fn prepare(repo: &Repo, scenarios: &[&'static Scenario]) -> Result<Laboratory> {
    raise_file_limit();
    let core = scenarios.iter().any(|scenario| scenario.stage == Stage::Core);
    addon::build(repo, addon::BuildOptions::default())?;
    ui::step("Building the load client and what the addon is compared with (release)");
    let client = build_client(repo)?;
    let example = |name: &str| {
        let name_argument = format!("--example={name}");
        let arguments = ["--release", "--package=websocket-multiplayer-core", &name_argument];
        if core { repo.build_program(&arguments, name) } else { Ok(PathBuf::new()) }
    };
    let (core, bare) = (example("echo")?, example("bare")?);
    let null_peer = if uses(scenarios, Subject::Floor) { null_peer(repo)? } else { PathBuf::new() };
    let engine = engines::provide(Generation::Four)?;
    let engine_3 =
        if uses(scenarios, Subject::Three) { engines::provide(Generation::Three).ok() } else { None };
    addon::stage(repo)?;
    let home = repo.scratch.join("home");
    let imported = import(&engine, &repo.test_project(), &home)?;
    if !imported.faults.is_empty() {
        bail!("the test project cannot be imported: {}\n{}", imported.faults.join("; "), imported.tails);
    }
    let classes = ["WebSocketServer", "WebSocketMultiplayerPeer"];
    let known = has_classes(&engine, &repo.test_project(), repo, &classes)?;
    if !known.faults.is_empty() {
        bail!(CannotRun(format!("nothing to compare: {}", known.faults.join("; "))));
    }
    let tls = repo.scratch.join("tls");
    fs::create_dir_all(&tls).with_context(|| format!("cannot make {}", tls.display()))?;
    let made = Command::new(&client).arg("certificate").arg(&tls).status().context("cannot start wsload")?;
    if !made.success() {
        bail!("wsload made no certificate");
    }
    Ok(Laboratory {
        engine,
        engine_3,
        project: repo.test_project(),
        project_3: repo.test_project_3(),
        home,
        client,
        core,
        bare,
        null_peer,
        tls,
    })
}

/// Builds the load client in release and says where it is.
pub(crate) fn build_client(repo: &Repo) -> Result<PathBuf> {
    repo.build_program(&["--release", "--package=websocket-multiplayer-bench"], "wsload")
}

/// Builds the peer without a network, and a manifest by which a script loads it; it is in no project, so that nothing else
/// ever sees it.
fn null_peer(repo: &Repo) -> Result<PathBuf> {
    let arguments = ["--release", "--package=websocket-multiplayer-null-peer"];
    let library = addon::compile_library(repo, &arguments, "null_peer")?;
    let manifest = repo.scratch.join("null_peer.gdextension");
    let library = library.display().to_string().replace('\\', "/");
    let text = format!(
        "[configuration]\nentry_symbol = \"null_peer_init\"\ncompatibility_minimum = \"4.3\"\n\n[libraries]\n{} = \"{library}\"\n",
        std::env::consts::OS
    );
    write(&manifest, &text)?;
    Ok(manifest)
}

/// The engine does not ask for more files by itself; what it is started by hands the limit on.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // A refusal shows in the rows with 10,000 connections, whose client says what it needs.
        _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

fn name(scenario: &Scenario, subject: Subject) -> &'static str {
    match (scenario.stage, subject) {
        (Stage::Core, Subject::Addon) => "core",
        (Stage::Core, _) => "bare loop",
        (_, Subject::Addon) => "addon",
        (_, Subject::Engine) => "engine",
        (_, Subject::Three) => "3.6",
        (_, Subject::Floor) => "null peer",
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    ui::detail(&format!("written: {}", file.display()));
    Ok(())
}

/// The build that came before counts as well.
const QUIET: f64 = 3.0;
