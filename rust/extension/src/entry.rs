//! Loading and unloading of the library.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use godot::init::{ExtensionLibrary, InitStage, gdextension};
use godot::sys;
use websocket_multiplayer_core::{Library, Runtime};

use crate::{border, debugger, diagnostics, logging, monitors, raw, registry, settings};

/// The entry point of the library: calls that of gdext, with `border` in between.
///
/// # Safety
/// The engine calls it once per load, with the arguments that its header describes.
#[unsafe(no_mangle)]
unsafe extern "C" fn websocket_multiplayer_init(
    engine: sys::GDExtensionInterfaceGetProcAddress,
    library: sys::GDExtensionClassLibraryPtr,
    init: *mut sys::GDExtensionInitialization,
) -> sys::GDExtensionBool {
    border::enter_main_thread();
    // SAFETY: the engine's own arguments.
    unsafe { websocket_multiplayer_bindings(border::intercept(engine), library, init) }
}

struct WebSocketMultiplayer;

// SAFETY: implementing the trait asserts that gdext's rules for extensions are kept; unsafe code is only in raw.rs and border.
#[gdextension(entry_symbol = websocket_multiplayer_bindings)]
unsafe impl ExtensionLibrary for WebSocketMultiplayer {
    fn on_stage_init(stage: InitStage) {
        border::enter_main_thread();
        // Scene is the first stage at which every supported engine has ProjectSettings, and still before any
        // autoload.
        if stage == InitStage::Scene {
            settings::register();
            border::find_methods();
            logging::install();
            log::debug!("{BUILD}");
            monitors::install();
            debugger::install();
            border::run_deferred();
        }
    }

    fn on_stage_deinit(stage: InitStage) {
        if stage == InitStage::Scene {
            monitors::remove();
            debugger::remove();
            diagnostics::stop_watchdog();
            border::disconnect_from_frames();
            border::run_deferred();
            registry::clear();
        }
        // The last stage: all objects are freed, and printing still works.
        if stage == InitStage::Core {
            let runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(runtime) = runtime {
                runtime.shutdown(SHUTDOWN_TIMEOUT);
            }
            border::release();
            logging::silence();
        }
    }
}

/// The registry of I/O threads, which all objects of the library share.
pub(crate) fn runtime() -> Arc<Runtime> {
    let library = Library {
        keep_loaded: raw::keep_loaded,
        #[cfg(target_vendor = "apple")]
        limit_unsent: raw::limit_unsent,
    };
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(runtime.get_or_insert_with(|| Runtime::of_library(library)))
}

macro_rules! build {
    ($kind:literal) => {
        concat!("websocket_multiplayer ", env!("CARGO_PKG_VERSION"), " (", $kind, ")")
    };
}

/// What this library is. `cargo xtask package` looks for this text in the file, so that no release contains a library for development.
const BUILD: &str = match (cfg!(debug_assertions), cfg!(feature = "editor")) {
    (false, true) => build!("release, editor"),
    (false, false) => build!("release, lean"),
    (true, true) => build!("dev, editor"),
    (true, false) => build!("dev, lean"),
};

/// A global, because scripts create objects without passing a context. Emptied when the library is unloaded.
static RUNTIME: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

/// The longest time that unloading the library may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
