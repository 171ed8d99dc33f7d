//! What the addon's plugin for exports puts into a web export, and that it leaves no trace elsewhere.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fs_err::{self as fs, File};
use zip::ZipArchive;

use crate::engine::{Engine, run_alone};
use crate::repo::{ADDON, Repo};
use crate::suites::Tally;
use crate::web_pack::{LINUX, WEB, add_presets, export};
use crate::{addon, files, ui};

/// Exports the project of the tests in several ways.
pub(crate) fn run(repo: &Repo, engine: &Engine, tally: &mut Tally) {
    let bed = Bed { repo, engine };
    tally.add(bed.contents().context("the contents of exports"));
    tally.add(bed.sessions().context("several exports in one session"));
    tally.add(bed.killed().context("an editor that ends during an export"));
    tally.add(bed.saved().context("another plugin saves the project's settings during an export"));
    tally.add(bed.fresh(&[]).context("an export before the first import"));
}

/// Makes a project of its own out of the one in `tests/web/game`, with the addon in it.
pub(crate) fn project(repo: &Repo, name: &str) -> Result<PathBuf> {
    let project = repo.scratch.join("web").join(name);
    files::empty(&project)?;
    files::copy_folder(&repo.root.join("tests/web/game"), &project)?;
    addon::stage_into(&repo.addon(), &project)?;
    add_presets(&project)?;
    Ok(project)
}

struct Bed<'a> {
    repo: &'a Repo,
    engine: &'a Engine,
}

