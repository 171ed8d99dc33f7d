//! Builds the library, and puts the addon's folder where a project expects it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use fs_err as fs;

use crate::platforms::{Build, Platform};
use crate::repo::{ADDON, Repo};
use crate::{cross, files, ui};

/// How to build.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct BuildOptions {
    /// Use the dev profile, under the debug name only: quick to build, slow to run
    #[arg(long)]
    pub(crate) debug: bool,
    /// Leave out what only the editor uses: the class reference, the tab of the debugger, and the exporter for the web
    #[arg(long)]
    pub(crate) lean: bool,
    /// Cross-build for this platform, as a release has it: linux-x86_64, linux-arm64, windows-x86_64, windows-arm64, macos,
    /// android-arm64, android-x86_64, ios; without it, build for this machine
    #[arg(long, value_name = "NAME", value_parser = Platform::named)]
    pub(crate) platform: Option<&'static Platform>,
}

impl BuildOptions {
    /// One library under both names, for those who open no editor.
    pub(crate) const LEAN: Self = Self { debug: false, lean: true, platform: None };
}

/// Builds the library and copies it into `addons/websocket_multiplayer/bin`.
pub(crate) fn build(repo: &Repo, options: BuildOptions) -> Result<()> {
    let started = Instant::now();
    let profile = if options.debug { "dev profile" } else { "release" };
    let platform = match options.platform {
        None => Platform::host()?,
        Some(platform) => platform,
    };
    ui::step(&format!("Building the addon ({profile}, {})", platform.name));
    let compile_all = |arguments: &[&str]| -> Result<Vec<PathBuf>> {
        let arguments = [&["--package=websocket-multiplayer"], arguments].concat();
        let Some(platform) = options.platform else { return Ok(vec![repo.build(&arguments, &[], ADDON)?]) };
        platform.targets.iter().map(|target| cross::compile(repo, target, &arguments)).collect()
    };
    let profile = if options.debug { "--profile=dev" } else { "--release" };
    let mut libraries = Vec::new();
    if options.lean || !options.debug {
        libraries = compile_all(&[profile])?;
    }
    if !options.debug {
        install(repo, &libraries, platform, Build::Release)?;
    }
    if !options.lean {
        libraries = compile_all(&[profile, EDITOR])?;
    }
    // Editor and debug builds of the engine look for this one.
    install(repo, &libraries, platform, Build::Debug)?;
    ui::detail(&format!("built in {}", ui::seconds(started.elapsed())));
    Ok(())
}

/// Builds only the library for the editor and debug builds of the engine, with what the editor shows and exports.
pub(crate) fn build_for_editor(repo: &Repo) -> Result<()> {
    ui::step("Building the addon's library for the editor");
    let library = repo.build(&["--package=websocket-multiplayer", "--release", EDITOR], &[], ADDON)?;
    install(repo, &[library], Platform::host()?, Build::Debug)
}

/// Puts the addon into the projects of this repository, and replaces the one in them.
pub(crate) fn stage(repo: &Repo) -> Result<()> {
    for project in [repo.demo_project(), repo.test_project()] {
        if project.join("project.godot").is_file() {
            stage_into(&repo.addon(), &project)?;
            ui::detail(&format!("staged into {}", files::shown(&project, &repo.root)));
        }
    }
    Ok(())
}

/// Makes the project of the scripts of a web export: the test project without the addon, whose classes have the same names.
pub(crate) fn stage_web(repo: &Repo) -> Result<()> {
    let (from, to) = (repo.test_project(), repo.web_project());
    files::empty(&to)?;
    for file in files::below(&from, |name| !["addons", ".godot"].contains(&name))? {
        files::copy(&file, &to.join(file.strip_prefix(&from)?))?;
    }
    let scripts = to.join("addons").join(ADDON).join("web");
    for file in files::with_ending(&repo.web_scripts(), "gd")? {
        files::copy(&file, &scripts.join(file.strip_prefix(repo.web_scripts())?))?;
    }
    Ok(())
}

/// Puts the addon into one project.
pub(crate) fn stage_into(addon: &Path, project: &Path) -> Result<()> {
    let place = project.join("addons").join(ADDON);
    files::remove(&place)?;
    files::copy_folder(addon, &place)?;
    // Without this list a script that starts before the first import does not know the classes.
    fs::create_dir_all(project.join(".godot"))?;
    let list = format!("res://addons/{ADDON}/{ADDON}.gdextension\n");
    Ok(fs::write(project.join(".godot/extension_list.cfg"), list)?)
}

/// Copies the libraries to their place in the addon, under the names in the manifest.
fn install(repo: &Repo, libraries: &[PathBuf], platform: &Platform, build: Build) -> Result<()> {
    let bin = repo.addon().join("bin");
    cross::install(libraries, &bin, platform, build)?;
    let place = bin.join(platform.library(build));
    // A library may be a folder.
    let sizes = files::below(&place, |_| true)?.into_iter().map(|file| Ok(fs::metadata(file)?.len()));
    let size: u64 = sizes.sum::<Result<u64>>()?;
    ui::detail(&format!("{} ({:.1} MB)", files::shown(&place, &repo.root), size as f64 / 1e6));
    Ok(())
}

const EDITOR: &str = "--features=editor";

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn staging_replaces_what_was_there() {
        let root = env::temp_dir().join(format!("xtask-stage-{}", std::process::id()));
        let (addon, project) = (root.join("addon"), root.join("project"));
        fs::create_dir_all(addon.join("bin")).expect("a writable temporary folder");
        fs::write(addon.join("bin/library"), "new").expect("a writable temporary folder");
        let place = project.join("addons").join(ADDON);
        fs::create_dir_all(&place).expect("a writable temporary folder");
        fs::write(place.join("old.gdextension"), "old").expect("a writable temporary folder");

        stage_into(&addon, &project).expect("both folders exist");

        assert!(!place.join("old.gdextension").exists(), "a second manifest would register everything twice");
        assert_eq!(fs::read_to_string(place.join("bin/library")).expect("was copied"), "new");
        let list = fs::read_to_string(project.join(".godot/extension_list.cfg")).expect("was written");
        assert_eq!(list, "res://addons/websocket_multiplayer/websocket_multiplayer.gdextension\n");
        fs::remove_dir_all(&root).expect("ours");
    }
}
