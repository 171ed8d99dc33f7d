//! Prints the log records of the core, and the error lines of this crate, to the engine's console.
//!
//! A script can be the engine's logger: it can be slow, and it can call the object that prints. Therefore lines are not printed at
//! once. They wait in a queue until the main thread has nothing borrowed: until the script's call that caused them returns, or until the
//! next frame.

use std::io::Write;
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};

use godot::global::{PrintLevel, PrintRecord, PrintSource, print_custom};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::lines::{Line, Lines};
use crate::{border, settings};

/// Starts to forward log records, at the level of the project setting.
pub(crate) fn install() {
    // After a reload that kept this library mapped the logger is already there.
    let _ = log::set_logger(&EngineLog);
    set_level(settings::LOG_LEVEL.read());
    // gdext's own hook prints at once, on any thread, and while objects are borrowed.
    panic::set_hook(Box::new(on_panic));
}

fn on_panic(panic: &panic::PanicHookInfo<'_>) {
    let place = panic.location();
    let text = panic_text(panic);
    queue(Line {
        level: PrintLevel::Error,
        message: format!("WebSocket: a bug in this addon, please report it: {text}"),
        function: std::thread::current().name().unwrap_or_default().to_owned(),
        file: place.map_or_else(String::new, |place| place.file().to_owned()),
        line: place.map_or(0, panic::Location::line),
    });
    if FATAL.iter().any(|fatal| text.starts_with(fatal)) {
        print_fatal_lines();
    }
}

/// Prints the queue to the standard error output, because the process is about to end and would not print it: the lines say what has
/// caused the end.
fn print_fatal_lines() {
    // The code that panicked may have the queue locked.
    let Ok(mut queue) = QUEUE.try_lock() else { return };
    let mut errors = std::io::stderr().lock();
    for line in queue.lines.take() {
        // An error cannot be reported any more.
        let _ = writeln!(errors, "{} ({}:{})", line.message, line.file, line.line);
    }
}

/// The beginnings of the texts of panics that end the process, in Rust's library.
const FATAL: [&str; 2] = ["panic in a function that cannot unwind", "panic in a destructor during cleanup"];

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

/// Prints the last lines: nothing may be printed once the library is unloaded.
pub(crate) fn silence() {
    flush();
    // A later panic prints its message by the default hook.
    let _ = panic::take_hook();
    log::set_max_level(LevelFilter::Off);
}

/// Queues a line. Can be called on any thread, whatever is borrowed.
pub(crate) fn queue(line: Line) {
    lock().lines.push(line);
    border::request_run();
}

/// Prints the lines that are in the queue now. Call it on the main thread, with nothing borrowed.
pub(crate) fn flush() {
    // Printing can cause further lines (by a logger), without end: they wait for the next call.
    let lines = {
        let mut queue = lock();
        if queue.printing {
            return;
        }
        queue.printing = true;
        queue.lines.take()
    };
    let _printing = Printing;
    for line in &lines {
        print(line);
    }
}

fn print(line: &Line) {
    let source = (line.level != PrintLevel::Info).then_some(PrintSource {
        function: &line.function,
        file: &line.file,
        line: line.line,
    });
    print_custom(PrintRecord {
        level: line.level,
        message: &line.message,
        rationale: None,
        source,
        editor_notify: false,
    });
}

/// Marks that lines are being printed, so that the lines caused by a logger wait.
struct Printing;

impl Drop for Printing {
    fn drop(&mut self) {
        let mut queue = lock();
        queue.printing = false;
        let more = !queue.lines.is_empty();
        drop(queue);
        if more {
            border::request_run();
        }
    }
}

struct Queue {
    lines: Lines,
    printing: bool,
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panic_text<'a>(panic: &'a panic::PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { lines: Lines::new(), printing: false });

struct EngineLog;

impl Log for EngineLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates in the process may use `log`, too; their records are not printed here.
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
        queue(Line {
            level,
            message: format!("WebSocket: {tag}{}", record.args()),
            function: record.target().to_owned(),
            file: record.file_static().unwrap_or_default().to_owned(),
            line: record.line().unwrap_or(0),
        });
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Marks the process that shall end.
    const CHILD: &str = "PRINT_FATAL_LINES";

    /// Like the functions that the engine calls.
    extern "C" fn called_by_the_engine() {
        panic!("the cause");
    }

    #[test]
    fn a_panic_that_ends_the_process_is_printed() {
        if std::env::var_os(CHILD).is_some() {
            panic::set_hook(Box::new(on_panic));
            called_by_the_engine();
        }
        let mut child = Command::new(std::env::current_exe().expect("the tests are a file"));
        child.args(["--exact", "logging::tests::a_panic_that_ends_the_process_is_printed", "--nocapture"]);
        let output = child.env(CHILD, "1").output().expect("the tests can be run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "it ends: {text}");
        assert!(text.contains("please report it: the cause"), "{text}");
    }
}
