//! `cargo xtask test`: every suite in turn, a line for each, and a table at the end.

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::case::{Case, Program};
use crate::engine_suite;
use crate::foreign::Foreign;
use crate::package::PackageOptions;
use crate::repo::Repo;
use crate::rust_suite;
use crate::{
    CannotRun, addon, autobahn, demo, editor_suite, fuzz, gdscript, guide, instructions, licenses,
    package_suite, soak, ui, workflows,
};

/// What to test.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = SUITES)]
pub(crate) struct TestOptions {
    /// Suites, or parts of the names of engine cases; everything unless given
    pub(crate) names: Vec<String>,
    /// Also run what takes long: ignored Rust tests, repeated engine cases, ten minutes of each fuzz target
    #[arg(long)]
    pub(crate) long: bool,
    /// Run only the Rust tests whose path contains this, as in `cargo xtask test rust --only budget::`
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<String>,
    /// Take the instructions that are counted as the new figures, as in `cargo xtask test instructions --update`
    #[arg(long, conflicts_with = "only")]
    pub(crate) update: bool,
}

const SUITES: &str = "\
Suites: fmt, gdscript, clippy, docs, licences, workflows, deny, rust, soak, instructions, engine, editor, guide, package,
browser, foreign, autobahn, fuzz, demo. Any other NAME picks the engine cases whose names contain it.";

/// How many tests of a suite went which way.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    /// What a person should know besides.
    pub(crate) note: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Suite {
    Fmt,
    Gdscript,
    Clippy,
    Docs,
    Licences,
    Workflows,
    Deny,
    Rust,
    Soak,
    Instructions,
    Engine,
    Editor,
    Guide,
    Package,
    Browser,
    Foreign,
    Autobahn,
    Fuzz,
    Demo,
}

/// Runs the suites. `Ok(false)` when something failed, or was skipped where that is not allowed.
pub(crate) fn run(repo: &Repo, options: &TestOptions) -> Result<bool> {
    if options.update && options.names != ["instructions"] {
        bail!(CannotRun("--update belongs to `test instructions`".to_owned()));
    }
    if options.only.is_some() && options.names != ["rust"] {
        bail!(CannotRun("--only belongs to `test rust`".to_owned()));
    }
    let ci = env::var("CI").is_ok_and(|value| value == "true");
    let cases = Case::all(&repo.test_project().join("cases"));
    let (suites, filters) = select(&options.names, cases.as_deref().unwrap_or_default())?;
    let started = Instant::now();
    let mut build = Build::default();
    let mut rows = Vec::new();
    let mut total = Tally::default();
    for suite in suites {
        ui::step(&format!("Suite {}", suite.name()));
        let suite_started = Instant::now();
        let outcome = match suite {
            Suite::Fmt => rust_suite::fmt(repo),
            Suite::Gdscript => gdscript::suite(repo),
            Suite::Clippy => rust_suite::clippy(repo),
            Suite::Docs => rust_suite::docs(repo),
            Suite::Licences => licences(repo),
            Suite::Workflows => workflows::suite(repo),
            Suite::Deny => rust_suite::deny(repo),
            Suite::Soak => soak::run(repo, &soak::SoakOptions::default())
                .map(|passed| Tally::whole(passed, "see above; the seed is in the first line")),
            Suite::Rust => rust_suite::tests(repo, options.long, options.only.as_deref()),
            Suite::Instructions => instructions::run(repo, options.update),
            Suite::Engine | Suite::Browser | Suite::Foreign => build.ready(repo).and_then(|()| {
                let mut cases = Case::all(&repo.test_project().join("cases"))?;
                cases.retain(|case| Suite::of(case) == suite);
                // A suite that is named as a whole is not narrowed down by a filter.
                let whole = options.names.iter().any(|name| *name == suite.name());
                engine_suite::run(repo, cases, if whole { &[] } else { &filters }, options.long)
            }),
            Suite::Editor => editor_suite::run(repo),
            Suite::Guide => build.ready(repo).and_then(|()| guide::suite(repo)),
            Suite::Package => {
                build.ready(repo).and_then(|()| package_suite::run(repo, &PackageOptions::default()))
            }
            Suite::Autobahn => autobahn::run(repo),
            Suite::Fuzz => fuzz::run(repo, options.long),
            Suite::Demo => build.ready(repo).and_then(|()| demo::suite(repo, DEMO_SECONDS)),
        };
        let tally = outcome.unwrap_or_else(|error| Tally::from_error(&error));
        let took = ui::seconds(suite_started.elapsed());
        println!("{}", summary(suite.name(), &tally, &took));
        total.passed += tally.passed;
        total.failed += tally.failed;
        total.skipped += tally.skipped;
        let counts = [tally.passed, tally.failed, tally.skipped].map(|count| count.to_string());
        let mut row = vec![suite.name().to_owned()];
        row.extend(counts);
        row.extend([took, tally.note]);
        rows.push(row);
    }
    ui::step(&format!("All suites, {}", ui::seconds(started.elapsed())));
    print!("{}", ui::table(&["suite", "passed", "failed", "skipped", "time", "note"], &rows));
    let forbidden_skip = ci && total.skipped > 0;
    if forbidden_skip {
        println!("CI=true: what was skipped counts as a failure of the run.");
    }
    // Alone on the last line: scripts read it.
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    Ok(total.failed == 0 && !forbidden_skip)
}

