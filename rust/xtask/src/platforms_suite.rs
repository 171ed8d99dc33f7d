//! Other machines, as far as a Debian can be one: the libraries of `cargo xtask package --cross`, the core's own tests on other
//! processors and on Windows' system calls, and the engine for arm64 with the addon.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use regex::bytes::Regex;

use crate::addon::{self, BuildOptions};
use crate::case::Case;
use crate::cross_tools::GLIBC;
use crate::engine::Engine;
use crate::engine_run::TestBed;
use crate::engines::{self, Generation};
use crate::foreign::{self, Foreign};
use crate::package::CROSS;
use crate::platforms::{Build, Form, Platform};
use crate::platforms_core::MACHINES;
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{CannotRun, debian, engine_suite, files, ui};

/// Builds for other machines, and runs what was built: all of it, or the parts whose name contains `only`.
pub(crate) fn run(repo: &Repo, only: Option<&str>) -> Result<Tally> {
    ensure!(debian::may_install(), CannotRun("other machines are tried as root, on Debian".to_owned()));
    let wanted = |name: &str| only.is_none_or(|part| name.contains(part));
    let mut tally = Tally::default();
    if wanted(LIBRARIES) {
        for name in CROSS {
            tally.add(library(repo, Platform::named(name)?).with_context(|| name.to_owned()));
        }
    }
    for machine in MACHINES.iter().filter(|machine| wanted(machine.name)) {
        tally.join(machine.run(repo));
    }
    if wanted(ENGINE) {
        tally.join(engine_on_arm64(repo));
    }
    let known = || [LIBRARIES, ENGINE].into_iter().chain(MACHINES.iter().map(|machine| machine.name));
    ensure!(
        known().any(wanted),
        CannotRun(format!("the parts are {}", known().collect::<Vec<_>>().join(", ")))
    );
    Ok(tally)
}

/// Builds the libraries of a platform, and checks what they ask of a player's system.
fn library(repo: &Repo, platform: &'static Platform) -> Result<()> {
    addon::build(repo, BuildOptions { platform: Some(platform), ..BuildOptions::default() })?;
    for build in Build::BOTH {
        let file = repo.addon().join("bin").join(platform.library(build));
        let needs = match platform.form {
            Form::SharedObject => c_library(&fs::read(&file)?)?,
            Form::Dll => windows_libraries(&file)?,
            form => bail!("nothing is known about {form:?}"),
        };
        ui::detail(&format!("ok    {} needs {needs}", files::shown(&file, &repo.root)));
    }
    Ok(())
}

/// Returns the newest version of the C library that a library for Linux asks for.
fn c_library(bytes: &[u8]) -> Result<String> {
    let version = Regex::new(r"GLIBC_(\d+)\.(\d+)")?;
    let number = |part: &[u8]| String::from_utf8_lossy(part).parse::<u32>().unwrap_or(u32::MAX);
    let newest = version.captures_iter(bytes).map(|one| (number(&one[1]), number(&one[2]))).max();
    let (major, minor) = newest.context("it names no version of the C library")?;
    let newest = format!("{major}.{minor}");
    let floor = GLIBC.split_once('.').context("two numbers")?;
    ensure!((major, minor) <= (floor.0.parse()?, floor.1.parse()?), "it needs glibc {newest}, not {GLIBC}");
    Ok(format!("glibc {newest}"))
}

/// Returns the libraries that one for Windows loads, if all are Windows' own.
fn windows_libraries(file: &Path) -> Result<String> {
    let output = Command::new("x86_64-w64-mingw32-objdump").arg("-p").arg(file).output()?;
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let names: BTreeSet<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("dll name: ")).collect();
    ensure!(!names.is_empty(), "it names no library: {text}");
    let foreign = names.iter().find(|name| !WINDOWS.iter().any(|own| name.starts_with(own)));
    ensure!(foreign.is_none(), "it loads {foreign:?}, which is no part of Windows");
    let exported = text.lines().filter(|line| line.contains("+base[")).count();
    ensure!((1..=4).contains(&exported), "it exports {exported} symbols");
    Ok(names.into_iter().collect::<Vec<_>>().join(" "))
}

