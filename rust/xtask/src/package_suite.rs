//! Tries the packages as somebody does who has nothing else: an empty project, and a real engine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::engine_run::{Outcome, engine_command, free_port, import, run_alone};
use crate::engines::{self, Engine, Generation};
use crate::package::{self, PackageOptions, Packages};
use crate::platforms::{Build, Platform};
use crate::repo::{ADDON, Repo};
use crate::suites::Tally;
use crate::ui;

/// Makes the packages and tries them.
pub(crate) fn run(repo: &Repo, options: &PackageOptions) -> Result<Tally> {
    let packages = package::make(repo, options)?;
    let mut tally = Tally::default();
    tally.add(contents(&packages));
    tally.add(checksums(repo, options, &packages));
    let engine = engines::provide(Generation::Four)?;
    tally.add(addon_in_an_empty_project(repo, &engine, &packages));
    tally.add(demo(repo, &engine, &packages));
    Ok(tally)
}

/// Only the addon's folder, and in it all that a user needs.
fn contents(packages: &Packages) -> Result<()> {
    let names = package::names(&packages.addon)?;
    let place = format!("addons/{ADDON}/");
    if let Some(stray) = names.iter().find(|name| !name.starts_with(&place)) {
        bail!("{stray} is in the addon's package, outside of {place}");
    }
    let mut wanted: Vec<String> =
        ["LICENSE", "README.md", "THIRD_PARTY_LICENSES.txt", "websocket_multiplayer.gdextension"]
            .map(str::to_owned)
            .into();
    wanted.extend(CLASSES.map(|class| format!("icons/{class}.svg")));
    let host = Platform::host()?;
    wanted
        .extend(Build::BOTH.map(|build| format!("bin/{}", host.library(build).display()).replace('\\', "/")));
    for name in &wanted {
        let name = format!("{place}{name}");
        // A library may be a folder.
        let found = names.iter().any(|one| *one == name || one.starts_with(&format!("{name}/")));
        ensure!(found, "{name} is not in the addon's package");
    }
    Ok(())
}

/// What the checksums say, and that making the packages once more makes the same.
fn checksums(repo: &Repo, options: &PackageOptions, packages: &Packages) -> Result<()> {
    let sums = fs::read_to_string(&packages.sums)?;
    let check = || -> Result<()> {
        for file in [&packages.addon, &packages.demo] {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let line = format!("{}  {name}\n", package::checksum(&fs::read(file)?));
            ensure!(sums.contains(&line), "SHA256SUMS does not tell the checksum of {name}: {sums}");
        }
        Ok(())
    };
    check()?;
    package::make(repo, options)?;
    check().context("a second run makes other packages")
}

/// What a newcomer does: unpack, open, write a script.
fn addon_in_an_empty_project(repo: &Repo, engine: &Engine, packages: &Packages) -> Result<()> {
    ui::step("The addon's package in an empty project");
    let project = fresh(repo, "empty")?;
    fs::write(project.join("project.godot"), "config_version=5\n\n[application]\n\nconfig/name=\"Empty\"\n")?;
    package::unpack(&packages.addon, &project)?;
    let home = repo.scratch.join("home");
    passed("import", import(engine, &project, &home)?)?;
    fs::write(project.join("try.gd"), SCRIPT)?;
    let mut command = engine_command(engine, &project, &home);
    let port = free_port().context("no free port")?;
    command.args(["--headless", "-s", "res://try.gd", "--", &port.to_string()]);
    passed("script", run_alone("script", command)?)
}

/// The demo as it was unpacked opens and runs.
fn demo(repo: &Repo, engine: &Engine, packages: &Packages) -> Result<()> {
    ui::step("The demo's package");
    let folder = fresh(repo, "demo")?;
    package::unpack(&packages.demo, &folder)?;
    let project = folder.join(format!("{ADDON}_demo"));
    let home = repo.scratch.join("home");
    passed("import", import(engine, &project, &home)?)?;
    let mut command = engine_command(engine, &project, &home);
    command.args(["--headless", "--quit-after", "100"]);
    passed("demo", run_alone("demo", command)?)
}

fn fresh(repo: &Repo, name: &str) -> Result<PathBuf> {
    let folder = repo.scratch.join("package").join(name);
    if Path::exists(&folder) {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn passed(what: &str, outcome: Outcome) -> Result<()> {
    if !outcome.faults.is_empty() {
        bail!("{what}: {}\n{}", outcome.faults.join("; "), outcome.tails);
    }
    ui::detail(&format!("ok    {what} ({})", ui::seconds(outcome.took)));
    Ok(())
}

const CLASSES: [&str; 4] =
    ["WebSocketServer", "WebSocketClient", "BufferedWebSocketMultiplayerPeer", "BufferedWebSocketPeer"];

/// A raw chat and a multiplayer pair, each over a real connection. Fails by its exit code.
const SCRIPT: &str = include_str!("package_try.gd");
