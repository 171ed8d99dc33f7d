//! The fuzz targets: each built with libFuzzer's instrumentation and let loose for some seconds.
//!
//! The stable compiler can do that, given the flags that `cargo fuzz` would set; only the sanitizers would need another one,
//! and the core has no unsafe code for them to look at.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::engines::on_path;
use crate::process::{Group, describe};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{CannotRun, ui};

/// Ten minutes for each target when `long`, else some seconds.
pub(crate) fn run(repo: &Repo, long: bool) -> Result<Tally> {
    let time = if long { LONG } else { SHORT };
    if !cfg!(target_os = "linux") || on_path("c++").is_none() {
        bail!(CannotRun("libFuzzer needs Linux and a C++ compiler (`c++`)".to_owned()));
    }
    let targets = targets(repo)?;
    let host = host(repo)?;
    let target_folder = repo.scratch.with_file_name("fuzz");
    let manifest = repo.root.join("fuzz/Cargo.toml");
    let arguments = [
        "build",
        "--release",
        "--target",
        &host,
        "--manifest-path",
        path(&manifest)?,
        "--target-dir",
        path(&target_folder)?,
    ];
    let status = repo.run_cargo(&arguments, &[("RUSTFLAGS", &FLAGS.join(" "))], |_| true)?;
    ensure!(status.success(), "the fuzz targets did not build, see above");
    let mut tally = Tally::default();
    for target in targets {
        let program = target_folder.join(&host).join("release").join(&target);
        match attack(repo, &target, &program, time) {
            Ok(figures) => {
                ui::detail(&format!("{target}: {figures}"));
                tally.passed += 1;
            }
            Err(error) => {
                ui::detail(&format!("{target}: {error:#}"));
                tally.failed += 1;
            }
        }
    }
    if tally.failed > 0 {
        tally.note = "an input breaks a promise, see above and docs/limits.md".to_owned();
    }
    Ok(tally)
}

/// One target for some time; says what was done.
fn attack(repo: &Repo, target: &str, program: &Path, time: Duration) -> Result<String> {
    let folder = repo.scratch.join("fuzz").join(target);
    let found = folder.join("found");
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut command = Command::new(program);
    // New inputs go to the first folder, the committed ones are only read.
    command.arg(&found).arg(repo.root.join("fuzz/corpus").join(target));
    command.args([
        format!("-max_total_time={}", time.as_secs()),
        "-timeout=25".to_owned(),
        "-rss_limit_mb=1024".to_owned(),
    ]);
    command.args(["-print_final_stats=1", &format!("-artifact_prefix={}/", folder.display())]);
    let mut group = Group::new();
    let index = group.spawn(target, command)?;
    let (mut executions, mut coverage) = (String::new(), String::new());
    while !group.all_done() {
        if let Some((_, line)) = group.next_line(Duration::from_millis(250)) {
            if let Some(count) = line.text.strip_prefix("stat::number_of_executed_units:") {
                executions = count.trim().to_owned();
            }
            if let Some((_, after)) = line.text.split_once(" cov: ") {
                coverage = after.split_whitespace().next().unwrap_or_default().to_owned();
            }
        }
        if group.started().elapsed() > time + LIMIT {
            bail!("did not end within {}", ui::seconds(time + LIMIT));
        }
    }
    let status = group.status(index).context("it has ended")?;
    if !status.success() {
        let tail: Vec<_> = group.tail(index).map(|line| line.text.as_str()).collect();
        bail!("{}\n{}", describe(status), tail.join("\n"));
    }
    Ok(format!("{executions} executions, {coverage} edges"))
}

/// The names of the targets, which are those of their files.
fn targets(repo: &Repo) -> Result<Vec<String>> {
    let folder = repo.root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let file = entry?.path();
        names.push(file.file_stem().context("a target has a name")?.to_string_lossy().into_owned());
    }
    names.sort();
    ensure!(!names.is_empty(), "there are no targets in {}", folder.display());
    Ok(names)
}

/// The host's target triple. It is named in the build, so that build scripts are not instrumented.
fn host(repo: &Repo) -> Result<String> {
    let text = repo.cargo_output(&["version", "--verbose"])?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("cargo names its host")?.to_owned())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the working copy's path is UTF-8")
}

const FLAGS: [&str; 7] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Functions that are split over units would be counted in pieces.
    "-Ccodegen-units=1",
];
/// Enough to see that a target works and finds its way in.
const SHORT: Duration = Duration::from_secs(10);
/// For a quiet night.
const LONG: Duration = Duration::from_mins(10);
/// For the start, the corpus, and a busy machine.
const LIMIT: Duration = Duration::from_mins(3);
