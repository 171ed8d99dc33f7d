//! One trial of a benchmark: a server in the engine, the load client, and what both said.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::{Measure, Scenario, Source};
use crate::engine_run::{engine_command, free_port};
use crate::engines::Engine;
use crate::process::Group;
use crate::ui::Heartbeat;

/// What every trial needs.
#[derive(Debug)]
pub(crate) struct Laboratory<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) project: PathBuf,
    /// A home for what engines write about themselves.
    pub(crate) home: PathBuf,
    /// The load client's program.
    pub(crate) client: PathBuf,
}

/// What came out of a trial.
#[derive(Debug)]
pub(crate) struct Trial {
    /// What the server's script said about its engine.
    pub(crate) about: Value,
    server: Value,
    client: Value,
    /// KiB per connected peer.
    memory: Option<f64>,
}

impl Trial {
    /// A figure, if this trial has it.
    pub(crate) fn read(&self, measure: &Measure) -> Option<f64> {
        match measure.source {
            Source::Server(key) => self.server.pointer(key)?.as_f64(),
            Source::Client(key) => self.client.pointer(key)?.as_f64(),
            Source::Memory => self.memory,
        }
    }

    /// All figures in one line.
    pub(crate) fn summary(&self, scenario: &Scenario) -> String {
        let figure = |measure: &Measure| match self.read(measure) {
            Some(figure) => format!("{} {}", crate::bench_report::figure(figure), measure.unit),
            None => "-".to_owned(),
        };
        scenario.measures.iter().map(figure).collect::<Vec<_>>().join(", ")
    }
}

impl Laboratory<'_> {
    /// Runs a scenario once against one class.
    pub(crate) fn measure(&self, scenario: &Scenario, kind: &str, label: &str) -> Result<Trial> {
        let port = free_port().context("no free port")?;
        let measures_inside = scenario.server.iter().any(|argument| argument.starts_with("peers="));
        let mut group = Group::new();
        let server = group.spawn("server", self.server(scenario, kind, port))?;
        let mut client = None;
        let (mut about, mut result, mut report) = (None, None, None);
        let (mut before, mut memory) = (0, None);
        let mut heartbeat = Heartbeat::new(label);
        let deadline = Instant::now() + LIMIT;
        // The server's script does not end by itself.
        while report.is_none() || (measures_inside && result.is_none()) {
            let line = group.next_line(Duration::from_millis(200));
            if Instant::now() > deadline {
                bail!("not done after {}: {}", crate::ui::seconds(LIMIT), last_words(&group));
            }
            if group.is_done(server) {
                bail!("the server has ended: {}", last_words(&group));
            }
            if client.is_some_and(|client| group.is_done(client)) && report.is_none() {
                bail!("the load client has ended: {}", last_words(&group));
            }
            let Some((index, line)) = line else {
                heartbeat.tick("");
                continue;
            };
            if line.text.contains("SCRIPT ERROR") {
                bail!("{}", line.text);
            }
            if Some(index) == client {
                if line.text.starts_with('{') {
                    report = Some(parse(&line.text)?);
                }
            } else if let Some(json) = line.text.strip_prefix("READY ") {
                let said = parse(json)?;
                before = resident(&said);
                about = Some(said);
                client = Some(group.spawn("client", self.client(scenario, port))?);
            } else if let Some(json) = line.text.strip_prefix("RESULT ") {
                let said = parse(json)?;
                let peers = said["connected"].as_f64().unwrap_or(0.0);
                if let Some(about) = about.as_ref().filter(|_| peers > 0.0) {
                    memory = Some(resident(about).saturating_sub(before) as f64 / peers);
                }
                result = Some(said);
                // Those that only hold their connections have nothing more to say.
                if scenario.client.first() == Some(&"idle") {
                    report = Some(Value::Null);
                }
            }
        }
        group.kill_all();
        Ok(Trial {
            about: about.unwrap_or_default(),
            server: result.unwrap_or_default(),
            client: report.unwrap_or_default(),
            memory,
        })
    }

    fn server(&self, scenario: &Scenario, kind: &str, port: u16) -> Command {
        let mut command = engine_command(self.engine, &self.project, &self.home);
        command.args(["--headless", "-s", "res://bench/server.gd", "--"]);
        command.arg(format!("kind={kind}")).arg(format!("port={port}")).args(scenario.server);
        command
    }

    fn client(&self, scenario: &Scenario, port: u16) -> Command {
        let mut command = Command::new(&self.client);
        command.args(scenario.client).arg(format!("--port={port}"));
        command
    }
}

fn parse(json: &str) -> Result<Value> {
    serde_json::from_str(json).with_context(|| format!("this is no JSON: {json}"))
}

/// KiB of resident memory of the process that said so; 0 where the system does not tell.
fn resident(about: &Value) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", about["pid"])).unwrap_or_default();
    resident_in(&status).unwrap_or(0)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn last_words(group: &Group) -> String {
    let lines = |index: usize| group.tail(index).map(|line| line.text.as_str()).collect::<Vec<_>>();
    let tails = (0..group.len()).map(|index| {
        let lines = lines(index);
        format!("{}: {}", group.label(index), lines[lines.len().saturating_sub(5)..].join(" / "))
    });
    tails.collect::<Vec<_>>().join("; ")
}

/// A trial takes some ten seconds; with the engine's class, which takes its clients one per frame, up to a minute.
const LIMIT: Duration = Duration::from_secs(150);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_found() {
        let status = "Name:\tgodot\nVmHWM:\t  180000 kB\nVmRSS:\t  123456 kB\nThreads:\t9\n";
        assert_eq!(resident_in(status), Some(123_456));
        assert_eq!(resident_in("Name:\tgodot\n"), None);
    }
}
