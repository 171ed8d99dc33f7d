//! Web exports: a pack by the editor, and the engine's web build to run it in.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::engine::{Engine, Outcome, run_alone};
use crate::foreign;

/// What a web server has to offer besides the page.
#[derive(Clone, Debug)]
pub(crate) struct WebBuild {
    /// Has the engine: `index.js`, `index.wasm` and the sound's scripts.
    pub(crate) folder: PathBuf,
}

impl WebBuild {
    /// Fetches the engine's official web build, once. Templates are not needed for packs.
    pub(crate) fn provide() -> Result<Self> {
        let folder = foreign::web_engine()?;
        ensure!(folder.join("index.wasm").is_file(), "there is no web build in {}", folder.display());
        Ok(Self { folder })
    }
}

/// Exports a project that has presets with these names, as a pack or as a zip by the ending of `file`, and hands out each line.
pub(crate) fn export(
    engine: &Engine,
    project: &Path,
    preset: &str,
    file: &Path,
    on_line: impl FnMut(&str),
) -> Result<Outcome> {
    let mut command = engine.on(project);
    command.args(["--headless", "--export-pack", preset]).arg(file);
    let outcome = run_alone("export", command, on_line)?;
    ensure!(file.is_file(), "the export made no {}\n{}", file.display(), outcome.tails);
    Ok(outcome)
}

/// Gives a project a preset for the web and one for Linux, unless it has presets of its own.
pub(crate) fn add_presets(project: &Path) -> Result<()> {
    let file = project.join("export_presets.cfg");
    if file.exists() {
        return Ok(());
    }
    let mut text = String::new();
    for (number, name) in [WEB, LINUX].into_iter().enumerate() {
        text += &format!(
            "[preset.{number}]\n\nname=\"{name}\"\nplatform=\"{name}\"\nrunnable=true\nexport_filter=\"all_resources\"\n\
             include_filter=\"\"\nexclude_filter=\"\"\nexport_path=\"\"\n\n[preset.{number}.options]\n\n\
             custom_template/release=\"\"\n\n"
        );
    }
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

pub(crate) const WEB: &str = "Web";
pub(crate) const LINUX: &str = "Linux";
