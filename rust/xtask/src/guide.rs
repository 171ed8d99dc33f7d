//! Runs every block of GDScript in the documentation and the class reference in a real engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use regex::Regex;

use crate::engine::{Engine, free_port};
use crate::engines::{self, Generation};
use crate::foreign::Foreign;
use crate::guide_page::{self, Example, Part};
use crate::process::{Event, Group, describe};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::verdict::Verdict;
use crate::{addon, files, ui};

/// Runs the examples of all pages, one after the other; with `only`, those whose page or name contains it.
pub(crate) fn suite(repo: &Repo, only: Option<&str>) -> Result<Tally> {
    let runner = Runner::new(repo)?;
    let mut tally = Tally::default();
    for file in pages(repo)? {
        let shown = files::shown(&file, &repo.root);
        for (name, example) in guide_page::read(&text(&file)?).with_context(|| shown.clone())? {
            let title = format!("{shown}: {name}");
            if only.is_some_and(|part| !title.contains(part)) {
                continue;
            }
            let outcome = runner.run(&example);
            let verdict = if outcome.is_ok() { "ok  " } else { "FAIL" };
            ui::detail(&format!("{verdict}  {title} ({} processes)", example.parts.len()));
            tally.add(outcome.with_context(|| title));
        }
    }
    let least = if only.is_some() { 1 } else { 30 };
    ensure!(tally.passed + tally.failed >= least, "the pages have no such examples");
    Ok(tally)
}

/// Every page whose code is for a game.
fn pages(repo: &Repo) -> Result<Vec<PathBuf>> {
    let docs = repo.root.join("docs");
    let sources = repo.root.join("rust/extension/src");
    let mut pages = vec![repo.root.join("README.md"), repo.addon().join("README.md")];
    pages.extend(["migrating-from-3.md", "migrating-from-4.md"].map(|name| docs.join(name)));
    pages.extend(files::with_ending(&docs.join("guide"), "md")?);
    pages.push(sources.join("common.rs"));
    let classes = ["server", "client", "multiplayer_peer", "peer"];
    pages.extend(classes.map(|name| sources.join(format!("classes/{name}.rs"))));
    Ok(pages)
}

/// Returns the examples of a page, or of the doc comments that become a page of the editor's help.
fn text(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let is_source = file.extension().is_some_and(|ending| ending == "rs");
    Ok(if is_source { guide_page::of_comments(&text) } else { text })
}

/// An engine, and two projects that differ in the addon only.
struct Runner {
    engine: Engine,
    with_addon: PathBuf,
    without: PathBuf,
}

impl Runner {
    fn new(repo: &Repo) -> Result<Self> {
        let engine = engines::provide(repo, Generation::Four)?;
        let [with_addon, without] = ["addon", "stock"].map(|name| repo.scratch.join("guide").join(name));
        for project in [&with_addon, &without] {
            files::empty(project)?;
            files::copy_folder(&repo.root.join("tests/guide"), project)?;
        }
        addon::stage_into(&repo.addon(), &with_addon)?;
        Ok(Self { engine, with_addon, without })
    }

