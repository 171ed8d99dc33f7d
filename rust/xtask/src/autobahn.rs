//! The Autobahn|Testsuite against our server and our client, compared with the committed table of the results other than OK.

use std::collections::BTreeMap;
use std::fmt;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use fs_err as fs;
use serde_json::json;

use crate::engine::free_port;
use crate::foreign::{self, Wstest};
use crate::process::{self, Event, Group};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{CannotRun, files, ui};

/// The side that is tested.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Side {
    Server,
    Client,
}

/// The result of a case, best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum Verdict {
    Ok,
    Informational,
    NonStrict,
    Unimplemented,
    #[value(aliases = ["unclean", "wrong code", "failed by client"])]
    Failed,
}

type Results = BTreeMap<String, Verdict>;

/// One run of the suite: all cases when messages are compressed each by itself, those of compression when both ends keep a memory.
#[derive(Clone, Copy, Debug)]
struct Trip {
    side: Side,
    compression: &'static str,
    cases: &'static [&'static str],
    /// How many of `cases` there are, without those about compression.
    plain: usize,
}

/// Runs all trips, or those whose name contains `only`.
pub(crate) fn run(repo: &Repo, long: bool, only: Option<&str>) -> Result<Tally> {
    let wstest = foreign::wstest(repo)?;
    let arguments = ["--release", "--package=websocket-multiplayer-core", "--example=autobahn"];
    let peer = repo.build(&arguments, &[], "autobahn")?;
    let expected = parse_table(&fs::read_to_string(repo.root.join(TABLE))?)?;
    let mut tally = Tally::default();
    let excluded = if long { Vec::new() } else { left_out() };
    let wanted: Vec<_> = trips().filter(|trip| only.is_none_or(|part| trip.name().contains(part))).collect();
    if wanted.is_empty() {
        let names: Vec<_> = trips().map(Trip::name).collect();
        bail!(CannotRun(format!("no part of this suite has that name; there are {}", names.join(", "))));
    }
    for trip in wanted {
        let Trip { side, compression, .. } = trip;
        let folder = repo.scratch.join("autobahn").join(trip.name());
        files::empty(&folder)?;
        let took = match side {
            Side::Server => test_server(&wstest, &peer, &folder, trip, &excluded)?,
            Side::Client => test_client(&wstest, &peer, &folder, trip, &excluded)?,
        };
        let results = results(&folder)?;
        ui::detail(&format!("{side}, {compression}: {} in {}", summary(&results), ui::seconds(took)));
        let empty = Results::new();
        let faults = compare(&results, expected.get(&side).unwrap_or(&empty), trip.count(long));
        tally.passed += results.len().saturating_sub(faults.len());
        tally.failed += faults.len();
        for fault in faults {
            ui::detail(&format!("{side}, {compression}, {fault}; the report is in {}", folder.display()));
        }
    }
    if tally.failed > 0 {
        tally.note = format!("worse than {TABLE}, see above");
    }
    Ok(tally)
}

fn trips() -> impl Iterator<Item = Trip> {
    [Side::Server, Side::Client].into_iter().flat_map(|side| {
        [
            Trip { side, compression: "shared", cases: &["*"], plain: PLAIN_CASES },
            Trip { side, compression: "dedicated", cases: &["12.*", "13.*"], plain: 0 },
        ]
    })
}

/// The cases of compression that take minutes: every data set and every offer is there with other sizes.
fn left_out() -> Vec<String> {
    let groups =
        GROUPS.into_iter().flat_map(|(chapter, count)| (1..=count).map(move |group| (chapter, group)));
    let sizes = || (1..=SIZES).filter(|size| !SHORT_SIZES.contains(size));
    // Whole names: the suite takes `12.*.1` for `12.1.11` too.
    groups.flat_map(|(chapter, group)| sizes().map(move |size| format!("{chapter}.{group}.{size}"))).collect()
}

fn test_server(
    wstest: &Wstest,
    peer: &Path,
    folder: &Path,
    trip: Trip,
    excluded: &[String],
) -> Result<Duration> {
    let mut group = Group::new("the server", START_LIMIT);
    let mut server = Command::new(peer);
    server.args(["server", trip.compression]);
    group.spawn("server", server)?;
    let port = loop {
        match group.next()?.context("the server does not start")? {
            Event::Line(_, line) => {
                if let Some(port) = line.text.strip_prefix("READY on port ") {
                    break port.trim().to_owned();
                }
            }
            Event::Quiet => {}
        }
    };
    let servers = json!([{ "agent": AGENT, "url": format!("ws://127.0.0.1:{port}") }]);
    let specification =
        json!({ "outdir": folder, "servers": servers, "cases": trip.cases, "exclude-cases": excluded });
    let tests = wstest.command("fuzzingclient", folder, &specification)?;
    Ok(process::run("Autobahn", tests, RUN_LIMIT, |_| {})?.success()?.took)
}

fn test_client(
    wstest: &Wstest,
    peer: &Path,
    folder: &Path,
    trip: Trip,
    excluded: &[String],
) -> Result<Duration> {
    let port = free_port()?;
    let url = format!("ws://127.0.0.1:{port}");
    let specification =
        json!({ "outdir": folder, "url": url, "cases": trip.cases, "exclude-cases": excluded });
    let mut tests = Group::new("Autobahn", START_LIMIT);
    tests.spawn("wstest", wstest.command("fuzzingserver", folder, &specification)?)?;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(tests.next()?.is_some(), "wstest does not start: {}", tests.tails());
    }
    let mut client = Command::new(peer);
    client.args(["client", &url, trip.compression]);
    Ok(process::run("client", client, RUN_LIMIT, |_| {})?.success()?.took)
}

