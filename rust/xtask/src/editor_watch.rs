//! A debug session: an editor, the game that it debugs, and the players of that game.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::engine::{Engine, free_port};
use crate::process::{Event, Group, describe};
use crate::ui;
use crate::verdict::Verdict;

/// Where a picture of the tab goes, on which display, and after how many seconds of traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture<'a> {
    pub(crate) file: &'a Path,
    pub(crate) display: &'a str,
    pub(crate) after: u32,
}

/// Checks the debugger's tab during a game. Returns an error that describes what is wrong.
pub(crate) fn run(engine: &Engine, project: &Path, picture: Option<Picture<'_>>) -> Result<()> {
    let (port, debugger_port) = (free_port()?.to_string(), free_port()?.to_string());
    let debugger = format!("tcp://127.0.0.1:{debugger_port}");
    let mut group = Group::new("editor and game", LIMIT);
    let mut editor = engine.on(project);
    match picture {
        None => {
            editor.args(["--headless", "--editor", "--", "watch", &debugger_port]);
        }
        Some(Picture { file, display, after }) => {
            editor.env("DISPLAY", display).env("LIBGL_ALWAYS_SOFTWARE", "1");
            editor.args(["--audio-driver", "Dummy", "--rendering-driver", "opengl3"]);
            editor.args(["--resolution", "1600x960", "--editor", "--", "watch", &debugger_port]);
            editor.arg(file).arg(after.to_string());
        }
    }
    group.spawn("editor", editor)?;
    let mut verdict = Verdict::new(&[], &[]);
    let mut seen = None;
    while !group.is_done(0) {
        let Some(Event::Line(index, line)) = group.next()? else { continue };
        let label = group.label(index).to_owned();
        verdict.read(&label, &line.text);
        if let Some(fault) = line.text.strip_prefix("EDITOR FAULT: ") {
            verdict.add(fault.to_owned());
        } else if let Some(what) = line.text.strip_prefix("EDITOR OK: ") {
            seen = Some(what.to_owned());
        } else if line.text == "EDITOR WAITS FOR A GAME" {
            let mut game = engine.on(project);
            game.args(["--headless", "--remote-debug", &debugger, SCENE, "--", "server", &port]);
            group.spawn("game", game)?;
        } else if label == "game" && line.text.starts_with("READY") {
            let mut players = engine.on(project);
            players.args(["--headless", SCENE, "--", "clients", &port]);
            group.spawn("players", players)?;
        }
    }
    if let Some(status) = group.status(0).filter(|status| !status.success()) {
        verdict.add(describe(status));
    }
    if seen.is_none() && !verdict.is_bad() {
        verdict.add("the editor ended without a result".to_owned());
    }
    // The game and its players do not end by themselves.
    group.kill_all();
    let faults = verdict.close();
    ensure!(faults.is_empty(), "{}\n{}", faults.join("; "), group.tails());
    ui::detail(&format!("the debugger's tab lists {}", seen.unwrap_or_default()));
    Ok(())
}

const SCENE: &str = "res://traffic.tscn";
const LIMIT: Duration = Duration::from_mins(4);