    fn run(&self, example: &Example) -> Result<()> {
        let ports = [free_port()?, free_port()?].map(|port| port.to_string());
        let mut foreign = Foreign::default();
        for program in example.parts.iter().filter_map(|part| part.program) {
            foreign.provide(program)?;
        }
        let mut processes: Vec<Process> =
            example.parts.iter().map(|part| Process::new(part, &ports)).collect::<Result<_>>()?;
        let mut group = Group::new("example", LIMIT + AFTERMATH);
        let mut started = 0;
        while group.started().elapsed() <= LIMIT {
            // The next process starts when the one before it is ready.
            if started < processes.len() && (started == 0 || processes[started - 1].is_up) {
                let command = self.command(&example.parts[started], &foreign, &ports)?;
                group.spawn(&example.parts[started].role, command)?;
                started += 1;
            }
            if let Some(Event::Line(index, line)) = group.next()? {
                processes[index].read(&line.text);
            }
            for (index, part) in
                example.parts[..started].iter().enumerate().filter(|(at, _)| group.is_done(*at))
            {
                let has_done_its_work = part.program.is_some()
                    && processes[index].is_content()
                    && group.status(index).is_some_and(|status| status.success());
                if !has_done_its_work {
                    let status = group.status(index).map(describe).unwrap_or_default();
                    processes[index].verdict.add(format!("{} ended: {status}", part.role));
                }
            }
            let all_well = started == processes.len() && processes.iter().all(Process::is_content);
            if all_well || processes.iter().any(|process| process.verdict.is_bad()) {
                break;
            }
        }
        // An error of the last lines of a script may come a frame later.
        while let Some((index, line)) = group.next_line(AFTERMATH) {
            processes[index].read(&line.text);
        }
        group.kill_all();
        let mut faults = Vec::new();
        for (part, process) in example.parts.iter().zip(processes) {
            faults.extend(process.close().into_iter().map(|fault| format!("{}: {fault}", part.role)));
        }
        if !faults.is_empty() {
            print!("{}", group.tails());
        }
        ensure!(faults.is_empty(), "{}", faults.join("; "));
        Ok(())
    }

    /// Writes the script of a process. A script for the engine gets a scene with one node, as a reader would make it.
    fn command(&self, part: &Part, foreign: &Foreign, ports: &[String; 2]) -> Result<Command> {
        let project: &Path = if part.stock { &self.without } else { &self.with_addon };
        let name = format!("{}_{}", part.role, ports[0]);
        let code = with_ports(&part.code, ports);
        let mut command = if let Some(program) = part.program {
            let command = foreign.command(program, project, &name)?;
            let script = command.get_args().last().context("the script")?.to_owned();
            fs::write(Path::new(&script), code)?;
            command
        } else {
            fs::write(project.join(format!("{name}.gd")), code)?;
            let scene = fs::read_to_string(project.join("example.tscn"))?;
            fs::write(project.join(format!("{name}.tscn")), scene.replace("example", &name))?;
            let mut command = self.engine.on(project);
            command.args(["--headless", &format!("res://{name}.tscn"), "--"]);
            command
        };
        command.args(&part.arguments);
        Ok(command)
    }
}

/// Replaces the ports that the pages use by free ones.
fn with_ports(text: &str, ports: &[String; 2]) -> String {
    PORTS.iter().zip(ports).fold(text.to_owned(), |text, (shown, port)| text.replace(shown, port))
}

struct Process {
    verdict: Verdict,
    /// Checks that a process printed the required lines.
    prints: BTreeMap<String, (Regex, usize)>,
    /// What the line that shows that it is ready begins with: another program than the engine is ready with its first line.
    up: &'static str,
    is_up: bool,
}

impl Process {
    fn new(part: &Part, ports: &[String; 2]) -> Result<Self> {
        let (errors, prints): (Vec<_>, Vec<_>) =
            part.prints.iter().partition(|line| line.starts_with("ERROR:") || line.starts_with("WARNING:"));
        let regex = |line: &str| {
            let parts: Vec<_> = line.split('…').map(regex::escape).collect();
            Regex::new(&with_ports(&format!("^{}$", parts.join(".*")), ports)).context("an escaped line")
        };
        let errors: Vec<Regex> = errors.into_iter().map(|line| regex(line)).collect::<Result<_>>()?;
        let mut wanted: BTreeMap<String, (Regex, usize)> = BTreeMap::new();
        for line in prints {
            let entry = wanted.entry(line.clone()).or_insert((regex(line)?, 0));
            entry.1 += 1;
        }
        let up = if part.program.is_some() { "" } else { UP };
        Ok(Self { verdict: Verdict::new(&errors, &[]), prints: wanted, up, is_up: false })
    }

    fn read(&mut self, line: &str) {
        self.is_up |= line.starts_with(self.up);
        self.verdict.read("", line);
        for (regex, missing) in self.prints.values_mut() {
            if regex.is_match(line) {
                *missing = missing.saturating_sub(1);
            }
        }
    }

