//! The results of a benchmark, as tables for the terminal and for Markdown files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bench_compression;
use crate::bench_goal::{Goal, Spread, Verdict, figure, ratio};
use crate::bench_rows::{Measure, Scenario, Subject};
use crate::bench_trial::Trial;
use crate::engine::Engine;
use crate::repo::Repo;
use crate::ui;

/// All figures of a run.
#[derive(Debug)]
pub(crate) struct Report {
    scenarios: Vec<&'static Scenario>,
    /// How often each is measured.
    turns: usize,
    pub(crate) host: Host,
    /// By subject, scenario and title: the later lines of a scenario have short titles.
    figures: BTreeMap<(Subject, String, String), Vec<f64>>,
    trials: Vec<Value>,
    pub(crate) faults: Vec<String>,
}

/// Where the figures come from.
#[derive(Debug)]
pub(crate) struct Host {
    /// Its version, if there was one.
    engine: Option<String>,
    /// The kind of engine build, such as "editor build", once a server has reported it.
    build: &'static str,
    machine: String,
    commit: String,
}

/// A line of the README's table and of its picture.
#[derive(Debug)]
pub(crate) struct Headline {
    pub(crate) name: &'static str,
    pub(crate) addon: String,
    pub(crate) engine: String,
    pub(crate) ratio: f64,
}

impl Report {
    pub(crate) fn new(scenarios: Vec<&'static Scenario>, turns: usize, host: Host) -> Self {
        Self { scenarios, turns, host, figures: BTreeMap::new(), trials: Vec::new(), faults: Vec::new() }
    }

    pub(crate) fn add(&mut self, scenario: &Scenario, subject: Subject, trial: &Trial) {
        if trial.about.get("editor").is_some() {
            let flag = |name: &str| trial.about[name] == Value::Bool(true);
            self.host.build = match (flag("editor"), flag("debug")) {
                (true, _) => "editor build",
                (false, true) => "debug template",
                (false, false) => "release template",
            };
        }
        for measure in &scenario.measures {
            let line = (subject, scenario.name.clone(), measure.title.clone());
            self.figures.entry(line).or_default().extend(trial.read(measure.source()));
        }
        self.trials.push(
            json!({ "scenario": scenario.name, "subject": format!("{subject:?}"), "said": trial.to_json() }),
        );
    }

    pub(crate) fn text(&self) -> String {
        let Host { commit, .. } = &self.host;
        let mut text = format!("  {}\n  {}\n  {commit}\n\n", self.host.engine(), self.host.machine());
        if self.measures().next().is_some() {
            text.push_str(&ui::table(&HEAD, &self.rows(Spread::short)));
            _ = writeln!(text, "\n  {}", self.outcome());
        }
        text.push_str(&bench_compression::plain(&self.scenarios, &self.finder()));
        _ = writeln!(text, "  {}", self.turns());
        for fault in &self.faults {
            _ = writeln!(text, "  NOT MEASURED: {fault}");
        }
        text
    }

    /// Returns the tables of compression, for docs/performance.md; empty if it was not measured.
    pub(crate) fn compression(&self) -> String {
        let mut text = bench_compression::markdown(&self.scenarios, &self.finder(), Spread::shown);
        if !text.is_empty() {
            _ = writeln!(text, "\n{} {}; {}.", self.turns(), self.host.machine(), self.host.commit);
        }
        text
    }

    fn finder(&self) -> impl Fn(Subject, &Scenario, &str) -> Option<Spread> {
        |subject, scenario, title| self.spread(subject, &scenario.name, title)
    }

    /// Returns the table of all other scenarios, for docs/performance.md.
    pub(crate) fn full(&self) -> String {
        let mut text = markdown_table(&HEAD, &self.rows(Spread::shown));
        _ = write!(text, "\n{} {}\n\n", self.outcome(), self.turns());
        _ = writeln!(text, "{}; {}; {}.", self.host.engine(), self.host.machine(), self.host.commit);
        if !self.faults.is_empty() {
            text.push('\n');
        }
        for fault in &self.faults {
            _ = writeln!(text, "- Not measured: {fault}");
        }
        text
    }

    /// Returns the headlines, for the README.
    pub(crate) fn short(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .headlines()
            .into_iter()
            .map(|line| vec![line.name.to_owned(), line.addon, line.engine, times(line.ratio)])
            .collect();
        let mut text = markdown_table(&SHORT_HEAD, &rows);
        _ = writeln!(text, "\n{}", self.caption());
        text
    }

    pub(crate) fn headlines(&self) -> Vec<Headline> {
        let mut lines = Vec::new();
        for (scenario, measure) in self.measures() {
            let spread = |subject| self.spread(subject, &scenario.name, &measure.title);
            if let (Some(name), Some(addon), Some(engine)) =
                (measure.headline.as_deref(), spread(Subject::Addon), spread(Subject::Engine))
                && let Some(ratio) = ratio(addon, engine, measure.better())
            {
                let [addon, engine] = [addon, engine].map(|spread| spread.short(&measure.unit));
                lines.push(Headline { name, addon, engine, ratio });
            }
        }
        lines
    }

