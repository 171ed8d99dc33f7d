//! Runs one engine test case: starts its processes, watches them, and judges.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::case::{Case, Program, Role};
use crate::engines::Engine;
use crate::foreign::Foreign;
use crate::process::{Group, describe};
use crate::repo::Repo;
use crate::ui;
use crate::verdict::Verdict;

/// The engines and projects that cases run with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) engine_4: Engine,
    pub(crate) engine_3: Option<Engine>,
    pub(crate) project_4: PathBuf,
    pub(crate) project_3: PathBuf,
    /// What the scripts of other programs run with.
    pub(crate) foreign: Foreign,
    /// The folder of those scripts.
    pub(crate) interop: PathBuf,
    /// A folder of its own for each case.
    pub(crate) scratch: PathBuf,
    /// Where the full output of each case goes.
    pub(crate) logs: PathBuf,
    /// A home for what engines write about themselves.
    pub(crate) home: PathBuf,
}

/// How a case went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Empty: passed.
    pub(crate) faults: Vec<String>,
    pub(crate) took: Duration,
    /// The last lines of each process, for a failure.
    pub(crate) tails: String,
}

impl Bench {
    pub(crate) fn new(
        repo: &Repo,
        engine_4: Engine,
        engine_3: Option<Engine>,
        foreign: Foreign,
    ) -> Result<Self> {
        let bench = Self {
            engine_4,
            engine_3,
            foreign,
            interop: repo.interop(),
            scratch: repo.scratch.join("cases"),
            project_4: repo.test_project(),
            project_3: repo.test_project_3(),
            logs: repo.scratch.join("logs"),
            home: repo.scratch.join("home"),
        };
        fs::create_dir_all(&bench.logs).context("cannot make the folder for logs")?;
        Ok(bench)
    }

    /// Runs a case to its end, at most for its timeout.
    pub(crate) fn run(&self, case: &Case) -> Result<Outcome> {
        let port = free_port().context("no free port")?;
        let scratch = self.scratch.join(&case.name);
        // What an earlier run left there would hide that this one wrote nothing.
        if scratch.exists() {
            fs::remove_dir_all(&scratch).with_context(|| format!("cannot empty {}", scratch.display()))?;
        }
        fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        let mut group = Group::new();
        let mut log = String::new();
        let mut verdict = Verdict::new(&case.expected, &case.allowed);
        let mut said_ok = vec![false; case.processes.len()];
        let mut judged = vec![false; case.processes.len()];
        let mut first_fault: Option<Instant> = None;

        let (first, others) = case.processes.split_first().context("a case has processes")?;
        group.spawn(&first.name, self.command(case, first, port)?)?;
        let mut waiting = !others.is_empty();
        loop {
            if let Some((index, line)) = group.next_line(Duration::from_millis(50)) {
                let name = group.label(index).to_owned();
                verdict.read(&name, &line.text);
                if line.text.starts_with("CASE FAILED") {
                    verdict.add(format!("{name}: {}", line.text));
                }
                said_ok[index] |= line.text.trim_end() == "CASE OK";
                if log.len() < LARGEST_LOG {
                    // Writing to a string cannot fail.
                    _ = writeln!(log, "{:8.3} {name}: {}", line.at.as_secs_f64(), line.text);
                }
                if waiting && index == 0 && line.text.starts_with("READY") {
                    waiting = false;
                    for other in others {
                        group.spawn(&other.name, self.command(case, other, port)?)?;
                    }
                }
            }
            for index in 0..group.len() {
                let Some(status) = group.status(index).filter(|_| !judged[index] && group.is_done(index))
                else {
                    continue;
                };
                judged[index] = true;
                let name = group.label(index);
                if !status.success() {
                    verdict.add(format!("{name}: {}", describe(status)));
                } else if !said_ok[index] {
                    verdict.add(format!("{name}: ended without CASE OK"));
                }
                if index == 0 && waiting {
                    verdict.add(format!("{name}: ended before READY"));
                }
            }
            if group.all_done() {
                break;
            }
            if group.started().elapsed() > case.timeout {
                for index in (0..group.len()).filter(|&index| group.status(index).is_none()) {
                    let limit = ui::seconds(case.timeout);
                    verdict.add(format!("{}: still running after {limit}, killed", group.label(index)));
                }
                break;
            }
            // The others would only wait for the dead one until their own deadlines.
            if judged.iter().any(|&judged| judged) && verdict.is_bad() {
                let since = *first_fault.get_or_insert_with(Instant::now);
                if since.elapsed() > GRACE {
                    log.push_str("         (the others were killed after the first failure)\n");
                    break;
                }
            }
        }
        group.kill_all();
        let file = self.log(&case.name);
        fs::write(&file, &log).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Outcome { faults: verdict.close(), took: group.started().elapsed(), tails: tails(&group) })
    }

    /// The file with the whole output of a case.
    pub(crate) fn log(&self, case: &str) -> PathBuf {
        self.logs.join(format!("{case}.log"))
    }

    fn command(&self, case: &Case, process: &Role, port: u16) -> Result<Command> {
        let script = format!("{}_{}", case.script, process.role);
        let mut command = match process.program {
            Program::Engine4 => {
                let mut command = engine_command(&self.engine_4, &self.project_4, &self.home);
                command.arg("--headless").arg("-s").arg(format!("res://cases/{}.gd", case.script)).arg("--");
                command
            }
            Program::Engine3 => {
                let engine = self.engine_3.as_ref().context("the case needs a 3.6 engine")?;
                let mut command = engine_command(engine, &self.project_3, &self.home);
                // 3.6 has no separator: a script sees all arguments.
                command.arg("-s").arg(format!("res://cases/{script}.gd"));
                command
            }
            other => self.foreign.command(other, &self.interop, &script)?,
        };
        command.arg(format!("role={}", process.role)).arg(format!("name={}", process.name));
        command.arg(format!("port={port}")).arg(format!("peers={}", case.processes.len() - 1));
        command.arg(format!("scratch={}", self.scratch.join(&case.name).display()));
        command.args(&case.arguments);
        Ok(command)
    }
}

