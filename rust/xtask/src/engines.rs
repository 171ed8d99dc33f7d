//! Finds the engines that the tests and the demo run in, or makes them available.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::engine::Engine;
use crate::process::{self, describe};
use crate::repo::Repo;
use crate::{CannotRun, cache, debian, ui};

/// The wanted engine. A Redot of the 4.x line counts as Godot 4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Generation {
    Three,
    Four,
}

impl Generation {
    pub(crate) const ALL: [Self; 2] = [Self::Four, Self::Three];

    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Three => "GODOT3_BIN",
            Self::Four => "GODOT4_BIN",
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Three => &["godot3-server", "godot3"],
            Self::Four => &["redot", "godot4", "godot"],
        }
    }

    fn accepts(self, version: &str) -> bool {
        let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
        let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { return false };
        match self {
            Self::Three => major == 3 && minor >= 6,
            // Since 26, Redot's version is the year; 26 is based on Godot 4.5.
            Self::Four => (major == 4 && minor >= 3) || major >= 26,
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Three => "Godot 3.6",
            Self::Four => "Godot/Redot 4.3 or newer",
        })
    }
}

/// Finds an engine, or fetches it if there is none. Fails with [`CannotRun`] if this machine cannot have one.
pub(crate) fn provide(repo: &Repo, generation: Generation) -> Result<Engine> {
    if let Some(engine) = find(repo, generation)? {
        return Ok(engine);
    }
    ui::step(&format!(
        "No {generation} here yet: fetching the engines from Debian (once, about 220 MB to load, 700 MB on disk)"
    ));
    let run = |root: &Path| {
        Generation::ALL.iter().map(|&one| in_folder(repo, one, root)).collect::<Result<Vec<Engine>>>()
    };
    let fill = |part: &Path| {
        debian::unpack(part, "forky", PACKAGES)?;
        for engine in run(part)? {
            ui::detail(&format!("{} runs", engine.version));
        }
        Ok(())
    };
    cache::make(&folder()?, |root| run(root).is_ok(), fill).context(HELP)?;
    in_folder(repo, generation, &folder()?).context("the fetched engine does not run")
}

/// Looks in the environment variable, then on the PATH, then in the cache.
pub(crate) fn find(repo: &Repo, generation: Generation) -> Result<Option<Engine>> {
    let variable = generation.variable();
    let plain = |program, source| probe(Engine::new(generation, program, source, repo.home()));
    if let Some(named) = env::var_os(variable).filter(|value| !value.is_empty()) {
        return match plain(named.into(), variable.to_owned()) {
            Ok(engine) => Ok(Some(engine)),
            Err(why) => bail!(CannotRun(format!("{variable} does not name a usable {generation}: {why}"))),
        };
    }
    for name in generation.names() {
        let Some(program) = on_path(name) else { continue };
        match plain(program, format!("PATH, as `{name}`")) {
            Ok(engine) => return Ok(Some(engine)),
            Err(why) => ui::detail(&format!("passed over `{name}` on the PATH: {why}")),
        }
    }
    let folder = folder()?;
    if !folder.exists() {
        return Ok(None);
    }
    match in_folder(repo, generation, &folder) {
        Ok(engine) => Ok(Some(engine)),
        Err(why) => {
            ui::detail(&format!("the cached engine does not run ({why}): it will be fetched again"));
            Ok(None)
        }
    }
}

/// Where the fetched engines are, or will be.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("engines"))
}

/// The engine of a tree of Debian packages, started with the libraries of the tree.
fn in_folder(repo: &Repo, generation: Generation, root: &Path) -> Result<Engine> {
    let (triplet, loader) = loader()?;
    let libraries = root.join("usr/lib").join(triplet);
    ensure!(root.join(TEMPLATE).is_file(), "it lacks the template for release exports");
    let binary = match generation {
        Generation::Three => "godot3-server",
        Generation::Four => "godot",
    };
    // The sound library has a private library that it finds by an absolute path.
    let search = env::join_paths([libraries.clone(), libraries.join("pulseaudio")])?;
    let source = format!("folder {}", root.display());
    let mut engine = Engine::new(generation, libraries.join(loader), source, repo.home());
    engine.prefix = vec!["--library-path".into(), search, root.join("usr/bin").join(binary).into()];
    // For windows: the system's graphics drivers are used, but the keyboard descriptions are only in the tree.
    engine.environment = vec![
        ("XKB_CONFIG_ROOT", root.join("usr/share/X11/xkb")),
        ("XLOCALEDIR", root.join("usr/share/X11/locale")),
    ];
    probe(engine)
}

