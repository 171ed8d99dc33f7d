//! The GDScript of this repository: formatted, and without what the linter calls a mistake.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::foreign;
use crate::repo::Repo;
use crate::suites::Tally;

/// Two checks: the format, and the lint.
pub(crate) fn suite(repo: &Repo) -> Result<Tally> {
    let scripts = scripts(&repo.root)?;
    ensure!(scripts.len() >= 50, "only {} scripts were found", scripts.len());
    let mut tally = Tally::default();
    tally.add(check(repo, "gdtoolkit.formatter", &["--check"], &scripts));
    tally.add(check(repo, "gdtoolkit.linter", &[], &scripts));
    Ok(tally)
}

fn check(repo: &Repo, module: &str, options: &[&str], scripts: &[PathBuf]) -> Result<()> {
    let mut command = foreign::gdtoolkit(module)?;
    // The rules are in a file at the root.
    command.args(options).args(scripts).current_dir(&repo.root);
    let output = command.output().with_context(|| format!("cannot start {module}"))?;
    if !output.status.success() {
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{module} finds faults, see above; `gdformat FILE` of gdtoolkit sets the format right");
    }
    Ok(())
}

/// All but what is staged, made, or written in the language of 3.x.
fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = name.to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && !["target", "engine3"].contains(&&*name) {
            found.extend(scripts(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "gd") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
