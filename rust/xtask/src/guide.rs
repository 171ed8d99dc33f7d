//! Runs every block of GDScript in the documentation and the class reference, in a real engine: what a page shows works.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;

use crate::engine_run::{engine_command, free_port};
use crate::engines::{self, Engine, Generation};
use crate::guide_page::{self, Example, Part};
use crate::process::{Group, describe};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::verdict::Verdict;
use crate::{addon, ui};

/// Runs the examples of all pages, one after the other.
pub(crate) fn suite(repo: &Repo) -> Result<Tally> {
    let engine = engines::provide(Generation::Four)?;
    let runner = Runner::new(repo, engine)?;
    let mut tally = Tally::default();
    for file in pages(repo)? {
        let shown = file.strip_prefix(&repo.root).unwrap_or(&file).display().to_string();
        let text = text(&file)?;
        for (name, example) in guide_page::read(&text).with_context(|| shown.clone())? {
            let outcome = runner.run(&example);
            let verdict = if outcome.is_ok() { "ok  " } else { "FAIL" };
            ui::detail(&format!("{verdict}  {shown}: {name} ({} processes)", example.parts.len()));
            tally.add(outcome.with_context(|| format!("{shown}: {name}")));
        }
    }
    ensure!(tally.passed + tally.failed >= 30, "the pages lost their examples");
    Ok(tally)
}

/// Every page whose code is for a game.
fn pages(repo: &Repo) -> Result<Vec<PathBuf>> {
    let mut pages = vec![repo.root.join("README.md"), repo.addon().join("README.md")];
    let docs = repo.root.join("docs");
    pages.extend(["migrating-from-3.md", "migrating-from-4.md"].map(|name| docs.join(name)));
    let folder = docs.join("guide");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut guide: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    guide.retain(|file| file.extension().is_some_and(|ending| ending == "md"));
    guide.sort();
    pages.extend(guide);
    let sources = repo.root.join("rust/extension/src");
    pages.push(sources.join("common.rs"));
    let classes = ["server", "client", "multiplayer_peer", "peer"];
    pages.extend(classes.map(|name| sources.join(format!("classes/{name}.rs"))));
    Ok(pages)
}

/// Of a page, or of the doc comments that become a page of the editor's help.
fn text(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(if file.extension().is_some_and(|ending| ending == "rs") {
        guide_page::of_comments(&text)
    } else {
        text
    })
}

struct Runner {
    engine: Engine,
    home: PathBuf,
    with_addon: PathBuf,
    without: PathBuf,
}

impl Runner {
    /// Makes two projects that differ in the addon only.
    fn new(repo: &Repo, engine: Engine) -> Result<Self> {
        let folder = repo.scratch.join("guide");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let [with_addon, without] = ["addon", "stock"].map(|name| folder.join(name));
        for project in [&with_addon, &without] {
            fs::create_dir_all(project).with_context(|| format!("cannot make {}", project.display()))?;
            fs::write(project.join("project.godot"), PROJECT)?;
            fs::write(project.join("probe.gd"), PROBE)?;
        }
        addon::stage_into(&repo.addon(), &with_addon)?;
        Ok(Self { engine, home: repo.scratch.join("home"), with_addon, without })
    }

    fn run(&self, example: &Example) -> Result<()> {
        let port = free_port().context("no free port")?.to_string();
        let mut processes: Vec<Process> =
            example.parts.iter().map(|part| Process::new(part, &port)).collect::<Result<_>>()?;
        let mut group = Group::new();
        let mut started = 0;
        loop {
            // The next one starts when the one before it has come up.
            if started < processes.len() && (started == 0 || processes[started - 1].is_up) {
                let part = &example.parts[started];
                self.start(&mut group, part, &port)?;
                started += 1;
            }
            if let Some((index, line)) = group.next_line(Duration::from_millis(50)) {
                processes[index].read(&line.text);
            }
            let ended = (0..started).find(|&index| group.is_done(index));
            if let Some(index) = ended {
                let status = group.status(index).map(describe).unwrap_or_default();
                processes[index].verdict.add(format!("{} ended: {status}", example.parts[index].role));
            }
            let all_well = started == processes.len() && processes.iter().all(Process::is_content);
            let any_bad = ended.is_some() || processes.iter().any(|process| process.verdict.is_bad());
            if all_well || any_bad || group.started().elapsed() > LIMIT {
                break;
            }
        }
        // What comes of what they just did, such as an error in the next frame.
        while let Some((index, line)) = group.next_line(AFTERMATH) {
            processes[index].read(&line.text);
        }
        group.kill_all();
        let mut faults = Vec::new();
        for (part, process) in example.parts.iter().zip(processes) {
            faults.extend(process.close().into_iter().map(|fault| format!("{}: {fault}", part.role)));
        }
        if !faults.is_empty() {
            for index in 0..group.len() {
                ui::detail(&format!("--- {}", group.label(index)));
                group.tail(index).for_each(|line| ui::detail(&line.text));
            }
            bail!("{}", faults.join("; "));
        }
        Ok(())
    }

