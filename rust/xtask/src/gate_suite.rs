//! The tests of `gate.js`, the JavaScript of web exports. They run in Node, with a fake page and a clock that only the tests move.

use anyhow::{Context, Result, ensure};

use crate::repo::Repo;
use crate::suites::Tally;
use crate::{files, foreign};

/// Runs all of them at once.
pub(crate) fn suite(repo: &Repo) -> Result<Tally> {
    let mut tests = files::with_ending(&repo.root.join("tests/web/gate"), "mjs")?;
    tests.retain(|file| file.to_string_lossy().ends_with(".test.mjs"));
    // Without a name node looks for tests everywhere.
    ensure!(!tests.is_empty(), "there are no tests");
    let mut command = foreign::node()?;
    command.args(["--test", "--test-reporter=tap"]).args(&tests);
    let output = command.output().context("cannot start node")?;
    let report = String::from_utf8_lossy(&output.stdout);
    let passed = count(&report, "# pass ").context("node reports no number of tests")?;
    let failed = count(&report, "# fail ").context("node reports no number of failed tests")?;
    ensure!(passed + failed >= tests.len(), "node ran {passed} of {} files", tests.len());
    if !output.status.success() {
        print!("{report}{}", String::from_utf8_lossy(&output.stderr));
        ensure!(failed > 0, "node failed without a failed test: {}", output.status);
    }
    Ok(Tally { passed, failed, ..Tally::default() })
}

/// The number at the end of the report in the line that begins with `name`.
fn count(report: &str, name: &str) -> Option<usize> {
    report.lines().rev().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_at_the_end() {
        let report = "# Subtest: # pass 3\nok 1\n# pass 9\n1..12\n# tests 12\n# pass 11\n# fail 1\n";
        assert_eq!(count(report, "# pass "), Some(11));
        assert_eq!(count(report, "# fail "), Some(1));
        assert_eq!(count("1..0", "# pass "), None);
    }
}
