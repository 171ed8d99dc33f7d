//! `cargo xtask screenshots`: the pictures in the documentation, of the running demo and the editor, on a virtual display.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::case::Program;
use crate::engine::{Engine, free_port, relay};
use crate::engines::on_path;
use crate::foreign::Foreign;
use crate::process::{Event, Group, describe};
use crate::repo::Repo;
use crate::{CannotRun, addon, debian, demo, editor_suite, editor_watch, files, ui};

/// Which pictures.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ScreenshotOptions {
    /// All of them unless named
    #[arg(value_parser = PICTURES)]
    names: Vec<String>,
}

/// Takes the named pictures again, or all of them.
pub(crate) fn run(repo: &Repo, ScreenshotOptions { names }: &ScreenshotOptions) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!(CannotRun("the pictures are taken on Linux, under Xvfb".to_owned()));
    }
    for (present, package, what) in NEEDED {
        if on_path(present).is_none() && !Path::new(present).exists() {
            debian::install(package, what)?;
        }
    }
    addon::build(repo, addon::BuildOptions::LEAN)?;
    let engine = demo::prepare(repo)?;
    let folder = repo.root.join("docs/images");
    fs::create_dir_all(&folder)?;
    let pictures = Pictures { repo, engine: &engine, display: Display::open()?, folder };
    for name in PICTURES.iter().filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == *name))
    {
        match *name {
            "lobby" => pictures.lobby()?,
            "arena" => pictures.arena()?,
            "chat" => pictures.chat()?,
            _ => pictures.debugger()?,
        }
    }
    Ok(())
}

struct Pictures<'a> {
    repo: &'a Repo,
    engine: &'a Engine,
    display: Display,
    folder: PathBuf,
}

impl Pictures<'_> {
    fn lobby(&self) -> Result<()> {
        ui::step("The lobby");
        let picture = self.folder.join("lobby.png");
        let mut group = Group::new("the picture", LIMIT);
        group.spawn("lobby", self.window("1280x720", &[], &["name=Ada", "tls=localhost"], &picture, 3))?;
        finish(group, 0, &picture)
    }

    /// A host and guests who play by themselves, with some bots between them.
    fn arena(&self) -> Result<()> {
        ui::step("The arena");
        let picture = self.folder.join("arena.png");
        let port = free_port()?;
        let mut group = Group::new("the picture", LIMIT);
        let words = [
            "server",
            &format!("port={port}"),
            "window",
            "name=Ada",
            "auto",
            "bots=4",
            "say=welcome, {name}!",
        ];
        let host = self.window("1280x720", &STEADY, &words, &picture, 12);
        group.spawn("Ada", host)?;
        wait_for_ready(&mut group)?;
        for (name, line) in GUESTS {
            let mut command = self.game();
            command.args(["--headless", "--time-scale", SLOW, "--", "client", "window", "auto"]).args([
                format!("name={name}"),
                format!("say={line}"),
                format!("url=ws://127.0.0.1:{port}"),
            ]);
            group.spawn(name, command)?;
        }
        finish(group, 0, &picture)
    }

    /// The room in the engine and the page in a browser, side by side.
    fn chat(&self) -> Result<()> {
        ui::step("The chat");
        let mut foreign = Foreign::default();
        foreign.provide(Program::Chromium)?;
        let picture = self.folder.join("chat.png");
        let room_picture = self.repo.scratch.join("chat_room.png");
        files::remove(&room_picture)?;
        let port = free_port()?;
        let mut group = Group::new("the picture", LIMIT);
        let room = [
            "chat",
            &format!("port={port}"),
            "window",
            "name=Ada",
            "say=Hello {name}! I am in a Godot window.",
        ];
        group.spawn("room", self.window("760x640", &[], &room, &room_picture, 40))?;
        wait_for_ready(&mut group)?;
        let mut page = foreign.command(Program::Chromium, &self.repo.interop(), "chat_picture")?;
        page.arg("name=page").arg(format!("port={port}"));
        page.arg(format!("page={}", self.repo.demo_project().join("web/chat.html").display()));
        page.arg(format!("room={}", room_picture.display()));
        page.arg(format!("picture={}", picture.display()));
        let index = group.spawn("page", page)?;
        finish(group, index, &picture)
    }

    /// The editor's tab on a game with some traffic.
    fn debugger(&self) -> Result<()> {
        ui::step("The debugger");
        let file = self.folder.join("debugger.png");
        files::remove(&file)?;
        let project = editor_suite::prepare(self.repo, self.engine)?;
        let picture = editor_watch::Picture { file: &file, display: &self.display.name, after: 75 };
        editor_watch::run(self.engine, &project, Some(picture))?;
        check_size(&file)
    }

    /// Starts the demo in a window, which saves a picture of itself and closes.
    fn window(&self, size: &str, pace: &[&str], words: &[&str], picture: &Path, after: u32) -> Command {
        let mut command = self.game();
        command.env("DISPLAY", &self.display.name).env("LIBGL_ALWAYS_SOFTWARE", "1");
        command.args(["--audio-driver", "Dummy", "--resolution", size]).args(pace).arg("--").args(words);
        command.arg(format!("picture={}", picture.display())).arg(format!("after={after}"));
        command
    }

    fn game(&self) -> Command {
        self.engine.on(&self.repo.demo_project())
    }
}