impl Bed<'_> {
    fn contents(&self) -> Result<()> {
        let project = self.imported("exports")?;
        let settings = fs::read(project.join("project.godot"))?;
        let zip = project.join("../exports.zip");
        let mut warnings = Vec::new();
        let on_line = |line: &str| {
            if line.contains("wasm32") || line.contains("completed with warnings") {
                warnings.push(line.to_owned());
            }
        };
        export(self.engine, &project, WEB, &zip, on_line)?.passed()?;
        ensure!(warnings.is_empty(), "the web export says: {}", warnings.join("; "));
        let web = contents(&zip)?;
        let place = format!("addons/{ADDON}/");
        let mut exported: Vec<&str> = web.keys().filter_map(|name| name.strip_prefix(&place)).collect();
        let sources = self.repo.root.join("rust/extension/web");
        let wanted = files::below(&sources, |_| true)?;
        let mut wanted: Vec<String> = wanted
            .iter()
            .map(|file| format!("web/{}", file.file_name().unwrap_or_default().display()))
            .collect();
        exported.sort_unstable();
        wanted.sort();
        ensure!(exported == wanted, "a web export has {exported:?} of the addon instead of {wanted:?}");
        for name in CLASSES {
            ensure!(has(&web["project.binary"], name), "the exported project does not know the name {name}");
        }
        export(self.engine, &project, LINUX, &zip, |_| {})?;
        let linux = contents(&zip)?;
        if let Some(name) = linux.keys().find(|name| name.starts_with(&format!("{place}web/"))) {
            bail!("a Linux export has {name}");
        }
        ensure!(!has(&linux["project.binary"], SETTING), "a Linux export has the setting {SETTING}");
        ensure!(fs::read(project.join("project.godot"))? == settings, "an export has changed project.godot");
        ui::detail(&format!(
            "a web export has {} files of the addon, a Linux export none of them",
            wanted.len()
        ));
        Ok(())
    }

    fn sessions(&self) -> Result<()> {
        let project = self.with_probe("sessions")?;
        let told = self.probed(&project, "again")?;
        let one =
            |number: u32| [format!("in export {number}: true"), format!("after export {number}: false")];
        let after = || ["after that: false".to_owned()];
        let expected = [&one(1)[..], &one(2), &after(), &one(3), &after()].concat();
        ensure!(told == expected, "the exports of a session: {told:?}");
        ui::detail("the names are known during an export only, a failed one included");
        Ok(())
    }

    fn killed(&self) -> Result<()> {
        let project = self.with_probe("killed")?;
        let settings = fs::read(project.join("project.godot"))?;
        let told = self.probed(&project, "kill")?;
        ensure!(told == ["in export 1: true"], "the killed editor: {told:?}");
        ensure!(fs::read(project.join("project.godot"))? == settings, "project.godot was changed");
        self.engine.import(&project)?;
        ui::detail("an editor that is killed during an export leaves nothing behind");
        Ok(())
    }

    fn saved(&self) -> Result<()> {
        let project = self.with_probe("saved")?;
        let file = project.join("project.godot");
        self.probed(&project, "save")?;
        ensure!(has(&fs::read(&file)?, SETTING), "the other plugin saved no leftover: this proves nothing");
        let mut command = self.engine.on(&project);
        command.args(["--headless", "--import"]);
        let mut warned = 0;
        run_alone("import", command, |line| warned += usize::from(line.contains("is removed")))?.passed()?;
        ensure!(warned == 1, "the removal was told {warned} times");
        ensure!(!has(&fs::read(&file)?, SETTING), "the next editor leaves {SETTING} in project.godot");
        ui::detail("what another plugin has saved is removed by the next editor");
        Ok(())
    }

    /// As in a checkout that no editor has opened yet.
    fn fresh(&self, options: &[&str]) -> Result<()> {
        let project = project(self.repo, "fresh")?;
        files::remove(&project.join(".godot"))?;
        let zip = project.join("../fresh.zip");
        files::remove(&zip)?;
        let mut command = self.engine.on(&project);
        command.args(options).args(["--headless", "--export-pack", WEB]).arg(&zip);
        let outcome = run_alone("export", command, |_| {})?;
        let web = contents(&zip)?;
        let place = format!("addons/{ADDON}/web/");
        let found = web.keys().filter(|name| name.starts_with(&place)).count();
        let known = has(&web["project.binary"], SETTING);
        ensure!(
            found > 0 && known,
            "{found} files of the addon, its names known: {known}\n{}",
            outcome.tails
        );
        Ok(())
    }

    fn imported(&self, name: &str) -> Result<PathBuf> {
        let project = project(self.repo, name)?;
        self.engine.import(&project)?;
        Ok(project)
    }

    /// A project with the plugin in `tests/web/probe`.
    fn with_probe(&self, name: &str) -> Result<PathBuf> {
        let project = project(self.repo, name)?;
        files::copy_folder(&self.repo.root.join("tests/web/probe"), &project.join("addons/probe"))?;
        let file = project.join("project.godot");
        let text = fs::read_to_string(&file)?;
        let enabled = "\n[editor_plugins]\n\nenabled=PackedStringArray(\"res://addons/probe/plugin.cfg\")\n";
        fs::write(&file, text + enabled)?;
        self.engine.import(&project)?;
        Ok(project)
    }

    /// What the plugin prints during an export. In the mode `again`, one export fails.
    fn probed(&self, project: &Path, mode: &str) -> Result<Vec<String>> {
        let zip = project.join("../probed.zip");
        let mut command = self.engine.on(project);
        command.env("WEB_PROBE", mode).env("WEB_PROBE_FILE", project.join("../again.zip"));
        command.args(["--headless", "--export-pack", WEB]).arg(&zip);
        let mut told = Vec::new();
        let mut failed = false;
        run_alone("export", command, |line| {
            told.extend(line.strip_prefix("PROBE ").map(str::to_owned));
            failed |= line.starts_with("ERROR: Save ZIP: ");
        })?;
        ensure!(failed == (mode == "again"), "whether an export failed: {failed}");
        Ok(told)
    }
}

fn contents(zip: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut archive = ZipArchive::new(File::open(zip)?)?;
    let mut contents = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        contents.insert(file.name()?.into_owned(), bytes);
    }
    Ok(contents)
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

const SETTING: &str = "_global_script_classes";
const CLASSES: [&str; 4] =
    ["WebSocketServer", "WebSocketClient", "BufferedWebSocketMultiplayerPeer", "BufferedWebSocketPeer"];
