//! What a benchmark has found, as a table for the terminal and for a Markdown file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::{Better, KINDS, Measure, Scenario};
use crate::bench_trial::Trial;
use crate::engines::Engine;
use crate::repo::Repo;
use crate::ui;

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    /// By class, row and title: the later lines of a row have short titles.
    figures: BTreeMap<(String, &'static str, &'static str), Vec<f64>>,
    /// "editor build" or the like, once a server has said so.
    pub(crate) build: Option<&'static str>,
    pub(crate) faults: Vec<String>,
}

/// Where the figures come from.
#[derive(Debug)]
pub(crate) struct Host {
    engine: String,
    machine: String,
    commit: String,
}

/// Repeated figures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Sheet {
    pub(crate) fn add(&mut self, scenario: &Scenario, kind: &str, trial: &Trial) {
        let flag = |name: &str| trial.about[name] == Value::Bool(true);
        self.build = Some(match (flag("editor"), flag("debug")) {
            (true, _) => "editor build",
            (false, true) => "debug template",
            (false, false) => "release template",
        });
        for measure in scenario.measures {
            let figures = self.figures.entry((kind.to_owned(), measure.row, measure.title)).or_default();
            figures.extend(trial.read(measure));
        }
    }

    pub(crate) fn text(&self, host: &Host, measures: &[&Measure], repeat: usize) -> String {
        let mut text = format!("  {}\n  {}\n  {}\n\n", host.engine, host.machine, host.commit);
        text.push_str(&ui::table(&HEAD, &self.rows(measures)));
        text.push('\n');
        for note in notes(repeat) {
            _ = writeln!(text, "  {note}");
        }
        for fault in &self.faults {
            _ = writeln!(text, "  NOT MEASURED: {fault}");
        }
        text
    }

    /// The section between the markers.
    pub(crate) fn markdown(&self, host: &Host, measures: &[&Measure], repeat: usize) -> String {
        let mut text = String::new();
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        text.push_str(&line(&HEAD.map(str::to_owned)));
        text.push_str("|---|--:|--:|--:|\n");
        for row in self.rows(measures) {
            text.push_str(&line(&row));
        }
        _ = write!(text, "\n{}; {}; {}.\n\n", host.engine, host.machine, host.commit);
        for note in notes(repeat) {
            _ = writeln!(text, "- {note}");
        }
        for fault in &self.faults {
            _ = writeln!(text, "- Not measured: {fault}");
        }
        text
    }

    fn rows(&self, measures: &[&Measure]) -> Vec<Vec<String>> {
        measures.iter().map(|measure| self.row(measure)).collect()
    }

    fn row(&self, measure: &Measure) -> Vec<String> {
        let spread = |kind: &str| {
            let figures = self.figures.get(&(kind.to_owned(), measure.row, measure.title))?;
            Spread::of(figures)
        };
        let cell = |spread: Option<Spread>| {
            spread.map_or_else(|| "–".to_owned(), |spread| spread.shown(measure.unit))
        };
        let [ours, theirs] = KINDS.map(spread);
        let ratio = ours.zip(theirs).and_then(|(ours, theirs)| ratio(ours, theirs, measure.better));
        let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{} ×", figure(ratio)));
        vec![measure.title.to_owned(), cell(ours), cell(theirs), ratio]
    }
}

impl Spread {
    fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { least, median, most })
    }

    fn shown(self, unit: &str) -> String {
        let Self { least, median, most } = self;
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let range =
            if least == most { String::new() } else { format!(" ({} – {})", figure(least), figure(most)) };
        format!("{}{unit}{range}", figure(median))
    }
}

impl Host {
    pub(crate) fn describe(repo: &Repo, engine: &Engine, build: Option<&str>) -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let model = model.trim_start_matches([' ', '\t', ':']).trim();
        let model = if model.is_empty() { std::env::consts::ARCH } else { model };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Self {
            engine: format!("Engine {} ({})", engine.version, build.unwrap_or("unknown build")),
            machine: format!("{model}, {cores} cores, {}{}", std::env::consts::OS, load()),
            commit: commit(repo),
        }
    }
}

