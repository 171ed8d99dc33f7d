//! Tries the packages as a new user does: in an empty project, with a real engine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::engine::{Engine, free_port, run_alone};
use crate::engines::{self, Generation};
use crate::package::{self, PackageOptions, Packages};
use crate::platforms::{Build, Platform};
use crate::repo::{ADDON, Repo};
use crate::suites::Tally;
use crate::{asset_library, files, release_export, ui};

/// Makes the packages and tries them.
pub(crate) fn run(repo: &Repo, options: &PackageOptions) -> Result<Tally> {
    let packages = package::make(repo, options)?;
    let mut tally = Tally::default();
    tally.add(contents(&packages));
    tally.add(asset_library::check(repo, &packages).context("the rules of the Asset Library"));
    tally.add(checksums(repo, options, &packages));
    let engine = engines::provide(repo, Generation::Four)?;
    tally.add(addon_in_an_empty_project(repo, &engine, &packages));
    tally.add(demo(repo, &engine, &packages));
    Ok(tally)
}

/// Checks that the addon's package contains everything that a user needs.
fn contents(packages: &Packages) -> Result<()> {
    let names = package::names(&packages.addon)?;
    let place = format!("addons/{ADDON}/");
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

/// Checks the checksums, and that packing again makes the same files.
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

/// Does what a new user does: unpack, open, write a script.
fn addon_in_an_empty_project(repo: &Repo, engine: &Engine, packages: &Packages) -> Result<()> {
    ui::step("The addon's package in an empty project");
    let project = empty(repo, "empty")?;
    fs::write(project.join("project.godot"), "config_version=5\n\n[application]\n\nconfig/name=\"Empty\"\n")?;
    package::unpack(&packages.addon, &project)?;
    engine.import(&project)?;
    // Raw packets and a multiplayer pair, each over a real connection. Fails by its exit code.
    fs::copy(repo.root.join("tests/scripts/package_try.gd"), project.join("try.gd"))?;
    let mut command = engine.script(&project, "res://try.gd");
    command.arg(free_port()?.to_string());
    let outcome = run_alone("script", command, |_| {})?.passed()?;
    ui::detail(&format!("ok    a script with all classes ({})", ui::seconds(outcome.took)));
    as_a_release(engine, &project)
}

/// Plays the same script as the program that players get, where it also checks what a release build leaves out.
fn as_a_release(engine: &Engine, project: &Path) -> Result<()> {
    let settings = project.join("project.godot");
    let text = fs::read_to_string(&settings)?;
    let more = "[application]\n\nrun/main_scene=\"res://empty.tscn\"\nrun/main_loop_type=\"PackageTry\"\n";
    fs::write(&settings, text.replace("[application]\n", more))?;
    fs::write(project.join("empty.tscn"), "[gd_scene format=3]\n\n[node name=\"Empty\" type=\"Node\"]\n")?;
    // Writes the list of the names of scripts.
    engine.import(project)?;
    let folder = project.with_extension("exported");
    let Some(game) = release_export::export(engine, project, &folder)? else {
        ui::detail("no release export: this engine's template is not at hand");
        return Ok(());
    };
    let names = files::below(&folder, |_| true)?;
    let libraries: Vec<_> =
        names.iter().filter(|file| file.extension().is_some_and(|one| one == "so")).collect();
    let release = Platform::host()?.library(Build::Release);
    let is_release = libraries.len() == 1 && libraries[0].file_name() == release.file_name();
    ensure!(is_release, "beside the exported program are {names:?}");
    let mut command = game.command();
    command.args(["--headless", "--"]).arg(free_port()?.to_string());
    let outcome = run_alone("exported", command, |_| {})?.passed()?;
    ui::detail(&format!("ok    the same as a release export ({})", ui::seconds(outcome.took)));
    Ok(())
}

/// Checks that the unpacked demo opens and runs.
fn demo(repo: &Repo, engine: &Engine, packages: &Packages) -> Result<()> {
    ui::step("The demo's package");
    let folder = empty(repo, "demo")?;
    package::unpack(&packages.demo, &folder)?;
    let project = folder.join(format!("{ADDON}_demo"));
    engine.import(&project)?;
    let mut command = engine.on(&project);
    command.args(["--headless", "--quit-after", "100"]);
    let outcome = run_alone("demo", command, |_| {})?.passed()?;
    ui::detail(&format!("ok    a hundred frames of the demo ({})", ui::seconds(outcome.took)));
    Ok(())
}

fn empty(repo: &Repo, name: &str) -> Result<PathBuf> {
    let folder = repo.scratch.join("package").join(name);
    files::empty(&folder)?;
    Ok(folder)
}

const CLASSES: [&str; 4] =
    ["WebSocketServer", "WebSocketClient", "BufferedWebSocketMultiplayerPeer", "BufferedWebSocketPeer"];