/// An engine command on a project, which keeps the engine's own files out of the user's home.
pub(crate) fn engine_command(engine: &Engine, project: &Path, home: &Path) -> Command {
    let mut command = engine.command();
    for (variable, folder) in
        [("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache")]
    {
        command.env(variable, home.join(folder));
    }
    command.arg("--path").arg(project);
    command
}

/// Makes the engine import a project, so that scripts with a class name and pictures are known. Twice at most:
/// the first import of a fresh project may complain about what it is about to make.
pub(crate) fn import(engine: &Engine, project: &Path, home: &Path) -> Result<Outcome> {
    let mut outcome = import_once(engine, project, home)?;
    if !outcome.faults.is_empty() {
        outcome = import_once(engine, project, home)?;
    }
    Ok(outcome)
}

fn import_once(engine: &Engine, project: &Path, home: &Path) -> Result<Outcome> {
    let mut command = engine_command(engine, project, home);
    command.args(["--headless", "--import"]);
    run_alone("import", command)
}

/// Asks the engine whether it knows these classes in a project.
pub(crate) fn has_classes(engine: &Engine, project: &Path, repo: &Repo, classes: &[&str]) -> Result<Outcome> {
    let script = repo.scratch.join("has_classes.gd");
    fs::write(&script, CLASS_SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
    let mut command = engine_command(engine, project, &repo.scratch.join("home"));
    command.arg("--headless").arg("-s").arg(&script).arg("--").args(classes);
    run_alone("classes", command)
}

/// Runs one engine process to its end.
pub(crate) fn run_alone(label: &str, command: Command) -> Result<Outcome> {
    run_alone_reading(label, command, |_| {})
}

/// The same, and hands out each line.
pub(crate) fn run_alone_reading(
    label: &str,
    command: Command,
    mut on_line: impl FnMut(&str),
) -> Result<Outcome> {
    let mut group = Group::new();
    let index = group.spawn(label, command)?;
    let mut heartbeat = ui::Heartbeat::new(label);
    let mut verdict = Verdict::new(&[], &[]);
    while !group.all_done() && group.started().elapsed() < IMPORT_LIMIT {
        if let Some((_, line)) = group.next_line(Duration::from_millis(200)) {
            on_line(&line.text);
            verdict.read(label, &line.text);
        }
        heartbeat.tick("");
    }
    match group.status(index) {
        None => verdict.add("did not end".to_owned()),
        Some(status) if !status.success() => verdict.add(describe(status)),
        Some(_) => {}
    }
    group.kill_all();
    Ok(Outcome { faults: verdict.close(), took: group.started().elapsed(), tails: tails(&group) })
}

/// A port that nothing listens on, on either address family, below the range that outgoing connections are given.
pub(crate) fn free_port() -> Option<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Different runs on one machine start at different places.
    let offset = (std::process::id() % 911) as u16 * 10;
    (0..PORTS).find_map(|_| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + offset.wrapping_add(step) % PORTS;
        let free = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        // Where there is no IPv6 this fails for another reason than a taken port.
        let free_6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
        let taken_6 = free_6.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
        (free && !taken_6).then_some(port)
    })
}

fn tails(group: &Group) -> String {
    let mut text = String::new();
    for index in 0..group.len() {
        let lines: Vec<_> = group.tail(index).collect();
        let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        // Writing to a string cannot fail.
        _ = writeln!(text, "--- {} (last {} lines)", group.label(index), shown.len());
        for line in shown {
            _ = writeln!(text, "{:8.3} {}", line.at.as_secs_f64(), line.text);
        }
    }
    text
}

