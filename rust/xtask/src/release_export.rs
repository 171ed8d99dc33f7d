//! Release exports for Linux, as players get them.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::engine::{Engine, run_alone};
use crate::engines::Template;
use crate::web_pack::{LINUX, add_presets};
use crate::{debian, engines, files, process};

/// Exports a project into a new folder, and returns the program as an engine that has its project inside. `None` without the template of
/// this engine, which only the engine of the cache has.
pub(crate) fn export(engine: &Engine, project: &Path, folder: &Path) -> Result<Option<Engine>> {
    let Some(template) = engines::release_template(engine)? else { return Ok(None) };
    let presets = project.join("export_presets.cfg");
    files::remove(&presets)?;
    add_presets(project)?;
    let text = fs::read_to_string(&presets)?;
    let named = format!("custom_template/release=\"{}\"", template.program.display());
    fs::write(&presets, text.replace("custom_template/release=\"\"", &named))?;
    files::empty(folder)?;
    let program = folder.join("game.x86_64");
    let mut command = engine.on(project);
    command.args(["--headless", "--export-release", LINUX]).arg(&program);
    let outcome = run_alone("export", command, |_| {});
    // A person's next export asks for presets of its own.
    files::remove(&presets)?;
    outcome?.passed()?;
    ensure!(program.is_file(), "the export made no {}", program.display());
    run_here(&program, &template)?;
    let mut exported =
        Engine::new(engine.generation, program, "release export".to_owned(), engine.home.clone());
    exported.version.clone_from(&engine.version);
    // Not for all libraries: the programs that the game starts would get them too.
    exported.environment = vec![("LD_LIBRARY_PATH", template.sound)];
    Ok(Some(exported))
}

/// Lets a program of a newer Debian start with the loader and the libraries from there. It finds its pack by its own path, so a loader
/// cannot start it.
fn run_here(program: &Path, template: &Template) -> Result<()> {
    let mut command = Command::new(debian::program("patchelf", "patchelf", "patchelf")?);
    command.arg("--set-interpreter").arg(&template.loader);
    // Also for the libraries that its libraries need.
    command.arg("--force-rpath").arg("--set-rpath").arg(env::join_paths(&template.libraries)?).arg(program);
    process::run("patchelf", command, LIMIT, |_| {})?.success().context("the exported program")?;
    Ok(())
}

const LIMIT: Duration = Duration::from_mins(1);
