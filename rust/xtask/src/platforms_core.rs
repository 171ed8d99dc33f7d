//! The core's own tests, built for another machine whose programs this one's kernel starts too.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::cross_tools::{CrossTools, Product};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{CannotRun, cross, rust_suite, ui};

/// A machine that programs are built for.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    target: &'static str,
    /// The folder of the C library in Debian's package for cross compilers.
    libraries: &'static str,
    /// The library's loader of programs.
    loader: &'static str,
}

pub(crate) const MACHINES: [Machine; 1] = [Machine {
    name: "Linux on i686 (32 bits)",
    target: "i686-unknown-linux-gnu",
    libraries: "/usr/i686-linux-gnu/lib",
    loader: "ld-linux.so.2",
}];

impl Machine {
    /// Builds the core's tests for the machine and runs them.
    pub(crate) fn run(&self, repo: &Repo) -> Result<Tally> {
        ui::step(&format!("The core's tests for {}", self.name));
        let mut tools = CrossTools::provide(self.target, Product::Tests)?;
        let loader = Path::new(self.libraries).join(self.loader);
        ensure!(runs_here(&loader), CannotRun(format!("the kernel starts no programs for {}", self.name)));
        // So that the kernel finds the C library, which is at home on another machine.
        tools.flags.push(format!("-Clink-arg=-Wl,--dynamic-linker={}", loader.display()));
        tools.flags.push(format!("-Clink-arg=-Wl,-rpath,{}", self.libraries));
        let mut environment = cross::environment(repo, self.target, &tools.flags)?;
        environment.extend(tools.environment);
        // Tests build faster without the optimizations of a release across crates.
        environment.push(("CARGO_PROFILE_RELEASE_LTO".to_owned(), "off".to_owned()));
        environment.push(("CARGO_PROFILE_RELEASE_CODEGEN_UNITS".to_owned(), "16".to_owned()));
        let mut arguments = vec!["test", "--package=websocket-multiplayer-core", "--release"];
        arguments.extend([
            "--no-fail-fast",
            "--lib",
            "--test=loopback",
            "--test=descriptors",
            "--test=model",
        ]);
        arguments.extend(tools.arguments.iter().map(String::as_str));
        rust_suite::foreign_tests(repo, &arguments, &environment)
    }
}

/// Returns whether this machine's kernel starts programs of that loader's kind.
fn runs_here(loader: &Path) -> bool {
    let mut command = Command::new(loader);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
