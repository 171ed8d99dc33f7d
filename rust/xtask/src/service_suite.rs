//! The service of `docs/deploying.md`, under the systemd of this machine: an engine starts, writes `user://`, reads its certificate, plays
//! with a client, and is stopped when the client has left.
//!
//! Where namespaces are forbidden, as in most containers, the same command runs by hand, with the environment and the rights of the unit.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::engine::{Engine, free_port};
use crate::engines::{self, Generation};
use crate::process::{self, Group, describe};
use crate::repo::Repo;
use crate::suites::Tally;
use crate::{CannotRun, addon, debian, files, ui};

pub(crate) fn suite(repo: &Repo) -> Result<Tally> {
    ensure!(debian::may_install(), CannotRun("the service is tried as root, on Debian".to_owned()));
    let engine = engines::provide(repo, Generation::Four)?;
    let bed = Bed::new(repo, &engine)?;
    let namespaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "true"];
    let systemd = Command::new("unshare").args(namespaces).output().is_ok_and(|one| one.status.success());
    let mut group = Group::new("service", LIMIT);
    if systemd {
        debian::program("systemctl", "systemd", "a systemd")?;
        ui::detail("under systemd, in namespaces");
    } else {
        ui::detail("by hand, with the environment of the unit: this machine forbids namespaces");
    }
    let mut tally = Tally::default();
    let outcome = bed.play(&mut group, systemd);
    let log = fs::read_to_string(bed.folder.join("out/server.log")).unwrap_or_default();
    tally.add(outcome.with_context(|| format!("the service of {PAGE}\n{log}{}", group.tails())));
    group.kill_all();
    Ok(tally)
}

struct Bed<'a> {
    engine: &'a Engine,
    folder: PathBuf,
    unit: String,
    port: u16,
}

