//! Makes the folder with both engines out of Debian packages, whole or not at all.
//!
//! Layout in the cache: `engines` (finished), `engines.part` (being made), `archives` (packages fetched so far, kept
//! when a run is interrupted), `engines.lock`.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::engines::{Generation, from_root, on_path};
use crate::process::{Group, describe};
use crate::{CannotRun, apt, ui};

/// Where the engines are, or will be.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(cache()?.join("engines"))
}

/// Makes the folder, unless another run just did.
pub(crate) fn fetch() -> Result<()> {
    let cache = cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let lock = File::create(cache.join("engines.lock")).context("cannot make the lock file")?;
    if lock.try_lock().is_err() {
        ui::detail("another run is fetching them: waiting for it");
        lock.lock().context("cannot lock the cache")?;
    }
    let (finished, part) = (folder()?, cache.join("engines.part"));
    if finished.exists() {
        if Generation::ALL.iter().all(|&generation| from_root(generation, &finished).is_ok()) {
            return Ok(());
        }
        remove(&finished)?;
    }
    let mirrors = mirrors()?;
    let tool = mmdebstrap()?;
    let archives = cache.join("archives");
    let mut failure = anyhow!("no mirror to try");
    for mirror in &mirrors {
        // What an interrupted run left behind.
        remove(&part)?;
        fs::create_dir_all(&archives)?;
        match bootstrap(&tool, &cache, &part, &archives, &ENGINES, mirror) {
            Ok(()) => {
                for generation in Generation::ALL {
                    let engine = from_root(generation, &part)?;
                    ui::detail(&format!("{} runs", engine.version));
                }
                fs::rename(&part, &finished).context("cannot put the finished folder in its place")?;
                return remove(&archives);
            }
            Err(error) => failure = error.context(format!("cannot fetch the engines from {mirror}")),
        }
    }
    Err(failure)
}

/// Unpacks Debian packages of a suite into an empty folder, with what they depend on.
pub(crate) fn unpack(folder: &Path, suite: &str, packages: &str) -> Result<()> {
    let (mirrors, tool, cache) = (mirrors()?, mmdebstrap()?, cache()?);
    let archives = folder.with_extension("archives");
    let mut failure = anyhow!("no mirror to try");
    for mirror in &mirrors {
        remove(folder)?;
        fs::create_dir_all(&archives)?;
        match bootstrap(&tool, &cache, folder, &archives, &Contents { suite, packages }, mirror) {
            Ok(()) => return remove(&archives),
            Err(error) => failure = error.context(format!("cannot fetch {packages} from {mirror}")),
        }
    }
    Err(failure)
}

/// The folder for what is fetched once.
pub(crate) fn cache() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .or_else(|| absolute("LOCALAPPDATA"));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("websocket-multiplayer"))
}

fn mirrors() -> Result<Vec<String>> {
    let help = "Install Godot or Redot 4.3+ (and, for the tests with 3.x clients, the Godot 3.6 server), then put it \
         on the PATH or name it in GODOT4_BIN (GODOT3_BIN).";
    if let Some(mirror) = env::var("DEBIAN_MIRROR").ok().filter(|mirror| !mirror.is_empty()) {
        return Ok(vec![mirror]);
    }
    if !fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "ID=debian")) {
        bail!(CannotRun(format!("engines can be fetched on Debian only. {help}")));
    }
    let mirrors = apt::debian_mirrors();
    if mirrors.is_empty() {
        bail!(CannotRun(format!("apt's sources name no Debian mirror; name one in DEBIAN_MIRROR. {help}")));
    }
    Ok(mirrors)
}

/// The program that unpacks Debian packages into a folder; installed through apt where we may.
fn mmdebstrap() -> Result<PathBuf> {
    if let Some(tool) = on_path("mmdebstrap") {
        return Ok(tool);
    }
    if !is_root() || on_path("apt-get").is_none() {
        bail!(CannotRun(
            "fetching the engines needs `mmdebstrap`: run `sudo apt-get install mmdebstrap`, or name engines that you \
             have in GODOT4_BIN and GODOT3_BIN"
                .to_owned()
        ));
    }
    install("mmdebstrap")?;
    on_path("mmdebstrap").context("apt-get installed mmdebstrap, but it is not on the PATH")
}

