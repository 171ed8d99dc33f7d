//! Runs one engine test case: starts its processes, watches them, and checks their output.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fs_err as fs;

use crate::case::{Case, Program, Role};
use crate::engine::{Engine, Outcome, free_port};
use crate::foreign::Foreign;
use crate::process::{Event, Group, describe};
use crate::repo::Repo;
use crate::verdict::Verdict;
use crate::{files, ui};

/// What all cases need.
#[derive(Debug)]
pub(crate) struct TestBed {
    pub(crate) repo: Repo,
    pub(crate) engine_4: Engine,
    /// Another engine for the first process of a case.
    pub(crate) engine_of_first: Option<Engine>,
    pub(crate) engine_3: Option<Engine>,
    pub(crate) foreign: Foreign,
    /// How many times longer a case and its waits may take.
    pub(crate) slower: u32,
}

impl TestBed {
    /// Runs a case to its end, at most for its timeout.
    pub(crate) fn run(&self, case: &Case) -> Result<Outcome> {
        let timeout = case.timeout * self.slower;
        let port = free_port()?;
        // The files of an earlier run would hide that this one wrote nothing.
        files::empty(&self.scratch(case))?;
        let mut group = Group::new(&case.name, timeout + GRACE);
        let mut log = String::new();
        let mut verdict = Verdict::new(&case.expected, &case.allowed);
        let mut said_ok = vec![false; case.processes.len()];
        let mut judged = vec![false; case.processes.len()];
        let mut first_fault: Option<Instant> = None;

        let (first, others) = case.processes.split_first().context("a case has processes")?;
        group.spawn(&first.name, self.command(case, first, port)?)?;
        let mut waiting = !others.is_empty();
        while let Some(event) = group.next()? {
            if let Event::Line(index, line) = event {
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
            judge(&group, waiting, &said_ok, &mut judged, &mut verdict);
            if group.started().elapsed() > timeout {
                for index in (0..group.len()).filter(|&index| group.status(index).is_none()) {
                    let limit = ui::seconds(timeout);
                    verdict.add(format!("{}: still running after {limit}, killed", group.label(index)));
                }
                break;
            }
            // The other processes would wait until their own deadlines for the one that has ended.
            if judged.iter().any(|&judged| judged) && verdict.is_bad() {
                let since = *first_fault.get_or_insert_with(Instant::now);
                if since.elapsed() > GRACE {
                    log.push_str("         (the others were killed after the first failure)\n");
                    break;
                }
            }
        }
        judge(&group, waiting, &said_ok, &mut judged, &mut verdict);
        group.kill_all();
        fs::write(self.log(&case.name), &log)?;
        Ok(Outcome { faults: verdict.close(), took: group.started().elapsed(), tails: group.tails() })
    }

    /// The file with the whole output of a case.
    pub(crate) fn log(&self, case: &str) -> PathBuf {
        self.repo.logs().join(format!("{case}.log"))
    }

    /// A folder for what a case writes.
    fn scratch(&self, case: &Case) -> PathBuf {
        self.repo.scratch.join("cases").join(&case.name)
    }

    fn command(&self, case: &Case, process: &Role, port: u16) -> Result<Command> {
        let script = format!("{}_{}", case.script, process.role);
        let mut command = match process.program {
            Program::Engine4 | Program::Web => {
                let is_web = process.program == Program::Web;
                let project = if is_web { self.repo.web_project() } else { self.repo.test_project() };
                let engine =
                    self.engine_of_first.as_ref().filter(|_| case.processes.first() == Some(process));
                let engine = engine.unwrap_or(&self.engine_4);
                engine.script(&project, &format!("res://cases/{}.gd", case.script))
            }
            Program::Engine3 => {
                let engine = self.engine_3.as_ref().context("the case needs a 3.6 engine")?;
                engine.script(&self.repo.test_project_3(), &format!("res://cases/{script}.gd"))
            }
            other => self.foreign.command(other, &self.repo.interop(), &script)?,
        };
        command.arg(format!("role={}", process.role)).arg(format!("name={}", process.name));
        command.arg(format!("port={port}")).arg(format!("peers={}", case.processes.len() - 1));
        command.arg(format!("scratch={}", self.scratch(case).display()));
        command.arg(format!("slower={}", self.slower));
        command.args(&case.arguments);
        Ok(command)
    }
}

/// Checks the end of each process, once.
fn judge(group: &Group, waiting: bool, said_ok: &[bool], judged: &mut [bool], verdict: &mut Verdict) {
    for index in 0..group.len() {
        let Some(status) = group.status(index).filter(|_| !judged[index] && group.is_done(index)) else {
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
}

const GRACE: Duration = Duration::from_secs(3);
const LARGEST_LOG: usize = 4 << 20;

#[cfg(all(test, unix))]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;
    use crate::engines::Generation;

    /// A setup whose engine is a shell script that gets the engine's arguments and plays each role.
    fn test_bed(script: &str) -> TestBed {
        let folder = std::env::temp_dir().join(format!("xtask-cases-{}", std::process::id()));
        let repo = Repo { root: folder.clone(), target: folder.clone(), scratch: folder.clone() };
        fs::create_dir_all(repo.logs()).expect("a writable temporary folder");
        let mut engine = Engine::new(Generation::Four, "sh".into(), "test".to_owned(), folder);
        engine.prefix = vec!["-c".into(), format!("{PROLOGUE}{script}").into(), "sh".into()];
        TestBed {
            repo,
            engine_4: engine,
            engine_of_first: None,
            engine_3: None,
            foreign: Foreign::default(),
            slower: 1,
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
        test_bed(script).run(&case).expect("a shell starts")
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
}
