//! What a Debian needs to build for other machines: the standard library from its source, a linker for an old C library of Linux, and
//! one for Windows.
//!
//! Where `rustup target add` has installed a standard library, that one is used.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::{CannotRun, debian, foreign};

/// How cargo builds for a target on this machine.
#[derive(Debug, Default)]
pub(crate) struct CrossTools {
    /// `cargo` and this word: `build` or `zigbuild`.
    pub(crate) subcommand: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// More flags for the compiler.
    pub(crate) flags: Vec<String>,
}

/// What is built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Product {
    /// A library of a release: for Linux, it loads on systems that are ten years old.
    Library,
    /// Test programs, which an emulator starts.
    Tests,
}

impl CrossTools {
    /// Finds or fetches what a target needs.
    pub(crate) fn provide(target: &str, product: Product) -> Result<Self> {
        let mut tools = Self { subcommand: "build", ..Self::default() };
        let mut triple = target.to_owned();
        if cfg!(target_os = "linux") && product == Product::Library && PORTABLE.contains(&target) {
            tools.subcommand = "zigbuild";
            triple = format!("{target}.{GLIBC}");
            let packages = foreign::zig()?;
            let path = env::var_os("PATH").unwrap_or_default();
            let path = [packages.join("bin")].into_iter().chain(env::split_paths(&path));
            tools.set("PATH", env::join_paths(path)?.to_string_lossy());
            tools.set("PYTHONPATH", packages.to_string_lossy());
        } else if cfg!(target_os = "linux")
            && let Some((_, compiler, package)) = COMPILERS.iter().find(|(name, ..)| *name == target)
        {
            let program = debian::program(compiler, package, &format!("compiler for {target}"))?;
            let name = target.replace('-', "_");
            tools.set(&format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), program.to_string_lossy());
            tools.set(&format!("CC_{name}"), program.to_string_lossy());
        }
        if !has_std(target)? {
            tools.build_std(target)?;
        }
        tools.arguments.extend(["--target".to_owned(), triple]);
        Ok(tools)
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Builds the standard library with everything else, from its source as Debian packs it: rustup is not everywhere, and its
    /// servers are not either.
    fn build_std(&mut self, target: &str) -> Result<()> {
        let version = rustc(&["--version"])?;
        let version = version.split(' ').nth(1).context("rustc names its version")?;
        let source = foreign::rust_source(version).with_context(|| {
            format!("there is no standard library for {target}: `rustup target add {target}` adds it")
        })?;
        let library = source.join(format!("usr/src/rustc-{version}/library"));
        ensure!(library.is_dir(), "{} holds no source of version {version}", source.display());
        // The compiler's release channel takes these options from nightly ones only.
        self.set("RUSTC_BOOTSTRAP", "1");
        self.set("__CARGO_TESTS_ONLY_SRC_ROOT", library.to_string_lossy());
        self.arguments.push("-Zbuild-std=std,panic_unwind".to_owned());
        if target.ends_with("-windows-gnu") {
            let objects = start_objects(&library, target)?;
            self.flags.push(format!("-Lnative={}", objects.display()));
        }
        Ok(())
    }
}

/// Compiles the two objects between which a program for Windows finds its frames; a standard library has them beside it.
fn start_objects(library: &Path, target: &str) -> Result<PathBuf> {
    let folder = library.join("rtstartup").join(target);
    fs::create_dir_all(&folder)?;
    for name in ["rsbegin", "rsend"] {
        let source = library.join("rtstartup").join(name).with_extension("rs");
        let object = folder.join(name).with_extension("o");
        let mut command = Command::new("rustc");
        command.env("RUSTC_BOOTSTRAP", "1").args(["--crate-type=lib", "--emit=obj", "--target", target]);
        let output = command.arg("-o").arg(object).arg(source).output().context("cannot start rustc")?;
        ensure!(output.status.success(), "rustc: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(folder)
}

fn has_std(target: &str) -> Result<bool> {
    let folder = PathBuf::from(rustc(&["--print=target-libdir", "--target", target])?);
    Ok(folder.is_dir() && fs::read_dir(folder)?.next().is_some())
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let output = Command::new("rustc").args(arguments).output().context("cannot start rustc")?;
    if !output.status.success() {
        bail!(CannotRun(format!("rustc: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The targets whose libraries load on old systems.
const PORTABLE: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// The C library of the oldest system on which they load: CentOS 7, Debian 8, Ubuntu 14.04. It is Rust's own floor.
pub(crate) const GLIBC: &str = "2.17";

/// Targets, their compilers, and Debian's packages of those.
const COMPILERS: [(&str, &str, &str); 4] = [
    (
        "x86_64-pc-windows-gnu",
        "x86_64-w64-mingw32-gcc-posix",
        "gcc-mingw-w64-x86-64-posix mingw-w64-x86-64-dev binutils-mingw-w64-x86-64",
    ),
    ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    ("s390x-unknown-linux-gnu", "s390x-linux-gnu-gcc", "gcc-s390x-linux-gnu libc6-dev-s390x-cross"),
    ("i686-unknown-linux-gnu", "i686-linux-gnu-gcc", "gcc-i686-linux-gnu libc6-dev-i386-cross"),
];