    /// Returns the reports of every trial.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "engine": self.host.engine(), "machine": self.host.machine(), "commit": self.host.commit,
            "trials": self.trials, "not_measured": self.faults })
    }

    /// Returns the number of goals that were met.
    fn outcome(&self) -> String {
        let verdicts: Vec<Verdict> =
            self.measures().flat_map(|(scenario, measure)| self.verdicts(scenario, measure)).collect();
        let count = |wanted: Verdict| verdicts.iter().filter(|verdict| **verdict == wanted).count();
        let unknown = match count(Verdict::Unknown) {
            0 => String::new(),
            unknown => format!(", {unknown} not measured"),
        };
        format!(
            "{} of {} goals met, {} missed{unknown}.",
            count(Verdict::Met),
            verdicts.len(),
            count(Verdict::Missed)
        )
    }

    fn rows(&self, shown: fn(Spread, &str) -> String) -> Vec<Vec<String>> {
        self.measures().map(|(scenario, measure)| self.row(scenario, measure, shown)).collect()
    }

    fn row(&self, scenario: &Scenario, measure: &Measure, shown: fn(Spread, &str) -> String) -> Vec<String> {
        let spread = |subject| self.spread(subject, &scenario.name, &measure.title);
        let cell = |subject| match spread(subject) {
            Some(spread) => shown(spread, &measure.unit),
            None if scenario.subjects.contains(&subject) && !is_client_figure(measure, subject) => {
                "not measured".to_owned()
            }
            None => NOTHING.to_owned(),
        };
        let compared = spread(Subject::Addon).zip(spread(Subject::Engine));
        let ratio = compared.and_then(|(ours, theirs)| ratio(ours, theirs, measure.better()));
        let goals: Vec<String> = measure.goals.iter().map(|goal| goal.words(&measure.unit)).collect();
        let met = if goals.is_empty() {
            String::new()
        } else {
            Verdict::all(&self.verdicts(scenario, measure)).words().to_owned()
        };
        let mut row = vec![measure.title.clone()];
        row.extend(SUBJECTS.map(cell));
        row.extend([ratio.map_or_else(|| NOTHING.to_owned(), times), goals.join("; "), met]);
        row
    }

    fn verdicts(&self, scenario: &Scenario, measure: &Measure) -> Vec<Verdict> {
        let spread = |subject| self.spread(subject, &scenario.name, &measure.title);
        let judge = |goal: &Goal| match spread(Subject::Addon) {
            Some(addon) => goal.judge(measure.better(), addon, spread, |other| {
                self.spread(Subject::Addon, other, &measure.title)
            }),
            None => Verdict::Unknown,
        };
        measure.goals.iter().map(judge).collect()
    }

    fn measures(&self) -> impl Iterator<Item = (&'static Scenario, &'static Measure)> {
        // Those of compression have tables of their own.
        let scenarios = self.scenarios.iter().filter(|scenario| scenario.how.is_none());
        scenarios.flat_map(|scenario| scenario.measures.iter().map(|measure| (*scenario, measure)))
    }

    fn turns(&self) -> String {
        match self.turns {
            1 => "Measured once.".to_owned(),
            turns => format!("Medians of {turns} runs."),
        }
    }

    /// Where the figures come from, in one line.
    pub(crate) fn caption(&self) -> String {
        format!("{} {}, {}.", self.turns(), self.host.engine(), self.host.machine())
    }

    fn spread(&self, subject: Subject, scenario: &str, title: &str) -> Option<Spread> {
        Spread::of(self.figures.get(&(subject, scenario.to_owned(), title.to_owned()))?)
    }
}

/// The peer without a network has no client, so there is no report of one.
fn is_client_figure(measure: &Measure, subject: Subject) -> bool {
    subject == Subject::Floor && measure.source().starts_with("client")
}

pub(crate) fn markdown_table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec());
    // Texts are left-aligned, figures right-aligned.
    let rule = (0..head.len()).map(|column| if column == 0 { "---" } else { "--:" });
    _ = writeln!(text, "|{}|", rule.collect::<Vec<_>>().join("|"));
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

fn times(ratio: f64) -> String {
    format!("{} ×", figure(ratio))
}

impl Host {
    pub(crate) fn describe(repo: &Repo, engine: Option<&Engine>) -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let model = model.trim_start_matches([' ', '\t', ':']).trim();
        let model = if model.is_empty() { std::env::consts::ARCH } else { model };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Self {
            engine: engine.map(|engine| engine.version.clone()),
            build: "unknown build",
            machine: format!("{model}, {cores} cores, {}", std::env::consts::OS),
            commit: commit(repo),
        }
    }

    fn engine(&self) -> String {
        match &self.engine {
            Some(version) => format!("Engine {version} ({})", self.build),
            None => "Without an engine".to_owned(),
        }
    }

    fn machine(&self) -> String {
        let load =
            load_average().map_or_else(String::new, |load| format!(", load average at the end {load}"));
        self.machine.clone() + &load
    }
}

