//! The core's own tests on other machines: a processor of another kind, with qemu where this one cannot run its programs, and Windows'
//! system calls, as Wine makes them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::cross_tools::{CrossTools, Product};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{cross, debian, foreign, rust_suite, ui};

/// A machine that programs are built for, and run as if on it.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    target: &'static str,
    system: System,
}

enum System {
    /// The folder of the C library in Debian's package for cross compilers, its loader, and qemu for programs of that processor.
    Linux { libraries: &'static str, loader: &'static str, qemu: &'static str },
    /// Wine.
    Windows,
}

/// The cheapest first.
pub(crate) const MACHINES: [Machine; 4] = [
    Machine {
        name: "Linux on i686 (32 bits)",
        target: "i686-unknown-linux-gnu",
        system: System::Linux {
            libraries: "/usr/i686-linux-gnu/lib",
            loader: "ld-linux.so.2",
            qemu: "qemu-i386-static",
        },
    },
    Machine {
        name: "Linux on s390x (big-endian)",
        target: "s390x-unknown-linux-gnu",
        system: System::Linux {
            libraries: "/usr/s390x-linux-gnu/lib",
            loader: "ld64.so.1",
            qemu: "qemu-s390x-static",
        },
    },
    Machine {
        name: "Linux on arm64",
        target: "aarch64-unknown-linux-gnu",
        system: System::Linux {
            libraries: "/usr/aarch64-linux-gnu/lib",
            loader: "ld-linux-aarch64.so.1",
            qemu: "qemu-aarch64-static",
        },
    },
    Machine { name: "Windows on x86_64 (Wine)", target: "x86_64-pc-windows-gnu", system: System::Windows },
];

/// Tests that are left out, and why.
struct LeftOut {
    /// Names, or the beginnings of names.
    tests: &'static [&'static str],
    why: &'static str,
}

const UNDER_QEMU: LeftOut = LeftOut {
    tests: &["the_platforms_roots_are_trusted", "without_the_platforms_roots_a_built_in_list_serves"],
    why: "they start their own program, which only the emulator can",
};

const UNDER_WINE: LeftOut = LeftOut {
    tests: &[
        "sockets_that_fail",
        "two_hundred_clients_that_are_cut_at_once_come_back",
        "slow_reader::",
        "resume_attack::",
        "tls_flood::",
        "tls_slow::",
    ],
    why: "they need more connections or packets than Wine, all of whose processes wait for one, serves in their time",
};

impl Machine {
    /// Builds the core's tests for the machine and runs them. The note names those that were left out.
    pub(crate) fn run(&self, repo: &Repo) -> Result<Tally> {
        ui::step(&format!("The core's tests for {}", self.name));
        let mut tools = CrossTools::provide(self.target, Product::Tests)?;
        let mut runner = None;
        let mut left_out = None;
        match self.system {
            System::Linux { libraries, loader, qemu } => {
                let loader = Path::new(libraries).join(loader);
                // So that the kernel or qemu find the C library, which is at home on another machine.
                tools.flags.push(format!("-Clink-arg=-Wl,--dynamic-linker={}", loader.display()));
                tools.flags.push(format!("-Clink-arg=-Wl,-rpath,{libraries}"));
                if !runs_here(&loader) {
                    let program =
                        debian::program(qemu, "qemu-user-static", "qemu for programs of other machines")?;
                    runner = Some(program.display().to_string());
                    left_out = Some(UNDER_QEMU);
                }
            }
            System::Windows => {
                let script = repo.root.join("tests/platforms/wine.sh");
                let system = foreign::wine()?;
                let shown =
                    [&script, &system, &repo.root, &repo.target].map(|path| path.display().to_string());
                runner = Some(format!("sh {}", shown.join(" ")));
                left_out = Some(UNDER_WINE);
            }
        }
        let mut environment = cross::environment(repo, self.target, &tools.flags)?;
        environment.extend(tools.environment);
        if let Some(runner) = runner {
            let name = self.target.to_uppercase().replace('-', "_");
            environment.push((format!("CARGO_TARGET_{name}_RUNNER"), runner));
        }
        // Without these a release build takes a third of the time, and its tests no longer.
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
        arguments.push("--");
        let tests = left_out.iter().flat_map(|left_out| left_out.tests);
        arguments.extend(tests.flat_map(|name| ["--skip", name]));
        let mut tally = rust_suite::foreign_tests(repo, &arguments, &environment)?;
        if let Some(LeftOut { tests, why }) = left_out {
            tally.note.push_str(&format!("{} without {}: {why}. ", self.name, tests.join(", ")));
        }
        Ok(tally)
    }
}

/// Returns whether this machine's kernel starts programs of that loader's kind.
fn runs_here(loader: &Path) -> bool {
    let mut command = Command::new(loader);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_left_out_exists() {
        let repo = Repo::locate().expect("tests run in the working copy");
        let tests = repo.root.join("tests");
        let text = ["loopback/tls.rs", "loopback/resume.rs", "behaviour/faults/sockets.rs"]
            .map(|file| fs_err::read_to_string(tests.join(file)).expect("a file of tests"))
            .concat();
        for name in [UNDER_QEMU, UNDER_WINE].iter().flat_map(|left_out| left_out.tests) {
            let exists = match name.strip_suffix("::") {
                Some(module) => tests.join(format!("loopback/{module}.rs")).exists(),
                None => text.contains(&format!("{name}(")),
            };
            assert!(exists, "{name}");
        }
    }
}
