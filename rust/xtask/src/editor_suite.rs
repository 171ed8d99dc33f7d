//! What the editor shows of the addon: help, icons, project settings, and the debugger's tab.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::addon::{self, BuildOptions};
use crate::engine_run::{engine_command, import, run_alone_reading};
use crate::engines::{self, Engine, Generation};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{editor_watch, ui};

/// Opens the project in `tests/editor`, whose plugin looks around and quits the editor.
pub(crate) fn run(repo: &Repo) -> Result<Tally> {
    let engine = engines::provide(Generation::Four)?;
    let (project, home) = prepare(repo, &engine)?;
    let mut tally = look(&engine, &project, &home)?;
    match editor_watch::run(&engine, &project, &home, None)? {
        Ok(seen) => {
            ui::detail(&format!("the debugger's tab lists {seen}"));
            tally.passed += 1;
        }
        Err(faults) => {
            faults.iter().for_each(|fault| ui::detail(fault));
            tally.failed += 1;
            "the debugger's tab shows less than it should, see above".clone_into(&mut tally.note);
        }
    }
    let outcome = names(repo, &engine, &home);
    tally.add(outcome.context("scripts with the names of the addon's classes"));
    let outcome = reload(repo, &engine, &home);
    tally.add(outcome.context("the editor reloads the addon"));
    Ok(tally)
}

/// A script that has the name of a class of the addon is named when the project is imported.
fn names(repo: &Repo, engine: &Engine, home: &Path) -> Result<()> {
    let project = repo.scratch.join("names");
    if project.exists() {
        fs::remove_dir_all(&project).with_context(|| format!("cannot empty {}", project.display()))?;
    }
    addon::stage_into(&repo.addon(), &project)?;
    fs::write(project.join("project.godot"), "config_version=5\n")?;
    fs::write(project.join("own.gd"), "class_name WebSocketServer\nextends Node\n")?;
    fs::write(project.join("other.gd"), "class_name WebSocketServers\nextends Node\n")?;
    let mut command = engine_command(engine, &project, home);
    command.args(["--headless", "--import"]);
    let mut named = Vec::new();
    // The engine says in its own words that the script does not compile, which is no fault here.
    let outcome = run_alone_reading("names", command, |line| {
        if line.contains(": its class_name ") {
            named.push(line.to_owned());
        }
    })?;
    match &named[..] {
        [line] if line.starts_with("ERROR: res://own.gd: its class_name WebSocketServer is ") => {}
        _ => {
            print!("{}", outcome.tails);
            bail!("the import said of one such script: {named:?}");
        }
    }
    ui::detail("a script that has the name of a class is told so");
    Ok(())
}

/// The engine case of that name, with the library that has a plugin of the editor in it.
fn reload(repo: &Repo, engine: &Engine, home: &Path) -> Result<()> {
    let project = repo.scratch.join("reload");
    if project.exists() {
        fs::remove_dir_all(&project).with_context(|| format!("cannot empty {}", project.display()))?;
    }
    addon::copy_folder(&repo.test_project().join("hot_reload"), &project)?;
    addon::stage_into(&repo.addon(), &project)?;
    fs::rename(project.join("reloader"), project.join("addons/reloader"))?;
    let mut command = engine_command(engine, &project, home);
    command.args(["--headless", "--editor"]);
    let mut reloaded = false;
    let outcome = run_alone_reading("reload", command, |line| reloaded |= line.contains("RELOADED"))?;
    if !reloaded || !outcome.faults.is_empty() {
        print!("{}", outcome.tails);
        bail!("{}", outcome.faults.join("; "));
    }
    ui::detail("the addon was reloaded while it was in use, the tab included");
    Ok(())
}

/// Makes the project ready, with the library that has what the editor shows; says where it and its home are.
pub(crate) fn prepare(repo: &Repo, engine: &Engine) -> Result<(PathBuf, PathBuf)> {
    addon::build(repo, BuildOptions { editor: true, ..BuildOptions::default() })?;
    let project = repo.root.join("tests/editor");
    addon::stage_into(&repo.addon(), &project)?;
    let home = repo.scratch.join("home");
    let imported = import(engine, &project, &home)?;
    if !imported.faults.is_empty() {
        bail!("the project cannot be imported: {}\n{}", imported.faults.join("; "), imported.tails);
    }
    Ok((project, home))
}

fn look(engine: &Engine, project: &Path, home: &Path) -> Result<Tally> {
    let mut command = engine_command(engine, project, home);
    command.args(["--headless", "--editor", "--", "look"]);
    let mut verdict = None;
    let mut faults = Vec::new();
    let outcome = run_alone_reading("editor", command, |line| {
        if let Some(fault) = line.strip_prefix("EDITOR FAULT: ") {
            faults.push(fault.to_owned());
        }
        verdict = verdict.take().or_else(|| line.strip_prefix("EDITOR OK: ").map(str::to_owned));
    })?;
    for fault in faults.iter().chain(&outcome.faults) {
        ui::detail(fault);
    }
    match verdict {
        Some(seen) if faults.is_empty() && outcome.faults.is_empty() => {
            ui::detail(&format!("{seen} in the help, all described"));
            Ok(Tally::passed())
        }
        _ => {
            print!("{}", outcome.tails);
            Ok(Tally::failed("the editor shows less than it should, see above"))
        }
    }
}