/// A virtual display that ends with this value.
struct Display {
    name: String,
    _server: Group,
}

impl Display {
    fn open() -> Result<Self> {
        let mut server = Group::new("the picture", LIMIT);
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]);
        server.spawn("Xvfb", command)?;
        while let Some(event) = server.next()? {
            if let Event::Line(_, line) = event
                && let Ok(number) = line.text.trim().parse::<u32>()
            {
                return Ok(Self { name: format!(":{number}"), _server: server });
            }
        }
        bail!("Xvfb did not open a display")
    }
}

fn wait_for_ready(group: &mut Group) -> Result<()> {
    while let Some(event) = group.next()? {
        if let Event::Line(index, line) = event {
            relay(group.label(index), &line.text);
            if line.text.starts_with("READY") {
                return Ok(());
            }
        }
    }
    bail!("{} did not get ready", group.label(0))
}

/// Waits for the end of the process that makes the picture, then ends the others.
fn finish(mut group: Group, index: usize, picture: &Path) -> Result<()> {
    while !group.is_done(index) {
        if let Some(Event::Line(from, line)) = group.next()? {
            relay(group.label(from), &line.text);
        }
    }
    let status = group.status(index).context("it has ended")?;
    ensure!(status.success(), "{}: {}", group.label(index), describe(status));
    check_size(picture)
}

fn check_size(picture: &Path) -> Result<()> {
    let size = fs::metadata(picture).with_context(|| format!("there is no {}", picture.display()))?.len();
    ui::detail(&format!("{}, {} KB", picture.display(), size / 1000));
    if size > LARGEST {
        bail!("{} is too large for a repository", picture.display());
    }
    Ok(())
}

/// A program or a file, the Debian package that has it, and what it is.
const NEEDED: [(&str, &str, &str); 3] = [
    ("Xvfb", "xvfb", "Xvfb"),
    ("/usr/lib/x86_64-linux-gnu/libGL.so.1", "libgl1", "OpenGL"),
    ("/usr/lib/x86_64-linux-gnu/dri/swrast_dri.so", "libgl1-mesa-dri", "software renderer"),
];

const GUESTS: [(&str, &str); 3] =
    [("Ben", "that golden one is mine"), ("Cleo", "watch your back, Ada"), ("Dan", "who has the crown?")];

/// Without a graphics card, few frames are drawn per second. The window counts each as a sixtieth of a second, so that the positions are as
/// close to each other as on a graphics card.
const STEADY: [&str; 2] = ["--fixed-fps", "60"];
const SLOW: &str = "0.15";

const PICTURES: [&str; 4] = ["lobby", "arena", "chat", "debugger"];

const LIMIT: Duration = Duration::from_mins(6);
const LARGEST: u64 = 400_000;
