//! Log records of the core and this crate, on the engine's console. The I/O threads log too: printing is safe
//! from them.

use godot::global::{PrintLevel, PrintRecord, PrintSource, print_custom};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::settings;

/// Starts forwarding, at the level that the project asks for.
pub(crate) fn install() {
    // After a reload that kept this library mapped the logger is already there.
    let _ = log::set_logger(&EngineLog);
    set_level(settings::LOG_LEVEL.read());
}

/// 0 = off … 5 = trace.
pub(crate) fn set_level(level: i64) {
    log::set_max_level(match level {
        0 => LevelFilter::Off,
        1 => LevelFilter::Error,
        2 => LevelFilter::Warn,
        4 => LevelFilter::Debug,
        5 => LevelFilter::Trace,
        _ => LevelFilter::Info,
    });
}

/// Nothing may be printed once the library is unloaded.
pub(crate) fn silence() {
    log::set_max_level(LevelFilter::Off);
}

struct EngineLog;

impl Log for EngineLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates of the process may use `log` too; theirs is not ours to print.
        metadata.target().starts_with("websocket_multiplayer")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (level, tag) = match record.level() {
            Level::Error => (PrintLevel::Error, ""),
            Level::Warn => (PrintLevel::Warn, ""),
            Level::Info => (PrintLevel::Info, ""),
            Level::Debug => (PrintLevel::Info, "[debug] "),
            Level::Trace => (PrintLevel::Info, "[trace] "),
        };
        let source = (level != PrintLevel::Info).then(|| PrintSource {
            function: record.target(),
            file: record.file_static().unwrap_or(""),
            line: record.line().unwrap_or(0),
        });
        let message = format!("WebSocket: {tag}{}", record.args());
        print_custom(PrintRecord { level, message: &message, rationale: None, source, editor_notify: false });
    }

    fn flush(&self) {}
}
