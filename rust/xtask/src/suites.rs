//! `cargo xtask test`: runs the suites in order, prints a line for each, and a table at the end.

use std::env;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::case::{Case, Program};
use crate::foreign::Foreign;
use crate::package::PackageOptions;
use crate::repo::Repo;
use crate::soak::SoakOptions;
use crate::{
    CannotRun, addon, autobahn, demo, editor_suite, engine_suite, fuzz, gate_suite, gdscript, guide,
    instructions, licenses, manifests, package, package_suite, platforms_suite, rust_suite, soak, ui,
    web_suite, workflows,
};

/// What to test.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct TestOptions {
    /// Suites, or parts of the names of engine cases; without any, all suites
    pub(crate) names: Vec<String>,
    /// Also run what takes long: ignored Rust tests, repeated engine cases, all Autobahn cases, ten minutes of each fuzz target
    #[arg(long)]
    pub(crate) long: bool,
    /// Run only the Rust tests whose path contains PART, as in `cargo xtask test rust --only slab::`, the scenarios of the suite `web`
    /// whose name does, the examples of the suite `guide` whose page or name does, or the parts of the suites `autobahn` and `platforms`
    /// whose name does
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<String>,
    /// Write the counted instructions as the new figures, as in `cargo xtask test instructions --update`
    #[arg(long, conflicts_with = "only")]
    pub(crate) update: bool,
}

const HELP: &str = "\
Suites: fmt, gdscript, gate, clippy, docs, licences, workflows, manifests, deny, rust, soak, instructions, engine, editor, guide, service, package,
browser, web, foreign, autobahn, fuzz, demo, platforms. Any other NAME picks the engine cases whose names contain it.

One engine case:  cargo xtask test slow_reader
One Rust test:    cargo xtask test rust --only slab::tests::an_old_id";

/// How many tests of a suite passed, failed and were skipped.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    /// A remark for the table.
    pub(crate) note: String,
}

/// What the suites of one run share.
struct Context<'a> {
    repo: &'a Repo,
    options: &'a TestOptions,
    /// Parts of the names of engine cases.
    filters: &'a [String],
    /// The result of the release build, once it was tried.
    built: Option<bool>,
}

