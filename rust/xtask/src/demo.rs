//! The demo: one server and two clients, each in a process of its own, and what got through between them.

use std::env;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::demo_report::{Report, table};
use crate::engine_run::{engine_command, free_port, has_classes, import};
use crate::engines::{self, Engine, Generation};
use crate::process::{Group, describe};
use crate::repo::Repo;
use crate::ui::Heartbeat;
use crate::verdict::Verdict;
use crate::{CannotRun, addon, ui};

/// How to play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DemoOptions {
    /// In windows, for a person, until they close them.
    pub(crate) window: bool,
    /// How long the scripted players move.
    pub(crate) seconds: u32,
}

/// Builds, fetches and stages all that the demo needs, then plays it. An error says what did not get through.
pub(crate) fn run(repo: &Repo, options: DemoOptions) -> Result<()> {
    if options.window && cfg!(target_os = "linux") && !has_display() {
        bail!(CannotRun("a window needs a display: DISPLAY and WAYLAND_DISPLAY are both unset".to_owned()));
    }
    addon::build(repo, addon::BuildOptions::default())?;
    play(repo, options)
}

/// As [`run`], with an addon that is built already.
pub(crate) fn play(repo: &Repo, options: DemoOptions) -> Result<()> {
    let engine = engines::provide(Generation::Four)?;
    ui::step(&format!("Preparing the demo project for {}", engine.version));
    addon::stage(repo)?;
    let (project, home) = (repo.demo_project(), repo.scratch.join("home"));
    let imported = import(&engine, &project, &home)?;
    if !imported.faults.is_empty() {
        bail!("the demo project cannot be imported: {}\n{}", imported.faults.join("; "), imported.tails);
    }
    ui::detail(&format!("imported in {}", ui::seconds(imported.took)));
    // The game would make do with the engine's own class, and prove nothing about the addon.
    let classes = has_classes(&engine, &project, repo, &["WebSocketServer", "WebSocketClient"])?;
    if !classes.faults.is_empty() {
        bail!("the engine did not take the addon: {}\n{}", classes.faults.join("; "), classes.tails);
    }
    let stage = Stage { engine: &engine, repo, options, port: free_port().context("no free port")? };
    if options.window { stage.windows() } else { stage.script() }
}

struct Stage<'a> {
    engine: &'a Engine,
    repo: &'a Repo,
    options: DemoOptions,
    port: u16,
}

impl Stage<'_> {
    /// Three headless processes that play by themselves and report.
    fn script(&self) -> Result<()> {
        let Self { port, options: DemoOptions { seconds, .. }, .. } = self;
        ui::step(&format!(
            "Playing {seconds} s: a server and {} clients, headless, port {port}",
            CLIENTS.len()
        ));
        let mut group = Group::new();
        let expected = format!("expect={}", CLIENTS.len());
        let server = ["server", &format!("port={port}"), &expected, &format!("seconds={seconds}")];
        group.spawn("server", self.command(&server, None))?;
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
                for client in CLIENTS {
                    let words =
                        ["client", &format!("name={client}"), &self.address(), &format!("seconds={seconds}")];
                    group.spawn(client, self.command(&words, None))?;
                }
            }
        }
        for index in 0..group.len() {
            if let Some(status) = group.status(index).filter(|status| !status.success()) {
                verdict.add(format!("{}: {}", group.label(index), describe(status)));
            }
        }
        group.kill_all();
        let missing =
            ["server"].iter().chain(&CLIENTS).filter(|&&name| !reports.iter().any(|r| r.name == name));
        for name in missing {
            verdict.add(format!("{name}: no report"));
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
        let host = ["server", &format!("port={}", self.port), "window", "name=host"];
        group.spawn("host", self.command(&host, Some(0)))?;
        while !group.is_done(0) {
            let Some((index, line)) = group.next_line(Duration::from_millis(200)) else { continue };
            let label = group.label(index).to_owned();
            relay(&label, &line.text);
            if index == 0 && group.len() == 1 && line.text.starts_with("READY") {
                for client in CLIENTS {
                    let words = ["client", &format!("name={client}"), &self.address(), "window"];
                    group.spawn(client, self.command(&words, Some(group.len())))?;
                }
            }
        }
        match group.status(0).filter(|status| !status.success()) {
            Some(status) => bail!("the host's game ended with {}", describe(status)),
            None => Ok(()),
        }
    }

    fn address(&self) -> String {
        format!("url=ws://127.0.0.1:{}", self.port)
    }

    fn command(&self, words: &[&str], window: Option<usize>) -> Command {
        let home = self.repo.scratch.join("home");
        let mut command = engine_command(self.engine, &self.repo.demo_project(), &home);
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

fn relay(name: &str, line: &str) {
    if !line.is_empty() {
        ui::detail(&format!("[{name}] {line}"));
    }
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

const CLIENTS: [&str; 2] = ["ada", "bob"];

/// Starting three engines, joining, coming to a halt and comparing, on a slow machine.
const OVERHEAD: Duration = Duration::from_secs(110);