/// The template of a release export, and what its programs need to start.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) program: PathBuf,
    pub(crate) loader: PathBuf,
    pub(crate) libraries: Vec<PathBuf>,
    /// Where the sound library finds the private one that it looks for by an absolute path.
    pub(crate) sound: PathBuf,
}

/// Returns the template that belongs to the engine of the cache; `None` for another engine.
pub(crate) fn release_template(engine: &Engine) -> Result<Option<Template>> {
    let root = folder()?;
    if !engine.program.starts_with(&root) {
        return Ok(None);
    }
    let (triplet, loader) = loader()?;
    let libraries = root.join("usr/lib").join(triplet);
    let more = ["blas", "lapack"].map(|name| libraries.join(name));
    Ok(Some(Template {
        program: root.join(TEMPLATE),
        loader: libraries.join(loader),
        sound: libraries.join("pulseaudio"),
        libraries: [libraries].into_iter().chain(more).collect(),
    }))
}

/// The folder of libraries in a tree of Debian packages, and the loader in it that starts the programs of the tree.
pub(crate) fn loader() -> Result<(&'static str, &'static str)> {
    match env::consts::ARCH {
        "x86_64" => Ok(("x86_64-linux-gnu", "ld-linux-x86-64.so.2")),
        "aarch64" => Ok(("aarch64-linux-gnu", "ld-linux-aarch64.so.1")),
        other => bail!("no loader is known for {other}"),
    }
}

/// The first file of that name in the folders of the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(&name)).find(|file| file.is_file())
}

/// Asks an engine for its version.
fn probe(mut engine: Engine) -> Result<Engine> {
    let mut command = engine.command();
    command.arg("--version");
    let mut last = String::new();
    let ended = process::run("--version", command, PROBE_LIMIT, |line| {
        if !line.trim().is_empty() {
            last = line.to_owned();
        }
    })?;
    // 3.x ends `--version` with 255: the text decides, the status only explains a failure.
    if !engine.generation.accepts(&last) {
        let wanted = engine.generation;
        bail!("`--version` says {last:?} ({}), wanted is {wanted}", describe(ended.status));
    }
    engine.version = last;
    Ok(engine)
}

const PACKAGES: &str = "godot,godot-template-release,godot3-server,ca-certificates";
const TEMPLATE: &str = "usr/bin/godot-template-release";
const HELP: &str = "the engines cannot be fetched; install Godot or Redot 4.3+ (and the Godot 3.6 server for the tests with 3.x \
    clients), and put it on the PATH or name it in GODOT4_BIN (GODOT3_BIN)";
const PROBE_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        let (three, four) = (Generation::Three, Generation::Four);
        for good in ["4.3.stable.official.77dcf97d8", "4.6.3.stable.debian4.6.3+ds-2", "26.1.stable.official"]
        {
            assert!(four.accepts(good), "{good}");
            assert!(!three.accepts(good), "{good}");
        }
        assert!(three.accepts("3.6.2.stable.debian3.6.2+ds-1+b1"));
        for bad in ["4.2.2.stable.official", "3.5.3.stable", "", "error while loading", "5"] {
            assert!(!four.accepts(bad) && !three.accepts(bad), "{bad}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_is_no_engine_is_refused_with_what_it_said() {
        let mut engine = Engine::new(Generation::Four, "sh".into(), String::new(), PathBuf::new());
        engine.prefix = vec!["-c".into(), "echo not an engine; exit 4".into()];
        let message = probe(engine).expect_err("no version was printed").to_string();
        assert!(message.contains("not an engine") && message.contains("exit code 4"), "{message}");
    }
}
