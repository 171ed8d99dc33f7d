//! `cargo xtask bench`: the addon's server and the engine's own class, side by side in one run.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bench_report::{self, Host, Sheet};
use crate::bench_trial::Laboratory;
use crate::engine_run::{has_classes, import};
use crate::engines::{self, Generation};
use crate::repo::Repo;
use crate::{CannotRun, addon, ui};

/// What to measure, and how often.
#[derive(Clone, Debug)]
pub(crate) struct BenchOptions {
    /// The file whose section between the markers is replaced.
    pub(crate) markdown: Option<PathBuf>,
    /// Names of rows; empty: all of them.
    pub(crate) rows: Vec<String>,
    pub(crate) repeat: usize,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self { markdown: None, rows: Vec::new(), repeat: 3 }
    }
}

/// One thing to do to a server, and what is read off it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What `--rows` calls it; several scenarios may belong to one row.
    pub(crate) rows: &'static [&'static str],
    /// Arguments of the server's script.
    pub(crate) server: &'static [&'static str],
    /// Arguments of the load client.
    pub(crate) client: &'static [&'static str],
    pub(crate) measures: &'static [Measure],
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// One of its scenario's.
    pub(crate) row: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) source: Source,
    pub(crate) better: Better,
}

/// Where a figure is found: JSON pointers into the reports.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Server(&'static str),
    Client(&'static str),
    /// The server's resident memory per connected peer, in KiB.
    Memory,
}

/// Which of two figures wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// The two that are compared, as the server's script calls them.
pub(crate) const KINDS: [&str; 2] = ["ours", "engine"];

/// Builds what is needed, measures, and shows the table. `Ok(false)` when something could not be measured.
pub(crate) fn run(repo: &Repo, options: &BenchOptions) -> Result<bool> {
    let scenarios = select(&options.rows)?;
    // Before the minutes that the run takes.
    if let Some(file) = &options.markdown {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        bench_report::replace_section(&text, "").with_context(|| file.display().to_string())?;
    }
    addon::build(repo, addon::BuildOptions::default())?;
    let client = build_client(repo)?;
    let engine = engines::provide(Generation::Four)?;
    addon::stage(repo)?;
    let home = repo.scratch.join("home");
    let imported = import(&engine, &repo.test_project(), &home)?;
    if !imported.faults.is_empty() {
        bail!("the test project cannot be imported: {}\n{}", imported.faults.join("; "), imported.tails);
    }
    let classes = ["WebSocketServer", "WebSocketMultiplayerPeer"];
    let known = has_classes(&engine, &repo.test_project(), repo, &classes)?;
    if !known.faults.is_empty() {
        bail!(CannotRun(format!("nothing to compare: {}", known.faults.join("; "))));
    }
    let laboratory = Laboratory { engine: &engine, project: repo.test_project(), home, client };
    // A server and its client keep two cores busy: whatever else runs is measured, too.
    if let Some(load) = bench_report::load_average().filter(|load| *load > QUIET) {
        ui::step(&format!(
            "The load average is {load}: a busy machine spoils the figures, the tight loop's most"
        ));
    }
    let started = Instant::now();
    let mut sheet = Sheet::default();
    for turn in 1..=options.repeat {
        for scenario in &scenarios {
            for kind in KINDS {
                let label = format!("{turn}/{} {} {kind}", options.repeat, scenario.name);
                match laboratory.measure(scenario, kind, &label) {
                    Ok(trial) => {
                        ui::detail(&format!("{label}: {}", trial.summary(scenario)));
                        sheet.add(scenario, kind, &trial);
                    }
                    Err(error) => {
                        ui::detail(&format!("{label}: NOT MEASURED: {error:#}"));
                        sheet.faults.push(format!("{label}: {error:#}"));
                    }
                }
            }
        }
    }
    let wanted =
        |measure: &&Measure| options.rows.is_empty() || options.rows.iter().any(|row| row == measure.row);
    let measures: Vec<&Measure> =
        scenarios.iter().flat_map(|scenario| scenario.measures).filter(wanted).collect();
    let host = Host::describe(repo, &engine, sheet.build);
    ui::step(&format!("Measured in {}", ui::seconds(started.elapsed())));
    print!("{}", sheet.text(&host, &measures, options.repeat));
    if let Some(file) = &options.markdown {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let section = sheet.markdown(&host, &measures, options.repeat);
        fs::write(file, bench_report::replace_section(&text, &section)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        ui::detail(&format!("written into {}", file.display()));
    }
    Ok(sheet.faults.is_empty())
}

fn select(rows: &[String]) -> Result<Vec<&'static Scenario>> {
    let known: Vec<&str> = SCENARIOS.iter().flat_map(|scenario| scenario.rows).copied().collect();
    if let Some(unknown) = rows.iter().find(|row| !known.contains(&row.as_str())) {
        let mut known = known;
        known.dedup();
        bail!(CannotRun(format!("there is no row {unknown:?}; there are {}", known.join(", "))));
    }
    let wanted = |scenario: &&Scenario| {
        rows.is_empty() || scenario.rows.iter().any(|row| rows.iter().any(|r| r == row))
    };
    Ok(SCENARIOS.iter().filter(wanted).collect())
}

/// Builds the load client in release and says where it is.
pub(crate) fn build_client(repo: &Repo) -> Result<PathBuf> {
    ui::step("Building the load client (release)");
    repo.build_program(&["--release", "--package=websocket-multiplayer-bench"], "wsload")
}

const fn server(row: &'static str, title: &'static str, unit: &'static str, key: &'static str) -> Measure {
    Measure { row, title, unit, source: Source::Server(key), better: Better::Lower }
}

