//! One trial of a benchmark: a server, the load client, and the reports of both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use serde_json::{Value, json};

use crate::affinity;
use crate::bench_goal::figure;
use crate::bench_rows::{Measure, Scenario, Subject};
use crate::engine::{Engine, free_port};
use crate::foreign;
use crate::process::{Event, Group};
use crate::repo::Repo;

/// The programs and folders that every trial needs.
#[derive(Debug)]
pub(crate) struct TrialSetup {
    pub(crate) repo: Repo,
    /// Unless no scenario needs one.
    pub(crate) engine: Option<Engine>,
    pub(crate) engine_3: Option<Engine>,
    /// Whom this machine cannot have, and why.
    pub(crate) absent: BTreeMap<Subject, String>,
    /// The load client's program.
    pub(crate) client: PathBuf,
    /// The servers without an engine.
    pub(crate) core: PathBuf,
    pub(crate) bare: PathBuf,
    /// The manifest of the peer without a network.
    pub(crate) null_peer: PathBuf,
    /// A folder with a key and a certificate.
    pub(crate) tls: PathBuf,
}

/// The result of a trial.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The engine, as the server's script reports it.
    pub(crate) about: Value,
    server: Value,
    client: Value,
    /// KiB per connected peer.
    memory: Option<f64>,
}

impl Trial {
    /// Returns a figure, if this trial has it.
    pub(crate) fn read(&self, source: &str) -> Option<f64> {
        let figure = |report: &Value, pointer: &str| report.pointer(pointer)?.as_f64();
        match source {
            "memory" => self.memory,
            "delivered" => {
                let (came, owed) = (self.read("client/messages")?, self.read("server/broadcast")?);
                Some(came / owed * 100.0)
            }
            "per_relayed" => {
                let (busy, rate) =
                    (self.read("server/busy_usec_per_second")?, self.read("client/messages_per_second")?);
                Some(busy / rate).filter(|per_message| per_message.is_finite())
            }
            _ => match source.strip_prefix("server") {
                Some(pointer) => figure(&self.server, pointer),
                None => figure(&self.client, source.strip_prefix("client")?),
            },
        }
    }

    /// Returns all figures in one line.
    pub(crate) fn summary(&self, scenario: &Scenario) -> String {
        let figure = |measure: &Measure| match self.read(measure.source()) {
            Some(value) => format!("{} {}", figure(value), measure.unit).trim_end().to_owned(),
            None => "-".to_owned(),
        };
        scenario.measures.iter().map(figure).collect::<Vec<_>>().join(", ")
    }

    /// Returns the reports, for a file.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "server": self.server, "client": self.client, "kib_per_peer": self.memory })
    }

    /// Returns a fault that makes all figures of the trial worthless.
    fn fault(&self) -> Option<String> {
        let wrong = self.client["wrong"].as_u64().filter(|wrong| *wrong > 0);
        if let Some(wrong) = wrong {
            return Some(format!("{wrong} messages came back wrong"));
        }
        let lost = self.client["lost"].as_object().filter(|lost| !lost.is_empty());
        lost.map(|lost| format!("connections were lost: {lost:?}"))
    }
}

impl TrialSetup {
    /// Runs a scenario once against one subject.
    pub(crate) fn measure(&self, scenario: &Scenario, subject: Subject, label: &str) -> Result<Trial> {
        let port = free_port()?;
        // The peer without a network has no client.
        let alone = !scenario.is_core() && subject == Subject::Floor;
        let measures_inside = scenario.measures_inside();
        let mut group = Group::new(label, LIMIT);
        let server = group.spawn("server", self.server(scenario, subject, port)?)?;
        let mut client = None;
        let (mut about, mut result) = (None, None);
        let mut report = alone.then_some(Value::Null);
        let (mut before, mut memory) = (0, None);
        let mut ended = None;
        // A server does not end by itself.
        while report.is_none() || (measures_inside && result.is_none()) {
            let event = group.next()?;
            ensure!(!group.is_done(server), "the server has ended\n{}", group.tails());
            if client.is_some_and(|client| group.is_done(client)) {
                let report = report.as_ref();
                let report =
                    report.with_context(|| format!("the load client has ended\n{}", group.tails()))?;
                // The server starts to measure when all clients are connected, and the client waits for that.
                let ended = *ended.get_or_insert_with(Instant::now);
                let count = |name: &str| report[name].as_u64().unwrap_or(0);
                ensure!(
                    ended.elapsed() <= AFTER_CLIENT,
                    "{} of {} clients got in",
                    count("usable"),
                    count("wanted")
                );
            }
            let Some(Event::Line(index, line)) = event else { continue };
            if line.text.contains("SCRIPT ERROR") {
                bail!("{}", line.text);
            }
            if Some(index) == client {
                if line.text.starts_with('{') {
                    report = Some(parse(&line.text)?);
                }
            } else if let Some(said) = ready(&line.text)? {
                before = resident(&said);
                about = Some(said);
                if !alone {
                    let load = self.load(scenario, subject, port, group.pid(server));
                    let started = group.spawn("client", load)?;
                    if scenario.apart {
                        let server = about.as_ref().and_then(|said| said["pid"].as_u64());
                        let server = server.context("the server has not said its number")?;
                        affinity::set_main_thread_apart(server as u32, group.pid(started))?;
                    }
                    client = Some(started);
                }
            } else if let Some(json) = line.text.strip_prefix("RESULT ") {
                let said = parse(json)?;
                let peers = said["connected"].as_f64().unwrap_or(0.0);
                if let Some(about) = about.as_ref().filter(|_| peers > 0.0) {
                    memory = Some(resident(about).saturating_sub(before) as f64 / peers);
                }
                result = Some(said);
                // A client that only holds its connections has no report.
                if scenario.client.starts_with("idle ") {
                    report = Some(Value::Null);
                }
            }
        }
        group.kill_all();
        let trial = Trial {
            about: about.unwrap_or_default(),
            server: result.unwrap_or_default(),
            client: report.unwrap_or_default(),
            memory,
        };
        match trial.fault() {
            Some(fault) => bail!("{fault}"),
            None => Ok(trial),
        }
    }

