//! The plugin, and what connects the debugger's sessions with their tabs.

use std::collections::HashMap;

use godot::builtin::{GString, VarArray, VarDictionary};
use godot::classes::{EditorDebuggerPlugin, EditorPlugin, IEditorDebuggerPlugin, IEditorPlugin};
use godot::meta::ToGodot;
use godot::obj::{Base, Gd, NewGd, WithBaseField};
use godot::register::{GodotClass, godot_api};

use super::tab::Tab;
use crate::debugger::{CAPTURE, LOOK, REPORT};

/// Brings the tab into the editor.
#[derive(GodotClass)]
#[class(init, tool, internal, base = EditorPlugin)]
struct EditorWebSocketPlugin {
    base: Base<EditorPlugin>,
    debugger: Option<Gd<EditorWebSocketDebugger>>,
}

#[godot_api]
impl IEditorPlugin for EditorWebSocketPlugin {
    fn enter_tree(&mut self) {
        let debugger = EditorWebSocketDebugger::new_gd();
        self.debugger = Some(debugger.clone());
        self.base_mut().add_debugger_plugin(&debugger);
    }

    fn exit_tree(&mut self) {
        if let Some(debugger) = self.debugger.take() {
            self.base_mut().remove_debugger_plugin(&debugger);
        }
    }
}

/// Asks the game of each session whose tab is looked at, and shows the answers.
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
        // Methods of this object, not closures: what waits for them ends with it, and needs no code of this library then.
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
    /// Each second.
    #[func]
    fn look(&self, session_id: i32) {
        let Some(mut session) = self.base().get_session(session_id) else { return };
        let wanted = self.tabs.get(&session_id).is_some_and(Tab::is_looked_at);
        if wanted && session.is_active() && !session.is_breaked() {
            session.send_message(&format!("{CAPTURE}:{LOOK}"));
        }
    }

    /// A game starts: what is shown is of the one before.
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
