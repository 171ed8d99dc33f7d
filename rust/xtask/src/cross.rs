//! Builds for the platforms of a release: the environment that their tools need, and the merging of libraries for several processors.
//!
//! `cargo-ndk` would replace the lines that name the compilers of Android's NDK, and must be installed first (104 crates). Apple's frameworks
//! need macOS.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::cross_tools::{CrossTools, Product};
use crate::platforms::{Build, Form, Platform};
use crate::repo::{ADDON, Repo};
use crate::{CannotRun, files};

/// Compiles a library of a release.
pub(crate) fn compile(repo: &Repo, target: &str, arguments: &[&str]) -> Result<PathBuf> {
    let tools = CrossTools::provide(target, Product::Library)?;
    let more = tools.arguments.iter().map(String::as_str);
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--locked"]).chain(more).collect();
    let mut environment = environment(repo, target, &tools.flags)?;
    environment.extend(tools.environment);
    repo.build_with(tools.subcommand, &arguments, &environment, ADDON)
}

/// The environment in which cargo builds for a target.
pub(crate) fn environment(repo: &Repo, target: &str, more: &[String]) -> Result<Vec<(String, String)>> {
    let name = target.replace('-', "_");
    let upper = name.to_uppercase();
    let mut flags = more.to_vec();
    let mut variables = Vec::new();
    // A library must not contain paths of the machine that built it.
    flags.push(format!("--remap-path-prefix={}=.", repo.root.display()));
    let home = ["CARGO_HOME", "HOME", "USERPROFILE"].iter().find_map(env::var_os);
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=~", Path::new(&home).display()));
    }
    if target.contains("-windows-") {
        // Players may have neither Microsoft's runtime nor that of the compiler.
        flags.push("-Ctarget-feature=+crt-static".to_owned());
    } else if target.ends_with("-linux-android") {
        let tools = android_tools()?;
        let tool = |name: &str| tools.join(name).display().to_string();
        let compiler = tool(&format!("{target}{ANDROID_API}-clang"));
        variables.push((format!("CARGO_TARGET_{upper}_LINKER"), compiler.clone()));
        variables.push((format!("CC_{name}"), compiler));
        variables.push((format!("AR_{name}"), tool("llvm-ar")));
        // Memory pages of 16 KiB, which new devices have.
        flags.push("-Clink-arg=-Wl,-z,max-page-size=16384".to_owned());
    } else if target.ends_with("-apple-darwin") {
        variables.push(("MACOSX_DEPLOYMENT_TARGET".to_owned(), MACOS.to_owned()));
    } else if target.contains("-apple-ios") {
        variables.push(("IPHONEOS_DEPLOYMENT_TARGET".to_owned(), IOS.to_owned()));
    }
    variables.push((format!("CARGO_TARGET_{upper}_RUSTFLAGS"), flags.join(" ")));
    Ok(variables)
}

/// Puts the libraries of a platform, in the order of its targets, in their place in the addon.
pub(crate) fn install(libraries: &[PathBuf], bin: &Path, platform: &Platform, build: Build) -> Result<()> {
    let place = bin.join(platform.library(build));
    let name = platform.library_name(build);
    match (platform.form, libraries) {
        (Form::SharedObject | Form::Dll, [library]) => files::copy(library, &place),
        (Form::Framework, _) => framework(libraries, &place, &name, None),
        (Form::XcFramework, [device, simulators @ ..]) => xcframework(device, simulators, &place, &name),
        (form, _) => bail!("{} libraries for one {form:?}", libraries.len()),
    }
}

fn framework(libraries: &[PathBuf], place: &Path, name: &str, ios: Option<&str>) -> Result<()> {
    files::remove(place)?;
    let (binary, list) = match ios {
        // On iOS a framework is flat.
        Some(_) => (place.join(name), place.join("Info.plist")),
        None => (place.join(name), place.join("Resources/Info.plist")),
    };
    fs::create_dir_all(list.parent().context("a file is in a folder")?)?;
    fs::write(&list, property_list(name, ios))?;
    if let [library] = libraries {
        files::copy(library, &binary)?;
    } else {
        run(Command::new("lipo").arg("-create").args(libraries).arg("-output").arg(&binary))?;
    }
    if cfg!(target_os = "macos") {
        let id = format!("@rpath/{name}.framework/{name}");
        run(Command::new("install_name_tool").args(["-id", &id]).arg(&binary))?;
        // The system does not load a library without a signature. Games are signed by their developers.
        run(Command::new("codesign").args(["--force", "--sign", "-"]).arg(place))?;
    }
    Ok(())
}

