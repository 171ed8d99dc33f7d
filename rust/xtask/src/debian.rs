//! Debian's packages: installed if the user may do that, or unpacked into a folder, with the mirrors and settings of this machine's apt.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use fs_err::{self as fs, OpenOptions};

use crate::engines::on_path;
use crate::{CannotRun, cache, files, process, ui};

/// Finds a program on the PATH. If it is missing and the user may install packages, installs those that have it, separated by spaces.
pub(crate) fn program(name: &str, packages: &str, what: &str) -> Result<PathBuf> {
    if let Some(program) = on_path(name) {
        return Ok(program);
    }
    install(packages, what)?;
    on_path(name).with_context(|| format!("apt-get installed {packages}, but there is no {name} on the PATH"))
}

/// Installs packages, separated by spaces, if the user may do that, with new package lists if one is not found in the present ones.
pub(crate) fn install(packages: &str, what: &str) -> Result<()> {
    if !may_install() {
        bail!(CannotRun(format!("there is no {what}: run `sudo apt-get install {packages}`")));
    }
    ui::detail(&format!("installing {packages} through apt-get"));
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        process::run("apt-get", command, LIMIT, |_| {})?.success()
    };
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages.split(' '));
    if apt_get(&arguments).is_err() {
        ui::detail("refreshing apt's package lists");
        apt_get(&["update"])?;
        apt_get(&arguments)?;
    }
    Ok(())
}

pub(crate) fn may_install() -> bool {
    is_root() && on_path("apt-get").is_some()
}

/// Unpacks packages of a suite and their dependencies into a folder.
pub(crate) fn unpack(folder: &Path, suite: &str, packages: &str) -> Result<()> {
    bootstrap(folder, &[&format!("--include={packages}")], suite)
}

/// The same for the processor of another machine, by Debian's name for it.
pub(crate) fn unpack_for(architecture: &str, folder: &Path, suite: &str, packages: &str) -> Result<()> {
    let architecture = format!("--architectures={architecture}");
    bootstrap(folder, &[&format!("--include={packages}"), &architecture], suite)
}

fn bootstrap(folder: &Path, options: &[&str], suite: &str) -> Result<()> {
    let mirrors = mirrors()?;
    let tool = program("mmdebstrap", "mmdebstrap", "mmdebstrap, which unpacks Debian's packages")?;
    // Packages go to a folder of their own, where they survive an interruption.
    let archives = folder.with_extension("archives");
    fs::create_dir_all(&archives)?;
    let mut failure = anyhow!("no mirror to try");
    for mirror in &mirrors {
        files::remove(folder)?;
        match bootstrap_from(&tool, folder, &archives, options, [suite, mirror]) {
            Ok(()) => return Ok(files::remove(&archives)?),
            Err(error) => failure = error.context(format!("cannot fetch {} from {mirror}", options[0])),
        }
    }
    Err(failure)
}

fn bootstrap_from(
    tool: &Path,
    folder: &Path,
    archives: &Path,
    options: &[&str],
    [suite, mirror]: [&str; 2],
) -> Result<()> {
    // In a file, because a proxy address may hold a password and command lines are public.
    let settings = cache::folder()?.join("apt.conf");
    files::remove(&settings)?;
    let mut private = OpenOptions::new();
    private.write(true).create_new(true);
    #[cfg(unix)]
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut private, 0o600);
    let text = format!("Acquire::Check-Valid-Until \"false\";\n{}", transport_settings());
    std::io::Write::write_all(&mut private.open(&settings)?, text.as_bytes())?;
    let link = format!(
        "rm -rf \"$1/var/cache/apt/archives\" && mkdir -p \"$1/var/cache/apt\" && ln -s '{}' \
         \"$1/var/cache/apt/archives\"",
        archives.display()
    );
    let mut command = Command::new(tool);
    command
        .arg(if is_root() { "--mode=root" } else { "--mode=chrootless" })
        .args(["--variant=extract", "--skip=download/empty"])
        .args(options)
        .arg(format!("--aptopt={}", settings.display()))
        .arg(format!("--setup-hook={link}"))
        .args([suite.as_ref(), folder.as_os_str(), mirror.as_ref()]);
    ui::detail(&format!("unpacking Debian packages of {mirror}"));
    let outcome = process::run("mmdebstrap", command, LIMIT, |line| {
        // The hook's own text is long and not helpful.
        if let Some(text) = line.strip_prefix("I: ").filter(|text| !text.contains("-hook")) {
            ui::detail(text);
        }
    });
    files::remove(&settings)?;
    outcome?.success().map(drop)
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

