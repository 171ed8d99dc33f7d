//! `cargo xtask doctor`: what this machine has of what the suites need, and how the rest will be got.

use std::env;
use std::process::Command;

use anyhow::Result;

use crate::engines::{self, Generation, on_path};
use crate::repo::Repo;
use crate::{engine_fetch, foreign, ui};

/// Prints a table. `Ok(false)` when something that every command needs is missing.
pub(crate) fn run(repo: &Repo) -> Result<bool> {
    let mut rows = Vec::new();
    let mut complete = true;
    for (name, arguments, needed_by, required) in TOOLS {
        let version = version(repo, arguments);
        complete &= version.is_some() || !required;
        let state = version.unwrap_or_else(|| if required { "MISSING" } else { "not here" }.to_owned());
        rows.push(vec![name.to_owned(), state, needed_by.to_owned()]);
    }
    for generation in Generation::ALL {
        let name = if generation == Generation::Four { "engine 4" } else { "engine 3.6" };
        let state = match engines::find(generation) {
            Ok(Some(engine)) => format!("{} ({})", engine.version, engine.source),
            Ok(None) => "not yet: `cargo xtask engines` fetches it where it can".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        rows.push(vec![name.to_owned(), state, format!("test, demo; {} names one", generation.variable())]);
    }
    let mmdebstrap = on_path("mmdebstrap").map(|path| path.display().to_string());
    let fetch = mmdebstrap.unwrap_or_else(|| {
        let debian = on_path("apt-get").is_some();
        let may = debian && engine_fetch::is_root();
        if may { "not here, will be installed when needed" } else { "not here" }.to_owned()
    });
    rows.push(vec!["mmdebstrap".to_owned(), fetch, "fetching engines and libcurl".to_owned()]);
    rows.extend(foreign::outlook()?.into_iter().map(Vec::from));
    rows.push(vec!["engine cache".to_owned(), engine_fetch::folder()?.display().to_string(), String::new()]);
    let display = ["WAYLAND_DISPLAY", "DISPLAY"].iter().find_map(|name| env::var(name).ok());
    let display = display.unwrap_or_else(|| "none set".to_owned());
    rows.push(vec!["display".to_owned(), display, "demo --window".to_owned()]);
    let cores =
        std::thread::available_parallelism().map_or_else(|_| "?".to_owned(), |cores| cores.to_string());
    rows.push(vec![
        "system".to_owned(),
        format!("{} {}", env::consts::OS, env::consts::ARCH),
        cores + " cores",
    ]);
    print!("{}", ui::table(&["what", "state", "for"], &rows));
    Ok(complete)
}

/// The first line that a tool says about itself.
fn version(repo: &Repo, words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let mut command = if *program == "cargo" { repo.cargo(&[]) } else { Command::new(program) };
    let output = command.current_dir(&repo.root).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Name, what to run, who needs it, and whether nothing works without it.
const TOOLS: [(&str, &[&str], &str, bool); 6] = [
    ("rustc", &["rustc", "--version"], "everything", true),
    ("cargo", &["cargo", "--version"], "everything", true),
    ("clippy", &["cargo", "clippy", "--version"], "test clippy", true),
    ("rustfmt", &["cargo", "fmt", "--version"], "test fmt", true),
    ("C compiler", &["cc", "--version"], "linking, cryptography", true),
    ("git", &["git", "--version"], "contributing", false),
];