/// Replaces the text between the markers of this name with `section`.
pub(crate) fn replace_section(text: &str, name: &str, section: &str) -> Result<String> {
    let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {name}:{which} -->"));
    let (head, rest) = text.split_once(&begin).with_context(|| format!("there is no {begin}"))?;
    let (_, tail) = rest.split_once(&end).with_context(|| format!("there is no {end} after {begin}"))?;
    Ok(format!("{head}{begin}\n{section}{end}{tail}"))
}

/// The load average of the last minute, on systems that have one.
pub(crate) fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

fn commit(repo: &Repo) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(&repo.root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(hash) => {
            let changed = git(&["status", "--porcelain", "rust"]).is_none_or(|changes| !changes.is_empty());
            format!("commit {hash}{}", if changed { " with changes" } else { "" })
        }
        None => format!("version {}", env!("CARGO_PKG_VERSION")),
    }
}

const SUBJECTS: [Subject; 4] = [Subject::Addon, Subject::Engine, Subject::Three, Subject::Floor];
const HEAD: [&str; 8] =
    ["", "addon", "engine's class", "3.6 class", "floor", "addon : engine", "goal", "met"];
const SHORT_HEAD: [&str; 4] = ["", "this addon", "the engine's class", "better by"];
pub(crate) const NOTHING: &str = "–";
/// The names of sections.
pub(crate) const SECTION: &str = "bench";
pub(crate) const COMPRESSION_SECTION: &str = "bench:compression";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench_rows::select;

    fn report(rows: &[String], turns: usize) -> Report {
        let [engine, machine, commit] = ["4", "a machine", "commit 1"].map(str::to_owned);
        let host = Host { engine: Some(engine), build: "test", machine, commit };
        Report::new(select(rows).expect("exist"), turns, host)
    }

    fn broadcast(turns: usize) -> Report {
        let mut report = report(&["broadcast".to_owned()], turns);
        let scenario = report.scenarios[0];
        let line = |subject| (subject, scenario.name.clone(), scenario.measures[0].title.clone());
        report.figures.insert(line(Subject::Addon), vec![10.0, 12.0, 11.0]);
        report.figures.insert(line(Subject::Engine), vec![1100.0]);
        report
    }

    #[test]
    fn the_full_table_shows_goals_and_what_is_missing() {
        let text = broadcast(3).full();
        let line = text.lines().nth(2).expect("a first row");
        assert!(line.contains("| 11.0 µs (10.0 – 12.0) | 1,100 µs | – | – | 100 × |"), "{line}");
        assert!(line.ends_with("| ≥ 50 × better than the engine's | yes |"), "{line}");
        assert!(text.contains("| not measured | not measured | – |"), "{text}");
        assert!(text.contains("1 of 4 goals met, 0 missed, 3 not measured. Medians of 3 runs."), "{text}");
    }

    #[test]
    fn headlines_need_both_classes() {
        let report = broadcast(1);
        let lines = report.headlines();
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].addon.as_str(), lines[0].engine.as_str()), ("11.0 µs", "1,100 µs"));
        assert_eq!(lines[0].ratio, 100.0);
        let text = report.short();
        assert!(text.contains("| 11.0 µs | 1,100 µs | 100 × |"), "{text}");
        assert!(text.contains("Measured once."), "{text}");
    }

    #[test]
    fn an_empty_report_has_met_nothing() {
        let outcome = report(&[], 1).outcome();
        assert!(outcome.starts_with("0 of ") && outcome.contains("not measured"), "{outcome}");
    }

    #[test]
    fn only_the_section_changes() {
        let text = "before <!-- a:begin --> old <!-- a:end --> <!-- a:b:begin --><!-- a:b:end --> after";
        let replaced = replace_section(text, "a", "new\n").expect("has markers");
        assert!(replaced.starts_with("before <!-- a:begin -->\nnew\n<!-- a:end --> <!-- a:b:begin --><!"));
        assert_eq!(replace_section(&replaced, "a", "new\n").expect("has markers"), replaced);
        let other = replace_section(text, "a:b", "new\n").expect("has markers");
        assert!(other.ends_with("old <!-- a:end --> <!-- a:b:begin -->\nnew\n<!-- a:b:end --> after"));
        assert!(replace_section("nothing", "a", "new").is_err());
        assert!(replace_section("<!-- a:end --> <!-- a:begin -->", "a", "new").is_err());
    }

    #[test]
    fn compression_has_tables_of_its_own() {
        let mut report = report(&["compression".to_owned()], 1);
        let scenario = report.scenarios[0];
        let line = (Subject::Node, scenario.name.clone(), scenario.measures[0].title.clone());
        report.figures.insert(line, vec![304.0]);
        let text = report.compression();
        assert!(text.contains("| not measured | – | not measured | 304 B | 100 % |"), "{text}");
        assert!(text.contains("Measured once."), "{text}");
        assert!(report.text().contains("304 B") && !report.text().contains("goals met"));
        assert_eq!(broadcast(1).compression(), "");
        assert!(!self::report(&[], 1).full().contains("dedicated"));
    }
}
