//! `cargo xtask package`: the files of a release, byte for byte the same for the same input.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err::{self as fs, File};
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::addon::BuildOptions;
use crate::platforms::{Build, Platform};
use crate::repo::{ADDON, Repo};
use crate::{CannotRun, addon, files, ui};

/// What to make.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PackageOptions {
    /// Try them in an empty project
    #[arg(long)]
    pub(crate) check: bool,
    /// Build the libraries for other machines too, as far as a Debian can: for Linux on x86_64 and arm64 with glibc 2.17 or later, and for
    /// Windows on x86_64
    #[arg(long, conflicts_with = "complete")]
    pub(crate) cross: bool,
    /// Build nothing, and fail unless the library of every platform is there: for a release, whose libraries other machines have built
    #[arg(long)]
    pub(crate) complete: bool,
    /// Fail unless this tag, such as v1.2.3, is that of the present version
    #[arg(long)]
    pub(crate) tag: Option<String>,
}

/// The files that were made.
#[derive(Debug)]
pub(crate) struct Packages {
    pub(crate) addon: PathBuf,
    pub(crate) demo: PathBuf,
    pub(crate) sums: PathBuf,
}

/// Builds what this machine can build of the packages.
pub(crate) fn build(repo: &Repo, options: &PackageOptions) -> Result<()> {
    if options.complete {
        return Ok(());
    }
    if !options.cross {
        return addon::build(repo, BuildOptions::default());
    }
    for name in CROSS {
        addon::build(
            repo,
            BuildOptions { platform: Some(Platform::named(name)?), ..BuildOptions::default() },
        )?;
    }
    Ok(())
}

/// The platforms of `--cross`.
pub(crate) const CROSS: [&str; 3] = ["linux-x86_64", "linux-arm64", "windows-x86_64"];

/// Makes the packages from what is in the addon's folder now, into `target/package`.
pub(crate) fn make(repo: &Repo, options: &PackageOptions) -> Result<Packages> {
    let version = env!("CARGO_PKG_VERSION");
    if let Some(tag) = options.tag.as_deref().filter(|tag| *tag != format!("v{version}")) {
        bail!("the tag {tag:?} is not that of version {version}, which is in Cargo.toml");
    }
    let missing = missing_platforms(repo);
    if options.complete && !missing.is_empty() {
        bail!("the libraries of these platforms are not built: {}", missing.join(", "));
    }
    let folder = repo.target.join("package");
    ui::step(&format!("Packing version {version} into {}", folder.display()));
    if !missing.is_empty() {
        ui::detail(&format!("without the platforms that are not built: {}", missing.join(", ")));
    }
    files::empty(&folder)?;
    let addon = addon_entries(repo)?;
    let demo_name = format!("{ADDON}_demo");
    let mut demo = BTreeMap::new();
    collect(&repo.demo_project(), &demo_name, is_of_demo, &mut demo)?;
    demo.extend(addon.iter().map(|(name, file)| (format!("{demo_name}/{name}"), file.clone())));

    let packages = Packages {
        addon: folder.join(format!("{ADDON}-{version}.zip")),
        demo: folder.join(format!("{ADDON}-demo-{version}.zip")),
        sums: folder.join("SHA256SUMS"),
    };
    let mut sums = String::new();
    for (file, entries) in [(&packages.addon, &addon), (&packages.demo, &demo)] {
        let bytes = archive(entries)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        fs::write(file, &bytes)?;
        // Writing to a string cannot fail.
        _ = writeln!(sums, "{}  {name}", checksum(&bytes));
        ui::detail(&format!("{name}: {} files, {:.1} MB", entries.len(), bytes.len() as f64 / 1e6));
    }
    fs::write(&packages.sums, sums)?;
    let changelog = fs::read_to_string(repo.root.join("CHANGELOG.md")).context("there is no changelog")?;
    fs::write(folder.join("RELEASE_NOTES.md"), notes(&changelog, version)?)?;
    Ok(packages)
}