    fn is_content(&self) -> bool {
        self.is_up && self.prints.values().all(|(_, missing)| *missing == 0)
    }

    fn close(mut self) -> Vec<String> {
        if !self.is_up {
            self.verdict.add("did not come up".to_owned());
        }
        for (line, (_, missing)) in &self.prints {
            if *missing > 0 {
                self.verdict.add(format!("did not print {line:?}"));
            }
        }
        self.verdict.close()
    }
}

/// The ports that the pages use: of the game, and of another service beside it.
const PORTS: [&str; 2] = ["9080", "9070"];

/// Printed by `tests/guide/probe.gd` after some frames, when the effects of `_ready` are visible.
const UP: &str = "THE EXAMPLE IS UP";

const LIMIT: Duration = Duration::from_secs(60);
const AFTERMATH: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> [String; 2] {
        ["20123", "20124"].map(str::to_owned)
    }

    #[test]
    fn what_a_page_says_must_be_printed() {
        let prints =
            ["listening on 9080 and 9070", "… is here", "ERROR: no", "twice", "twice"].map(str::to_owned);
        let part = Part { prints: prints.into(), ..Part::default() };
        let mut process = Process::new(&part, &ports()).expect("good lines");
        for line in [UP, "listening on 20123 and 20124", "77 is here", "ERROR: no", "twice"] {
            process.read(line);
        }
        assert!(!process.is_content(), "one line is still missing");
        process.read("twice");
        assert!(process.is_content());
        assert_eq!(process.close(), [""; 0]);

        let mut process = Process::new(&part, &ports()).expect("good lines");
        process.read("listening on 9080");
        process.read("ERROR: yes");
        let faults = process.close().join("; ");
        for fault in
            ["did not come up", "did not print \"listening on 9080 and 9070\"", "ERROR: yes", "ERROR: no"]
        {
            assert!(faults.contains(fault), "{faults}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_commands_of_a_migration_find_every_place_and_change_it() {
        let repo = Repo::locate().expect("tests run in the working copy");
        let page = fs::read_to_string(repo.root.join("docs/migrating-from-4.md")).expect("there is a page");
        let examples = guide_page::read(&page).expect("it can be read");
        let code = |name: &str| examples[name].parts[0].code.clone();
        let command = |name: &str| {
            let after = page.split_once(&format!("<!-- tested: {name} -->\n```sh\n")).expect("is there").1;
            after.split_once("```").expect("it ends").0
        };
        let folder = std::env::temp_dir().join(format!("xtask-migration-{}", std::process::id()));
        files::empty(&folder).expect("a writable temporary folder");
        fs::write(folder.join("chat.gd"), code("before")).expect("a writable temporary folder");
        let run = |name: &str| {
            let output = Command::new("sh").args(["-ec", command(name)]).current_dir(&folder).output();
            String::from_utf8(output.expect("there is a shell").stdout).expect("text")
        };
        let (before, after) = (code("before"), code("after"));
        let found = run("find");
        let differs = |(old, new): (&str, &str)| (old != new).then(|| old.to_owned());
        for line in before.lines().zip(after.lines()).filter_map(differs) {
            // The constants need no change.
            let found = found.contains(&line) || line.contains("WebSocketPeer.STATE_");
            assert!(found, "the commands do not find {line:?}");
        }
        run("swap");
        let swapped = fs::read_to_string(folder.join("chat.gd")).expect("is there");
        let swapped = swapped.replace(" WebSocketPeer", " BufferedWebSocketPeer");
        assert_eq!(swapped, after, "the second script is not the first one with other names");
        assert!(swapped != before);
        files::remove(&folder).expect("ours");
    }

    #[test]
    fn every_page_can_be_read() {
        let repo = Repo::locate().expect("tests run in the working copy");
        for page in pages(&repo).expect("there are pages") {
            let text = text(&page).expect("a page is text");
            let read = guide_page::read(&text);
            assert!(read.is_ok(), "{}: {:#}", page.display(), read.expect_err("it is not ok"));
        }
    }
}
