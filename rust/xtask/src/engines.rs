//! Finds the engines that the tests and the demo run in, or makes them available.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::engine_fetch;
use crate::process::{Group, describe};
use crate::{CannotRun, ui};

/// Which engine is asked for. A Redot of the 4.x line counts as four.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Generation {
    Three,
    Four,
}

/// A way to start an engine, seen to work.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) program: PathBuf,
    /// Arguments that come before all others: an engine from the folder is started through its own loader.
    pub(crate) prefix: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
    pub(crate) version: String,
    /// Where it was found, for people.
    pub(crate) source: String,
}

impl Engine {
    /// A command that still lacks the engine's own arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.prefix).envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// As typed in a shell, for messages.
    pub(crate) fn command_line(&self) -> String {
        let words = [self.program.as_os_str()].into_iter().chain(self.prefix.iter().map(OsString::as_os_str));
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
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
            // Redot counts years since 26, and builds on Godot 4.5 there.
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

/// Finds an engine and fetches it when there is none. Fails with [`CannotRun`] when this machine cannot have it.
pub(crate) fn provide(generation: Generation) -> Result<Engine> {
    if let Some(engine) = find(generation)? {
        return Ok(engine);
    }
    ui::step(&format!(
        "No {generation} here yet: fetching the engines from Debian (once, about 200 MB to load, 600 MB on disk)"
    ));
    engine_fetch::fetch()?;
    match in_folder(generation) {
        Ok(engine) => Ok(engine),
        Err(why) => bail!("the fetched engine does not run: {why}"),
    }
}

/// Looks in the environment variable, then on the PATH, then in the folder of this project's cache.
pub(crate) fn find(generation: Generation) -> Result<Option<Engine>> {
    let variable = generation.variable();
    if let Some(named) = env::var_os(variable).filter(|value| !value.is_empty()) {
        let engine = probe(generation, named.into(), Vec::new(), Vec::new(), variable.to_owned());
        return match engine {
            Ok(engine) => Ok(Some(engine)),
            Err(why) => bail!(CannotRun(format!("{variable} does not name a usable {generation}: {why}"))),
        };
    }
    for name in generation.names() {
        let Some(program) = on_path(name) else { continue };
        let source = format!("PATH, as `{name}`");
        match probe(generation, program, Vec::new(), Vec::new(), source) {
            Ok(engine) => return Ok(Some(engine)),
            Err(why) => ui::detail(&format!("passed over `{name}` on the PATH: {why}")),
        }
    }
    if !engine_fetch::folder()?.exists() {
        return Ok(None);
    }
    match in_folder(generation) {
        Ok(engine) => Ok(Some(engine)),
        Err(why) => {
            ui::detail(&format!("the cached engine does not run ({why}): it will be fetched again"));
            Ok(None)
        }
    }
}

/// The engine of the folder, started with the libraries of the folder.
pub(crate) fn in_folder(generation: Generation) -> Result<Engine> {
    from_root(generation, &engine_fetch::folder()?)
}

/// As [`in_folder`], for a folder that is not in its place yet.
pub(crate) fn from_root(generation: Generation, root: &Path) -> Result<Engine> {
    let (triplet, loader) = loader()?;
    let libraries = root.join("usr/lib").join(triplet);
    let binary = match generation {
        Generation::Three => "godot3-server",
        Generation::Four => "godot",
    };
    // The sound library keeps a private part in a folder that its binaries find by an absolute path.
    let search = env::join_paths([libraries.clone(), libraries.join("pulseaudio")])?;
    let prefix = vec!["--library-path".into(), search, root.join("usr/bin").join(binary).into()];
    // For windows, which the system's own graphics drivers draw: keyboards are described in the folder only.
    let environment = vec![
        ("XKB_CONFIG_ROOT", root.join("usr/share/X11/xkb")),
        ("XLOCALEDIR", root.join("usr/share/X11/locale")),
    ];
    let source = format!("folder {}", root.display());
    probe(generation, libraries.join(loader), prefix, environment, source)
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

fn probe(
    generation: Generation,
    program: PathBuf,
    prefix: Vec<OsString>,
    environment: Vec<(&'static str, PathBuf)>,
    source: String,
) -> Result<Engine> {
    let mut engine = Engine { program, prefix, environment, version: String::new(), source };
    let mut command = engine.command();
    command.arg("--version");
    let mut group = Group::new();
    let index = group.spawn("version", command)?;
    let mut last = String::new();
    while !group.all_done() {
        if group.started().elapsed() > PROBE_LIMIT {
            bail!("`--version` did not end");
        }
        if let Some((_, line)) = group.next_line(Duration::from_millis(100))
            && !line.text.trim().is_empty()
        {
            last = line.text;
        }
    }
    // 3.x ends `--version` with 255: the text decides, the status only explains a failure.
    if !generation.accepts(&last) {
        let status = group.status(index).map(describe).unwrap_or_default();
        bail!("`--version` says {last:?} ({status}), wanted is {generation}");
    }
    engine.version = last;
    Ok(engine)
}

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
        let prefix = vec!["-c".into(), "echo not an engine; exit 4".into()];
        let outcome = probe(Generation::Four, "sh".into(), prefix, Vec::new(), String::new());
        let message = outcome.expect_err("no version was printed").to_string();
        assert!(message.contains("not an engine") && message.contains("exit code 4"), "{message}");
    }
}