/// Installs a Debian package, with fresh package lists if the present ones do not do.
pub(crate) fn install(package: &str) -> Result<()> {
    ui::detail(&format!("installing {package} through apt-get"));
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        run(command, "apt-get", |_| {})
    };
    let arguments = ["install", "--yes", "--no-install-recommends", package];
    if apt_get(&arguments).is_err() {
        ui::detail("refreshing apt's package lists");
        apt_get(&["update"])?;
        apt_get(&arguments)?;
    }
    Ok(())
}

#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}

/// What a folder is made of.
struct Contents<'a> {
    suite: &'a str,
    packages: &'a str,
}

fn bootstrap(
    tool: &Path,
    cache: &Path,
    part: &Path,
    archives: &Path,
    contents: &Contents<'_>,
    mirror: &str,
) -> Result<()> {
    // In a file, because a proxy address may hold a password and command lines are public.
    let settings = cache.join("apt.conf");
    write_private(
        &settings,
        &format!("Acquire::Check-Valid-Until \"false\";\n{}", apt::transport_settings()),
    )?;
    // Packages go to a folder outside of the part, where they survive an interruption.
    let link = format!(
        "rm -rf \"$1/var/cache/apt/archives\" && mkdir -p \"$1/var/cache/apt\" && ln -s '{}' \
         \"$1/var/cache/apt/archives\"",
        archives.display()
    );
    let mut command = Command::new(tool);
    command
        .arg(if is_root() { "--mode=root" } else { "--mode=chrootless" })
        .args(["--variant=extract", "--skip=download/empty"])
        .arg(format!("--aptopt={}", settings.display()))
        .arg(format!("--setup-hook={link}"))
        .arg(format!("--include={}", contents.packages))
        .args([contents.suite.as_ref(), part.as_os_str(), mirror.as_ref()]);
    ui::detail(&format!("unpacking Debian packages of {mirror}"));
    let mut last_report = Instant::now();
    let mut last_bytes = 0;
    let outcome = run(command, "mmdebstrap", |quiet| {
        if quiet && last_report.elapsed() > REPORT_EVERY {
            last_report = Instant::now();
            let (count, bytes) = packages(archives);
            // While it unpacks nothing more comes in.
            if bytes != last_bytes {
                last_bytes = bytes;
                ui::detail(&format!("{count} packages, {} MB fetched", bytes / 1_000_000));
            }
        }
    });
    remove_file(&settings)?;
    outcome
}

/// Runs a helper to its end, relaying what it says. `tick(true)` is called while it says nothing.
pub(crate) fn run(command: Command, label: &str, mut tick: impl FnMut(bool)) -> Result<()> {
    let mut group = Group::new();
    let index = group.spawn(label, command)?;
    while !group.all_done() {
        if group.started().elapsed() > FETCH_LIMIT {
            bail!("{label} did not end within {}", ui::seconds(FETCH_LIMIT));
        }
        match group.next_line(Duration::from_millis(250)) {
            // The hook's own text is long and says nothing to a person.
            Some((_, line)) if line.text.starts_with("I: ") && !line.text.contains("-hook") => {
                ui::detail(&line.text[3..]);
            }
            line => tick(line.is_none()),
        }
    }
    let status = group.status(index).context("it has ended")?;
    if !status.success() {
        for line in group.tail(index) {
            ui::detail(&format!("{label}: {}", line.text));
        }
        bail!("{label}: {}", describe(status));
    }
    Ok(())
}

fn packages(archives: &Path) -> (usize, u64) {
    let folders = [archives.to_owned(), archives.join("partial")];
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let sizes = files.filter_map(|file| file.metadata().ok()).filter(fs::Metadata::is_file);
    sizes.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.len()))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    remove_file(path)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

const ENGINES: Contents<'_> = Contents { suite: "forky", packages: "godot,godot3-server,ca-certificates" };
const FETCH_LIMIT: Duration = Duration::from_mins(20);
const REPORT_EVERY: Duration = Duration::from_secs(3);
