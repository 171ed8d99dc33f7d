//! The demo: one server and two clients, each in a process of its own, and a table of the packets that arrived.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use regex::Regex;

use crate::demo_report::{Report, table};
use crate::engine::{Engine, free_port, relay};
use crate::engines::{self, Generation};
use crate::process::{Event, Group, describe};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::verdict::Verdict;
use crate::{CannotRun, addon, demo_chat, demo_web, files, release_export, ui};

/// How to play.
#[derive(Clone, Copy, Debug, PartialEq, clap::Args)]
pub(crate) struct DemoOptions {
    /// Open the game in windows, for a person
    #[arg(long, conflicts_with = "web")]
    pub(crate) window: bool,
    /// Serve the game as a web page, with a server and computer players, for a person
    #[arg(long)]
    pub(crate) web: bool,
    /// How long the scripted players move
    #[arg(long, value_name = "N", default_value_t = SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
}

/// Builds, fetches and stages everything that the demo needs, then plays it. An error lists the packets that did not arrive.
pub(crate) fn run(repo: &Repo, options: DemoOptions) -> Result<()> {
    if options.web {
        return demo_web::run(repo);
    }
    if options.window && cfg!(target_os = "linux") && !has_display() {
        bail!(CannotRun("a window needs a display: DISPLAY and WAYLAND_DISPLAY are both unset".to_owned()));
    }
    // The engine of the demo, and the editor in which its project is opened later, load this library.
    addon::build_for_editor(repo)?;
    let engine = prepare(repo)?;
    let session = Session::new(repo, &engine, options.seconds, false, &GUESTS)?;
    if options.window { session.open_windows() } else { session.play() }
}

/// Runs all tests of the demo, with an addon that is built already.
pub(crate) fn suite(repo: &Repo) -> Result<Tally> {
    let engine = prepare(repo)?;
    let mut tally = Tally::default();
    tally.add(Session::new(repo, &engine, SECONDS, false, &GUESTS)?.play());
    ui::step("The same encrypted, and with a player whose project has no addon");
    let mixed = || {
        make_stock_project(repo, &engine)?;
        Session::new(repo, &engine, SECONDS, true, &MIXED_GUESTS)?.play()
    };
    tally.add(mixed());
    tally.add(exported(repo, &engine));
    tally.add(demo_chat::test(repo, &engine));
    Ok(tally)
}

/// Plays the game as players get it: a release export.
fn exported(repo: &Repo, engine: &Engine) -> Result<()> {
    ui::step("The same as a release export");
    let folder = repo.scratch.join("demo_exported");
    match release_export::export(engine, &repo.demo_project(), &folder)? {
        Some(game) => {
            Session { exported: Some(&game), ..Session::new(repo, engine, SECONDS, false, &GUESTS)? }.play()
        }
        None => {
            ui::detail("not tried: this engine's export template is not at hand");
            Ok(())
        }
    }
}

/// Makes the demo project ready to run.
pub(crate) fn prepare(repo: &Repo) -> Result<Engine> {
    let engine = engines::provide(repo, Generation::Four)?;
    ui::step(&format!("Preparing the demo project for {}", engine.version));
    addon::stage(repo)?;
    let project = repo.demo_project();
    let imported = engine.import(&project)?;
    ui::detail(&format!("imported in {}", ui::seconds(imported.took)));
    // Without the addon the game uses the engine's own class, which would prove nothing about the addon.
    engine.require_classes(repo, &project, &["WebSocketServer", "WebSocketClient"])?;
    Ok(engine)
}

/// Copies the demo without the addon.
fn make_stock_project(repo: &Repo, engine: &Engine) -> Result<()> {
    let copy = stock_project(repo);
    files::remove(&copy)?;
    files::copy_folder(&repo.demo_project(), &copy)?;
    for made in ["addons", ".godot"] {
        files::remove(&copy.join(made))?;
    }
    engine.import(&copy).map(drop)
}

fn stock_project(repo: &Repo) -> PathBuf {
    repo.scratch.join("demo_without_addon")
}

/// A player beside the server.
#[derive(Debug)]
struct Guest {
    name: &'static str,
    /// Plays in a project without the addon.
    stock: bool,
}

/// A game of a server and its guests.
struct Session<'a> {
    engine: &'a Engine,
    /// The game as a program of its own.
    exported: Option<&'a Engine>,
    repo: &'a Repo,
    guests: &'a [Guest],
    seconds: u32,
    encrypted: bool,
    port: u16,
}

impl<'a> Session<'a> {
    fn new(
        repo: &'a Repo,
        engine: &'a Engine,
        seconds: u32,
        encrypted: bool,
        guests: &'a [Guest],
    ) -> Result<Self> {
        Ok(Self { engine, exported: None, repo, guests, seconds, encrypted, port: free_port()? })
    }

