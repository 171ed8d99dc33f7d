//! The suites that cargo runs.

use anyhow::{Result, ensure};

use crate::CannotRun;
use crate::repo::Repo;
use crate::suites::Tally;

pub(crate) fn fmt(repo: &Repo) -> Result<Tally> {
    let status = repo.run_cargo(&["fmt", "--all", "--check"], &[], |_| true)?;
    Ok(Tally::whole(status.success(), "run `cargo fmt --all`"))
}

/// Lints the workspace, and the extension with each supported set of features.
pub(crate) fn clippy(repo: &Repo) -> Result<Tally> {
    let mut tally = Tally::default();
    for selection in [&["--workspace", "--all-targets"][..]].into_iter().chain(FEATURES) {
        let arguments = [&["clippy"], selection, &["--", "-D", "warnings"]].concat();
        let passed = repo.run_cargo(&arguments, &[], |_| true)?.success();
        *(if passed { &mut tally.passed } else { &mut tally.failed }) += 1;
    }
    if tally.failed > 0 {
        tally.note = "see above".to_owned();
    }
    Ok(tally)
}

const FEATURES: [&[&str]; 3] = [
    &["--package", "websocket-multiplayer", "--features", "editor"],
    &["--package", "websocket-multiplayer", "--features", "engine-names"],
    &["--package", "websocket-multiplayer", "--features", "engine-names,editor"],
];

pub(crate) fn docs(repo: &Repo) -> Result<Tally> {
    let status = repo.run_cargo(
        &["doc", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS".to_owned(), "-Dwarnings".to_owned())],
        |_| true,
    )?;
    Ok(Tally::whole(status.success(), "see above"))
}

/// Checks licences, sources and unwanted crates with deny.toml, if the tool is installed. The CI workflow has a separate job for it, which
/// also checks the advisories.
pub(crate) fn deny(repo: &Repo) -> Result<Tally> {
    if !repo.cargo(&["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        let note = "not checked here: `cargo install cargo-deny` adds it; the workflow has a job for it";
        return Ok(Tally { note: note.to_owned(), ..Tally::default() });
    }
    let status = repo.run_cargo(&["deny", "check", "licenses", "bans", "sources"], &[], |_| true)?;
    Ok(Tally::whole(status.success(), "see above, and deny.toml"))
}

/// Runs all Rust tests; with `long` also those that are ignored by default (but not ignored examples in docs).
pub(crate) fn tests(repo: &Repo, long: bool, only: Option<&str>) -> Result<Tally> {
    if let Some(part) = only {
        let one =
            run(repo, &["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", part])?.tally;
        ensure!(one.passed + one.failed > 0, CannotRun(format!("no Rust test has {part:?} in its path")));
        return Ok(one);
    }
    let mut tally = run(repo, &["test", "--workspace", "--no-fail-fast"])?;
    if long {
        let more = ["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--", "--ignored"];
        let more = run(repo, &more)?;
        tally.tally.passed += more.tally.passed;
        tally.tally.failed += more.tally.failed;
    } else if tally.ignored > 0 {
        tally.tally.note.push_str(&format!("{} only with --long", tally.ignored));
    }
    Ok(tally.tally)
}

struct RustTally {
    tally: Tally,
    ignored: usize,
}

/// Runs the core's tests for another machine, in the environment that builds and starts them.
pub(crate) fn foreign_tests(
    repo: &Repo,
    arguments: &[&str],
    environment: &[(String, String)],
) -> Result<Tally> {
    Ok(run_in(repo, arguments, environment)?.tally)
}

fn run(repo: &Repo, arguments: &[&str]) -> Result<RustTally> {
    run_in(repo, arguments, &[])
}

fn run_in(repo: &Repo, arguments: &[&str], environment: &[(String, String)]) -> Result<RustTally> {
    let mut tally = Tally::default();
    let mut ignored = 0;
    let status = repo.run_cargo(arguments, environment, |line| {
        if let Some(counts) = counts(line) {
            tally.passed += counts[0];
            tally.failed += counts[1];
            ignored += counts[2];
        }
        is_worth_showing(line)
    })?;
    // A test program that does not build, or that crashes, prints no counts.
    if !status.success() && tally.failed == 0 {
        tally.failed = 1;
        tally.note = "cargo test failed without a failed test, see above".to_owned();
    }
    Ok(RustTally { tally, ignored })
}

/// Passed, failed and ignored of a `test result:` line.
fn counts(line: &str) -> Option<[usize; 3]> {
    let results = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        let part = results.split("; ").find_map(|part| part.strip_suffix(what))?;
        part.trim().parse().ok()
    };
    Some([count("passed")?, count("failed")?, count("ignored")?])
}

fn is_worth_showing(line: &str) -> bool {
    let quiet = line.starts_with("test ") && (line.ends_with("... ok") || line.contains("... ignored"));
    let empty =
        line.trim().is_empty() || line.starts_with("running 0 tests") || line.contains(" ok. 0 passed");
    !quiet && !empty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_counted() {
        let line =
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out; finished in 0.10s";
        assert_eq!(counts(line), Some([12, 0, 3]));
        let line =
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s";
        assert_eq!(counts(line), Some([1, 2, 0]));
        assert_eq!(counts("test queue::tests::full ... ok"), None);
    }

    #[test]
    fn passes_are_quiet_and_failures_are_not() {
        assert!(!is_worth_showing("test queue::tests::full ... ok"));
        assert!(!is_worth_showing(""));
        assert!(is_worth_showing("test queue::tests::full ... FAILED"));
        assert!(is_worth_showing("     Running unittests src/lib.rs"));
    }
}
