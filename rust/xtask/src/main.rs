//! `cargo xtask`: builds, tests, measures and packs this project, the same way at home and in CI.

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod addon;
mod affinity;
mod args;
mod asset_library;
mod autobahn;
mod bench;
mod bench_compression;
mod bench_goal;
mod bench_report;
mod bench_rows;
mod bench_svg;
mod bench_trial;
mod cache;
mod case;
mod cross;
mod cross_tools;
mod debian;
mod demo;
mod demo_chat;
mod demo_report;
mod demo_web;
mod doctor;
mod editor_suite;
mod editor_watch;
mod engine;
mod engine_run;
mod engine_suite;
mod engines;
mod files;
mod foreign;
mod fuzz;
mod gate_suite;
mod gdscript;
mod guide;
mod guide_page;
mod instructions;
mod licenses;
mod manifests;
mod package;
mod package_suite;
mod platforms;
mod platforms_core;
mod platforms_suite;
mod process;
mod release_export;
mod repo;
mod rust_suite;
mod screenshots;
#[cfg(unix)]
mod service_suite;
mod soak;
mod suites;
mod ui;
#[cfg(test)]
mod unsafe_code;
mod verdict;
mod web_export;
mod web_pack;
mod web_suite;
mod workflows;

use args::Action;
use engines::Generation;
use repo::Repo;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<CannotRun>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run() -> Result<bool> {
    let action = args::Arguments::parse().action;
    process::kill_children_on_interrupt()?;
    let repo = Repo::locate()?;
    match action {
        Action::Engines => {
            for generation in Generation::ALL {
                let engine = engines::provide(&repo, generation)?;
                ui::step(&format!("{generation}: {} ({})", engine.version, engine.source));
                ui::detail(&engine.command_line());
            }
        }
        Action::Build(options) => {
            addon::build(&repo, options)?;
            licenses::write(&repo)?;
            addon::stage(&repo)?;
        }
        Action::Package(options) => {
            package::build(&repo, &options)?;
            if options.check {
                let tally = package_suite::run(&repo, &options)?;
                return Ok(tally.failed + tally.skipped == 0);
            }
            package::make(&repo, &options)?;
        }
        Action::Stage => addon::stage(&repo)?,
        Action::Test(options) => return suites::run(&repo, &options),
        Action::Demo(options) => demo::run(&repo, options)?,
        Action::Screenshots(options) => screenshots::run(&repo, &options)?,
        Action::Bench(options) => return bench::run(&repo, &options),
        Action::Soak(options) => return soak::run(&repo, &options),
        Action::Doctor => return doctor::run(&repo),
    }
    Ok(true)
}

/// Something that this machine lacks: exit code 2 instead of 1, and a skip where a suite asked.
#[derive(Debug)]
pub(crate) struct CannotRun(pub(crate) String);

impl fmt::Display for CannotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotRun {}