/// Reads the report of `wstest`, whose exit code is always 0.
fn results(folder: &Path) -> Result<Results> {
    let index = folder.join("index.json");
    let text = fs::read_to_string(&index).with_context(|| format!("no report: {}", index.display()))?;
    let report: serde_json::Value = serde_json::from_str(&text).context("the report is JSON")?;
    let cases = report[AGENT].as_object().context("the report is about our peer")?;
    let verdict = |case: &serde_json::Value, field: &str| {
        Verdict::parse(case[field].as_str().unwrap_or_default()).unwrap_or(Verdict::Failed)
    };
    // How the connection was closed counts as much as the rest of the behaviour.
    let worse = |case| verdict(case, "behavior").max(verdict(case, "behaviorClose"));
    Ok(cases.iter().map(|(name, case)| (name.clone(), worse(case))).collect())
}

/// Returns the results that are worse than expected, in words.
fn compare(results: &Results, expected: &Results, count: usize) -> Vec<String> {
    let mut faults = Vec::new();
    if results.len() != count {
        faults.push(format!("{} of {count} cases were run", results.len()));
    }
    for (case, verdict) in results {
        let allowed = expected.get(case).copied().unwrap_or(Verdict::Ok);
        if *verdict > allowed {
            faults.push(format!("case {case}: {verdict:?}, expected {allowed:?}"));
        }
    }
    faults
}

/// The rows `| side | case | verdict | reason |` of the committed table.
fn parse_table(text: &str) -> Result<BTreeMap<Side, Results>> {
    let mut table: BTreeMap<Side, Results> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let sides = match cells[0] {
            "server" => &[Side::Server][..],
            "client" => &[Side::Client],
            "both" => &[Side::Server, Side::Client],
            // The head.
            _ => continue,
        };
        let &[_, case, verdict, reason] = cells.as_slice() else { bail!("not four cells: {line}") };
        let verdict = Verdict::parse(verdict).with_context(|| format!("no verdict: {line}"))?;
        ensure!(!reason.is_empty(), "no reason: {line}");
        for side in sides {
            table.entry(*side).or_default().insert(case.to_owned(), verdict);
        }
    }
    Ok(table)
}

fn summary(results: &Results) -> String {
    let count = |wanted| results.values().filter(|verdict| **verdict == wanted).count();
    format!(
        "{} cases: {} OK, {} non-strict, {} informational, {} failed",
        results.len(),
        count(Verdict::Ok),
        count(Verdict::NonStrict),
        count(Verdict::Informational),
        count(Verdict::Failed) + count(Verdict::Unimplemented),
    )
}

impl Trip {
    fn name(self) -> String {
        format!("{}-{}", self.side, self.compression)
    }

    fn count(self, long: bool) -> usize {
        let groups: usize = GROUPS.iter().map(|(_, count)| count).sum();
        self.plain + groups * if long { SIZES } else { SHORT_SIZES.len() }
    }
}

impl Verdict {
    fn parse(text: &str) -> Option<Self> {
        Self::from_str(text, true).ok()
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

const TABLE: &str = "tests/autobahn/expected.md";
const AGENT: &str = "core";
/// The chapters without compression.
const PLAIN_CASES: usize = 301;
/// The chapters of compression: five sets of data, seven ways to negotiate.
const GROUPS: [(usize, usize); 2] = [(12, 5), (13, 7)];
/// Each group sends 1000 messages of each of these sizes, whole or in fragments.
const SIZES: usize = 18;
/// 4 KiB.
const SHORT_SIZES: [usize; 1] = [5];
const START_LIMIT: Duration = Duration::from_secs(60);
/// Without `--long` a trip takes a minute or two on an idle machine, with it half an hour, and it never ends with a peer that does not close a
/// bad connection.
const RUN_LIMIT: Duration = Duration::from_mins(180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_is_not_ok() {
        let text = "| side | case | verdict | reason |\n|---|---|---|---|\n| both | 7.1.6 | INFORMATIONAL | it may |\n\
             | client | 5.15 | NON-STRICT | so |\n";
        let table = parse_table(text).expect("a table");
        assert_eq!(table[&Side::Server].len(), 1);
        assert_eq!(table[&Side::Client]["5.15"], Verdict::NonStrict);
        assert!(parse_table("| both | 1.1 | NON-STRICT | |").is_err(), "without a reason");
        assert!(parse_table("| both | 1.1 | FINE | so |").is_err(), "no verdict");
    }

    #[test]
    fn only_what_is_worse_is_a_fault() {
        let mut results: Results = (0..9).map(|n| (n.to_string(), Verdict::Ok)).collect();
        let expected = Results::from([("1".to_owned(), Verdict::NonStrict)]);
        assert!(compare(&results, &expected, 9).is_empty(), "better than expected");
        results.insert("1".to_owned(), Verdict::NonStrict);
        assert!(compare(&results, &expected, 9).is_empty());
        results.insert("2".to_owned(), Verdict::NonStrict);
        assert_eq!(compare(&results, &expected, 9).len(), 1);
        results.remove("3");
        assert_eq!(compare(&results, &expected, 9).len(), 2, "a case that was not run");
    }

    #[test]
    fn the_cases_are_counted() {
        let counts = |long| trips().map(|trip| trip.count(long)).collect::<Vec<_>>();
        assert_eq!(counts(true), [517, 216, 517, 216]);
        assert_eq!(counts(false), [313, 12, 313, 12]);
        assert_eq!(left_out().len(), 216 - 12);
        assert!(left_out().contains(&"13.7.18".to_owned()) && !left_out().contains(&"12.1.5".to_owned()));
    }
}
