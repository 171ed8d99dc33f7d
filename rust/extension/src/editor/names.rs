//! Finds scripts of the project whose `class_name` is the name of a class of the addon: they do not compile.

use godot::classes::ProjectSettings;
use godot::obj::Singleton;

use crate::report::Kind;

/// Returns an error line for each of these scripts. `known` are the scripts that were reported already.
pub(crate) fn check(known: &mut Vec<String>) -> Vec<String> {
    let mut lines = Vec::new();
    for class in ProjectSettings::singleton().get_global_class_list().iter_shared() {
        let text = |key: &str| class.get(key).map(|value| value.to_string()).unwrap_or_default();
        let (name, path) = (text("class"), text("path"));
        if CLASSES.iter().all(|kind| kind.class() != name) || known.contains(&path) {
            continue;
        }
        lines.push(format!(
            "{path}: its class_name {name} is also the name of a class of the addon websocket_multiplayer, so scripts that use it do \
             not compile (\"hides a native class\"). Rename the class_name, for example to My{name}, also where other scripts use it."
        ));
        known.push(path);
    }
    lines
}

const CLASSES: [Kind; 4] = [Kind::Server, Kind::Client, Kind::Either, Kind::Handle];
