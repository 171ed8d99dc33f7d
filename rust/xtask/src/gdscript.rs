//! Checks the format of the GDScript of this repository, and lints it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::repo::Repo;
use crate::suites::Tally;
use crate::{files, foreign};

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

/// All files except for staged and generated ones, and those in the language of 3.x.
fn scripts(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found =
        files::below(root, |name| !name.starts_with('.') && !["target", "engine3"].contains(&name))?;
    found.retain(|file| file.extension().is_some_and(|ending| ending == "gd"));
    Ok(found)
}