/// Unpacks a package.
pub(crate) fn unpack(package: &Path, folder: &Path) -> Result<()> {
    let file = File::open(package)?;
    let mut archive = ZipArchive::new(file).with_context(|| format!("{} is no zip", package.display()))?;
    archive.extract(folder).with_context(|| format!("cannot unpack into {}", folder.display()))
}

/// The names in a package, in its order.
pub(crate) fn names(package: &Path) -> Result<Vec<String>> {
    let archive = ZipArchive::new(File::open(package)?)?;
    (0..archive.len())
        .map(|index| {
            let name = archive.name_for_index(index).context("it has this entry")??;
            Ok(name.into_owned())
        })
        .collect()
}

/// In hexadecimal digits, as `sha256sum` prints it.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The platforms that lack one of their libraries.
fn missing_platforms(repo: &Repo) -> Vec<&'static str> {
    let bin = repo.addon().join("bin");
    let is_there =
        |platform: &Platform| Build::BOTH.into_iter().all(|build| bin.join(platform.library(build)).exists());
    Platform::ALL.into_iter().filter(|platform| !is_there(platform)).map(|platform| platform.name).collect()
}

/// Returns the content of the addon's zip: name in the zip, and file.
fn addon_entries(repo: &Repo) -> Result<BTreeMap<String, PathBuf>> {
    let folder = repo.addon();
    let place = format!("addons/{ADDON}");
    let mut entries = BTreeMap::new();
    for name in ["LICENSE", "README.md", "THIRD_PARTY_LICENSES.txt", &format!("{ADDON}.gdextension")] {
        let file = folder.join(name);
        if !file.is_file() {
            bail!("the addon has no {name}");
        }
        entries.insert(format!("{place}/{name}"), file);
    }
    let is_icon = |name: &str| name.ends_with(".svg");
    collect(&folder.join("icons"), &format!("{place}/icons"), is_icon, &mut entries)?;
    let before = entries.len();
    for platform in Platform::ALL {
        for build in Build::BOTH {
            let library = platform.library(build);
            let file = folder.join("bin").join(&library);
            let name = format!("{place}/bin/{}", library.to_string_lossy().replace('\\', "/"));
            if !file.exists() {
                continue;
            }
            check_build(&file, &platform, build)?;
            if file.is_dir() {
                collect(&file, &name, |_| true, &mut entries)?;
            } else {
                entries.insert(name, file);
            }
        }
    }
    if entries.len() == before {
        bail!(CannotRun("there is no library to pack: run `cargo xtask build` first".to_owned()));
    }
    Ok(entries)
}

/// Fails unless a library is what a release has under this name: one of the dev profile, without the editor's part, or of another version
/// would work, and nobody would notice before players do.
fn check_build(library: &Path, platform: &Platform, build: Build) -> Result<()> {
    let wanted = match build {
        Build::Debug => "release, editor",
        Build::Release => "release, lean",
    };
    let wanted = format!("{ADDON} {} ({wanted})", env!("CARGO_PKG_VERSION"));
    for file in files::below(library, |_| true)? {
        if contains(&fs::read(file)?, wanted.as_bytes()) {
            return Ok(());
        }
    }
    let (library, name) = (library.display(), platform.name);
    bail!("{library} is not {wanted:?}: run `cargo xtask build --platform {name}`, or delete it");
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == wanted[0]);
    starts.map(|(start, _)| &bytes[start..]).any(|rest| rest.starts_with(wanted))
}

/// All files below a folder whose names, and those of their folders, are wanted.
fn collect(
    folder: &Path,
    place: &str,
    is_wanted: impl Fn(&str) -> bool,
    entries: &mut BTreeMap<String, PathBuf>,
) -> Result<()> {
    for file in files::below(folder, is_wanted)? {
        let name = file.strip_prefix(folder)?.to_str().context("a file name that is not Unicode")?;
        entries.insert(format!("{place}/{}", name.replace('\\', "/")), file);
    }
    Ok(())
}

/// Excludes the engine's own files, the staged addon, and a developer's export presets.
fn is_of_demo(name: &str) -> bool {
    let kept_hidden = [".gdignore", ".gitattributes"].contains(&name);
    (kept_hidden || !name.starts_with('.')) && name != "addons" && name != "export_presets.cfg"
}

