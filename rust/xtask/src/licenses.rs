//! Writes the licences of the crates in the shipped library.
//!
//! `cargo-about` does this too, but must be installed first (117 crates to compile), on every machine that tests whether the committed file
//! is up to date. Here, cargo itself lists the linked crates, and the texts are in the crates' folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::platforms::Platform;
use crate::repo::Repo;
use crate::suites::Tally;

/// Writes the file that goes along with the addon.
pub(crate) fn write(repo: &Repo) -> Result<()> {
    Ok(fs::write(file(repo), generate(repo)?)?)
}

/// Checks that the file matches the lock file.
pub(crate) fn suite(repo: &Repo) -> Result<Tally> {
    let present = fs::read_to_string(file(repo)).unwrap_or_default().replace("\r\n", "\n");
    let note = "THIRD_PARTY_LICENSES.txt is out of date: run `cargo xtask build`";
    Ok(Tally::whole(present == generate(repo)?, note))
}

fn file(repo: &Repo) -> PathBuf {
    repo.addon().join("THIRD_PARTY_LICENSES.txt")
}

/// Returns the text of that file, which depends only on the lock file.
fn generate(repo: &Repo) -> Result<String> {
    let shipped = shipped_crates(repo)?;
    let metadata = repo.metadata(&["--locked"])?;
    let mut crates = Vec::new();
    for package in metadata["packages"].as_array().context("metadata lists packages")? {
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        let name = format!("{} {}", text("name"), text("version"));
        // Crates of this workspace are covered by the licence of the addon.
        if package["source"].is_null() || !shipped.contains(&name) {
            continue;
        }
        let manifest = PathBuf::from(text("manifest_path"));
        let texts = licence_texts(manifest.parent().context("a manifest is in a folder")?)?;
        let authors = package["authors"].as_array().into_iter().flatten();
        let authors: Vec<_> = authors.filter_map(|author| author.as_str()).collect();
        let licence = text("license");
        // For a crate without a licence text, its licence and its source must at least be named.
        let named = !licence.is_empty() && !licence.contains(' ') && !text("repository").is_empty();
        if texts.is_empty() && !named {
            bail!("{name} has no licence text, and {licence:?} does not name one");
        }
        crates.push(Crate { name, licence, page: text("repository"), authors: authors.join(", "), texts });
    }
    crates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(render(&crates))
}

struct Crate {
    name: String,
    /// An SPDX expression.
    licence: String,
    page: String,
    authors: String,
    texts: Vec<String>,
}

/// "name version" of all that is linked into the library on any supported system. Build scripts and macros stay out.
fn shipped_crates(repo: &Repo) -> Result<BTreeSet<String>> {
    let mut shipped = BTreeSet::new();
    for target in Platform::ALL.iter().flat_map(|platform| platform.targets) {
        let arguments =
            ["tree", "--locked", "--package=websocket-multiplayer", "--edges=normal,no-proc-macro"];
        let target = format!("--target={target}");
        let tree =
            repo.cargo_output(&[&arguments[..], &["--prefix=none", "--format={p}", &target]].concat())?;
        for line in tree.lines() {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(version)) = (words.next(), words.next()) {
                shipped.insert(format!("{name} {}", version.trim_start_matches('v')));
            }
        }
    }
    Ok(shipped)
}

fn licence_texts(folder: &Path) -> Result<Vec<String>> {
    let is_licence = |path: &PathBuf| {
        let name =
            path.file_name().map(|name| name.to_string_lossy().to_ascii_uppercase()).unwrap_or_default();
        let known = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        path.is_file() && known.iter().any(|start| name.starts_with(start))
    };
    let entries = fs::read_dir(folder)?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_licence).collect();
    files.sort();
    let mut texts: Vec<String> = Vec::new();
    for file in files {
        let text = normalise(&String::from_utf8_lossy(&fs::read(&file)?));
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    Ok(texts)
}

/// Normalizes line ends and blank lines, so that equal licences compare as equal.
fn normalise(text: &str) -> String {
    let lines: Vec<_> = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// Crates first, then each different text once, with the numbers of the crates it came with.
fn render(crates: &[Crate]) -> String {
    let mut text = String::from(
        "The library of this addon contains the following third-party crates, under their own licences.\n\
         Where a crate offers a choice of licences, all of its texts are given below.\n\n",
    );
    let mut by_text: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in crates {
        // Writing to a string cannot fail.
        _ = writeln!(text, "* {}: {}", one.name, one.licence);
        if !one.page.is_empty() {
            _ = writeln!(text, "    {}", one.page);
        }
        if one.texts.is_empty() {
            let authors = if one.authors.is_empty() { "its authors" } else { &one.authors };
            let licence = &one.licence;
            _ = writeln!(
                text,
                "    Copyright {authors}. The text of {licence} is at https://spdx.org/licenses/{licence}.html,\n    \
                 the source code of this crate at the address above."
            );
        }
        for licence in &one.texts {
            by_text.entry(licence).or_default().push(&one.name);
        }
    }
    let mut groups: Vec<_> = by_text.into_iter().collect();
    groups.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.cmp(b.0)));
    for (licence, names) in groups {
        _ = write!(text, "\n{}\n{}\n{}\n\n{licence}\n", "=".repeat(100), names.join(", "), "=".repeat(100));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_text_is_given_once_with_all_its_crates() {
        let one = |name: &str, texts: &[&str]| Crate {
            name: name.to_owned(),
            licence: "MIT".to_owned(),
            page: String::new(),
            authors: "Ada".to_owned(),
            texts: texts.iter().map(|text| normalise(text)).collect(),
        };
        let text =
            render(&[one("a 1", &["same\r\ntext \n"]), one("b 2", &["same\ntext", "own"]), one("c 3", &[])]);
        assert_eq!(text.matches("same\ntext").count(), 1);
        assert!(text.contains("a 1, b 2\n"));
        assert!(text.contains("Copyright Ada."));
    }
}
