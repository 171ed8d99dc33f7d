//! Log records of the core, and the error lines of this crate, on the engine's console.
//!
//! A script may be the engine's logger: it may take long, and may ask the object that prints for something. Nothing is therefore printed
//! where it is said. Lines wait in a queue until the main thread has nothing borrowed: until the call of a script that brought them about
//! returns, or until the next frame.

use std::io::Write;
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};

use godot::global::{PrintLevel, PrintRecord, PrintSource, print_custom};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::lines::{Line, Lines};
use crate::{border, settings};

/// Starts forwarding, at the level that the project asks for.
pub(crate) fn install() {
    // After a reload that kept this library mapped the logger is already there.
    let _ = log::set_logger(&EngineLog);
    set_level(settings::LOG_LEVEL.read());
    // gdext's own hook prints at once, on whatever thread, and with whatever is borrowed.
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

/// The process ends as soon as this returns, and nothing in the queue would be printed: what led to it is said where a crash is
/// told of, too.
fn print_fatal_lines() {
    // Whoever has the queue may be the one that panicked.
    let Ok(mut queue) = QUEUE.try_lock() else { return };
    let mut errors = std::io::stderr().lock();
    for line in queue.lines.take() {
        // There is nobody left to tell of an error.
        let _ = writeln!(errors, "{} ({}:{})", line.message, line.file, line.line);
    }
}

/// How Rust's library begins the text of a panic that ends the process.
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
    // What panics from now on, if anything, says so by itself.
    let _ = panic::take_hook();
    log::set_max_level(LevelFilter::Off);
}

/// Puts a line at the end of the queue. On any thread, with anything borrowed.
pub(crate) fn queue(line: Line) {
    lock().lines.push(line);
    border::request_run();
}

/// Prints what is in the queue now. On the main thread, with nothing borrowed.
pub(crate) fn flush() {
    // What is printed may bring about another line, and that one another: they wait for the next time.
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

/// While lines are printed, none of those that a logger brings about is.
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

    /// Tells this test that it is the process that ends.
    const CHILD: &str = "PRINT_FATAL_LINES";

    /// As the functions that the engine calls.
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
