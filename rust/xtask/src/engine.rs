//! An engine: its command on a project, and one process of it that runs to its end.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::engines::Generation;
use crate::process::{self, describe};
use crate::repo::Repo;
use crate::ui;
use crate::verdict::Verdict;

/// A command that starts an engine, and that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) generation: Generation,
    pub(crate) program: PathBuf,
    /// Arguments that come before all others: an engine from the cache is started through its own loader.
    pub(crate) prefix: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
    pub(crate) version: String,
    /// Where the engine was found, for messages.
    pub(crate) source: String,
    /// The folder for the engine's own files, so that they stay out of the user's home.
    pub(crate) home: PathBuf,
}

/// How a process of an engine ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Empty: passed.
    pub(crate) faults: Vec<String>,
    pub(crate) took: Duration,
    /// The last lines of each process, for a failure.
    pub(crate) tails: String,
}

impl Engine {
    /// A program whose version is not known yet.
    pub(crate) fn new(generation: Generation, program: PathBuf, source: String, home: PathBuf) -> Self {
        let (prefix, environment, version) = (Vec::new(), Vec::new(), String::new());
        Self { generation, program, prefix, environment, version, source, home }
    }

    /// A command that still lacks the engine's own arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.prefix).envs(self.environment.iter().map(|(name, value)| (*name, value)));
        for kind in ["data", "config", "cache"] {
            command.env(format!("XDG_{}_HOME", kind.to_uppercase()), self.home.join(kind));
        }
        command
    }

    /// The same on a project.
    pub(crate) fn on(&self, project: &Path) -> Command {
        let mut command = self.command();
        command.arg("--path").arg(project);
        command
    }

    /// Without a window, and for the script's own arguments.
    pub(crate) fn script(&self, project: &Path, script: &str) -> Command {
        let mut command = self.on(project);
        match self.generation {
            // 3.6 has no separator: a script sees all arguments.
            Generation::Three => command.args(["-s", script]),
            Generation::Four => command.args(["--headless", "-s", script, "--"]),
        };
        command
    }

    /// Returns the command as typed in a shell, for messages.
    pub(crate) fn command_line(&self) -> String {
        let words = [self.program.as_os_str()].into_iter().chain(self.prefix.iter().map(OsString::as_os_str));
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// Imports a project, so that the engine knows its pictures and its scripts with a class name. Tries twice, because the first import of
    /// a new project may complain about files that it is about to make.
    pub(crate) fn import(&self, project: &Path) -> Result<Outcome> {
        let once = || {
            let mut command = self.on(project);
            command.args(["--headless", "--import"]);
            run_alone("import", command, |_| {})
        };
        let mut outcome = once()?;
        if !outcome.faults.is_empty() {
            outcome = once()?;
        }
        outcome.passed().with_context(|| format!("the project {} cannot be imported", project.display()))
    }

    /// Fails unless the engine knows these classes in a project.
    pub(crate) fn require_classes(&self, repo: &Repo, project: &Path, classes: &[&str]) -> Result<()> {
        let script = repo.root.join("tests/scripts/has_classes.gd");
        let mut command = self.script(project, &script.display().to_string());
        command.args(classes);
        run_alone("classes", command, |_| {})?.passed().context("the engine did not take the addon")?;
        Ok(())
    }
}

/// Runs one process of an engine to its end, checks its output, and passes each line on.
pub(crate) fn run_alone(label: &str, command: Command, mut on_line: impl FnMut(&str)) -> Result<Outcome> {
    let mut verdict = Verdict::new(&[], &[]);
    let ended = process::run(label, command, LIMIT, |line| {
        on_line(line);
        verdict.read(label, line);
    })?;
    if !ended.status.success() {
        verdict.add(describe(ended.status));
    }
    Ok(Outcome { faults: verdict.close(), took: ended.took, tails: ended.tail })
}

impl Outcome {
    /// Returns an error with the last lines if something was wrong.
    pub(crate) fn passed(self) -> Result<Self> {
        ensure!(self.faults.is_empty(), "{}\n{}", self.faults.join("; "), self.tails);
        Ok(self)
    }
}

/// Shows a line of a process that has a name.
pub(crate) fn relay(name: &str, line: &str) {
    if !line.is_empty() {
        ui::detail(&format!("[{name}] {line}"));
    }
}

/// Returns a port without a listener in either address family, below the range of outgoing connections.
pub(crate) fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Different runs on one machine start at different ports.
    let offset = (std::process::id() % 911) as u16 * 10;
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + offset.wrapping_add(step) % PORTS;
        let free = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        // On a system without IPv6 this fails for another reason than a taken port.
        let free_6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
        let taken_6 = free_6.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
        if free && !taken_6 {
            return Ok(port);
        }
    }
    bail!("no port is free");
}

const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;
const LIMIT: Duration = Duration::from_mins(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_handed_out_once() {
        let (a, b) = (free_port().expect("some port"), free_port().expect("some port"));
        assert_ne!(a, b);
        let _taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, b + 1));
        assert_ne!(free_port().expect("some port"), b + 1);
    }
}