impl Tally {
    pub(crate) fn passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    pub(crate) fn failed(note: &str) -> Self {
        Self { failed: 1, note: note.to_owned(), ..Self::default() }
    }

    /// One test that passes or fails as a whole.
    pub(crate) fn whole(passed: bool, note: &str) -> Self {
        if passed { Self::passed() } else { Self::failed(note) }
    }

    /// Counts one more test by how it went.
    pub(crate) fn add(&mut self, outcome: Result<()>) {
        let one = outcome.map_or_else(|error| Self::from_error(&error), |()| Self::passed());
        self.passed += one.passed;
        self.failed += one.failed;
        self.skipped += one.skipped;
        if !one.note.is_empty() {
            self.note = format!("{} {}", self.note, one.note).trim().to_owned();
        }
    }

    /// What the machine lacks is skipped; anything else has failed.
    fn from_error(error: &anyhow::Error) -> Self {
        println!("{error:#}");
        let text = format!("{error:#}");
        let first = text.lines().next().unwrap_or_default().to_owned();
        if error.downcast_ref::<CannotRun>().is_some() {
            Self { skipped: 1, note: first, ..Self::default() }
        } else {
            Self { failed: 1, note: first, ..Self::default() }
        }
    }
}

impl Suite {
    const ALL: [Self; 19] = [
        Self::Fmt,
        Self::Gdscript,
        Self::Clippy,
        Self::Docs,
        Self::Licences,
        Self::Workflows,
        Self::Deny,
        Self::Rust,
        Self::Soak,
        Self::Instructions,
        Self::Engine,
        Self::Editor,
        Self::Guide,
        Self::Package,
        Self::Browser,
        Self::Foreign,
        Self::Autobahn,
        Self::Fuzz,
        Self::Demo,
    ];

    /// The suite that a case is in, by what its processes run on.
    fn of(case: &Case) -> Self {
        if case.needs(Program::Chromium) {
            Self::Browser
        } else if Foreign::PROGRAMS.iter().any(|&program| case.needs(program)) {
            Self::Foreign
        } else {
            Self::Engine
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Gdscript => "gdscript",
            Self::Clippy => "clippy",
            Self::Docs => "docs",
            Self::Licences => "licences",
            Self::Workflows => "workflows",
            Self::Deny => "deny",
            Self::Rust => "rust",
            Self::Soak => "soak",
            Self::Instructions => "instructions",
            Self::Engine => "engine",
            Self::Editor => "editor",
            Self::Guide => "guide",
            Self::Package => "package",
            Self::Browser => "browser",
            Self::Foreign => "foreign",
            Self::Autobahn => "autobahn",
            Self::Fuzz => "fuzz",
            Self::Demo => "demo",
        }
    }
}

/// Whether there is a suite of that name.
#[cfg(test)]
pub(crate) fn is_suite(name: &str) -> bool {
    Suite::ALL.iter().any(|suite| suite.name() == name)
}

/// The suites that the names ask for, and what is left as filters for engine cases.
fn select(names: &[String], cases: &[Case]) -> Result<(Vec<Suite>, Vec<String>)> {
    if names.is_empty() {
        return Ok((Suite::ALL.to_vec(), Vec::new()));
    }
    let is_suite = |name: &&String| Suite::ALL.iter().any(|suite| suite.name() == **name);
    let (suites, filters): (Vec<&String>, Vec<&String>) = names.iter().partition(is_suite);
    for filter in &filters {
        if !cases.iter().any(|case| case.name.contains(filter.as_str())) {
            let known = Suite::ALL.map(Suite::name).join(", ");
            bail!(CannotRun(format!(
                "{filter:?} is neither a suite ({known}) nor part of an engine case's name"
            )));
        }
    }
    let wanted = |suite: &Suite| {
        let has_match = |filter: &&String| {
            cases.iter().any(|case| Suite::of(case) == *suite && case.name.contains(filter.as_str()))
        };
        suites.iter().any(|name| *name == suite.name()) || filters.iter().any(has_match)
    };
    let selected = Suite::ALL.into_iter().filter(wanted).collect();
    Ok((selected, filters.into_iter().cloned().collect()))
}

