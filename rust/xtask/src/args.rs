//! The command line.

use anyhow::{Result, bail};
use lexopt::prelude::*;

use crate::CannotRun;
use crate::addon::BuildOptions;
use crate::bench::BenchOptions;
use crate::demo::DemoOptions;
use crate::package::PackageOptions;
use crate::platforms::Platform;
use crate::soak::SoakOptions;
use crate::suites::{DEMO_SECONDS, TestOptions};

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Action {
    Engines,
    Build(BuildOptions),
    Stage,
    Package(PackageCommand),
    Test(TestOptions),
    Demo(DemoOptions),
    Bench(BenchOptions),
    Screenshots(Vec<String>),
    Soak(SoakOptions),
    Doctor,
    Help,
}

/// Making packages, and trying them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PackageCommand {
    pub(crate) package: PackageOptions,
    /// Try them in an empty project.
    pub(crate) check: bool,
}

/// Reads the arguments; a mistake is a [`CannotRun`] with the usage in it.
pub(crate) fn parse(parser: lexopt::Parser) -> Result<Action> {
    match parse_words(parser) {
        Ok(action) => Ok(action),
        Err(error) => bail!(CannotRun(format!("{error}\n\n{USAGE}"))),
    }
}

fn parse_words(mut parser: lexopt::Parser) -> Result<Action, lexopt::Error> {
    let mut action = match parser.next()? {
        Some(Value(word)) => match word.string()?.as_str() {
            "engines" => Action::Engines,
            "build" => Action::Build(BuildOptions::default()),
            "stage" => Action::Stage,
            "package" => Action::Package(PackageCommand::default()),
            "test" => Action::Test(TestOptions::default()),
            "demo" => Action::Demo(DemoOptions { window: false, seconds: DEMO_SECONDS }),
            "bench" => Action::Bench(BenchOptions::default()),
            "screenshots" => Action::Screenshots(Vec::new()),
            "soak" => Action::Soak(SoakOptions::default()),
            "doctor" => Action::Doctor,
            "help" => Action::Help,
            other => return Err(format!("there is no command {other:?}").into()),
        },
        Some(Short('h') | Long("help")) | None => Action::Help,
        Some(other) => return Err(other.unexpected()),
    };
    while let Some(argument) = parser.next()? {
        match (&mut action, argument) {
            (_, Short('h') | Long("help")) => return Ok(Action::Help),
            (Action::Build(options), Long("debug")) => options.debug = true,
            (Action::Build(options), Long("editor")) => options.editor = true,
            (Action::Build(options), Long("platform")) => {
                let platform = Platform::named(&parser.value()?.string()?);
                options.platform = Some(platform.map_err(|error| error.to_string())?);
            }
            (Action::Package(options), Long("complete")) => options.package.complete = true,
            (Action::Package(options), Long("check")) => options.check = true,
            (Action::Package(options), Long("tag")) => {
                options.package.tag = Some(parser.value()?.string()?);
            }
            (Action::Test(options), Long("long")) => options.long = true,
            (Action::Test(options), Long("update")) => options.update = true,
            (Action::Test(options), Value(name)) => options.names.push(name.string()?),
            (Action::Demo(options), Long("window")) => options.window = true,
            (Action::Demo(options), Long("seconds")) => options.seconds = parser.value()?.parse()?,
            (Action::Bench(options), Long("markdown")) => options.markdown = Some(parser.value()?.into()),
            (Action::Bench(options), Long("quick")) => options.repeat = 1,
            (Action::Bench(options), Long("only")) => {
                options.rows.extend(parser.value()?.string()?.split(',').map(|row| row.trim().to_owned()));
            }
            (Action::Bench(options), Long("repeat")) => options.repeat = parser.value()?.parse()?,
            (Action::Screenshots(names), Value(name)) => names.push(name.string()?),
            (Action::Soak(options), Long("seconds")) => options.seconds = parser.value()?.parse()?,
            (Action::Soak(options), Long("clients")) => options.clients = parser.value()?.parse()?,
            (Action::Soak(options), Long("seed")) => options.seed = Some(parser.value()?.parse()?),
            (_, other) => return Err(other.unexpected()),
        }
    }
    match action {
        Action::Build(BuildOptions { debug: true, editor: true, .. }) => {
            Err("--debug and --editor exclude each other".into())
        }
        Action::Test(TestOptions { update: true, names, .. }) if names != ["instructions"] => {
            Err("--update belongs to `test instructions`".into())
        }
        Action::Demo(DemoOptions { seconds: 0, .. }) => Err("--seconds must be at least 1".into()),
        Action::Bench(BenchOptions { repeat: 0, .. }) => Err("--repeat must be at least 1".into()),
        action => Ok(action),
    }
}

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
cargo xtask COMMAND

  demo [--seconds N]      build the addon, get an engine, play a scripted game in three processes, show what got through
  demo --window           the same game in windows, for a person
  test [--long] [NAME..]  all suites, or those named; a NAME that is no suite picks cases by part of their name
                          suites: fmt, gdscript, clippy, docs, licences, deny, workflows, rust, soak, instructions, engine,
                          editor, guide, package, browser, foreign, autobahn, fuzz, demo
  test instructions --update
                          count the instructions that a packet takes, and write them into tests/instructions.toml
  bench [--only ROW,..]   measure the addon against the engine's own class, the one of 3.6 and the floor; rows: core, echo,
        [--repeat N]      echo60, idle, memory, broadcast, join, tls, stall, relay; medians of 3 runs unless said
        [--quick]         (--quick: one); report.md, bench.svg and figures.json are written into target/bench.
        [--markdown FILE] also replaces what is between <!-- bench:begin --> and <!-- bench:end --> in FILE and in
                          docs/performance.md, and docs/images/bench.svg
  soak [--seconds N]      servers and 500 churning clients on loopback for 60 s, everything counted: nothing is lost, and
       [--clients N]      memory, files and threads come back
       [--seed N]
  build [--editor]        build the addon in release into addons/websocket_multiplayer and stage it; --editor: with the class
                          reference and the tab of the debugger, as releases have them
  build --debug           the same with the dev profile, for the editor only
  build --platform NAME   the same for one system, as it is given to others: linux-x86_64, linux-arm64, windows-x86_64,
                          windows-arm64, macos, android-arm64, android-x86_64, ios
  package [--check]       make the zips of the addon and of the demo from what is built, into target/package; --check
                          tries them in an empty project; --complete demands all libraries, --tag v1.2.3 that version
  screenshots [NAME..]    take the pictures of the documentation anew, under Xvfb (Linux): lobby, arena, chat,
                          debugger
  stage                   put the addon, as it is, into redot_project and tests/engine
  engines                 find the engines for tests, or fetch them (Debian)
  doctor                  what this machine has, and what it lacks

