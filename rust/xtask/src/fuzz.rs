//! The fuzz targets, each built with libFuzzer's instrumentation and run for some seconds.
//!
//! The stable compiler can do that, given the flags that `cargo fuzz build --sanitizer none` would set. `cargo fuzz` itself
//! must be installed first (57 crates to compile); a developer who has it can use it on the same manifest.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::engines::on_path;
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{CannotRun, files, process, ui};

/// Ten minutes for each target when `long`, else some seconds.
pub(crate) fn run(repo: &Repo, long: bool) -> Result<Tally> {
    let time = if long { LONG } else { SHORT };
    if !cfg!(target_os = "linux") || on_path("c++").is_none() {
        bail!(CannotRun("libFuzzer needs Linux and a C++ compiler (`c++`)".to_owned()));
    }
    let version = repo.cargo_output(&["version", "--verbose"])?;
    // The target is named in the build, so that build scripts are not instrumented.
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo names its host")?;
    let target_folder = repo.target.join("fuzz");
    let status = repo.run_cargo(
        &[
            "build",
            "--release",
            "--manifest-path=fuzz/Cargo.toml",
            &format!("--target={host}"),
            &format!("--target-dir={}", target_folder.display()),
        ],
        &[("RUSTFLAGS".to_owned(), FLAGS.join(" "))],
        |_| true,
    )?;
    ensure!(status.success(), "the fuzz targets did not build, see above");
    let mut tally = Tally::default();
    for file in files::with_ending(&repo.root.join("fuzz/fuzz_targets"), "rs")? {
        let target = file.file_stem().context("a target has a name")?.to_string_lossy();
        let program = target_folder.join(host).join("release").join(&*target);
        tally.add(fuzz(repo, &target, &program, time).with_context(|| target.clone().into_owned()));
    }
    ensure!(tally.passed + tally.failed > 0, "there are no targets in fuzz/fuzz_targets");
    if tally.failed > 0 {
        tally.note = "an input breaks a promise, see above and docs/limits.md".to_owned();
    }
    Ok(tally)
}

/// Runs one target for some time, and shows how far it came.
fn fuzz(repo: &Repo, target: &str, program: &Path, time: Duration) -> Result<()> {
    let folder = repo.scratch.join("fuzz").join(target);
    let found = folder.join("found");
    fs::create_dir_all(&found)?;
    let mut command = Command::new(program);
    // New inputs go to the first folder, the committed ones are only read.
    command.arg(&found).arg(repo.root.join("fuzz/corpus").join(target));
    command.arg(format!("-max_total_time={}", time.as_secs()));
    command.args(["-timeout=25", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={}/", folder.display()));
    let (mut executions, mut coverage) = (String::new(), String::new());
    let ended = process::run(target, command, time + LIMIT, |line| {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            executions = count.trim().to_owned();
        }
        if let Some((_, after)) = line.split_once(" cov: ") {
            coverage = after.split_whitespace().next().unwrap_or_default().to_owned();
        }
    })?;
    ended.success()?;
    ui::detail(&format!("{target}: {executions} executions, {coverage} edges"));
    Ok(())
}

const FLAGS: [&str; 7] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // With several codegen units, the coverage of a function would be split.
    "-Ccodegen-units=1",
];
/// Enough to see that a target works and reaches the code that it tests.
const SHORT: Duration = Duration::from_secs(6);
/// For a nightly run.
const LONG: Duration = Duration::from_mins(10);
/// Additional time for the start, the corpus, and a busy machine.
const LIMIT: Duration = Duration::from_mins(3);
