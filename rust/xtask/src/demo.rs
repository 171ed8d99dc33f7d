//! The demo: one server and two clients, each in a process of its own, and what got through between them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::demo_report::{Report, table};
use crate::engine_run::{engine_command, free_port, has_classes, import};
use crate::engines::{self, Engine, Generation};
use crate::process::{Group, describe};
use crate::repo::Repo;
use crate::suites::{DEMO_SECONDS, Tally};
use crate::ui::Heartbeat;
use crate::verdict::Verdict;
use crate::{CannotRun, addon, demo_chat, ui};

/// How to play.
#[derive(Clone, Copy, Debug, PartialEq, clap::Args)]
pub(crate) struct DemoOptions {
    /// Open the game in windows, for a person
    #[arg(long)]
    pub(crate) window: bool,
    /// How long the scripted players move
    #[arg(long, value_name = "N", default_value_t = DEMO_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
}

/// Builds, fetches and stages all that the demo needs, then plays it. An error says what did not get through.
pub(crate) fn run(repo: &Repo, options: DemoOptions) -> Result<()> {
    if options.window && cfg!(target_os = "linux") && !has_display() {
        bail!(CannotRun("a window needs a display: DISPLAY and WAYLAND_DISPLAY are both unset".to_owned()));
    }
    addon::build(repo, addon::BuildOptions::default())?;
    let engine = prepare(repo)?;
    let stage = Stage::new(repo, &engine, options.seconds, false, &GUESTS)?;
    if options.window { stage.windows() } else { stage.script() }
}

/// Everything of the demo that can be tested, with an addon that is built already.
pub(crate) fn suite(repo: &Repo, seconds: u32) -> Result<Tally> {
    let engine = prepare(repo)?;
    let mut tally = Tally::default();
    tally.add(Stage::new(repo, &engine, seconds, false, &GUESTS)?.script());
    ui::step("The same encrypted, and with a player whose project has no addon");
    tally.add(stock_project(repo, &engine).and_then(|()| {
        let stage = Stage::new(repo, &engine, seconds, true, &MIXED_GUESTS)?;
        stage.script()
    }));
    tally.add(demo_chat::test(repo, &engine));
    Ok(tally)
}

/// Makes the demo project ready to run.
pub(crate) fn prepare(repo: &Repo) -> Result<Engine> {
    let engine = engines::provide(Generation::Four)?;
    ui::step(&format!("Preparing the demo project for {}", engine.version));
    addon::stage(repo)?;
    let project = repo.demo_project();
    import_into(repo, &engine, &project)?;
    // The game would make do with the engine's own class, and prove nothing about the addon.
    let classes = has_classes(&engine, &project, repo, &["WebSocketServer", "WebSocketClient"])?;
    if !classes.faults.is_empty() {
        bail!("the engine did not take the addon: {}\n{}", classes.faults.join("; "), classes.tails);
    }
    Ok(engine)
}

fn import_into(repo: &Repo, engine: &Engine, project: &Path) -> Result<()> {
    let imported = import(engine, project, &repo.scratch.join("home"))?;
    if !imported.faults.is_empty() {
        bail!("the demo project cannot be imported: {}\n{}", imported.faults.join("; "), imported.tails);
    }
    ui::detail(&format!("imported in {}", ui::seconds(imported.took)));
    Ok(())
}

/// A copy of the demo as somebody has it who does not know of the addon.
fn stock_project(repo: &Repo, engine: &Engine) -> Result<()> {
    let copy = stock_folder(repo);
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    addon::copy_folder(&repo.demo_project(), &copy)?;
    for made in ["addons", ".godot"] {
        fs::remove_dir_all(copy.join(made)).with_context(|| format!("cannot remove the copy's {made}"))?;
    }
    import_into(repo, engine, &copy)
}

fn stock_folder(repo: &Repo) -> PathBuf {
    repo.scratch.join("demo_without_addon")
}

/// A player beside the server.
#[derive(Debug)]
struct Guest {
    name: &'static str,
    /// Plays in a project without the addon.
    stock: bool,
}

struct Stage<'a> {
    engine: &'a Engine,
    repo: &'a Repo,
    guests: &'a [Guest],
    seconds: u32,
    encrypted: bool,
    port: u16,
}

impl<'a> Stage<'a> {
    fn new(
        repo: &'a Repo,
        engine: &'a Engine,
        seconds: u32,
        encrypted: bool,
        guests: &'a [Guest],
    ) -> Result<Self> {
        let port = free_port().context("no free port")?;
        Ok(Self { engine, repo, guests, seconds, encrypted, port })
    }

