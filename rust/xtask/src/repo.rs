//! Where things are in the working copy, and how cargo is run on it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Group;
use crate::ui::{self, Heartbeat};

/// The working copy.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    pub(crate) root: PathBuf,
    /// Scratch space inside cargo's target folder.
    pub(crate) scratch: PathBuf,
}

impl Repo {
    pub(crate) fn locate() -> Result<Self> {
        // Set by `cargo run`; the other one serves a binary that is started directly.
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = manifest.ancestors().nth(2).context("xtask lives in rust/xtask")?.to_owned();
        let repo = Self { scratch: PathBuf::new(), root };
        let metadata = repo.metadata(&["--no-deps"])?;
        let target = metadata["target_directory"].as_str().context("cargo names its target folder")?;
        let scratch = Path::new(target).join("xtask");
        fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        Ok(Self { scratch, ..repo })
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

    /// The project for the 3.6 side of a test.
    pub(crate) fn test_project_3(&self) -> PathBuf {
        self.root.join("tests/engine3")
    }

    /// The scripts of other programs that a test talks to.
    pub(crate) fn interop(&self) -> PathBuf {
        self.root.join("tests/interop")
    }

    /// A cargo command as a person would type it: without what the outer cargo set for us.
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

    /// Runs cargo and relays its progress. `on_line` says whether a line is worth showing.
    pub(crate) fn run_cargo(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        mut on_line: impl FnMut(&str) -> bool,
    ) -> Result<ExitStatus> {
        let mut command = self.cargo(arguments);
        command.envs(environment.iter().copied());
        let label = format!("cargo {}", arguments.first().copied().unwrap_or_default());
        let mut heartbeat = Heartbeat::new(&label);
        let mut group = Group::new();
        let index = group.spawn(&label, command)?;
        let mut last = String::new();
        while !group.all_done() {
            if let Some((_, line)) = group.next_line(Duration::from_secs(1)) {
                if on_line(&line.text) {
                    ui::detail(&line.text);
                    heartbeat.reset();
                    last = line.text.trim().to_owned();
                }
            } else {
                heartbeat.tick(&last);
            }
            if group.started().elapsed() > CARGO_LIMIT {
                bail!("{label} did not end within {}", ui::seconds(CARGO_LIMIT));
            }
        }
        group.status(index).context("it has ended")
    }

    /// Builds a package and says where its program of that name is.
    pub(crate) fn build_program(&self, arguments: &[&str], name: &str) -> Result<PathBuf> {
        let mut program = None;
        let fixed = ["build", "--message-format=json-render-diagnostics"];
        let status = self.run_cargo(&[&fixed, arguments].concat(), &[], |line| {
            let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { return true };
            if message["target"]["name"] == name {
                program = message["executable"].as_str().map(PathBuf::from).or_else(|| program.take());
            }
            false
        })?;
        if !status.success() {
            bail!("{name} does not build");
        }
        program.with_context(|| format!("cargo built no {name}"))
    }

    /// `cargo metadata` with more arguments.
    pub(crate) fn metadata(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let text = self.cargo_output(&[&["metadata", "--format-version=1"], arguments].concat())?;
        serde_json::from_str(&text).context("cargo metadata is JSON")
    }

    /// What a short cargo command prints.
    pub(crate) fn cargo_output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cargo(arguments).output().context("cannot start cargo")?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("cargo {}: {}", arguments.join(" "), message.trim());
        }
        String::from_utf8(output.stdout).context("cargo prints UTF-8")
    }
}

/// The folder name of the addon, in this repository and in a game.
pub(crate) const ADDON: &str = "websocket_multiplayer";

/// Far above a cold build on a slow machine: only something stuck takes so long.
const CARGO_LIMIT: Duration = Duration::from_hours(2);