    fn server(&self, scenario: &Scenario, subject: Subject, port: u16) -> Result<Command> {
        let Some(words) = &scenario.server else {
            let mut command = match subject {
                Subject::Floor => Command::new(&self.bare),
                Subject::Node => foreign::node_with_ws()?,
                _ => Command::new(&self.core),
            };
            if subject == Subject::Node {
                command.arg(self.repo.interop().join("bench_server.cjs"));
            }
            command.arg(port.to_string());
            if let Some(how) = scenario.how {
                command.args(["wait", how.word()]);
            }
            return Ok(command);
        };
        let (engine, project) = match subject {
            Subject::Three => (self.engine_3.as_ref(), self.repo.test_project_3()),
            _ => (self.engine.as_ref(), self.repo.test_project()),
        };
        let engine = engine.context("there is no such engine here")?;
        let mut command = engine.script(&project, "res://bench/server.gd");
        let kind = match subject {
            Subject::Addon => "ours",
            Subject::Engine | Subject::Three => "engine",
            Subject::Floor => "null",
            Subject::Node => bail!("Node runs no engine"),
        };
        command.arg(format!("kind={kind}")).arg(format!("port={port}")).args(words.split_whitespace());
        command.args(scenario.extra(subject).server.split_whitespace());
        if subject == Subject::Floor {
            command.arg(format!("extension={}", self.null_peer.display()));
        }
        if scenario.is_secure() {
            command.arg(format!("tls={}", self.tls.display()));
        }
        Ok(command)
    }

    fn load(&self, scenario: &Scenario, subject: Subject, port: u16, server: u32) -> Command {
        let mut command = Command::new(&self.client);
        command.args(scenario.client.split_whitespace());
        command.args(scenario.extra(subject).client.split_whitespace()).arg(format!("--port={port}"));
        if let Some(how) = scenario.how {
            command.arg(format!("--deflate={}", how.word())).arg(format!("--pid={server}"));
        }
        command
    }
}

/// Returns whether this is the line that a server prints when it accepts connections. A script adds facts about itself; a program does not.
fn ready(line: &str) -> Result<Option<Value>> {
    if line.starts_with("echoes on port ") {
        return Ok(Some(Value::Null));
    }
    line.strip_prefix("READY ").map(parse).transpose()
}

fn parse(json: &str) -> Result<Value> {
    serde_json::from_str(json).with_context(|| format!("this is no JSON: {json}"))
}

/// KiB of resident memory of the server's process; 0 on systems other than Linux.
fn resident(about: &Value) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", about["pid"])).unwrap_or_default();
    resident_in(&status).unwrap_or(0)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A trial takes about ten seconds; with the engine's class, which accepts one client per frame, up to a minute.
const LIMIT: Duration = Duration::from_secs(120);
const AFTER_CLIENT: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(server: Value, client: Value) -> Trial {
        Trial { about: Value::Null, server, client, memory: None }
    }

    #[test]
    fn resident_memory_is_found() {
        let status = "Name:\tgodot\nVmHWM:\t  180000 kB\nVmRSS:\t  123456 kB\nThreads:\t9\n";
        assert_eq!(resident_in(status), Some(123_456));
        assert_eq!(resident_in("Name:\tgodot\n"), None);
    }

    #[test]
    fn figures_of_both_reports() {
        let found = trial(
            json!({ "broadcast": 2000, "busy_usec_per_second": 300.0 }),
            json!({ "messages": 1999, "messages_per_second": 1000.0, "latency": { "p50_ms": 2.5 } }),
        );
        assert_eq!(found.read("client/latency/p50_ms"), Some(2.5));
        assert_eq!(found.read("delivered"), Some(99.95));
        assert_eq!(found.read("per_relayed"), Some(0.3));
        assert_eq!(found.read("server/fps"), None);
        let nothing_relayed =
            trial(json!({ "busy_usec_per_second": 1.0 }), json!({ "messages_per_second": 0.0 }));
        assert_eq!(nothing_relayed.read("per_relayed"), None);
    }

    #[test]
    fn a_trial_with_wrong_or_lost_ones_counts_for_nothing() {
        assert_eq!(trial(Value::Null, json!({ "wrong": 0, "lost": {} })).fault(), None);
        let wrong = trial(Value::Null, json!({ "wrong": 3 })).fault().expect("a fault");
        assert!(wrong.contains("3 messages"), "{wrong}");
        let lost = trial(Value::Null, json!({ "lost": { "closed": 2 } })).fault().expect("a fault");
        assert!(lost.contains("closed"), "{lost}");
    }

    #[test]
    fn both_kinds_of_servers_say_that_they_are_ready() {
        assert_eq!(ready("echoes on port 9").expect("valid"), Some(Value::Null));
        assert_eq!(ready("READY {\"pid\":1}").expect("valid"), Some(json!({ "pid": 1 })));
        assert_eq!(ready("Godot Engine").expect("valid"), None);
        assert!(ready("READY x").is_err());
    }
}
