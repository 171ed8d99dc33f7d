//! Where things are in the working copy, and how cargo is run on it.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use serde_json::Value;

use crate::{process, ui};

/// The working copy.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    pub(crate) root: PathBuf,
    /// Cargo's folder for what it builds.
    pub(crate) target: PathBuf,
    /// Scratch space in it.
    pub(crate) scratch: PathBuf,
}

impl Repo {
    pub(crate) fn locate() -> Result<Self> {
        // Set by `cargo run`; the other one serves a binary that is started directly.
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = manifest.ancestors().nth(2).context("xtask lives in rust/xtask")?.to_owned();
        let mut repo = Self { root, target: PathBuf::new(), scratch: PathBuf::new() };
        let metadata = repo.metadata(&["--no-deps"])?;
        repo.target = metadata["target_directory"].as_str().context("cargo names its target folder")?.into();
        repo.scratch = repo.target.join("xtask");
        fs::create_dir_all(&repo.scratch)?;
        Ok(repo)
    }

    /// The home folder of the engines that run here.
    pub(crate) fn home(&self) -> PathBuf {
        self.scratch.join("home")
    }

    /// The folder for the output of engine cases.
    pub(crate) fn logs(&self) -> PathBuf {
        self.scratch.join("logs")
    }

    pub(crate) fn addon(&self) -> PathBuf {
        self.root.join("addons").join(ADDON)
    }

    pub(crate) fn demo_project(&self) -> PathBuf {
        self.root.join("redot_project")
    }

    pub(crate) fn test_project(&self) -> PathBuf {
        self.root.join("tests/engine")
    }

    /// A copy of it, made for each run, in which the scripts of a web export stand in place of the addon.
    pub(crate) fn web_project(&self) -> PathBuf {
        self.scratch.join("web_classes")
    }

    /// The sources of these scripts.
    pub(crate) fn web_scripts(&self) -> PathBuf {
        self.root.join("rust/extension/web")
    }

    /// The project for the 3.6 side of a test.
    pub(crate) fn test_project_3(&self) -> PathBuf {
        self.root.join("tests/engine3")
    }

    /// The scripts of other programs that a test talks to.
    pub(crate) fn interop(&self) -> PathBuf {
        self.root.join("tests/interop")
    }

    /// Returns a cargo command without the environment variables that the outer cargo has set.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// Runs cargo and shows its progress. `on_line` returns whether to show a line.
    pub(crate) fn run_cargo(
        &self,
        arguments: &[&str],
        environment: &[(String, String)],
        mut on_line: impl FnMut(&str) -> bool,
    ) -> Result<ExitStatus> {
        let mut command = self.cargo(arguments);
        command.envs(environment.iter().cloned());
        let label = format!("cargo {}", arguments.first().copied().unwrap_or_default());
        let ended = process::run(&label, command, CARGO_LIMIT, |line| {
            if on_line(line) {
                ui::detail(line);
            }
        })?;
        Ok(ended.status)
    }

    /// Builds a package and returns the path of its program or dynamic library of that name.
    pub(crate) fn build(
        &self,
        arguments: &[&str],
        environment: &[(String, String)],
        name: &str,
    ) -> Result<PathBuf> {
        self.build_with("build", arguments, environment, name)
    }

    /// The same with a subcommand that takes the arguments of `build`.
    pub(crate) fn build_with(
        &self,
        subcommand: &str,
        arguments: &[&str],
        environment: &[(String, String)],
        name: &str,
    ) -> Result<PathBuf> {
        let mut built = None;
        let fixed = [subcommand, "--message-format=json-render-diagnostics"];
        let status = self.run_cargo(&[&fixed, arguments].concat(), environment, |line| {
            if !line.starts_with('{') {
                return true;
            }
            built = built.take().or_else(|| artifact(line, name));
            false
        })?;
        ensure!(status.success(), "{name} does not build, see above");
        built.with_context(|| format!("cargo built no {name}"))
    }

    /// `cargo metadata` with more arguments.
    pub(crate) fn metadata(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.cargo_output(&[&["metadata", "--format-version=1"], arguments].concat())?;
        serde_json::from_str(&text).context("cargo metadata is JSON")
    }

    /// Returns the output of a short cargo command.
    pub(crate) fn cargo_output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cargo(arguments).output().context("cannot start cargo")?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("cargo {}: {}", arguments.join(" "), message.trim());
        }
        String::from_utf8(output.stdout).context("cargo prints UTF-8")
    }
}

/// Returns the path of the program or dynamic library of that name, if this message of cargo is about it.
fn artifact(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != name {
        return None;
    }
    let program = message["executable"].as_str();
    let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    let is_dynamic = |file: &&str| DYNAMIC.iter().any(|ending| file.ends_with(ending));
    program.or_else(|| files.find(is_dynamic)).map(PathBuf::from)
}

/// The folder name of the addon, in this repository and in a game.
pub(crate) const ADDON: &str = "websocket_multiplayer";

/// Far above the time of a cold build on a slow machine.
const CARGO_LIMIT: Duration = Duration::from_hours(2);

/// The file extensions of dynamic libraries on all systems.
const DYNAMIC: [&str; 3] = [".so", ".dll", ".dylib"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_built_is_found_in_the_messages_of_cargo() {
        let message = |name: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"filenames":["a/{file}"],"executable":null}}"#
            )
        };
        let library = format!("b{}", env::consts::DLL_SUFFIX);
        assert!(artifact(&message(ADDON, &library), ADDON).is_some());
        assert!(artifact(&message("websocket_multiplayer_core", &library), ADDON).is_none());
        assert!(artifact(&message(ADDON, "b.rlib"), ADDON).is_none());
        let program = message("echo", "echo").replace("null", "\"a/echo\"");
        assert_eq!(artifact(&program, "echo"), Some(PathBuf::from("a/echo")));
    }
}