    /// A scene with one node, as a reader would make it.
    fn start(&self, group: &mut Group, part: &Part, port: &str) -> Result<()> {
        let project: &Path = if part.stock { &self.without } else { &self.with_addon };
        let script = format!("{}_{port}.gd", part.role);
        fs::write(project.join(&script), part.code.replace(PORT, port))?;
        let scene = format!("{}_{port}.tscn", part.role);
        fs::write(project.join(&scene), SCENE.replace("SCRIPT", &script))?;
        let mut command = engine_command(&self.engine, project, &self.home);
        command.args(["--headless", &format!("res://{scene}"), "--"]).args(&part.arguments);
        group.spawn(&part.role, command).map(drop)
    }
}

struct Process {
    verdict: Verdict,
    /// What it must print, and whether it did.
    prints: BTreeMap<String, (Regex, usize)>,
    is_up: bool,
}

impl Process {
    fn new(part: &Part, port: &str) -> Result<Self> {
        let (errors, prints): (Vec<_>, Vec<_>) =
            part.prints.iter().partition(|line| line.starts_with("ERROR:") || line.starts_with("WARNING:"));
        let regex = |line: &str| {
            let parts: Vec<_> = line.split('…').map(regex::escape).collect();
            Regex::new(&format!("^{}$", parts.join(".*").replace(PORT, port))).context("an escaped line")
        };
        let errors: Vec<Regex> = errors.into_iter().map(|line| regex(line)).collect::<Result<_>>()?;
        let mut wanted: BTreeMap<String, (Regex, usize)> = BTreeMap::new();
        for line in prints {
            let entry = wanted.entry(line.clone()).or_insert((regex(line)?, 0));
            entry.1 += 1;
        }
        Ok(Self { verdict: Verdict::new(&errors, &[]), prints: wanted, is_up: false })
    }

    fn read(&mut self, line: &str) {
        self.is_up |= line == UP;
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

/// The one that the pages use.
const PORT: &str = "9080";

const UP: &str = "THE EXAMPLE IS UP";

const PROJECT: &str = "config_version=5

[application]

config/name=\"Guide\"

[autoload]

Probe=\"*res://probe.gd\"
";

/// Some frames in, `_ready` has run, and what it did has shown.
const PROBE: &str = "extends Node

func _ready() -> void:
\tfor frame in 10:
\t\tawait get_tree().process_frame
\tprint(\"THE EXAMPLE IS UP\")
";

const SCENE: &str = "[gd_scene load_steps=2 format=3]

[ext_resource type=\"Script\" path=\"res://SCRIPT\" id=\"1\"]

[node name=\"Main\" type=\"Node\"]
script = ExtResource(\"1\")
";

const LIMIT: Duration = Duration::from_secs(60);
const AFTERMATH: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_says_must_be_printed() {
        let prints = ["listening on 9080", "… is here", "ERROR: no", "twice", "twice"].map(str::to_owned);
        let part = Part { prints: prints.into(), ..Part::default() };
        let mut process = Process::new(&part, "20123").expect("good lines");
        for line in [UP, "listening on 20123", "77 is here", "ERROR: no", "twice"] {
            process.read(line);
        }
        assert!(!process.is_content(), "one line is still missing");
        process.read("twice");
        assert!(process.is_content());
        assert_eq!(process.close(), [""; 0]);

        let mut process = Process::new(&part, "20123").expect("good lines");
        process.read("listening on 9080");
        process.read("ERROR: yes");
        let faults = process.close().join("; ");
        for fault in ["did not come up", "did not print \"listening on 9080\"", "ERROR: yes", "ERROR: no"] {
            assert!(faults.contains(fault), "{faults}");
        }
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