/// The release build that the engine suites share: made once, and its failure told once.
#[derive(Default)]
struct Build {
    outcome: Option<bool>,
}

impl Build {
    fn ready(&mut self, repo: &Repo) -> Result<()> {
        match self.outcome {
            Some(true) => Ok(()),
            Some(false) => bail!("the addon did not build, see above"),
            None => {
                let outcome = addon::build(repo, addon::BuildOptions::default());
                self.outcome = Some(outcome.is_ok());
                outcome
            }
        }
    }
}

/// The licence list of the addon must be the one of the present lock file.
fn licences(repo: &Repo) -> Result<Tally> {
    let wanted = licenses::generate(repo)?;
    let present = fs::read_to_string(licenses::file(repo)).unwrap_or_default();
    let current = present.replace("\r\n", "\n") == wanted;
    Ok(Tally::whole(current, "THIRD_PARTY_LICENSES.txt is out of date: run `cargo xtask build`"))
}

fn summary(name: &str, tally: &Tally, took: &str) -> String {
    let verdict = if tally.failed > 0 {
        "FAILED"
    } else if tally.passed == 0 {
        "SKIPPED"
    } else if tally.skipped > 0 {
        "ok, with skips"
    } else {
        "ok"
    };
    let note = if tally.note.is_empty() { String::new() } else { format!(": {}", tally.note) };
    let Tally { passed, failed, skipped, .. } = tally;
    format!("<== {name}: {verdict}, {passed} passed, {failed} failed, {skipped} skipped, {took}{note}")
}

/// How long the players of the demo move.
pub(crate) const DEMO_SECONDS: u32 = 8;

/// How often a suite that waits looks whether it is time to say so.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Role;

    fn case(name: &str, program: Program) -> Case {
        let name = name.to_owned();
        let process = Role { role: "main".to_owned(), name: "main".to_owned(), program };
        Case {
            script: name.clone(),
            name,
            arguments: Vec::new(),
            processes: vec![process],
            timeout: Duration::ZERO,
            expected: Vec::new(),
            allowed: Vec::new(),
            long: false,
            serial: false,
        }
    }

    fn selected(names: &[&str]) -> (Vec<Suite>, Vec<String>) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let cases = [
            case("relay_broadcast", Program::Engine4),
            case("burst", Program::Engine3),
            case("echo", Program::Curl),
            case("page", Program::Chromium),
        ];
        select(&names, &cases).expect("all names are known")
    }

    #[test]
    fn names_pick_suites_and_cases() {
        assert_eq!(selected(&[]), (Suite::ALL.to_vec(), vec![]));
        assert_eq!(selected(&["fmt", "docs"]), (vec![Suite::Fmt, Suite::Docs], vec![]));
        assert_eq!(selected(&["relay"]), (vec![Suite::Engine], vec!["relay".to_owned()]));
        assert_eq!(
            selected(&["demo", "burst"]),
            (vec![Suite::Engine, Suite::Demo], vec!["burst".to_owned()])
        );
        assert_eq!(selected(&["echo"]), (vec![Suite::Foreign], vec!["echo".to_owned()]));
        assert_eq!(selected(&["page", "foreign"]).0, [Suite::Browser, Suite::Foreign]);
        assert_eq!(selected(&["engine", "burst"]).0, [Suite::Engine]);
        assert!(select(&["nothing".to_owned()], &[]).is_err());
    }

    #[test]
    fn what_the_machine_lacks_is_skipped_and_the_rest_fails() {
        let skipped = Tally::from_error(&CannotRun("no engine".to_owned()).into());
        assert_eq!((skipped.failed, skipped.skipped, skipped.note.as_str()), (0, 1, "no engine"));
        let failed = Tally::from_error(&anyhow::anyhow!("broken\nin detail"));
        assert_eq!((failed.failed, failed.skipped, failed.note.as_str()), (1, 0, "broken"));
    }
}