fn mirrors() -> Result<Vec<String>> {
    if let Some(mirror) = env::var("DEBIAN_MIRROR").ok().filter(|mirror| !mirror.is_empty()) {
        return Ok(vec![mirror]);
    }
    if !fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "ID=debian")) {
        bail!(CannotRun("Debian's packages are fetched on Debian only".to_owned()));
    }
    // apt reads its sources itself, in either of their formats.
    let format = "$(SITE) $(RELEASE) $(COMPONENT)";
    let targets = output("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]);
    let mirrors = mirrors_in(&targets);
    if mirrors.is_empty() {
        bail!(CannotRun("apt's sources name no Debian mirror; name one in DEBIAN_MIRROR".to_owned()));
    }
    Ok(mirrors)
}

/// Returns the output of a command; empty if there is no such command.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Takes lines of address, release and component, in the order of apt's files. The security archive lacks most packages, and
/// other vendors lack all of them.
fn mirrors_in(targets: &str) -> Vec<String> {
    let mut mirrors: Vec<String> = Vec::new();
    for line in targets.lines() {
        let [address, release, "main"] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        let address = address.trim_end_matches('/');
        let address = match address.strip_prefix("mirror+file:") {
            // Cloud images keep the address in a file of its own.
            Some(list) => first_address(&fs::read_to_string(list).unwrap_or_default()),
            None => Some(address.to_owned()).filter(|address| address.ends_with("/debian")),
        };
        mirrors.extend(address.filter(|address| !release.contains("security") && !mirrors.contains(address)));
    }
    mirrors
}

fn first_address(list: &str) -> Option<String> {
    let line = list.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    line.split_whitespace().next().map(|address| address.trim_end_matches('/').to_owned())
}

/// The proxy and certificate settings of apt, as lines of an apt configuration file.
fn transport_settings() -> String {
    transport_settings_in(&output("apt-config", &["dump"]))
}

fn transport_settings_in(dump: &str) -> String {
    let wanted = ["acquire::http::", "acquire::https::", "acquire::retries", "acquire::forceipv"];
    dump.lines()
        .filter(|line| wanted.iter().any(|prefix| line.to_ascii_lowercase().starts_with(prefix)))
        .fold(String::new(), |text, line| text + line + "\n")
}

const LIMIT: Duration = Duration::from_mins(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_main_archive_of_debian_is_a_mirror() {
        let targets = "http://a.example/debian/ bookworm main\nhttp://a.example/debian bookworm-updates main\n\
             http://sec.example/debian bookworm-security main\nhttp://a.example/debian bookworm contrib\n\
             https://tool.example/apt stable main\nhttp://b.example/debian sid main\nmirror+file:/none sid main\n";
        assert_eq!(mirrors_in(targets), ["http://a.example/debian", "http://b.example/debian"]);
        assert_eq!(
            first_address("# x\n\nhttp://c.example/debian/ main\n").as_deref(),
            Some("http://c.example/debian")
        );
    }

    #[test]
    fn only_transport_settings_are_taken_over() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"3\";\n";
        let expected = "Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::Retries \"3\";\n";
        assert_eq!(transport_settings_in(dump), expected);
    }
}
