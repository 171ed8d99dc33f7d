//! The bounded queue of lines that wait to be printed. Lines without room are counted.

use std::collections::VecDeque;

use godot::global::PrintLevel;

/// One line of the console.
pub(crate) struct Line {
    pub(crate) level: PrintLevel,
    pub(crate) message: String,
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// The lines, oldest first.
pub(crate) struct Lines {
    waiting: VecDeque<Line>,
    lost: u64,
}

impl Lines {
    pub(crate) const fn new() -> Self {
        Self { waiting: VecDeque::new(), lost: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Queues a line, cut off at the longest allowed length.
    pub(crate) fn push(&mut self, mut line: Line) {
        if self.waiting.len() >= LINES_LIMIT {
            self.lost += 1;
            return;
        }
        if let Some((end, _)) = line.message.char_indices().nth(LINE_LENGTH_LIMIT) {
            line.message.truncate(end);
        }
        self.waiting.push_back(line);
    }

    /// Returns all lines, and a last one about those that had no room.
    pub(crate) fn take(&mut self) -> VecDeque<Line> {
        let mut taken = std::mem::take(&mut self.waiting);
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            taken.push_back(Line {
                level: PrintLevel::Warn,
                message: format!(
                    "WebSocket: {lost} further lines were left out, because {LINES_LIMIT} lines were waiting"
                ),
                function: String::new(),
                file: String::new(),
                line: 0,
            });
        }
        taken
    }
}

/// Lines that wait. So many come together only while the main thread is busy for a long time.
const LINES_LIMIT: usize = 1024;
/// Characters of a line.
const LINE_LENGTH_LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: String) -> Line {
        Line { level: PrintLevel::Info, message, function: String::new(), file: String::new(), line: 0 }
    }

    #[test]
    fn lines_without_room_are_counted_once() {
        let mut lines = Lines::new();
        for number in 0..LINES_LIMIT + 7 {
            lines.push(line(number.to_string()));
        }
        let taken = lines.take();
        assert_eq!(taken.len(), LINES_LIMIT + 1);
        assert_eq!(taken[LINES_LIMIT - 1].message, (LINES_LIMIT - 1).to_string());
        assert!(taken[LINES_LIMIT].message.contains(" 7 further lines"), "{}", taken[LINES_LIMIT].message);
        lines.push(line("again".to_owned()));
        assert_eq!(lines.take().len(), 1, "the lost lines were reported already");
        assert!(lines.is_empty());
    }

    #[test]
    fn the_documented_figures_are_those_of_the_code() {
        let row = format!("| fixed | {LINES_LIMIT} of up to {LINE_LENGTH_LIMIT} characters |");
        assert!(include_str!("../../../docs/limits.md").contains(&row), "{row}");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut lines = Lines::new();
        lines.push(line("ä".repeat(LINE_LENGTH_LIMIT + 1)));
        assert_eq!(lines.take()[0].message.chars().count(), LINE_LENGTH_LIMIT);
    }
}