/// Puts `section` between the markers of a text.
pub(crate) fn replace_section(text: &str, section: &str) -> Result<String> {
    let (head, rest) = text.split_once(BEGIN).with_context(|| format!("there is no {BEGIN}"))?;
    let (_, tail) = rest.split_once(END).with_context(|| format!("there is no {END} after {BEGIN}"))?;
    Ok(format!("{head}{BEGIN}\n{section}{END}{tail}"))
}

/// Three significant digits, thousands in groups.
pub(crate) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        size if size < 1.0 => 3,
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (index, digit) in text.char_indices() {
        let left = whole.saturating_sub(index);
        if index > 0 && left > 0 && left.is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// How many times better ours is.
fn ratio(ours: Spread, theirs: Spread, better: Better) -> Option<f64> {
    let (good, bad) = match better {
        Better::Lower => (ours.median, theirs.median),
        Better::Higher => (theirs.median, ours.median),
    };
    (good > 0.0).then(|| bad / good)
}

fn load() -> String {
    load_average().map_or_else(String::new, |load| format!(", load average at the end {load}"))
}

/// How many processes wanted to run in the last minute, where the system tells.
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

fn notes(repeat: usize) -> Vec<String> {
    let turns = match repeat {
        1 => "Measured once.".to_owned(),
        turns => format!("Medians of {turns} runs, the two classes in turn (least – most)."),
    };
    vec![
        turns,
        "Both classes run in the same engine, under the same script (`tests/engine/bench/server.gd`), and are loaded from \
         outside by the same single-threaded client over loopback (`rust/bench`), on the same cores."
            .to_owned(),
        "The last column says how many times better the addon is: time and memory divided, rates and counts multiplied."
            .to_owned(),
        "Peers join 32 at a time and without a frame limit before idle and broadcast are measured, because the engine's \
         class takes one client per frame; only in the 1,000-at-once rows all of them come together, at 60 fps. Those that \
         did not get in are missing from the times below."
            .to_owned(),
        "A `poll()` per frame finds the processor's caches cold; \"once more\" is a second one right after it, which shows what \
         the call itself costs."
            .to_owned(),
        "Main thread: microseconds of the script's own work per frame (`poll()`; for a broadcast `put_packet()`, too). \
         Memory: growth of the server's resident set after 1,000 peers, divided by them; the kernel's socket buffers are \
         not in it."
            .to_owned(),
    ]
}

const HEAD: [&str; 4] = ["", "addon: WebSocketServer", "engine: WebSocketMultiplayerPeer", "better by"];
const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_grouped() {
        let shown = [0.0, 0.1234, 1.0, 3.456, 12.34, 123.4, 1234.5, 1_234_567.0].map(figure);
        assert_eq!(shown, ["0", "0.123", "1.00", "3.46", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of(&[9.0, 1.0, 2.0]).expect("three figures");
        assert_eq!(spread, Spread { least: 1.0, median: 2.0, most: 9.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 9.0]).expect("four figures").median, 3.0);
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(spread.shown("ms"), "2.00 ms (1.00 – 9.00)");
    }

    #[test]
    fn ratios_say_how_many_times_better_ours_is() {
        let [two, ten] = [2.0, 10.0].map(|value| Spread::of(&[value]).expect("one figure"));
        assert_eq!(ratio(two, ten, Better::Lower), Some(5.0));
        assert_eq!(ratio(ten, two, Better::Higher), Some(5.0));
        assert_eq!(ratio(ten, two, Better::Lower), Some(0.2));
    }

    #[test]
    fn only_the_section_changes() {
        let text = format!("before {BEGIN} old {END} after");
        let replaced = replace_section(&text, "new\n").expect("has markers");
        assert_eq!(replaced, format!("before {BEGIN}\nnew\n{END} after"));
        assert_eq!(replace_section(&replaced, "new\n").expect("has markers"), replaced);
        assert!(replace_section("nothing", "new").is_err());
        assert!(replace_section(&format!("{END} {BEGIN}"), "new").is_err());
    }
}