Engines: GODOT4_BIN and GODOT3_BIN name them; else the PATH (redot, godot4, godot; godot3-server, godot3); else a folder
in the cache that is made from Debian packages.";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Action> {
        parse(lexopt::Parser::from_args(words))
    }

    #[test]
    fn commands_and_options() {
        assert!(matches!(read(&[]), Ok(Action::Help)));
        assert!(matches!(read(&["demo", "--window"]), Ok(Action::Demo(DemoOptions { window: true, .. }))));
        assert!(matches!(read(&["demo", "--seconds=20"]), Ok(Action::Demo(DemoOptions { seconds: 20, .. }))));
        let Ok(Action::Bench(options)) = read(&["bench", "--only=idle,echo", "--repeat", "5"]) else {
            panic!("bench is a command")
        };
        assert_eq!((options.rows, options.repeat), (vec!["idle".to_owned(), "echo".to_owned()], 5));
        assert!(matches!(
            read(&["test", "instructions", "--update"]),
            Ok(Action::Test(TestOptions { update: true, .. }))
        ));
        let Ok(Action::Build(options)) = read(&["build", "--editor", "--platform", "ios"]) else {
            panic!("build is a command")
        };
        assert_eq!((options.editor, options.platform.map(|one| one.name)), (true, Some("ios")));
        let Ok(Action::Package(options)) = read(&["package", "--complete", "--tag=v1.2.3"]) else {
            panic!("package is a command")
        };
        assert_eq!((options.check, options.package.complete), (false, true));
        assert_eq!(options.package.tag.as_deref(), Some("v1.2.3"));
        let Ok(Action::Test(options)) = read(&["test", "relay", "--long", "fmt"]) else {
            panic!("test is a command")
        };
        assert_eq!((options.names, options.long), (vec!["relay".to_owned(), "fmt".to_owned()], true));
    }

    #[test]
    fn mistakes_show_the_usage() {
        for words in [
            &["dem"][..],
            &["demo", "--long"],
            &["stage", "x"],
            &["build", "--platform=amiga"],
            &["build", "--debug", "--editor"],
            &["test", "--update"],
            &["test", "rust", "--update"],
            &["soak", "--seconds=long"],
            &["bench", "--repeat=0"],
        ] {
            let message = read(words).expect_err("a mistake").to_string();
            assert!(message.contains("cargo xtask COMMAND"), "{message}");
        }
    }
}
