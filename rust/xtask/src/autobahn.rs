//! The Autobahn|Testsuite against our server and our client, compared with the committed table of what is not plain OK.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::engine_run::free_port;
use crate::foreign::{self, Wstest};
use crate::process::{Group, describe};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::ui;

/// Which side is ours.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Side {
    Server,
    Client,
}

/// How good a case's outcome is, best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Verdict {
    Ok,
    Informational,
    NonStrict,
    Unimplemented,
    Failed,
}

type Results = BTreeMap<String, Verdict>;

pub(crate) fn run(repo: &Repo) -> Result<Tally> {
    let wstest = foreign::wstest()?;
    let arguments =
        ["build", "--release", "--package", "websocket-multiplayer-core", "--example", "autobahn"];
    let status = repo.run_cargo(&arguments, &[], |_| true)?;
    ensure!(status.success(), "the peers did not build, see above");
    let table = repo.root.join(TABLE);
    let expected = fs::read_to_string(&table).with_context(|| format!("cannot read {}", table.display()))?;
    let expected = parse_table(&expected)?;
    let peer = repo.scratch.with_file_name("release").join("examples").join("autobahn");
    let mut tally = Tally::default();
    for side in [Side::Server, Side::Client] {
        let folder = repo.scratch.join("autobahn").join(side.to_string());
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        let started = Instant::now();
        match side {
            Side::Server => test_server(&wstest, &peer, &folder)?,
            Side::Client => test_client(&wstest, &peer, &folder)?,
        }
        let results = results(&folder)?;
        ui::detail(&format!("{side}: {} in {}", summary(&results), ui::seconds(started.elapsed())));
        let empty = Results::new();
        let faults = compare(&results, expected.get(&side).unwrap_or(&empty));
        tally.passed += results.len().saturating_sub(faults.len());
        tally.failed += faults.len();
        for fault in faults {
            ui::detail(&format!("{side}, {fault}; the report is in {}", folder.display()));
        }
    }
    if tally.failed > 0 {
        tally.note = format!("worse than {TABLE}, see above");
    }
    Ok(tally)
}

fn test_server(wstest: &Wstest, peer: &Path, folder: &Path) -> Result<()> {
    let mut group = Group::new();
    let mut server = Command::new(peer);
    server.arg("server");
    let server = group.spawn("server", server)?;
    let port = loop {
        ensure!(
            group.started().elapsed() < START_LIMIT && !group.is_done(server),
            "the server does not start"
        );
        if let Some((_, line)) = group.next_line(SLICE)
            && let Some(port) = line.text.strip_prefix("READY on port ")
        {
            break port.trim().to_owned();
        }
    };
    let servers = json!([{ "agent": AGENT, "url": format!("ws://127.0.0.1:{port}") }]);
    let specification =
        json!({ "outdir": folder, "servers": servers, "cases": ["*"], "exclude-cases": EXCLUDED });
    let mut tests = Group::new();
    let index = tests.spawn("wstest", wstest.command("fuzzingclient", folder, &specification)?)?;
    wait_for(&mut tests, index)
}

fn test_client(wstest: &Wstest, peer: &Path, folder: &Path) -> Result<()> {
    // It cannot choose a free port itself.
    let port = free_port().context("no free port")?;
    let url = format!("ws://127.0.0.1:{port}");
    let specification = json!({ "outdir": folder, "url": url, "cases": ["*"], "exclude-cases": EXCLUDED });
    let mut tests = Group::new();
    let server = tests.spawn("wstest", wstest.command("fuzzingserver", folder, &specification)?)?;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        tests.next_line(SLICE);
        let waits = tests.started().elapsed() < START_LIMIT && !tests.is_done(server);
        ensure!(waits, "wstest does not start: {}", last_lines(&tests, server));
    }
    let mut command = Command::new(peer);
    command.args(["client", &url]);
    let mut client = Group::new();
    let index = client.spawn("client", command)?;
    wait_for(&mut client, index)
}

/// Waits for a process that ends by itself, and that has to end well.
fn wait_for(group: &mut Group, index: usize) -> Result<()> {
    let mut heartbeat = ui::Heartbeat::new("Autobahn");
    let mut last = String::new();
    while !group.all_done() {
        if let Some((_, line)) = group.next_line(SLICE) {
            last = line.text;
        }
        heartbeat.tick(&last);
        if group.started().elapsed() > RUN_LIMIT {
            bail!("not through within {}, last: {last}", ui::seconds(RUN_LIMIT));
        }
    }
    let status = group.status(index).context("it has ended")?;
    ensure!(status.success(), "{}: {}", describe(status), last_lines(group, index));
    Ok(())
}

fn last_lines(group: &Group, index: usize) -> String {
    group.tail(index).map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// What `wstest` found; it exits with 0 whatever that is.
fn results(folder: &Path) -> Result<Results> {
    let index = folder.join("index.json");
    let text = fs::read_to_string(&index).with_context(|| format!("no report: {}", index.display()))?;
    let report: serde_json::Value = serde_json::from_str(&text).context("the report is JSON")?;
    let cases = report[AGENT].as_object().context("the report is about our peer")?;
    let verdict = |case: &serde_json::Value, field: &str| {
        Verdict::parse(case[field].as_str().unwrap_or_default()).unwrap_or(Verdict::Failed)
    };
    // How it closed matters as much as what it did.
    let worse = |case| verdict(case, "behavior").max(verdict(case, "behaviorClose"));
    Ok(cases.iter().map(|(name, case)| (name.clone(), worse(case))).collect())
}

/// What is worse than expected, in words.
fn compare(results: &Results, expected: &Results) -> Vec<String> {
    let mut faults = Vec::new();
    if results.len() < CASES {
        faults.push(format!("only {} of {CASES} cases were run", results.len()));
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

impl Verdict {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "OK" => Self::Ok,
            "INFORMATIONAL" => Self::Informational,
            "NON-STRICT" => Self::NonStrict,
            "UNIMPLEMENTED" => Self::Unimplemented,
            "FAILED" | "UNCLEAN" | "WRONG CODE" | "FAILED BY CLIENT" => Self::Failed,
            _ => return None,
        })
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
/// Without compression, which is not implemented by choice.
const CASES: usize = 301;
const EXCLUDED: [&str; 2] = ["12.*", "13.*"];
const SLICE: Duration = Duration::from_millis(250);
const START_LIMIT: Duration = Duration::from_secs(60);
/// A direction takes half a minute on a quiet machine; a peer that never drops a bad connection would keep it for ever.
const RUN_LIMIT: Duration = Duration::from_mins(10);

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
        let mut results: Results = (0..CASES).map(|n| (n.to_string(), Verdict::Ok)).collect();
        let expected = Results::from([("1".to_owned(), Verdict::NonStrict)]);
        assert!(compare(&results, &expected).is_empty(), "better than expected");
        results.insert("1".to_owned(), Verdict::NonStrict);
        assert!(compare(&results, &expected).is_empty());
        results.insert("2".to_owned(), Verdict::NonStrict);
        assert_eq!(compare(&results, &expected).len(), 1);
        results.remove("3");
        assert_eq!(compare(&results, &expected).len(), 2, "a case that was not run");
    }
}