/// Writes a zip sorted by name, without dates and owners, which differ between machines.
fn archive(entries: &BTreeMap<String, PathBuf>) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, file) in entries {
        let bytes = fs::read(file)?;
        writer.start_file(name, options)?;
        writer.write_all(&bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// Returns the changelog's section of a version, or the section *Unreleased* if there is none.
fn notes(changelog: &str, version: &str) -> Result<String> {
    let section = |title: &str| {
        let start = changelog.find(&format!("\n## {title}"))? + 1;
        let text = &changelog[start..];
        let text = text.split_once('\n')?.1;
        Some(text.find("\n## ").map_or(text, |end| &text[..end]).trim().to_owned())
    };
    let text =
        section(&format!("[{version}]")).or_else(|| section(version)).or_else(|| section("Unreleased"));
    let text = text.filter(|text| !text.is_empty());
    let text = text.with_context(|| format!("the changelog has no section for {version}"))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_the_same_whatever_the_machine_did_meanwhile() {
        let folder = std::env::temp_dir().join(format!("xtask-package-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/.hidden")).expect("a writable temporary folder");
        for name in ["a/two", "a/one", "a/.hidden/three", "a/.gdignore"] {
            fs::write(folder.join(name), name).expect("a writable temporary folder");
        }
        let pack = || {
            let mut entries = BTreeMap::new();
            collect(&folder.join("a"), "x", is_of_demo, &mut entries).expect("the folder is there");
            archive(&entries).expect("its files are there")
        };
        let first = pack();
        let package = folder.join("p.zip");
        fs::write(&package, &first).expect("a writable temporary folder");
        assert_eq!(names(&package).expect("a zip"), ["x/.gdignore", "x/one", "x/two"]);
        // A second zip, written later.
        std::thread::sleep(std::time::Duration::from_millis(10));
        fs::write(folder.join("a/one"), "a/one").expect("a writable temporary folder");
        assert_eq!(checksum(&pack()), checksum(&first));
        unpack(&package, &folder.join("out")).expect("a zip");
        assert_eq!(fs::read_to_string(folder.join("out/x/two")).expect("was unpacked"), "a/two");
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn only_what_a_release_has_under_a_name_is_packed() {
        let folder = std::env::temp_dir().join(format!("xtask-builds-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a writable temporary folder");
        let library = folder.join("library");
        let linux = Platform::named("linux-x86_64").expect("known");
        let version = env!("CARGO_PKG_VERSION");
        for (text, editor, players) in [
            (format!("w{ADDON} {version} (release, editor)\0"), true, false),
            (format!("{ADDON} {version} (release, lean)"), false, true),
            (format!("{ADDON} {version} (dev, editor)"), false, false),
            (format!("{ADDON} {version} (dev, lean)"), false, false),
            (format!("{ADDON} 0.0.0 (release, editor)"), false, false),
            ("a library of before".to_owned(), false, false),
        ] {
            fs::write(&library, &text).expect("a writable temporary folder");
            let fits = |build| check_build(&library, linux, build);
            assert_eq!(
                (fits(Build::Debug).is_ok(), fits(Build::Release).is_ok()),
                (editor, players),
                "{text}"
            );
        }
        let error = check_build(&library, linux, Build::Debug).expect_err("the last one");
        assert!(error.to_string().contains("cargo xtask build --platform linux-x86_64"), "{error}");
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn the_notes_are_the_section_of_the_version() {
        let text =
            "# Changelog\n\n## Unreleased\n\n- new\n\n## [0.2.0] - 2030-01-01\n\n- x\n\n## 0.1.0\n\n- y\n";
        assert_eq!(notes(text, "0.2.0").expect("is there"), "- x\n");
        assert_eq!(notes(text, "0.1.0").expect("is there"), "- y\n");
        assert_eq!(notes(text, "0.3.0").expect("falls back"), "- new\n");
        assert!(notes("# Changelog\n\n## Unreleased\n", "1.0.0").is_err());
    }

    #[test]
    fn a_checksum_is_that_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(checksum(b""), empty);
    }
}