/// Its exit code is the number of missing classes, which it names.
const CLASS_SCRIPT: &str = "extends SceneTree

func _init() -> void:
\tvar missing := 0
\tfor name in OS.get_cmdline_user_args():
\t\tif not ClassDB.class_exists(name):
\t\t\tmissing += 1
\t\t\tprinterr(\"ERROR: there is no class \" + name)
\tquit(missing)
";

const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;
const GRACE: Duration = Duration::from_secs(3);
const IMPORT_LIMIT: Duration = Duration::from_mins(3);
const SHOWN_LINES: usize = 60;
const LARGEST_LOG: usize = 4 << 20;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A bench whose engine is a shell script: it gets the engine's arguments and plays each role.
    fn bench(script: &str) -> Bench {
        let engine = Engine {
            program: "sh".into(),
            prefix: vec!["-c".into(), format!("{PROLOGUE}{script}").into(), "sh".into()],
            environment: Vec::new(),
            version: "test".to_owned(),
            source: "test".to_owned(),
        };
        let folder = std::env::temp_dir().join(format!("xtask-cases-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a writable temporary folder");
        Bench {
            engine_4: engine,
            engine_3: None,
            project_4: folder.clone(),
            project_3: folder.clone(),
            foreign: Foreign::default(),
            interop: folder.clone(),
            scratch: folder.join("scratch"),
            logs: folder.clone(),
            home: folder,
        }
    }

    fn run(script: &str, processes: &[&str], expected: &[&str], seconds: u64) -> Outcome {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let role =
            |name: &&str| Role { role: (*name).into(), name: (*name).into(), program: Program::Engine4 };
        let case = Case {
            name: format!("unit{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            script: "unit".to_owned(),
            arguments: Vec::new(),
            processes: processes.iter().map(role).collect(),
            timeout: Duration::from_secs(seconds),
            expected: expected.iter().map(|text| regex::Regex::new(text).expect("valid")).collect(),
            allowed: Vec::new(),
            long: false,
            serial: false,
        };
        bench(script).run(&case).expect("a shell starts")
    }

    /// Sets $role and $port from the arguments.
    const PROLOGUE: &str =
        "for a in \"$@\"; do case $a in role=*) role=${a#role=};; port=*) port=${a#port=};; esac; done\n";

    #[test]
    fn good_processes_pass_and_the_others_wait_for_ready() {
        let script = "mark=${TMPDIR:-/tmp}/xtask-ready-$port\n\
             if [ $role = server ]; then sleep 0.3; touch $mark; echo READY; while test -e $mark; do sleep 0.05; done\n\
             else rm $mark || exit 9; fi\necho CASE OK";
        assert_eq!(run(script, &["server", "client"], &[], 20).faults, [""; 0]);
    }

    #[test]
    fn a_case_fails_by_exit_code_and_by_silence() {
        assert_eq!(run("echo CASE OK; exit 1", &["main"], &[], 20).faults, ["main: exit code 1"]);
        assert_eq!(run("echo nothing", &["main"], &[], 20).faults, ["main: ended without CASE OK"]);
        let faults = run("echo CASE OK", &["server", "client"], &[], 20).faults;
        assert_eq!(faults, ["server: ended before READY"]);
    }

    #[test]
    fn errors_must_be_expected() {
        let script = "echo 'ERROR: no such peer' >&2; echo CASE OK";
        assert_eq!(run(script, &["main"], &[], 20).faults, ["main: ERROR: no such peer"]);
        assert_eq!(run(script, &["main"], &["no such peer"], 20).faults, [""; 0]);
        let faults = run("echo CASE OK", &["main"], &["no such peer"], 20).faults;
        assert_eq!(faults, ["expected line never came: no such peer"]);
    }

    #[test]
    fn a_hang_is_killed_with_its_children() {
        let outcome = run("echo CASE OK; sleep 60", &["main"], &[], 1);
        assert_eq!(outcome.faults, ["main: still running after 1.0 s, killed"]);
        assert!(outcome.took < Duration::from_secs(10), "{:?}", outcome.took);
        assert!(outcome.tails.contains("CASE OK"), "{}", outcome.tails);
    }

    #[test]
    fn the_others_are_not_waited_for_after_a_failure() {
        let script = "if [ $role = server ]; then echo READY; sleep 60; else exit 3; fi";
        let outcome = run(script, &["server", "client"], &[], 40);
        assert!(outcome.faults.contains(&"client: exit code 3".to_owned()), "{:?}", outcome.faults);
        assert!(outcome.took < Duration::from_secs(20), "{:?}", outcome.took);
    }

    #[test]
    fn ports_are_handed_out_once() {
        let (a, b) = (free_port().expect("some port"), free_port().expect("some port"));
        assert_ne!(a, b);
        let _taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, b + 1));
        assert_ne!(free_port().expect("some port"), b + 1);
    }
}
