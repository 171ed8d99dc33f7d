//! The editor plugin, which adds the others; and the debugger plugin that connects the debugger's sessions with their tabs.

use std::collections::HashMap;

use godot::builtin::{GString, VarArray, VarDictionary};
use godot::classes::{
    EditorDebuggerPlugin, EditorInterface, EditorPlugin, IEditorDebuggerPlugin, IEditorPlugin,
};
use godot::global::godot_error;
use godot::meta::ToGodot;
use godot::obj::{Base, Gd, NewGd, Singleton, WithBaseField};
use godot::register::{GodotClass, godot_api};

use super::export::{self, EditorWebSocketExport};
use super::names;
use super::tab::Tab;
use crate::debugger::{CAPTURE, LOOK, REPORT};

/// Adds the tab and the plugin for exports to the editor.
#[derive(GodotClass)]
#[class(init, tool, internal, base = EditorPlugin)]
struct EditorWebSocketPlugin {
    base: Base<EditorPlugin>,
    debugger: Option<Gd<EditorWebSocketDebugger>>,
    exporter: Option<Gd<EditorWebSocketExport>>,
    /// Scripts whose `class_name` was reported.
    misnamed: Vec<String>,
}

#[godot_api]
impl IEditorPlugin for EditorWebSocketPlugin {
    fn enter_tree(&mut self) {
        let debugger = EditorWebSocketDebugger::new_gd();
        self.debugger = Some(debugger.clone());
        self.base_mut().add_debugger_plugin(&debugger);
        let exporter = EditorWebSocketExport::new_gd();
        self.exporter = Some(exporter.clone());
        self.base_mut().add_export_plugin(&exporter);
        export::remove_leftover();
        let check = self.to_gd().callable("check_names");
        if let Some(mut files) = EditorInterface::singleton().get_resource_filesystem() {
            files.connect("script_classes_updated", &check);
            files.connect("filesystem_changed", &check);
        }
        // The results of an earlier scan are available from the start.
        check.call_deferred(&[]);
    }

    fn exit_tree(&mut self) {
        let check = self.to_gd().callable("check_names");
        if let Some(mut files) = EditorInterface::singleton().get_resource_filesystem() {
            for signal in ["script_classes_updated", "filesystem_changed"] {
                if files.is_connected(signal, &check) {
                    files.disconnect(signal, &check);
                }
            }
        }
        if let Some(debugger) = self.debugger.take() {
            self.base_mut().remove_debugger_plugin(&debugger);
        }
        if let Some(exporter) = self.exporter.take() {
            self.base_mut().remove_export_plugin(&exporter);
        }
    }
}

#[godot_api]
impl EditorWebSocketPlugin {
    /// Called when the editor has scanned the project's files.
    // Nothing is borrowed while a line is printed: a script may be the logger.
    #[func(gd_self)]
    fn check_names(mut this: Gd<Self>) {
        let lines = names::check(&mut this.bind_mut().misnamed);
        for line in lines {
            godot_error!("{line}");
        }
    }
}

/// Asks the game of each session whose tab is visible, and shows the answers.
#[derive(GodotClass)]
#[class(init, tool, internal, base = EditorDebuggerPlugin)]
struct EditorWebSocketDebugger {
    base: Base<EditorDebuggerPlugin>,
    tabs: HashMap<i32, Tab>,
}

#[godot_api]
impl IEditorDebuggerPlugin for EditorWebSocketDebugger {
    fn setup_session(&mut self, session_id: i32) {
        let Some(mut session) = self.base().get_session(session_id) else { return };
        let mut tab = Tab::new();
        // Methods of this object instead of closures: the connections end with the object, and do not need the code of an unloaded library.
        let object = self.to_gd();
        let arguments = [session_id.to_variant()];
        tab.connect(&object.callable("look").bind(&arguments), &object.callable("draw").bind(&arguments));
        session.connect("started", &object.callable("begin").bind(&arguments));
        session.add_session_tab(tab.control());
        self.tabs.insert(session_id, tab);
    }

    fn has_capture(&self, capture: GString) -> bool {
        capture == CAPTURE
    }

    fn capture(&mut self, message: GString, data: VarArray, session_id: i32) -> bool {
        let Some(tab) = self.tabs.get_mut(&session_id) else { return false };
        if message.to_string() != format!("{CAPTURE}:{REPORT}") {
            return false;
        }
        if let Some(report) = data.get(0).and_then(|report| report.try_to::<VarDictionary>().ok()) {
            tab.show(&report);
        }
        true
    }
}

#[godot_api]
impl EditorWebSocketDebugger {
    /// Called each second.
    #[func]
    fn look(&self, session_id: i32) {
        let Some(mut session) = self.base().get_session(session_id) else { return };
        let wanted = self.tabs.get(&session_id).is_some_and(Tab::is_visible);
        if wanted && session.is_active() && !session.is_breaked() {
            session.send_message(&format!("{CAPTURE}:{LOOK}"));
        }
    }

    /// Called when a game starts: the tab still shows the previous game.
    #[func]
    fn begin(&mut self, session_id: i32) {
        if let Some(tab) = self.tabs.get_mut(&session_id) {
            tab.clear();
        }
    }

    #[func]
    fn draw(&mut self, session_id: i32) {
        if let Some(tab) = self.tabs.get_mut(&session_id) {
            tab.draw();
        }
    }
}
