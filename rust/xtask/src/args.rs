//! The command line.

use clap::{Parser, Subcommand};

use crate::addon::BuildOptions;
use crate::bench::BenchOptions;
use crate::demo::DemoOptions;
use crate::package::PackageOptions;
use crate::screenshots::ScreenshotOptions;
use crate::soak::SoakOptions;
use crate::suites::TestOptions;

/// Build, test, measure and pack this project, the same way at home and in CI
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Build the addon, get an engine, play a scripted game in three processes, and show which packets arrived
    Demo(DemoOptions),
    /// Run all suites, or those named
    Test(TestOptions),
    /// Measure the addon against the engine's own class, the class of 3.6, and a server without any of them
    Bench(BenchOptions),
    /// Run servers, and clients that come and go, on loopback; check that no packet is lost and that all memory is released
    Soak(SoakOptions),
    /// Build the addon in release into addons/websocket_multiplayer, with the editor's part, and stage it
    Build(BuildOptions),
    /// Build the addon for this machine or for several, and make the zips of the addon and of the demo, into target/package
    Package(PackageOptions),
    /// Take the pictures of the documentation again, under Xvfb (Linux)
    Screenshots(ScreenshotOptions),
    /// Put the addon, as it is, into redot_project and tests/engine
    Stage,
    /// Find the engines for tests, or fetch them (Debian)
    Engines,
    /// Show what this machine has, and what it lacks
    Doctor,
}

const HELP: &str = "\
cargo xtask test                     all suites; --long also runs what takes long
cargo xtask test NAME                one suite (`cargo xtask test --help` lists them), or the engine cases with NAME in theirs
cargo xtask test rust --only PART    the Rust tests whose path contains PART

GODOT4_BIN and GODOT3_BIN name engines; else the PATH is searched (redot, godot4, godot; godot3-server, godot3); else a folder in
the cache is made from Debian packages.";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::CommandFactory;

    use super::*;

    fn read(words: &[&str]) -> Result<Action, clap::Error> {
        let words = ["cargo xtask"].into_iter().chain(words.iter().copied());
        Arguments::try_parse_from(words).map(|arguments| arguments.action)
    }

    #[test]
    fn commands_and_options() {
        Arguments::command().debug_assert();
        let demo = |seconds, window| DemoOptions { window, web: false, seconds };
        assert!(matches!(read(&["demo", "--window"]), Ok(Action::Demo(options)) if options == demo(8, true)));
        assert!(
            matches!(read(&["demo", "--seconds=20"]), Ok(Action::Demo(options)) if options == demo(20, false))
        );
        let Ok(Action::Bench(options)) = read(&["bench", "--only=idle,echo", "--repeat", "5"]) else {
            panic!("bench is a command")
        };
        assert_eq!((&options.only[..], options.turns()), (&["idle".to_owned(), "echo".to_owned()][..], 5));
        let Ok(Action::Bench(options)) = read(&["bench", "--quick", "--markdown=README.md"]) else {
            panic!("bench is a command")
        };
        assert_eq!((options.markdown.clone(), options.turns()), (Some(PathBuf::from("README.md")), 1));
        let Ok(Action::Build(options)) = read(&["build", "--lean", "--platform", "ios"]) else {
            panic!("build is a command")
        };
        assert_eq!((options.lean, options.platform.map(|one| one.name)), (true, Some("ios")));
        let Ok(Action::Package(options)) = read(&["package", "--complete", "--tag=v1.2.3"]) else {
            panic!("package is a command")
        };
        assert_eq!((options.check, options.complete, options.tag.as_deref()), (false, true, Some("v1.2.3")));
        let Ok(Action::Test(options)) = read(&["test", "relay", "--long", "fmt"]) else {
            panic!("test is a command")
        };
        assert_eq!((options.names, options.long), (vec!["relay".to_owned(), "fmt".to_owned()], true));
    }

    #[test]
    fn a_mistake_is_told_in_a_few_lines() {
        for words in [
            &["dem"][..],
            &["demo", "--long"],
            &["demo", "--seconds=0"],
            &["demo", "--web", "--window"],
            &["stage", "x"],
            &["build", "--platform=amiga"],
            &["build", "--editor"],
            &["test", "--update", "--only=x"],
            &["soak", "--seconds=long"],
            &["bench", "--repeat=0"],
            &["bench", "--only=echo", "--markdown=README.md"],
        ] {
            let error = read(words).expect_err("a mistake");
            let message = error.to_string();
            assert_eq!(error.exit_code(), 2);
            assert!(message.starts_with("error: ") && message.lines().count() <= 9, "{message}");
        }
    }
}
