//! Captures log lines for tests. A process has one logger.

use std::cell::RefCell;
use std::sync::Once;

/// The lines that were logged on this thread; a hub in memory has no other thread.
pub(super) struct Lines;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Lines {
    /// Forgets what was logged before.
    pub(super) fn catch() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&Self).expect("nobody else logs in these tests");
            log::set_max_level(log::LevelFilter::Debug);
        });
        LINES.take();
    }

    /// Returns the lines since then that contain this text.
    pub(super) fn with(part: &str) -> Vec<String> {
        LINES.with_borrow(|lines| lines.iter().filter(|line| line.contains(part)).cloned().collect())
    }
}

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(format!("{} {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}