fn xcframework(device: &Path, simulators: &[PathBuf], place: &Path, name: &str) -> Result<()> {
    if !cfg!(target_os = "macos") {
        bail!(CannotRun("an xcframework is made by Xcode, on macOS".to_owned()));
    }
    files::remove(place)?;
    let parts = place.with_extension("parts");
    files::remove(&parts)?;
    let framework_in = |folder: &str| parts.join(folder).join(format!("{name}.framework"));
    let (for_device, for_simulator) = (framework_in("device"), framework_in("simulator"));
    framework(&[device.to_owned()], &for_device, name, Some("iPhoneOS"))?;
    framework(simulators, &for_simulator, name, Some("iPhoneSimulator"))?;
    let mut command = Command::new("xcodebuild");
    command.arg("-create-xcframework");
    for one in [&for_device, &for_simulator] {
        command.arg("-framework").arg(one);
    }
    command.arg("-output").arg(place);
    run(&mut command)?;
    Ok(files::remove(&parts)?)
}

fn property_list(name: &str, ios: Option<&str>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    // An identifier must be unique among the frameworks of an app, and dots separate its parts.
    let identifier = format!("org.websocketmultiplayer.{}", name.replace(['.', '_'], "-"));
    let mut entries = vec![
        ("CFBundleExecutable", name),
        ("CFBundleIdentifier", &identifier),
        ("CFBundleName", name),
        ("CFBundlePackageType", "FMWK"),
        ("CFBundleShortVersionString", version),
        ("CFBundleVersion", version),
    ];
    if ios.is_some() {
        entries.push(("MinimumOSVersion", IOS));
    }
    let mut lines: String =
        entries.iter().map(|(key, value)| format!("  <key>{key}</key><string>{value}</string>\n")).collect();
    if let Some(platform) = ios {
        lines +=
            &format!("  <key>CFBundleSupportedPlatforms</key><array><string>{platform}</string></array>\n");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n{lines}</dict>\n</plist>\n"
    )
}

/// The compilers of Android's NDK.
fn android_tools() -> Result<PathBuf> {
    let named = ["ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK_LATEST_HOME"];
    let kit = named.iter().find_map(env::var_os).map(PathBuf::from);
    let kit = kit.with_context(|| {
        CannotRun("a library for Android needs its NDK: name its folder in ANDROID_NDK_HOME".to_owned())
    })?;
    let hosts = kit.join("toolchains/llvm/prebuilt");
    let host = fs::read_dir(&hosts).with_context(|| format!("{} is no NDK", kit.display()))?;
    let host = host.flatten().next().with_context(|| format!("{} is empty", hosts.display()))?;
    Ok(host.path().join("bin"))
}

/// Runs one of Apple's tools.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// The oldest systems that Godot 4.3 supports, if the compiler supports them too.
const ANDROID_API: u32 = 21;
const MACOS: &str = "11.0";
const IOS: &str = "12.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_told_what_it_needs() {
        let repo = Repo::locate().expect("tests run in the working copy");
        for target in Platform::ALL.iter().flat_map(|platform| platform.targets) {
            // Without the NDK there is no path to set.
            if target.ends_with("android") && android_tools().is_err() {
                continue;
            }
            let variables = environment(&repo, target, &[]).expect("all tools are named by convention");
            let (name, flags) = variables.last().expect("flags are always set");
            assert_eq!(*name, format!("CARGO_TARGET_{}_RUSTFLAGS", target.replace('-', "_").to_uppercase()));
            assert!(flags.contains("--remap-path-prefix"), "{flags}");
            assert_eq!(flags.contains("crt-static"), target.contains("windows"), "{target}: {flags}");
        }
    }

    #[test]
    fn a_property_list_names_its_library() {
        let text = property_list("libx.debug", None);
        assert!(
            text.contains("<string>libx.debug</string>") && text.contains(".libx-debug</string>"),
            "{text}"
        );
        assert!(!text.contains("MinimumOSVersion") && !text.contains("Platforms"));
        let text = property_list("libx", Some("iPhoneOS"));
        assert!(
            text.contains("MinimumOSVersion") && text.contains("<array><string>iPhoneOS</string></array>")
        );
    }
}
