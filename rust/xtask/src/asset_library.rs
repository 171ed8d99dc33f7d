//! The rules of the Godot Asset Library, for the zip of the addon and for what its form asks for (`docs/asset-library`).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use serde::Deserialize;

use crate::package::{self, Packages};
use crate::repo::{ADDON, Repo};

/// The fields of the form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    title: String,
    category: String,
    godot_version: String,
    license: String,
    repository_host: String,
    icon: String,
    description: String,
}

/// Checks the fields, the icon, the licence and the zip.
pub(crate) fn check(repo: &Repo, packages: &Packages) -> Result<()> {
    let folder = repo.root.join("docs/asset-library");
    let listing: Listing = toml::from_str(&fs::read_to_string(folder.join("listing.toml"))?)?;
    let manifest = fs::read_to_string(repo.addon().join(format!("{ADDON}.gdextension")))?;
    fields(&listing, &manifest)?;
    icon(&fs::read(folder.join(&listing.icon))?).with_context(|| listing.icon.clone())?;
    licence(&repo.root, &listing.license)?;
    zip(&package::names(&packages.addon)?)
}

fn fields(listing: &Listing, manifest: &str) -> Result<()> {
    let Listing { title, category, godot_version, description, repository_host, .. } = listing;
    let plain = |text: &str| !text.trim().is_empty() && text.is_ascii();
    ensure!(plain(title) && title.starts_with(|one: char| one.is_ascii_uppercase()), "title: {title:?}");
    ensure!(CATEGORIES.contains(&category.as_str()), "category: {category:?} is none of {CATEGORIES:?}");
    let minimum = format!("compatibility_minimum = \"{godot_version}\"");
    ensure!(manifest.contains(&minimum), "godot_version: the manifest has no line {minimum}");
    // Other hosts hand out an archive of a commit, which has no library.
    ensure!(repository_host == "Custom", "repository_host: {repository_host:?} has no released zips");
    ensure!(plain(description) && description.trim_end().ends_with('.'), "description: no whole sentences");
    // The library shows the text as it is.
    let marked = ["](", "**", "`", "[b]"].iter().find(|mark| description.contains(**mark));
    ensure!(marked.is_none(), "description: {marked:?} would be shown as text");
    Ok(())
}

/// A square PNG of at least 128 pixels.
fn icon(bytes: &[u8]) -> Result<()> {
    let size = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    ensure!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "is no PNG");
    let (width, height) = (size(16).context("is cut off")?, size(20).context("is cut off")?);
    ensure!(width == height && width >= 128, "is {width} x {height}, not a square of at least 128 pixels");
    Ok(())
}

/// The repository and the addon's folder have the same licence, with its year and its owner.
fn licence(root: &Path, name: &str) -> Result<()> {
    let text = fs::read_to_string(root.join("LICENSE"))?;
    ensure!(text.starts_with(&format!("{name} License")), "LICENSE is not the {name} licence");
    let owner = text.lines().find(|line| line.starts_with("Copyright"));
    ensure!(owner.is_some_and(|line| line.contains("20")), "LICENSE names no year and owner: {owner:?}");
    let copy = fs::read_to_string(root.join("addons").join(ADDON).join("LICENSE"))?;
    ensure!(copy == text, "the addon's folder has another LICENSE");
    Ok(())
}

/// Everything is in the folder of the addon, and can be unpacked on every system.
fn zip(names: &[String]) -> Result<()> {
    let place = format!("addons/{ADDON}/");
    let mut seen = BTreeSet::new();
    for name in names {
        ensure!(name.starts_with(&place), "{name} is outside of {place}");
        let hidden = name.split('/').any(|part| part.starts_with('.'));
        let portable = name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\:*?\"<>|".contains(&byte));
        ensure!(!hidden && portable, "{name} cannot be unpacked everywhere");
        ensure!(seen.insert(name.to_lowercase()), "{name} is there twice on a system that ignores case");
    }
    Ok(())
}

const CATEGORIES: [&str; 7] = ["2D Tools", "3D Tools", "Shaders", "Materials", "Tools", "Scripts", "Misc"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_icon_is_a_square_of_128_pixels() {
        let png = |width: u32, height: u32| {
            [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &width.to_be_bytes()[..], &height.to_be_bytes()[..]].concat()
        };
        assert!(icon(&png(128, 128)).is_ok() && icon(&png(512, 512)).is_ok());
        for bad in [png(64, 64), png(256, 128), b"<svg/>".to_vec(), png(128, 128)[..20].to_vec()] {
            assert!(icon(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_zip_has_only_the_addon_and_portable_names() {
        let names = |name: &str| [format!("addons/{ADDON}/README.md"), name.to_owned()];
        assert!(zip(&names(&format!("addons/{ADDON}/icons/a.svg"))).is_ok());
        for bad in ["README.md", "addons/other/x", &format!("addons/{ADDON}/.hidden/x")] {
            assert!(zip(&names(bad)).is_err(), "{bad}");
        }
        assert!(zip(&names(&format!("addons/{ADDON}/readme.md"))).is_err(), "the same without case");
        assert!(zip(&names(&format!("addons/{ADDON}/a:b"))).is_err(), "no name on Windows");
    }
}
