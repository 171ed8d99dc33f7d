//! The demo in a browser: its web export, a page for it, and a server with computer players beside it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::demo;
use crate::engine::{Engine, free_port, relay};
use crate::engines::on_path;
use crate::process::{Group, describe};
use crate::repo::Repo;
use crate::web_pack::{WEB, WebBuild, add_presets, export};
use crate::{addon, files, foreign, ui};

/// Builds and serves the game until it is interrupted.
pub(crate) fn run(repo: &Repo) -> Result<()> {
    let build = WebBuild::provide()?;
    // The exporter is in the library for the editor.
    addon::build_for_editor(repo)?;
    let engine = demo::prepare(repo)?;
    let packs = repo.scratch.join("web/demo");
    make_pack(repo, &engine, &packs)?;
    let port = free_port()?;
    let mut group = Group::new("the game", Duration::MAX);
    group.spawn("server", server(repo, &engine, port))?;
    let mut site = foreign::node()?;
    site.arg(repo.root.join("tests/web/serve.cjs"));
    site.arg(format!("engine={}", build.folder.display())).arg(format!("packs={}", packs.display()));
    group.spawn("site", site)?;
    loop {
        if let Some(index) = (0..group.len()).find(|&index| group.is_done(index)) {
            bail!(
                "the {} ended: {}",
                group.label(index),
                group.status(index).map(describe).unwrap_or_default()
            );
        }
        let Some((index, line)) = group.next_line(Duration::from_millis(200)) else { continue };
        match line.text.strip_prefix("SITE ") {
            Some(site) => show(&page(site, port)),
            None => relay(group.label(index), &line.text),
        }
    }
}

/// Exports a copy of the demo, so that its folder gets no presets.
pub(crate) fn make_pack(repo: &Repo, engine: &Engine, packs: &Path) -> Result<()> {
    let project = repo.scratch.join("web/demo_project");
    files::empty(&project)?;
    files::copy_folder(&repo.demo_project(), &project)?;
    add_presets(&project)?;
    files::empty(packs)?;
    export(engine, &project, WEB, &packs.join("demo.pck"), |_| {})?.passed().map(drop)
}

/// A headless server of the demo.
pub(crate) fn server(repo: &Repo, engine: &Engine, port: u16) -> Command {
    let mut command = engine.on(&repo.demo_project());
    command.args(["--headless", "--", "server", "bots=3"]).arg(format!("port={port}"));
    command
}

fn page(site: &str, port: u16) -> String {
    format!(
        "http://127.0.0.1:{site}/?pack=demo&whole&arg=client&arg=window&arg=name=You&arg=url=ws://127.0.0.1:{port}"
    )
}

fn show(page: &str) {
    ui::step(&format!("The game is at {page}  Ctrl-C ends it."));
    let Some(opener) = OPENERS.iter().find_map(|name| on_path(name)) else { return };
    let mut command = Command::new(opener);
    command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Without a desktop it fails, and the address is shown anyway.
    drop(command.spawn());
}

const OPENERS: [&str; 3] = ["xdg-open", "open", "explorer"];