const fn client(row: &'static str, title: &'static str, unit: &'static str, key: &'static str) -> Measure {
    Measure { row, title, unit, source: Source::Client(key), better: Better::Lower }
}

impl Measure {
    const fn more_is_better(self) -> Self {
        Self { better: Better::Higher, ..self }
    }
}

/// The build that came before counts as well.
const QUIET: f64 = 3.0;

const POLL_MEAN: &str = "/mean_usec";
const POLL_AGAIN: &str = "/again_usec";
const POLL_P99: &str = "/p99_usec";

/// Connections are opened 32 at a time but in `connect`, or the engine's class would never have a thousand.
const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "idle-1",
        rows: &["idle"],
        server: &["work=idle", "peers=1", "seconds=5"],
        client: &["idle", "1", "--seconds=60"],
        measures: &[
            server("idle", "poll(), 1 idle peer: mean", "µs", POLL_MEAN),
            server("idle", "poll(), 1 idle peer: p99", "µs", POLL_P99),
            server("idle", "poll(), 1 idle peer: once more, mean", "µs", POLL_AGAIN),
        ],
    },
    Scenario {
        name: "idle-100",
        rows: &["idle"],
        server: &["work=idle", "peers=100", "seconds=5"],
        client: &["idle", "100", "--seconds=60", "--timeout=60"],
        measures: &[
            server("idle", "poll(), 100 idle peers: mean", "µs", POLL_MEAN),
            server("idle", "poll(), 100 idle peers: p99", "µs", POLL_P99),
            server("idle", "poll(), 100 idle peers: once more, mean", "µs", POLL_AGAIN),
        ],
    },
    Scenario {
        name: "idle-1000",
        rows: &["idle", "memory"],
        server: &["work=idle", "peers=1000", "seconds=5"],
        client: &["idle", "1000", "--seconds=60", "--timeout=60"],
        measures: &[
            server("idle", "poll(), 1,000 idle peers: mean", "µs", POLL_MEAN),
            server("idle", "poll(), 1,000 idle peers: p99", "µs", POLL_P99),
            server("idle", "poll(), 1,000 idle peers: once more, mean", "µs", POLL_AGAIN),
            Measure {
                row: "memory",
                title: "resident memory per idle peer",
                unit: "KiB",
                source: Source::Memory,
                better: Better::Lower,
            },
        ],
    },
    Scenario {
        name: "connect",
        rows: &["connect"],
        server: &["work=idle"],
        client: &["connect", "1000", "--timeout=30"],
        measures: &[
            client("connect", "1,000 clients at once, 60 fps: usable within 30 s", "", "/usable")
                .more_is_better(),
            client("connect", "... until the median is usable", "ms", "/opened/since_start/p50_ms"),
            client("connect", "... until the last is usable", "ms", "/opened/since_start/last_ms"),
        ],
    },
    Scenario {
        name: "echo",
        rows: &["echo"],
        server: &["work=echo", "peers=10", "fps=0", "seconds=3"],
        client: &["echo", "--conns=10", "--inflight=16", "--size=64", "--seconds=5"],
        measures: &[
            client("echo", "echo, tight loop, 10 × 16 × 64 B", "1/s", "/messages_per_second")
                .more_is_better(),
            client("echo", "... latency, p50", "ms", "/latency/p50_ms"),
            client("echo", "... latency, p99", "ms", "/latency/p99_ms"),
            server("echo", "... main thread per message", "µs", "/usec_per_message"),
        ],
    },
    Scenario {
        name: "echo60",
        rows: &["echo60"],
        server: &["work=echo", "peers=100", "fps=60", "seconds=3"],
        client: &["echo", "--conns=100", "--inflight=32", "--size=64", "--seconds=5", "--timeout=60"],
        measures: &[
            client("echo60", "echo at 60 fps, 100 × 32 × 64 B", "1/s", "/messages_per_second")
                .more_is_better(),
            client("echo60", "... latency, p50", "ms", "/latency/p50_ms"),
            client("echo60", "... latency, p99", "ms", "/latency/p99_ms"),
            server("echo60", "... main thread per message", "µs", "/usec_per_message"),
        ],
    },
    Scenario {
        name: "broadcast",
        rows: &["broadcast"],
        server: &["work=broadcast", "peers=1000", "seconds=5", "size=256"],
        // From the last peer on: until the server has settled and measured.
        client: &["sink", "1000", "--seconds=5", "--timeout=60"],
        measures: &[
            server("broadcast", "256 B to 1,000 peers per frame, 60 fps: main thread, mean", "µs", POLL_MEAN),
            server("broadcast", "... main thread, p99", "µs", POLL_P99),
            server("broadcast", "... frame rate reached", "fps", "/fps").more_is_better(),
            client("broadcast", "... messages that arrived", "1/s", "/messages_per_second").more_is_better(),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_pick_scenarios() {
        let names = |rows: &[&str]| {
            let rows: Vec<String> = rows.iter().map(|&row| row.to_owned()).collect();
            select(&rows).map(|picked| picked.iter().map(|scenario| scenario.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all").len(), SCENARIOS.len());
        assert_eq!(names(&["memory", "echo"]).expect("both exist"), ["idle-1000", "echo"]);
        let message = names(&["fly"]).expect_err("no such row").to_string();
        assert!(message.contains("idle, memory, connect"), "{message}");
    }

    #[test]
    fn measures_belong_to_the_rows_of_their_scenario_and_have_names_of_their_own() {
        let mut names = std::collections::BTreeSet::new();
        for scenario in &SCENARIOS {
            for measure in scenario.measures {
                assert!(scenario.rows.contains(&measure.row), "{measure:?}");
                assert!(names.insert((measure.row, measure.title)), "{measure:?}");
            }
        }
    }
}
