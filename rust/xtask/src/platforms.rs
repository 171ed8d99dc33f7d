//! The libraries of a complete release, their places in the addon, and the targets that they are built from.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::CannotRun;
use crate::repo::ADDON;

/// One system that the manifest of the addon names.
#[derive(Debug)]
pub(crate) struct Platform {
    /// As on the command line and in the release workflow.
    pub(crate) name: &'static str,
    /// Target triples; the libraries of several are merged into one file.
    pub(crate) targets: &'static [&'static str],
    /// Below the folder `bin`.
    folder: &'static str,
    pub(crate) form: Form,
}

/// The kind of file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// `lib*.so`.
    SharedObject,
    /// `*.dll`.
    Dll,
    /// A folder with a library for each processor in one file.
    Framework,
    /// A folder with a framework for the device and one for the simulator.
    XcFramework,
}

impl Platform {
    pub(crate) const ALL: [Self; 8] = [
        Self::new("linux-x86_64", &["x86_64-unknown-linux-gnu"], "linux/x86_64", Form::SharedObject),
        Self::new("linux-arm64", &["aarch64-unknown-linux-gnu"], "linux/arm64", Form::SharedObject),
        Self::new("windows-x86_64", &["x86_64-pc-windows-gnu"], "windows/x86_64", Form::Dll),
        Self::new("windows-arm64", &["aarch64-pc-windows-msvc"], "windows/arm64", Form::Dll),
        Self::new("macos", &["aarch64-apple-darwin", "x86_64-apple-darwin"], "macos", Form::Framework),
        Self::new("android-arm64", &["aarch64-linux-android"], "android/arm64", Form::SharedObject),
        Self::new("android-x86_64", &["x86_64-linux-android"], "android/x86_64", Form::SharedObject),
        // The device first: the others are simulators.
        Self::new(
            "ios",
            &["aarch64-apple-ios", "aarch64-apple-ios-sim", "x86_64-apple-ios"],
            "ios",
            Form::XcFramework,
        ),
    ];

    const fn new(
        name: &'static str,
        targets: &'static [&'static str],
        folder: &'static str,
        form: Form,
    ) -> Self {
        Self { name, targets, folder, form }
    }

    /// Returns the platform with that name.
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        static ALL: [Platform; 8] = Platform::ALL;
        let known = || ALL.iter().map(|platform| platform.name).collect::<Vec<_>>().join(", ");
        ALL.iter()
            .find(|platform| platform.name == name)
            .with_context(|| CannotRun(format!("there is no platform {name:?}; known are {}", known())))
    }

    /// Returns the platform that this program runs on.
    pub(crate) fn host() -> Result<&'static Self> {
        Self::named(match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") => "linux-x86_64",
            ("linux", "aarch64") => "linux-arm64",
            ("windows", "x86_64") => "windows-x86_64",
            ("windows", "aarch64") => "windows-arm64",
            ("macos", _) => "macos",
            (os, arch) => bail!(CannotRun(format!("the addon has no library for {os} on {arch}"))),
        })
    }

    /// Returns the library, a file or a folder, below the folder `bin`.
    pub(crate) fn library(&self, build: Build) -> PathBuf {
        let name = self.library_name(build);
        let file = match self.form {
            Form::SharedObject => format!("{name}.so"),
            Form::Dll => format!("{name}.dll"),
            Form::Framework => format!("{name}.framework"),
            Form::XcFramework => format!("{name}.xcframework"),
        };
        PathBuf::from(self.folder).join(file)
    }

    /// Returns the same without its extension.
    pub(crate) fn library_name(&self, build: Build) -> String {
        let prefix = if self.form == Form::Dll { "" } else { "lib" };
        format!("{prefix}{ADDON}{}", build.suffix())
    }
}

/// The two builds of a library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Build {
    /// For the editor and debug exports, with the class documentation.
    Debug,
    /// For release exports.
    Release,
}

impl Build {
    pub(crate) const BOTH: [Self; 2] = [Self::Debug, Self::Release];

    fn suffix(self) -> &'static str {
        match self {
            Self::Debug => ".debug",
            Self::Release => "",
        }
    }
}

#[cfg(test)]
mod tests {

    use fs_err as fs;

    use super::*;
    use crate::repo::Repo;

    /// `key = "value"` lines of a section of an ini-like file.
    fn section(text: &str, name: &str) -> Vec<(String, String)> {
        let lines = text.lines().skip_while(|line| line.trim() != format!("[{name}]")).skip(1);
        lines
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
            .collect()
    }

    #[test]
    fn the_manifest_names_the_libraries_that_are_built() {
        let repo = Repo::locate().expect("tests run in the working copy");
        let manifest = repo.addon().join(format!("{ADDON}.gdextension"));
        let manifest = fs::read_to_string(manifest).expect("the addon has a manifest");
        let mut wanted: Vec<(String, String)> = Vec::new();
        for platform in Platform::ALL {
            let (system, arch) = platform.name.split_once('-').unwrap_or((platform.name, ""));
            for build in Build::BOTH {
                let tag = format!("{system}.{build:?}.{arch}").to_lowercase();
                let path = platform.library(build).to_string_lossy().replace('\\', "/");
                wanted.push((tag.trim_end_matches('.').to_owned(), format!("bin/{path}")));
            }
        }
        let mut listed = section(&manifest, "libraries");
        wanted.sort();
        listed.sort();
        assert_eq!(listed, wanted);
    }

    #[test]
    fn the_release_workflow_builds_every_platform() {
        let repo = Repo::locate().expect("tests run in the working copy");
        let file = repo.root.join(".github/workflows/release.yml");
        let text = fs::read_to_string(file).expect("there is a release workflow");
        let mut built: Vec<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("- platform: ")).collect();
        let mut wanted: Vec<&str> = Platform::ALL.iter().map(|platform| platform.name).collect();
        built.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(built, wanted);
        for target in Platform::ALL.iter().flat_map(|platform| platform.targets) {
            assert!(text.contains(target), "the release workflow does not install {target}");
        }
    }

    #[test]
    fn this_machine_has_a_platform() {
        let host = Platform::host().expect("tests run on a supported system");
        assert!(host.library(Build::Debug).to_string_lossy().contains(".debug."));
        assert!(Platform::named("amiga").expect_err("no such thing").to_string().contains("linux-arm64"));
    }
}
