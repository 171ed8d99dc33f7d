//! A web export of a real game in a real browser, against our server in a native engine beside it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::engine::Engine;
use crate::engines::{self, Generation};
use crate::process;
use crate::repo::Repo;
use crate::suites::Tally;
use crate::web_pack::{WEB, WebBuild, export};
use crate::{addon, demo, demo_web, files, foreign, ui, web_export};

/// Checks the exports, then runs the scenarios of `tests/web` in Chromium, and some of them in Firefox.
pub(crate) fn run(repo: &Repo, long: bool, only: Option<&str>) -> Result<Tally> {
    let engine = engines::provide(repo, Generation::Four)?;
    addon::build_for_editor(repo)?;
    let mut tally = Tally::default();
    if only.is_none_or(|part| part == EXPORTS) {
        web_export::run(repo, &engine, &mut tally);
    }
    if only == Some(EXPORTS) {
        return Ok(tally);
    }
    let bed = Bed::new(repo, &engine)?;
    for firefox in [false, true] {
        let outcome = bed.browse(firefox, long, only, &mut tally);
        if outcome.is_err() {
            tally.add(outcome);
        }
    }
    Ok(tally)
}

/// What the scripts need: the engine, its web build, a project for native processes, and packs.
struct Bed<'a> {
    repo: &'a Repo,
    engine: &'a Engine,
    build: WebBuild,
    project: PathBuf,
    /// For the packs, pictures and the browsers' profiles.
    scratch: PathBuf,
}

impl<'a> Bed<'a> {
    fn new(repo: &'a Repo, engine: &'a Engine) -> Result<Self> {
        let build = WebBuild::provide()?;
        let project = web_export::project(repo, "game")?;
        engine.import(&project)?;
        let scratch = repo.scratch.join("web/browser");
        demo::prepare(repo)?;
        demo_web::make_pack(repo, engine, &scratch)?;
        export(engine, &project, WEB, &scratch.join("game.pck"), |_| {})?.passed()?;
        Ok(Self { repo, engine, build, project, scratch })
    }

    fn browse(&self, firefox: bool, long: bool, only: Option<&str>, tally: &mut Tally) -> Result<()> {
        let (variable, browser) = foreign::browser(firefox)?;
        let mut command = foreign::node_with_ws()?;
        command.arg(self.repo.root.join("tests/web/run.cjs")).env(variable, browser);
        pass_engine(&mut command, self.engine)?;
        for (key, folder) in [
            ("project", &self.project),
            ("demo", &self.repo.demo_project()),
            ("packs", &self.scratch),
            ("scratch", &self.scratch),
            ("engine", &self.build.folder),
            ("identity", &self.repo.root.join("tests/engine/tls")),
        ] {
            command.arg(format!("{key}={}", folder.display()));
        }
        command.args(only.map(|name| format!("only={name}"))).args(long.then_some("long"));
        command.args(firefox.then_some("firefox"));
        let ended = process::run("browser", command, if long { LONG_LIMIT } else { LIMIT }, |line| {
            ui::detail(line);
            if let Some(text) = line.strip_prefix("SCENARIO ") {
                let passed = text.starts_with("OK");
                tally.passed += usize::from(passed);
                tally.failed += usize::from(!passed);
            }
        })?;
        // A scenario that has failed is counted already.
        if ended.status.code() != Some(1) {
            ended.success()?;
        }
        let pictures = files::with_ending(&self.scratch, "png")?;
        ui::detail(&format!("{} pictures of the pages are in {}", pictures.len(), self.scratch.display()));
        Ok(())
    }
}

/// The scripts start engines by themselves, because they also stop them.
fn pass_engine(command: &mut Command, engine: &Engine) -> Result<()> {
    let words = engine.command();
    let line: Vec<_> = [words.get_program()]
        .into_iter()
        .chain(words.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    command.env("ENGINE", serde_json::to_string(&line)?);
    command.envs(words.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ok(())
}

/// In place of a scenario: the checks of the exports alone.
const EXPORTS: &str = "exports";
const LIMIT: Duration = Duration::from_mins(8);
const LONG_LIMIT: Duration = Duration::from_mins(15);
