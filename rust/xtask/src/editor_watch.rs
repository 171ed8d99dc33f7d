//! A debug session as a developer has it: an editor, a game that it debugs, and that game's players.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::engine_run::{engine_command, free_port};
use crate::engines::Engine;
use crate::process::{Group, describe};
use crate::ui;
use crate::verdict::Verdict;

/// Where a picture of the tab goes, on which display, and after how many seconds of traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture<'a> {
    pub(crate) file: &'a Path,
    pub(crate) display: &'a str,
    pub(crate) after: u32,
}

/// What was seen in the debugger's tab, or what was wrong.
pub(crate) fn run(
    engine: &Engine,
    project: &Path,
    home: &Path,
    picture: Option<Picture<'_>>,
) -> Result<std::result::Result<String, Vec<String>>> {
    let port = free_port().context("no free port")?.to_string();
    let debugger_port = free_port().context("no free port")?.to_string();
    let debugger = format!("tcp://127.0.0.1:{debugger_port}");
    let mut group = Group::new();
    let mut editor = engine_command(engine, project, home);
    match picture {
        None => {
            editor.args(["--headless", "--editor", "--", "watch", &debugger_port]);
        }
        Some(Picture { file, display, after }) => {
            editor.env("DISPLAY", display).env("LIBGL_ALWAYS_SOFTWARE", "1");
            editor.args(["--audio-driver", "Dummy", "--rendering-driver", "opengl3"]);
            editor.args(["--resolution", "1500x960", "--editor", "--", "watch", &debugger_port]);
            editor.arg(file).arg(after.to_string());
        }
    }
    group.spawn("editor", editor)?;
    let mut heartbeat = ui::Heartbeat::new("editor and game");
    let mut verdict = Verdict::new(&[], &[]);
    let mut seen = None;
    while !group.is_done(0) && group.started().elapsed() < LIMIT {
        heartbeat.tick("");
        let Some((index, line)) = group.next_line(Duration::from_millis(100)) else { continue };
        let label = group.label(index).to_owned();
        verdict.read(&label, &line.text);
        if let Some(fault) = line.text.strip_prefix("EDITOR FAULT: ") {
            verdict.add(fault.to_owned());
        } else if let Some(what) = line.text.strip_prefix("EDITOR OK: ") {
            seen = Some(what.to_owned());
        } else if line.text == "EDITOR WAITS FOR A GAME" {
            let mut game = engine_command(engine, project, home);
            game.args(["--headless", "--remote-debug", &debugger, SCENE, "--", "server", &port]);
            group.spawn("game", game)?;
        } else if label == "game" && line.text.starts_with("READY") {
            let mut players = engine_command(engine, project, home);
            players.args(["--headless", SCENE, "--", "clients", &port]);
            group.spawn("players", players)?;
        }
    }
    match group.status(0) {
        None => verdict.add("the editor did not end".to_owned()),
        Some(status) if !status.success() => verdict.add(describe(status)),
        Some(_) => {}
    }
    // The others play until they are ended.
    group.kill_all();
    let mut faults = verdict.close();
    if let (true, Some(seen)) = (faults.is_empty(), seen) {
        return Ok(Ok(seen));
    }
    if faults.is_empty() {
        faults.push("the editor ended without a word".to_owned());
    }
    for index in 0..group.len() {
        ui::detail(&format!("--- {}", group.label(index)));
        group.tail(index).for_each(|line| ui::detail(&line.text));
    }
    Ok(Err(faults))
}

const SCENE: &str = "res://traffic.tscn";
const LIMIT: Duration = Duration::from_mins(4);