impl<'a> Bed<'a> {
    /// Makes what is on the disk of the server: the unit, the game, and the certificate.
    fn new(repo: &Repo, engine: &'a Engine) -> Result<Self> {
        let page = fs::read_to_string(repo.root.join(PAGE))?;
        let folder = repo.scratch.join("service");
        files::empty(&folder)?;
        let (over, port) = (folder.join("over"), free_port()?);
        for name in ["out", "engine", "work"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let unit = block(&page, "service")?;
        let units = over.join("etc/systemd/system");
        fs::create_dir_all(units.join("game@.service.d"))?;
        fs::write(units.join("game@.service"), &unit)?;
        // Where the test finds the output and the port; nothing that the service needs.
        let more = format!(
            "[Service]\nStandardOutput=append:/out/server.log\nStandardError=inherit\nEnvironment=PORT={port}\n"
        );
        fs::write(units.join("game@.service.d/test.conf"), more)?;

        let game = over.join("opt/game");
        fs::create_dir_all(&game)?;
        let setup = block(&page, "credentials")? + SETUP;
        let setup: String = setup.lines().map(|line| format!("\t{line}\n")).collect();
        let start = "func _ready() -> void:\n";
        let script = block(&page, "drain")?.replacen(start, &format!("{start}{setup}"), 1);
        fs::write(game.join("game.gd"), script)?;
        fs::write(game.join("game.tscn"), SCENE)?;
        fs::write(game.join("project.godot"), PROJECT)?;
        fs::copy(repo.root.join("tests/service/client.gd"), game.join("client.gd"))?;
        addon::stage_into(&repo.addon(), &game)?;
        fs::copy(repo.root.join("tests/service/boot.sh"), folder.join("boot.sh"))?;

        let live = over.join("etc/letsencrypt/live/game.example.org");
        fs::create_dir_all(&live)?;
        let mut openssl = Command::new(debian::program("openssl", "openssl", "the openssl command")?);
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost", "-keyout"]).arg(live.join("privkey.pem"));
        openssl.arg("-out").arg(live.join("fullchain.pem"));
        process::run("openssl", openssl, LIMIT, |_| {})?.success()?;
        // As certbot leaves it: only root reads it.
        fs::set_permissions(live.join("privkey.pem"), Permissions::from_mode(0o600))?;
        Ok(Self { engine, folder, unit, port })
    }

    fn play(&self, group: &mut Group, systemd: bool) -> Result<()> {
        let out = self.folder.join("out");
        if systemd {
            self.write_program("/opt/engine", "/opt/game")?;
            let mut boot = Command::new("sh");
            boot.arg(self.folder.join("boot.sh")).arg(&self.folder).arg("game@one.service");
            group.spawn("systemd", boot)?;
        } else {
            let game = self.folder.join("over/opt/game").display().to_string();
            self.write_program(&engines::folder()?.display().to_string(), &game)?;
            group.spawn("server", self.by_hand()?)?;
        }
        let log = || fs::read_to_string(out.join("server.log")).unwrap_or_default();
        until("the server listens", || log().contains("READY"))?;
        ensure!(log().contains("READY saved in /"), "user:// is not written");

        let leave = out.join("leave");
        let mut client = self.engine.script(&self.folder.join("over/opt/game"), "res://client.gd");
        client.arg(self.port.to_string());
        client.arg(self.folder.join("over/etc/letsencrypt/live/game.example.org/fullchain.pem")).arg(&leave);
        let player = group.spawn("player", client)?;
        until("the player joins", || log().contains("JOINED"))?;
        let stop = group.spawn("stop", self.stop(systemd)?)?;
        until("the server drains", || log().contains("DRAINING"))?;
        thread::sleep(Duration::from_millis(1500));
        while group.next_line(Duration::ZERO).is_some() {}
        ensure!(group.status(stop).is_none() && group.status(player).is_none(), "the match was ended");
        fs::write(&leave, "")?;
        until("the stop", || {
            while group.next_line(Duration::ZERO).is_some() {}
            group.status(stop).is_some() && group.status(player).is_some()
        })?;
        for index in [player, stop] {
            let status = group.status(index).context("it has ended")?;
            ensure!(status.success(), "{}: {}", group.label(index), describe(status));
        }
        let faults: Vec<_> = log().lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect();
        ensure!(faults.is_empty(), "{faults:?}");
        Ok(())
    }

    /// Writes the program that the unit starts; a real one is exported, and contains the engine and the game.
    fn write_program(&self, engine: &str, game: &str) -> Result<()> {
        let here = engines::folder()?;
        let command = self.engine.command_line().replace(&here.display().to_string(), engine);
        let file = self.folder.join("over/opt/game/server.x86_64");
        fs::write(&file, format!("#!/bin/sh\nexec {command} --path {game} \"$@\"\n"))?;
        if here.exists() {
            files::remove(&self.folder.join("engine"))?;
            fs_err::os::unix::fs::symlink(&here, self.folder.join("engine"))?;
        }
        Ok(fs::set_permissions(&file, Permissions::from_mode(0o755))?)
    }

    /// The value of a line of the unit, for the instance `one`, with its folders in ours.
    fn values(&self, key: &str) -> Vec<String> {
        let state = self.folder.join("state").display().to_string();
        let lines = self.unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.map(|value| value.replace("%i", "one").replace("%S", &state)).collect()
    }

    /// The command of the unit without systemd: the rights of nobody, the environment of the unit, and no home.
    fn by_hand(&self) -> Result<Command> {
        let [state, run, credentials] = ["state/game-one", "run/game-one", "credentials"].map(|place| {
            let folder = self.folder.join(place);
            fs::create_dir_all(&folder)?;
            give_away(&folder)?;
            Ok::<_, anyhow::Error>(folder)
        });
        let credentials = credentials?;
        for value in self.values("LoadCredential") {
            let (name, file) = value.split_once(':').context("LoadCredential=NAME:FILE")?;
            let copy = credentials.join(name);
            fs::copy(self.folder.join("over").join(file.trim_start_matches('/')), &copy)?;
            give_away(&copy)?;
        }
        let mut command = Command::new("sh");
        let log = "echo $$ > \"$0/pid\"; exec \"$@\" > \"$0/server.log\" 2>&1";
        command.args(["-c", log]).arg(self.folder.join("out"));
        command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
        command.args(["env", "-i", "PATH=/usr/bin:/bin"]).arg(format!("PORT={}", self.port));
        command.args(self.values("Environment"));
        for (key, name, folder) in [
            ("StateDirectory", "STATE_DIRECTORY", state?),
            ("RuntimeDirectory", "RUNTIME_DIRECTORY", run?),
            ("LoadCredential", "CREDENTIALS_DIRECTORY", credentials),
        ] {
            ensure!(!self.values(key).is_empty(), "the unit has no {key}");
            command.arg(format!("{name}={}", folder.display()));
        }
        let game = self.folder.join("over/opt/game").display().to_string();
        let start = self.values("ExecStart").concat().replace("/opt/game", &game);
        command.args(start.split(' '));
        Ok(command)
    }

    /// What ends the service, and returns when it has ended.
    fn stop(&self, systemd: bool) -> Result<Command> {
        let pid = fs::read_to_string(self.folder.join("out/pid"))?.trim().to_owned();
        if systemd {
            let mut command = Command::new("nsenter");
            // Afterwards, because a server that crashes while it is stopped is stopped, too.
            let stop = "systemctl stop game@one && ! systemctl is-failed --quiet game@one";
            command.args(["--target", &pid, "--mount", "--pid", "sh", "-c", stop]);
            return Ok(command);
        }
        let values = self.values("ExecStop");
        let shell = values.first().context("the unit has no ExecStop")?;
        let shell = shell.strip_prefix("/bin/sh -c '").and_then(|text| text.strip_suffix('\''));
        let mut command = Command::new("sh");
        command.arg("-c").arg(shell.context("ExecStop=/bin/sh -c '...'")?);
        command.env("MAINPID", pid).env("RUNTIME_DIRECTORY", self.folder.join("run/game-one"));
        Ok(command)
    }
}

/// Makes nobody the owner.
fn give_away(place: &Path) -> Result<()> {
    Ok(std::os::unix::fs::chown(place, Some(65534), Some(65534))?)
}

/// The block of code after the comment `<!-- tested: NAME -->`.
fn block(page: &str, name: &str) -> Result<String> {
    let after = page.split_once(&format!("<!-- tested: {name} -->\n```")).map(|(_, rest)| rest);
    let after = after.and_then(|rest| rest.split_once('\n')?.1.split_once("```"));
    after.map(|(block, _)| block.to_owned()).with_context(|| format!("{PAGE} has no block {name:?}"))
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !is_so() {
        ensure!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

const PAGE: &str = "docs/deploying.md";
const PATIENCE: Duration = Duration::from_secs(40);
const LIMIT: Duration = Duration::from_mins(3);
const PROJECT: &str =
    "config_version=5\n\n[application]\n\nconfig/name=\"Service\"\nrun/main_scene=\"res://game.tscn\"\n";
const SCENE: &str = "[gd_scene load_steps=2 format=3]\n\n[ext_resource type=\"Script\" path=\"res://game.gd\" id=\"1\"]\n\n\
    [node name=\"Game\" type=\"Node\"]\nscript = ExtResource(\"1\")\n";

/// What the game does besides what the page says.
const SETUP: &str = r#"server.peer_connected.connect(func(_id: int) -> void: print("JOINED"))
if server.listen(int(OS.get_environment("PORT")), PackedStringArray(), true) == OK:
	multiplayer.multiplayer_peer = server
var file := FileAccess.open("user://save", FileAccess.WRITE)
if file and file.store_string("level 3"):
	print("READY saved in ", file.get_path_absolute())
get_tree().process_frame.connect(func() -> void:
	if server.refuse_new_connections and not has_meta("draining"):
		set_meta("draining", true)
		print("DRAINING"))
"#;
