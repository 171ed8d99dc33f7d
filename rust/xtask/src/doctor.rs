//! `cargo xtask doctor`: which of the programs that the suites need this machine has, and how the others are installed.

use std::env;
use std::process::Command;

use anyhow::Result;

use crate::engines::{self, Generation, on_path};
use crate::repo::Repo;
use crate::{debian, foreign, ui};

/// Prints a table. Returns `Ok(false)` if something is missing that every command needs.
pub(crate) fn run(repo: &Repo) -> Result<bool> {
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut add = |name: &str, state: String, needed_by: &str| {
        rows.push([name.to_owned(), state, needed_by.to_owned()]);
    };
    let mut complete = true;
    for (name, arguments, needed_by, required) in TOOLS {
        let version = version(repo, arguments);
        complete &= version.is_some() || !required;
        let state = version.unwrap_or_else(|| if required { "MISSING" } else { "not here" }.to_owned());
        add(name, state, needed_by);
    }
    for generation in Generation::ALL {
        let name = if generation == Generation::Four { "engine 4" } else { "engine 3.6" };
        let state = match engines::find(repo, generation) {
            Ok(Some(engine)) => format!("{} ({})", engine.version, engine.source),
            Ok(None) => "not yet: `cargo xtask engines` fetches it where it can".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        add(name, state, &format!("test, demo; {} names one", generation.variable()));
    }
    let fetch = on_path("mmdebstrap").map(|path| path.display().to_string()).unwrap_or_else(|| {
        let installed = debian::may_install();
        if installed { "not here, will be installed when needed" } else { "not here" }.to_owned()
    });
    add("mmdebstrap", fetch, "fetching engines and libcurl");
    for [name, state, needed_by] in foreign::needed()? {
        add(&name, state, &needed_by);
    }
    add("engine cache", engines::folder()?.display().to_string(), "");
    let display = ["WAYLAND_DISPLAY", "DISPLAY"].iter().find_map(|name| env::var(name).ok());
    add("display", display.unwrap_or_else(|| "none set".to_owned()), "demo --window");
    let cores =
        std::thread::available_parallelism().map_or_else(|_| "?".to_owned(), |cores| cores.to_string());
    add("system", format!("{} {}", env::consts::OS, env::consts::ARCH), &format!("{cores} cores"));
    print!("{}", ui::table(&["what", "state", "for"], &rows.into_iter().map(Vec::from).collect::<Vec<_>>()));
    Ok(complete)
}

/// Returns the first line of a tool's version.
fn version(repo: &Repo, words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let mut command = if *program == "cargo" { repo.cargo(&[]) } else { Command::new(program) };
    let output = command.current_dir(&repo.root).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Name, command, who needs the tool, and whether every command needs it.
const TOOLS: [(&str, &[&str], &str, bool); 6] = [
    ("rustc", &["rustc", "--version"], "everything", true),
    ("cargo", &["cargo", "--version"], "everything", true),
    ("clippy", &["cargo", "clippy", "--version"], "test clippy", true),
    ("rustfmt", &["cargo", "fmt", "--version"], "test fmt", true),
    ("C compiler", &["cc", "--version"], "linking, cryptography", true),
    ("git", &["git", "--version"], "contributing", false),
];
