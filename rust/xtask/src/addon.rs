//! Builds the library, and puts the addon folder where a project expects it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::platforms::{Build, Platform};
use crate::repo::{ADDON, Repo};
use crate::{cross, ui};

/// How to build.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct BuildOptions {
    /// Use the dev profile, under the debug name only: quick to build, slow to run
    #[arg(long, conflicts_with = "editor")]
    pub(crate) debug: bool,
    /// Put the class reference and the tab of the debugger into the debug library, as releases have them
    #[arg(long)]
    pub(crate) editor: bool,
    /// Build for this system, as it is given to others: linux-x86_64, linux-arm64, windows-x86_64, windows-arm64, macos,
    /// android-arm64, android-x86_64, ios; this machine unless given
    #[arg(long, value_name = "NAME", value_parser = Platform::named)]
    pub(crate) platform: Option<&'static Platform>,
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
    let compile_all = |arguments: &[&str]| match options.platform {
        None => Ok(vec![compile(repo, arguments, &[])?]),
        Some(platform) => {
            let targets = platform.targets.iter();
            targets
                .map(|target| {
                    let arguments = [arguments, &["--locked", "--target", target]].concat();
                    compile(repo, &arguments, &cross::environment(repo, target)?)
                })
                .collect()
        }
    };
    let libraries = compile_all(&[if options.debug { "--profile=dev" } else { "--release" }])?;
    if !options.debug {
        install(repo, &libraries, platform, Build::Release)?;
    }
    if !options.editor {
        // Editor and debug builds of the engine look for this one.
        install(repo, &libraries, platform, Build::Debug)?;
    } else {
        let libraries = compile_all(&["--release", "--features=editor"])?;
        install(repo, &libraries, platform, Build::Debug)?;
    }
    ui::detail(&format!("built in {}", ui::seconds(started.elapsed())));
    Ok(())
}

/// Puts the addon into the projects of this repository, instead of what was there.
pub(crate) fn stage(repo: &Repo) -> Result<()> {
    for project in [repo.demo_project(), repo.test_project()] {
        if project.join("project.godot").is_file() {
            stage_into(&repo.addon(), &project)?;
            let shown = project.strip_prefix(&repo.root).unwrap_or(&project);
            ui::detail(&format!("staged into {}", shown.display()));
        }
    }
    Ok(())
}

/// Puts the addon into one project.
pub(crate) fn stage_into(addon: &Path, project: &Path) -> Result<()> {
    let place = project.join("addons").join(ADDON);
    if let Err(error) = fs::remove_dir_all(&place)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot remove {}", place.display()));
    }
    copy_folder(addon, &place)?;
    // Without this list a script that starts before the first import does not know the classes.
    let list = project.join(".godot/extension_list.cfg");
    fs::create_dir_all(project.join(".godot"))?;
    fs::write(&list, format!("res://addons/{ADDON}/{ADDON}.gdextension\n"))
        .with_context(|| format!("cannot write {}", list.display()))
}

fn compile(repo: &Repo, arguments: &[&str], environment: &[(String, String)]) -> Result<PathBuf> {
    let arguments = [&["--package=websocket-multiplayer"], arguments].concat();
    compile_in(repo, &arguments, environment, ADDON)
}

/// Builds a dynamic library and says where it is.
pub(crate) fn compile_library(repo: &Repo, arguments: &[&str], name: &str) -> Result<PathBuf> {
    compile_in(repo, arguments, &[], name)
}

fn compile_in(
    repo: &Repo,
    arguments: &[&str],
    environment: &[(String, String)],
    name: &str,
) -> Result<PathBuf> {
    let fixed = ["build", "--message-format=json-render-diagnostics"];
    let mut library = None;
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let status = repo.run_cargo(&[&fixed, arguments].concat(), &environment, |line| {
        if !line.starts_with('{') {
            return true;
        }
        library = library.take().or_else(|| dynamic_library(line, name));
        false
    })?;
    if !status.success() {
        bail!("{name} does not build");
    }
    library.with_context(|| format!("cargo built no dynamic library {name}"))
}

/// The dynamic library of that name, if this message of cargo is about it.
fn dynamic_library(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let ours = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
    let dynamic = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "cdylib");
    let files = message["filenames"].as_array().filter(|_| ours && dynamic)?;
    let paths = files.iter().filter_map(|file| file.as_str()).map(PathBuf::from);
    paths.into_iter().find(|path| path.extension().is_some_and(|e| DYNAMIC.iter().any(|one| e == *one)))
}

/// Copies the libraries to their place in the addon, under the name that the manifest uses.
fn install(repo: &Repo, libraries: &[PathBuf], platform: &Platform, build: Build) -> Result<()> {
    let bin = repo.addon().join("bin");
    cross::install(libraries, &bin, platform, build)?;
    let place = bin.join(platform.library(build));
    let shown = place.strip_prefix(&repo.root).unwrap_or(&place);
    ui::detail(&format!("{} ({:.1} MB)", shown.display(), size(&place)? as f64 / 1e6));
    Ok(())
}

/// Of a file, or of all files in a folder.
fn size(place: &Path) -> Result<u64> {
    if !place.is_dir() {
        return Ok(fs::metadata(place)?.len());
    }
    fs::read_dir(place)?.map(|entry| size(&entry?.path())).sum()
}

/// Never leaves half a file, and never writes into one that a running engine has mapped.
pub(crate) fn copy_whole(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)?;
    let part = to.with_extension("part");
    fs::copy(from, &part).with_context(|| format!("cannot copy {} to {}", from.display(), part.display()))?;
    fs::rename(&part, to).with_context(|| format!("cannot replace {}", to.display()))
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            copy_whole(&entry.path(), &place)?;
        }
    }
    Ok(())
}

/// How dynamic libraries end, on any system.
const DYNAMIC: [&str; 3] = ["so", "dll", "dylib"];

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

    #[test]
    fn the_library_is_found_in_cargos_messages() {
        let message = |name: &str, kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}","kind":["{kind}"]}},"filenames":["a/b.{}"]}}"#,
                env::consts::DLL_EXTENSION
            )
        };
        assert!(dynamic_library(&message(ADDON, "cdylib"), ADDON).is_some());
        assert!(dynamic_library(&message("websocket_multiplayer_core", "lib"), ADDON).is_none());
        assert!(dynamic_library(&message(ADDON, "rlib"), ADDON).is_none());
    }
}