    /// Headless processes that play by themselves and report.
    fn script(&self) -> Result<()> {
        let Self { port, seconds, guests, .. } = self;
        ui::step(&format!(
            "Playing {seconds} s: a server and {} clients, headless, port {port}",
            guests.len()
        ));
        let mut group = Group::new();
        let mut server = vec!["server".to_owned(), format!("port={port}")];
        server.extend([format!("expect={}", guests.len()), format!("seconds={seconds}")]);
        if self.encrypted {
            server.push(format!("tls={HOST}"));
        }
        group.spawn("server", self.command(&self.repo.demo_project(), &server, None))?;
        let limit = Duration::from_secs(u64::from(*seconds)) + OVERHEAD;
        let mut heartbeat = Heartbeat::new("playing");
        let mut verdict = Verdict::new(&[], &[]);
        let mut reports: Vec<Report> = Vec::new();
        while !group.all_done() {
            if group.started().elapsed() > limit {
                verdict.add(format!("still running after {}, killed", ui::seconds(limit)));
                break;
            }
            let Some((index, line)) = group.next_line(Duration::from_millis(200)) else {
                heartbeat.tick("");
                continue;
            };
            let name = group.label(index).to_owned();
            if let Some(json) = line.text.strip_prefix("REPORT ") {
                match Report::parse(json) {
                    Ok(report) => reports.push(report),
                    Err(error) => verdict.add(format!("{name}: unreadable report: {error:#}")),
                }
                continue;
            }
            relay(&name, &line.text);
            verdict.read(&name, &line.text);
            if index == 0 && group.len() == 1 && line.text.starts_with("READY") {
                for guest in *guests {
                    let project =
                        if guest.stock { stock_folder(self.repo) } else { self.repo.demo_project() };
                    let seconds = format!("seconds={seconds}");
                    let words =
                        ["client".to_owned(), format!("name={}", guest.name), self.address(), seconds];
                    group.spawn(guest.name, self.command(&project, &words, None))?;
                }
            }
        }
        for index in 0..group.len() {
            if let Some(status) = group.status(index).filter(|status| !status.success()) {
                verdict.add(format!("{}: {}", group.label(index), describe(status)));
            }
        }
        group.kill_all();
        for (name, stock) in
            [("server", false)].into_iter().chain(guests.iter().map(|guest| (guest.name, guest.stock)))
        {
            match reports.iter().find(|report| report.name == name) {
                None => verdict.add(format!("{name}: no report")),
                Some(report) if report.addon == stock => {
                    verdict.add(format!("{name}: played with the wrong classes"));
                }
                Some(_) => {}
            }
        }
        // As they were started, not as they ended.
        reports.sort_by_key(|report| (0..group.len()).position(|index| group.label(index) == report.name));
        let (shown, mut problems) = table(&reports);
        problems.splice(0..0, verdict.close());
        ui::step("What each peer sent and received");
        print!("{shown}");
        if problems.is_empty() {
            println!("Every expected packet arrived.");
            return Ok(());
        }
        bail!("not everything got through:\n  {}", problems.join("\n  "))
    }

    /// The same game in windows. Whoever closes the host's window ends it for all.
    fn windows(&self) -> Result<()> {
        ui::step("The game is open in three windows: the host and two players. Close the host to end it.");
        let mut group = Group::new();
        let project = self.repo.demo_project();
        let mut host = vec!["server".to_owned(), format!("port={}", self.port)];
        host.extend(["window", "name=host", "bots=2"].map(str::to_owned));
        group.spawn("host", self.command(&project, &host, Some(0)))?;
        while !group.is_done(0) {
            let Some((index, line)) = group.next_line(Duration::from_millis(200)) else { continue };
            let label = group.label(index).to_owned();
            relay(&label, &line.text);
            if index == 0 && group.len() == 1 && line.text.starts_with("READY") {
                for guest in self.guests {
                    let name = format!("name={}", guest.name);
                    let words = ["client".to_owned(), name, self.address(), "window".to_owned()];
                    group.spawn(guest.name, self.command(&project, &words, Some(group.len())))?;
                }
            }
        }
        match group.status(0).filter(|status| !status.success()) {
            Some(status) => bail!("the host's game ended with {}", describe(status)),
            None => Ok(()),
        }
    }

    fn address(&self) -> String {
        let (scheme, host) = if self.encrypted { ("wss", HOST) } else { ("ws", "127.0.0.1") };
        format!("url={scheme}://{host}:{}", self.port)
    }

    fn command(&self, project: &Path, words: &[String], window: Option<usize>) -> Command {
        let mut command = engine_command(self.engine, project, &self.repo.scratch.join("home"));
        match window {
            None => command.arg("--headless"),
            // Side by side enough to reach each of them.
            Some(number) => command.args(["--resolution", "960x540", "--position"]).arg(format!(
                "{},{}",
                40 + 120 * number,
                40 + 110 * number
            )),
        };
        command.arg("--").args(words);
        command
    }
}

pub(crate) fn relay(name: &str, line: &str) {
    if !line.is_empty() {
        ui::detail(&format!("[{name}] {line}"));
    }
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

const GUESTS: [Guest; 2] = [Guest { name: "ada", stock: false }, Guest { name: "bob", stock: false }];
const MIXED_GUESTS: [Guest; 2] = [Guest { name: "ada", stock: false }, Guest { name: "stock", stock: true }];

/// What the certificate says, and what is dialled.
const HOST: &str = "localhost";

/// Starting three engines, joining, coming to a halt and comparing, on a slow machine.
const OVERHEAD: Duration = Duration::from_secs(110);