/// Plays cases with the engine and the library for Linux on arm64: alone, and with processes of this machine.
fn engine_on_arm64(repo: &Repo) -> Result<Tally> {
    ui::step("The engine and the addon for Linux on arm64, under qemu");
    let qemu =
        debian::program("qemu-aarch64-static", "qemu-user-static", "qemu for programs of other machines")?;
    let root = foreign::arm64_engine()?;
    let libraries = root.join("usr/lib/aarch64-linux-gnu");
    let mut arm64 = Engine::new(Generation::Four, qemu, "qemu".to_owned(), repo.scratch.join("home-arm64"));
    arm64.prefix = vec![
        libraries.join("ld-linux-aarch64.so.1").into(),
        "--library-path".into(),
        std::env::join_paths([libraries.clone(), libraries.join("pulseaudio")])?,
        root.join("usr/bin/godot").into(),
    ];
    let here = engines::provide(repo, Generation::Four)?;
    addon::build(repo, BuildOptions::LEAN)?;
    let platform = Some(Platform::named("linux-arm64")?);
    addon::build(repo, BuildOptions { platform, ..BuildOptions::default() })?;
    addon::stage(repo)?;
    here.import(&repo.test_project())?;
    files::empty(&repo.logs())?;
    let all = Case::all(&repo.test_project().join("cases"))?;
    let mut tally = Tally::default();
    for (engine_4, engine_of_first, wanted) in
        [(arm64.clone(), None, &ALL_ON_ARM64[..]), (here, Some(arm64), &SERVER_ON_ARM64[..])]
    {
        let cases: Vec<Case> =
            all.iter().filter(|case| wanted.contains(&case.name.as_str())).cloned().collect();
        ensure!(cases.len() == wanted.len(), "not all of {wanted:?} are cases");
        let bed = TestBed {
            repo: repo.clone(),
            engine_4,
            engine_of_first,
            engine_3: None,
            foreign: Foreign::default(),
            slower: SLOWER,
        };
        tally.join(Ok(engine_suite::play(&bed, cases)));
    }
    Ok(tally)
}

/// The names of the parts that are no machine for the core's tests.
const LIBRARIES: &str = "libraries";
const ENGINE: &str = "engine on arm64";

/// Cases in which all processes are of arm64. Those that measure time would measure the emulator.
const ALL_ON_ARM64: [&str; 6] =
    ["auth@ours", "drain", "interop_packets@ours", "peer_handle", "rpc@ours", "settings"];

/// Cases with a server of arm64 and clients of this machine.
const SERVER_ON_ARM64: [&str; 5] =
    ["interop_packets@ours", "resume@ours", "rpc@mixed_clients", "spawn_sync@ours", "wss@ours"];

/// How many times longer a case and its waits may take under an emulator, in which five engines need two minutes to start.
const SLOWER: u32 = 12;

/// The beginnings of the names of libraries that every Windows has had since version 10.
const WINDOWS: [&str; 12] = [
    "advapi32",
    "api-ms-win-",
    "bcrypt",
    "crypt32",
    "kernel32",
    "msvcrt",
    "ntdll",
    "ole32",
    "secur32",
    "ucrtbase",
    "userenv",
    "ws2_32",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_c_library_counts() {
        let text = b"\0GLIBC_2.2.5\0GLIBC_2.17\0GLIBC_2.9\0";
        assert_eq!(c_library(text).expect("all are old enough"), "glibc 2.17");
        let error = c_library(b"GLIBC_2.17\0GLIBC_2.34\0").expect_err("a new one").to_string();
        assert!(error.contains("2.34"), "{error}");
        assert!(c_library(b"nothing").is_err());
    }
}