type Run = fn(&mut Context<'_>) -> Result<Tally>;

/// Every suite, in the order in which they run.
const SUITES: [(&str, Run); 24] = [
    ("fmt", |context| rust_suite::fmt(context.repo)),
    ("gdscript", |context| gdscript::suite(context.repo)),
    ("gate", |context| gate_suite::suite(context.repo)),
    ("clippy", |context| rust_suite::clippy(context.repo)),
    ("docs", |context| rust_suite::docs(context.repo)),
    ("licences", |context| licenses::suite(context.repo)),
    ("workflows", |context| workflows::suite(context.repo)),
    ("manifests", |context| manifests::suite(context.repo)),
    ("deny", |context| rust_suite::deny(context.repo)),
    ("rust", |context| {
        rust_suite::tests(context.repo, context.options.long, context.options.only.as_deref())
    }),
    ("soak", |context| {
        let passed = soak::run(context.repo, &SoakOptions::default())?;
        Ok(Tally::whole(passed, "see above; the seed is in the first line"))
    }),
    ("instructions", |context| instructions::run(context.repo, context.options.update)),
    ("engine", |context| context.cases("engine")),
    ("editor", |context| editor_suite::run(context.repo)),
    ("guide", |context| {
        let only = context.options.only.as_deref();
        guide::suite(context.build()?, only)
    }),
    ("service", |context| service(context.build()?)),
    ("package", |context| {
        package::build(context.repo, &PackageOptions::default())?;
        package_suite::run(context.repo, &PackageOptions::default())
    }),
    ("browser", |context| context.cases("browser")),
    ("web", |context| web_suite::run(context.repo, context.options.long, context.options.only.as_deref())),
    ("foreign", |context| context.cases("foreign")),
    ("autobahn", |context| {
        autobahn::run(context.repo, context.options.long, context.options.only.as_deref())
    }),
    ("fuzz", |context| fuzz::run(context.repo, context.options.long)),
    ("demo", |context| demo::suite(context.build()?)),
    ("platforms", |context| context.platforms()),
];

/// Runs the suites. `Ok(false)` when something failed, or was skipped where that is not allowed.
pub(crate) fn run(repo: &Repo, options: &TestOptions) -> Result<bool> {
    let names = &options.names;
    ensure!(
        !options.update || names == &["instructions"],
        CannotRun("--update belongs to `test instructions`".to_owned())
    );
    ensure!(
        options.only.is_none()
            || ["rust", "web", "guide", "autobahn", "platforms"].iter().any(|suite| names == &[*suite]),
        CannotRun(
            "--only belongs to `test rust`, `test web`, `test guide`, `test autobahn` and `test platforms`"
                .to_owned()
        )
    );
    let ci = env::var("CI").is_ok_and(|value| value == "true");
    let (selected, filters) = select(names, || Case::all(&repo.test_project().join("cases")))?;
    let started = Instant::now();
    let mut context = Context { repo, options, filters: &filters, built: None };
    let mut rows = Vec::new();
    let mut total = Tally::default();
    for (name, suite) in SUITES.iter().filter(|(name, _)| selected.contains(name)) {
        ui::step(&format!("Suite {name}"));
        let suite_started = Instant::now();
        let tally = suite(&mut context).unwrap_or_else(|error| Tally::from_error(&error));
        let took = ui::seconds(suite_started.elapsed());
        println!("{}", summary(name, &tally, &took));
        let Tally { passed, failed, skipped, note } = tally;
        total.passed += passed;
        total.failed += failed;
        total.skipped += skipped;
        let [passed, failed, skipped] = [passed, failed, skipped].map(|count| count.to_string());
        rows.push(vec![(*name).to_owned(), passed, failed, skipped, took, note]);
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

impl<'a> Context<'a> {
    /// Makes the release build that the engine suites share. It is tried once, and a failure is shown once.
    fn build(&mut self) -> Result<&'a Repo> {
        ensure!(self.built != Some(false), "the addon did not build, see above");
        if self.built.is_none() {
            let outcome = addon::build(self.repo, addon::BuildOptions::LEAN);
            self.built = Some(outcome.is_ok());
            outcome?;
        }
        Ok(self.repo)
    }

    /// Other machines take long: they are tried where they are named, or with what takes long.
    fn platforms(&self) -> Result<Tally> {
        if self.options.long || self.options.names.iter().any(|name| name == "platforms") {
            return platforms_suite::run(self.repo, self.options.only.as_deref());
        }
        Ok(Tally { note: "only with --long, or by name".to_owned(), ..Tally::default() })
    }

    /// The engine cases of one suite.
    fn cases(&mut self, suite: &str) -> Result<Tally> {
        let repo = self.build()?;
        let mut cases = Case::all(&repo.test_project().join("cases"))?;
        cases.retain(|case| suite_of(case) == suite);
        // A suite that is named as a whole is not narrowed down by a filter.
        let whole = self.options.names.iter().any(|name| name == suite);
        engine_suite::run(repo, cases, if whole { &[] } else { self.filters }, self.options.long)
    }
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

    /// Adds the tests of a part of a suite.
    pub(crate) fn join(&mut self, part: Result<Self>) {
        let part = part.unwrap_or_else(|error| Self::from_error(&error));
        self.passed += part.passed;
        self.failed += part.failed;
        self.skipped += part.skipped;
        if !part.note.is_empty() {
            self.note = format!("{} {}", self.note, part.note).trim().to_owned();
        }
    }

    /// Counts one more test by its result.
    pub(crate) fn add(&mut self, outcome: Result<()>) {
        self.join(outcome.map(|()| Self::passed()));
    }

    /// If the machine lacks something, the suite is skipped; any other error is a failure.
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

#[cfg(unix)]
fn service(repo: &Repo) -> Result<Tally> {
    crate::service_suite::suite(repo)
}

#[cfg(not(unix))]
fn service(_: &Repo) -> Result<Tally> {
    bail!(CannotRun("the service is tried on Debian".to_owned()))
}

/// Returns the suite of a case, by the programs of its processes.
fn suite_of(case: &Case) -> &'static str {
    if case.needs(Program::Chromium) {
        "browser"
    } else if Foreign::PROGRAMS.iter().any(|&program| case.needs(program)) {
        "foreign"
    } else {
        "engine"
    }
}

/// Returns whether a suite has that name.
pub(crate) fn is_suite(name: &str) -> bool {
    SUITES.iter().any(|(suite, _)| *suite == name)
}

/// The suites that the names ask for, and the names that are filters for engine cases. The heads of the cases are read only
/// where a name asks for a case, so that a mistake in one does not keep other suites from running.
fn select(
    names: &[String],
    read_cases: impl FnOnce() -> Result<Vec<Case>>,
) -> Result<(Vec<&'static str>, Vec<String>)> {
    let (suites, filters): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| is_suite(name));
    let cases = if filters.is_empty() { Vec::new() } else { read_cases()? };
    if let Some(unknown) = filters.iter().find(|filter| !cases.iter().any(|case| case.name.contains(*filter)))
    {
        bail!(CannotRun(format!(
            "{unknown:?} is neither a suite nor part of an engine case's name\nsuites: {}",
            SUITES.map(|(name, _)| name).join(", ")
        )));
    }
    let of_filters: Vec<&str> = cases
        .iter()
        .filter(|case| filters.iter().any(|filter| case.name.contains(filter)))
        .map(suite_of)
        .collect();
    let is_wanted = |name: &&str| {
        names.is_empty() || suites.iter().any(|suite| suite == name) || of_filters.contains(name)
    };
    Ok((SUITES.map(|(name, _)| name).into_iter().filter(is_wanted).collect(), filters))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    fn selected(names: &[&str]) -> (Vec<&'static str>, Vec<String>) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let cases = vec![
            case("relay_broadcast", Program::Engine4),
            case("burst", Program::Engine3),
            case("echo", Program::Curl),
            case("page", Program::Chromium),
        ];
        select(&names, || Ok(cases)).expect("all names are known")
    }

    #[test]
    fn names_pick_suites_and_cases() {
        assert_eq!(selected(&[]), (SUITES.map(|(name, _)| name).to_vec(), vec![]));
        assert_eq!(selected(&["fmt", "docs"]), (vec!["fmt", "docs"], vec![]));
        assert_eq!(selected(&["relay"]), (vec!["engine"], vec!["relay".to_owned()]));
        assert_eq!(selected(&["demo", "burst"]), (vec!["engine", "demo"], vec!["burst".to_owned()]));
        assert_eq!(selected(&["echo"]), (vec!["foreign"], vec!["echo".to_owned()]));
        assert_eq!(selected(&["page", "foreign"]).0, ["browser", "foreign"]);
        assert_eq!(selected(&["engine", "burst"]).0, ["engine"]);
        assert!(select(&["nothing".to_owned()], || Ok(Vec::new())).is_err());
    }

    #[test]
    fn a_mistake_in_the_head_of_a_case_is_shown_where_a_case_is_wanted() {
        let names = |name: &str| [name.to_owned()];
        let broken = || Case::parse("broken", "# processes: main\n# expect: (\n");
        let error = format!("{:#}", select(&names("broken"), broken).expect_err("the expression is not one"));
        assert!(error.starts_with("expect: regex parse error"), "{error}");
        assert_eq!(select(&names("fmt"), broken).expect("no case is wanted").0, ["fmt"]);
    }

    #[test]
    fn the_help_names_every_suite() {
        let (named, _) = HELP.split_once('.').expect("a sentence");
        let named: Vec<&str> =
            named.trim_start_matches("Suites: ").split([',', '\n']).map(str::trim).collect();
        let named: Vec<&str> = named.into_iter().filter(|name| !name.is_empty()).collect();
        assert_eq!(named, SUITES.map(|(name, _)| name));
    }

    #[test]
    fn what_the_machine_lacks_is_skipped_and_the_rest_fails() {
        let skipped = Tally::from_error(&CannotRun("no engine".to_owned()).into());
        assert_eq!((skipped.failed, skipped.skipped, skipped.note.as_str()), (0, 1, "no engine"));
        let failed = Tally::from_error(&anyhow::anyhow!("broken\nin detail"));
        assert_eq!((failed.failed, failed.skipped, failed.note.as_str()), (1, 0, "broken"));
    }
}
