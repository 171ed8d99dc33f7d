//! Puts the scripts that are the addon's classes in a browser into web exports, and leaves the library out of them.
//!
//! The names of the scripts are known to the exported game by a project setting, `_global_script_classes`, which the engine reads at
//! its start. The editor itself must not know them: there, the classes of the library have these names. So the setting is there
//! during an export only, in memory.

use godot::builtin::{
    GString, PackedByteArray, PackedStringArray, StringName, VarArray, VarDictionary, Variant, vdict,
};
use godot::classes::{ConfigFile, EditorExportPlugin, IEditorExportPlugin, Node, ProjectSettings, Resource};
use godot::global::{Error, godot_error, godot_warn};
use godot::meta::ToGodot;
use godot::obj::{Base, Gd, NewGd, Singleton, WithBaseField};
use godot::register::{GodotClass, godot_api};

use super::scripts::{self, FILES};

/// Exports for the web get scripts in place of the library; all other exports are left as they are.
#[derive(GodotClass)]
#[class(init, tool, internal, base = EditorExportPlugin)]
pub(super) struct EditorWebSocketExport {
    base: Base<EditorExportPlugin>,
    /// During a web export: what the setting was before.
    before: Option<Variant>,
}

#[godot_api]
impl IEditorExportPlugin for EditorWebSocketExport {
    /// Plugins run by their names. The engine's own one is called GDExtension, and warns of a library that is missing for the web if it
    /// sees the addon's manifest: this one comes first and leaves the manifest out.
    fn get_name(&self) -> GString {
        "BufferedWebSocket".into()
    }

    fn export_begin(&mut self, features: PackedStringArray, _is_debug: bool, _path: GString, _flags: u32) {
        if !is_web(&features) {
            return;
        }
        for &(name, text) in FILES {
            let bytes = PackedByteArray::from(text.as_bytes());
            self.base_mut().add_file(&scripts::place(name), &bytes, false);
        }
        let mut settings = ProjectSettings::singleton();
        let before = settings.get_setting(SETTING);
        // A copy: an array is shared with the setting.
        let mut classes =
            before.try_to::<VarArray>().map_or_else(|_| VarArray::new(), |list| list.duplicate_shallow());
        for class in scripts::classes() {
            let [class_name, base] = [class.name, class.base].map(StringName::from);
            let entry: VarDictionary = vdict! {
                "class" => &class_name, "base" => &base, "language" => &StringName::from("GDScript"),
                "path" => &GString::from(&class.path), "icon" => &GString::new(), "is_abstract" => false, "is_tool" => false,
            };
            classes.push(&entry.to_variant());
        }
        settings.set_setting(SETTING, &classes.to_variant());
        self.before = Some(before);
    }

    /// The engine calls it after a failed export as well.
    fn export_end(&mut self) {
        if let Some(before) = self.before.take() {
            ProjectSettings::singleton().set_setting(SETTING, &before);
        }
    }

    fn export_file(&mut self, path: GString, _type: GString, features: PackedStringArray) {
        if is_web(&features) && path.to_string().starts_with(scripts::ADDON) {
            self.base_mut().skip();
        }
    }

    // The engine requires the next three, and calls none of them: this plugin customizes nothing.

    fn customize_resource(&mut self, _resource: Gd<Resource>, _path: GString) -> Option<Gd<Resource>> {
        None
    }

    fn customize_scene(&mut self, _scene: Gd<Node>, _path: GString) -> Option<Gd<Node>> {
        None
    }

    fn get_customization_configuration_hash(&self) -> u64 {
        0
    }
}

/// Removes the setting from the project's file, where another plugin can have saved it during an export. In an editor it would
/// make scripts that use the classes ambiguous.
pub(super) fn remove_leftover() {
    let mut file = ConfigFile::new_gd();
    if file.load(PROJECT) != Error::OK || !file.has_section_key("", SETTING) {
        return;
    }
    let saved = file.get_value("", SETTING);
    let paths = saved.try_to::<VarArray>().unwrap_or_default();
    let is_ours = |entry: Variant| {
        let entry: VarDictionary = entry.try_to().unwrap_or_default();
        entry.get("path").is_some_and(|path| path.to_string().starts_with(scripts::ADDON))
    };
    if !paths.iter_shared().any(is_ours) {
        return;
    }
    let mut settings = ProjectSettings::singleton();
    settings.set_setting(SETTING, &Variant::nil());
    match settings.save() {
        Error::OK => godot_warn!(
            "{PROJECT} had a list of the addon's classes for the web, which another plugin has saved during an export. It is removed."
        ),
        error => godot_error!(
            "{PROJECT} has a list of the addon's classes for the web, and cannot be saved without it ({error:?}). Remove the entry \
             {SETTING} from it."
        ),
    }
}

fn is_web(features: &PackedStringArray) -> bool {
    features.contains("web")
}

/// Read by every engine that was built with deprecated code (the default). The list of classes in the folder `.godot` would do as
/// well, but newer engines leave out of it what is not a file of the project.
const SETTING: &str = "_global_script_classes";
const PROJECT: &str = "res://project.godot";
