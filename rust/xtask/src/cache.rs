//! Files that are fetched once per user and kept: `NAME` (complete), `NAME.part` (being made), `lock`.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err::{self as fs, File};

use crate::{files, ui};

/// The folder for what is fetched once.
pub(crate) fn folder() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .or_else(|| absolute("LOCALAPPDATA"));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("websocket-multiplayer"))
}

/// Makes a folder of the cache with `fill`, completely or not at all, unless a valid one exists. Two runs never make the same folder at the
/// same time.
pub(crate) fn make(
    place: &Path,
    is_good: impl Fn(&Path) -> bool,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let (parent, name) = place.parent().zip(place.file_name()).context("a folder in the cache")?;
    fs::create_dir_all(parent)?;
    let lock = File::create(parent.join("lock"))?;
    if lock.file().try_lock().is_err() {
        ui::detail("another run is fetching it: waiting for that");
        lock.file().lock().context("cannot lock the cache")?;
    }
    if place.exists() && is_good(place) {
        return Ok(());
    }
    let part = parent.join(format!("{}.part", name.display()));
    files::empty(&part)?;
    fill(&part)?;
    files::remove(place)?;
    Ok(fs::rename(&part, place)?)
}