    /// Headless processes that play by themselves and report.
    fn play(&self) -> Result<()> {
        let Self { port, seconds, guests, .. } = self;
        let count = guests.len();
        ui::step(&format!("Playing {seconds} s: a server and {count} clients, headless, port {port}"));
        let mut group = Group::new("playing", Duration::from_secs(u64::from(*seconds)) + OVERHEAD);
        let mut server = format!("server port={port} expect={count} seconds={seconds}");
        if self.encrypted {
            server += &format!(" tls={HOST}");
        }
        group.spawn("server", self.command(false, &server, None))?;
        let allowed = self.exported.map(|_| Regex::new(OF_TEMPLATE)).transpose()?;
        let mut verdict = Verdict::new(&[], allowed.as_slice());
        let mut reports: Vec<Report> = Vec::new();
        while let Some(event) = group.next()? {
            let Event::Line(index, line) = event else { continue };
            let name = group.label(index).to_owned();
            if let Some(json) = line.text.strip_prefix("REPORT ") {
                match Report::parse(json) {
                    Ok(report) => reports.push(report),
                    Err(error) => verdict.add(format!("{name}: unreadable report: {error:#}")),
                }
                continue;
            }
            let of_template = allowed.as_ref().is_some_and(|regex| regex.is_match(&line.text));
            if !of_template {
                relay(&name, &line.text);
            }
            verdict.read(&name, &line.text);
            if index == 0 && group.len() == 1 && line.text.starts_with("READY") {
                for guest in *guests {
                    let words = format!("client name={} {} seconds={seconds}", guest.name, self.address());
                    group.spawn(guest.name, self.command(guest.stock, &words, None))?;
                }
            }
        }
        for index in 0..group.len() {
            if let Some(status) = group.status(index).filter(|status| !status.success()) {
                verdict.add(format!("{}: {}", group.label(index), describe(status)));
            }
        }
        let guests = guests.iter().map(|guest| (guest.name, guest.stock));
        for (name, stock) in [("server", false)].into_iter().chain(guests) {
            match reports.iter().find(|report| report.name == name) {
                None => verdict.add(format!("{name}: no report")),
                Some(report) if report.addon == stock => {
                    verdict.add(format!("{name}: played with the wrong classes"));
                }
                Some(_) => {}
            }
        }
        // In the order in which they were started.
        reports.sort_by_key(|report| (0..group.len()).position(|index| group.label(index) == report.name));
        let (shown, mut problems) = table(&reports);
        problems.splice(0..0, verdict.close());
        ui::step("What each peer sent and received");
        print!("{shown}");
        ensure!(problems.is_empty(), "not everything arrived:\n  {}", problems.join("\n  "));
        println!("Every expected packet arrived.");
        Ok(())
    }

    /// The same game in windows. Closing the host's window ends it for all.
    fn open_windows(&self) -> Result<()> {
        ui::step("The game is open in three windows: the host and two players. Close the host to end it.");
        let mut group = Group::new("the game", Duration::MAX);
        let host = format!("server port={} window name=host bots=2", self.port);
        group.spawn("host", self.command(false, &host, Some(0)))?;
        while !group.is_done(0) {
            let Some((index, line)) = group.next_line(Duration::from_millis(200)) else { continue };
            relay(group.label(index), &line.text);
            if index == 0 && group.len() == 1 && line.text.starts_with("READY") {
                for guest in self.guests {
                    let words = format!("client name={} {} window", guest.name, self.address());
                    group.spawn(guest.name, self.command(false, &words, Some(group.len())))?;
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

    fn command(&self, stock: bool, words: &str, window: Option<usize>) -> Command {
        let project = if stock { stock_project(self.repo) } else { self.repo.demo_project() };
        let mut command = self.exported.map_or_else(|| self.engine.on(&project), Engine::command);
        match window {
            None => command.arg("--headless"),
            // Offset windows, so that each can be clicked.
            Some(number) => command.args(["--resolution", "960x540", "--position"]).arg(format!(
                "{},{}",
                40 + 120 * number,
                40 + 110 * number
            )),
        };
        command.arg("--").args(words.split_whitespace());
        command
    }
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

const GUESTS: [Guest; 2] = [Guest { name: "ada", stock: false }, Guest { name: "bob", stock: false }];
const MIXED_GUESTS: [Guest; 2] = [Guest { name: "ada", stock: false }, Guest { name: "stock", stock: true }];

/// Debian's template for release exports prints this of connections of the engine's own, in a project without any addon too.
const OF_TEMPLATE: &str = "ERROR: Attempt to disconnect a nonexistent connection from '.*'\\. Signal: '.*', callable: ''|\
    at: _disconnect \\(core/object/object.cpp";

/// How long the players of a suite move.
const SECONDS: u32 = 8;

/// The name in the certificate and in the URL.
const HOST: &str = "localhost";

/// Starting three engines, joining, coming to a halt and comparing, on a slow machine.
const OVERHEAD: Duration = Duration::from_secs(110);
