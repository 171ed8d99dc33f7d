//! Output for the terminal, in plain lines, so that a log file reads the same.

use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Announces a step.
pub(crate) fn step(text: &str) {
    println!("==> {text}");
    *last_line() = Instant::now();
}

/// Prints a detail under the current step.
pub(crate) fn detail(text: &str) {
    println!("    {text}");
    *last_line() = Instant::now();
}

/// Prints that `label`, which started then, is still at work, when nothing else was printed for a while.
pub(crate) fn sign_of_life(label: &str, started: Instant, doing: &str) {
    if last_line().elapsed() >= QUIET {
        let gap = if doing.is_empty() { "" } else { ": " };
        detail(&format!("... {label} ({}){gap}{doing}", seconds(started.elapsed())));
    }
}

/// When the last line was printed. There is one terminal, whatever waits for processes.
fn last_line() -> MutexGuard<'static, Instant> {
    static LAST_LINE: LazyLock<Mutex<Instant>> = LazyLock::new(|| Mutex::new(Instant::now()));
    LAST_LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// "0.4 s", "3 min 07 s".
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole >= 60 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// Lays `rows` out in columns under `head`; columns whose cells are all numbers are right-aligned.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| cell(row, column).chars().count());
        cells.max().unwrap_or(0).max(head[column].chars().count())
    };
    let numeric = |column: usize| {
        rows.iter().all(|row| cell(row, column).chars().all(|c| c.is_ascii_digit() || "., -".contains(c)))
    };
    let mut text = String::new();
    let head_row: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
    let rule = (0..head.len()).map(|column| "-".repeat(width(column))).collect();
    for row in [&head_row, &rule].into_iter().chain(rows) {
        let mut line = String::from("  ");
        for column in 0..head.len() {
            let (cell, width) = (cell(row, column), width(column));
            // Writing to a string cannot fail.
            _ = if numeric(column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

const QUIET: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_go_right() {
        let rows = [vec!["fmt".to_owned(), "1".to_owned()], vec!["engine".to_owned(), "12".to_owned()]];
        let expected = "  suite   passed\n  ------  ------\n  fmt          1\n  engine      12\n";
        assert_eq!(table(&["suite", "passed"], &rows), expected);
    }

    #[test]
    fn durations_read_like_a_stopwatch() {
        assert_eq!(seconds(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(187)), "3 min 07 s");
    }
}
