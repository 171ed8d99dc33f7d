//! Tests what the editor shows of the addon: help, icons, project settings, and the debugger's tab.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::engine::{Engine, run_alone};
use crate::engines::{self, Generation};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{addon, editor_watch, files, ui};

/// Opens the project in `tests/editor`, whose plugin runs the checks and quits the editor.
pub(crate) fn run(repo: &Repo) -> Result<Tally> {
    let engine = engines::provide(repo, Generation::Four)?;
    let project = prepare(repo, &engine)?;
    let mut tally = Tally::default();
    tally.add(look(&engine, &project).context("the editor shows less than it should"));
    tally.add(
        editor_watch::run(&engine, &project, None).context("the debugger's tab shows less than it should"),
    );
    tally.add(names(repo, &engine).context("scripts with the names of the addon's classes"));
    tally.add(reload(repo, &engine).context("the editor reloads the addon"));
    Ok(tally)
}

/// Prepares the project, with the library that was built for the editor.
pub(crate) fn prepare(repo: &Repo, engine: &Engine) -> Result<PathBuf> {
    addon::build_for_editor(repo)?;
    let project = repo.root.join("tests/editor");
    addon::stage_into(&repo.addon(), &project)?;
    engine.import(&project)?;
    Ok(project)
}

fn look(engine: &Engine, project: &Path) -> Result<()> {
    let mut command = engine.on(project);
    command.args(["--headless", "--editor", "--", "look"]);
    let mut seen = None;
    let mut found = Vec::new();
    let mut outcome = run_alone("editor", command, |line| {
        found.extend(line.strip_prefix("EDITOR FAULT: ").map(str::to_owned));
        // The bindings warn at the end about connections that the library has left to them.
        found.extend(line.starts_with("WARNING: godot-rust").then(|| line.to_owned()));
        seen = seen.take().or_else(|| line.strip_prefix("EDITOR OK: ").map(str::to_owned));
    })?;
    outcome.faults.extend(found);
    let tails = outcome.passed()?.tails;
    let seen = seen.with_context(|| format!("the editor ended without a result\n{tails}"))?;
    ui::detail(&format!("{seen} in the help, all described"));
    Ok(())
}

/// Checks that the import of a project reports a script with the name of one of the addon's classes.
fn names(repo: &Repo, engine: &Engine) -> Result<()> {
    let project = repo.scratch.join("names");
    files::empty(&project)?;
    addon::stage_into(&repo.addon(), &project)?;
    fs::write(project.join("project.godot"), "config_version=5\n")?;
    fs::write(project.join("own.gd"), "class_name WebSocketServer\nextends Node\n")?;
    fs::write(project.join("other.gd"), "class_name WebSocketServers\nextends Node\n")?;
    let mut command = engine.on(&project);
    command.args(["--headless", "--import"]);
    let mut named = Vec::new();
    // The engine also reports that the script does not compile, which is expected.
    let outcome = run_alone("names", command, |line| {
        if line.contains(": its class_name ") {
            named.push(line.to_owned());
        }
    })?;
    match &named[..] {
        [line] if line.starts_with("ERROR: res://own.gd: its class_name WebSocketServer is ") => {}
        _ => bail!("the import said of one such script: {named:?}\n{}", outcome.tails),
    }
    ui::detail("the error line names the script that has the name of a class");
    Ok(())
}

/// Runs the engine case of that name, with the library that was built for the editor.
fn reload(repo: &Repo, engine: &Engine) -> Result<()> {
    let project = repo.scratch.join("reload");
    files::empty(&project)?;
    files::copy_folder(&repo.test_project().join("hot_reload"), &project)?;
    addon::stage_into(&repo.addon(), &project)?;
    fs::rename(project.join("reloader"), project.join("addons/reloader"))?;
    let mut command = engine.on(&project);
    command.args(["--headless", "--editor"]);
    let mut reloaded = false;
    let outcome = run_alone("reload", command, |line| reloaded |= line.contains("RELOADED"))?.passed()?;
    ensure!(reloaded, "the editor ended before it had reloaded the addon\n{}", outcome.tails);
    ui::detail("the addon was reloaded while it was in use, the tab included");
    Ok(())
}
