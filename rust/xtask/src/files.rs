//! Finds, empties and copies files and folders.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err as fs;
use walkdir::WalkDir;

/// All files below a folder whose names, and those of their folders, are wanted, sorted by path.
pub(crate) fn below(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let wanted =
        entries.filter_entry(|entry| entry.depth() == 0 || is_wanted(&entry.file_name().to_string_lossy()));
    let mut files = Vec::new();
    for entry in wanted {
        let entry = entry?;
        if !entry.path().is_dir() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// Files below a folder whose names end like that.
pub(crate) fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = below(folder, |_| true)?;
    files.retain(|file| file.extension().is_some_and(|one| one == ending));
    Ok(files)
}

/// Removes a file, or a folder with its content, if it exists.
pub(crate) fn remove(place: &Path) -> io::Result<()> {
    let outcome = if place.is_dir() { fs::remove_dir_all(place) } else { fs::remove_file(place) };
    outcome.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Makes an empty folder; an existing one is emptied.
pub(crate) fn empty(folder: &Path) -> io::Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder)
}

/// Copies a file completely or not at all, and never into a file that a running engine has mapped.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    let part = to.with_extension("part");
    fs::copy(from, &part)?;
    Ok(fs::rename(&part, to)?)
}

/// Copies a folder with all files in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for file in below(from, |_| true)? {
        copy(&file, &to.join(file.strip_prefix(from)?))?;
    }
    Ok(())
}

/// A path inside the working copy as people write it.
pub(crate) fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
