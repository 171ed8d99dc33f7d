//! Checks the workflow files of CI: they are linted, and the linter finds known faults.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::repo::Repo;
use crate::suites::Tally;
use crate::{files, foreign};

/// Lints every workflow, and a bad one, which must fail.
pub(crate) fn suite(repo: &Repo) -> Result<Tally> {
    let folder = repo.root.join("tests/workflows");
    let linter = || foreign::workflow_linter(&folder.join("lint.mjs"));
    let mut tally = Tally::default();
    let files = files::with_ending(&repo.root.join(WORKFLOWS), "yml")?;
    tally.add(lint(linter()?, &files).and_then(|findings| {
        let count = findings.lines().count();
        ensure!(count == 0, "{count} findings in {WORKFLOWS}\n{findings}");
        Ok(())
    }));
    let bad = folder.join("bad.yml");
    tally.add(lint(linter()?, &[bad]).and_then(|findings| {
        let missed = MISTAKES.iter().find(|mistake| !findings.contains(*mistake));
        missed.map_or(Ok(()), |mistake| bail!("the lint does not see {mistake:?} in bad.yml"))
    }));
    Ok(tally)
}

/// Returns one line for each fault.
fn lint(mut linter: Command, files: &[impl AsRef<Path>]) -> Result<String> {
    let output = linter.args(files.iter().map(AsRef::as_ref)).output().context("cannot start node")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // A linter that crashes prints no faults, but an error to stderr.
    if output.status.success() != text.is_empty() {
        bail!("the linter failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(text)
}

const WORKFLOWS: &str = ".github/workflows";

/// The expected faults of the bad workflow: from actionlint, GitHub's parser, and our own rules.
const MISTAKES: [&str; 5] = [
    "which does not exist in this workflow [job-needs]",
    "Unrecognized function: 'toJSN'",
    "Required property is missing: runs-on",
    "pin it by its commit",
    "has no timeout-minutes",
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use fs_err as fs;

    use crate::args::{Action, Arguments};
    use crate::suites;

    #[test]
    fn the_workflows_call_commands_that_exist() {
        let repo = Repo::locate().expect("tests run in the working copy");
        let mut count = 0;
        for file in files::with_ending(&repo.root.join(WORKFLOWS), "yml").expect("there are workflows") {
            let text = fs::read_to_string(&file).expect("a workflow is text");
            for line in text.lines() {
                let code = line.trim_start();
                let Some((_, words)) = code.split_once("cargo xtask ").filter(|_| !code.starts_with('#'))
                else {
                    continue;
                };
                let words = words
                    .replace("${{ matrix.platform }}", "linux-x86_64")
                    .replace("\"$GITHUB_REF_NAME\"", "v1");
                let words = ["cargo xtask"].into_iter().chain(words.split_whitespace());
                let arguments = Arguments::try_parse_from(words);
                let arguments =
                    arguments.unwrap_or_else(|error| panic!("{}: {line}: {error}", file.display()));
                if let Action::Test(options) = arguments.action {
                    let stray = options.names.iter().find(|name| !suites::is_suite(name));
                    assert_eq!(stray, None, "{}: {line}: there is no such suite", file.display());
                }
                count += 1;
            }
        }
        assert!(count >= 10, "only {count} commands were found");
    }
}
