//! The lines of an engine's output that make a run a failure, whatever its exit code is.

use regex::Regex;

/// Reads the lines of all processes of one run.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Error and warning lines that the run provokes on purpose, and whether each was seen or is optional.
    expected: Vec<(Regex, bool)>,
    faults: Vec<String>,
    faults_left_out: usize,
}

impl Verdict {
    /// Allows lines that need not appear.
    pub(crate) fn new(expected: &[Regex], allowed: &[Regex]) -> Self {
        let expected = expected.iter().map(|regex| (regex.clone(), false));
        let allowed = allowed.iter().map(|regex| (regex.clone(), true));
        Self { expected: expected.chain(allowed).collect(), faults: Vec::new(), faults_left_out: 0 }
    }

    /// Checks one line of the process `name`.
    pub(crate) fn read(&mut self, name: &str, line: &str) {
        let mut fault = NEVER.iter().any(|text| line.contains(text));
        if !fault && (is_error(line) || is_warning(line)) {
            let mut allowed = false;
            for (regex, came) in &mut self.expected {
                if regex.is_match(line) {
                    *came = true;
                    allowed = true;
                }
            }
            fault = is_error(line) && !allowed;
        }
        if fault {
            self.add(format!("{name}: {line}"));
        }
    }

    /// Adds a fault that is not in the output.
    pub(crate) fn add(&mut self, fault: String) {
        // An error in each frame would fill the screen.
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        } else {
            self.faults_left_out += 1;
        }
    }

    pub(crate) fn is_bad(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Returns all faults, after the last line. Empty: passed.
    pub(crate) fn close(mut self) -> Vec<String> {
        if self.faults_left_out > 0 {
            self.faults.push(format!("... and {} more", self.faults_left_out));
        }
        let missing = self.expected.iter().filter(|(_, came)| !came);
        let missing = missing.map(|(regex, _)| format!("expected line never came: {regex}"));
        self.faults.extend(missing);
        self.faults
    }
}

/// Godot 3 says `USER ERROR:` where 4 says `ERROR:`, both indent continuation lines.
fn is_error(line: &str) -> bool {
    line.starts_with("ERROR:") || line.starts_with("USER ERROR:")
}

fn is_warning(line: &str) -> bool {
    line.starts_with("WARNING:") || line.starts_with("USER WARNING:")
}

/// Lines that are always faults and never expected.
const NEVER: [&str; 14] = [
    "SCRIPT ERROR",
    "Parse Error",
    // Engines up to 4.6 print it when a certificate is saved to a string.
    "Unicode parsing error",
    "ObjectDB instances leaked",
    "ObjectDB Instances still exist",
    "Resource still in use",
    "resources still in use at exit",
    "Can't open dynamic library",
    "Error loading extension",
    "Error loading GDExtension",
    "panicked at",
    "Rust function panicked",
    "Assertion failed",
    "Program crashed with signal",
];

const MOST_FAULTS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(expected: &[&str], lines: &[&str]) -> Vec<String> {
        let regexes: Vec<_> = expected.iter().map(|text| Regex::new(text).expect("valid")).collect();
        let mut verdict = Verdict::new(&regexes, &[]);
        for line in lines {
            verdict.read("main", line);
        }
        verdict.close()
    }

    #[test]
    fn clean_output_passes() {
        assert_eq!(judge(&[], &["hello", "WARNING: only that", "  ERROR: quoted", "CASE OK"]), [""; 0]);
    }

    #[test]
    fn an_unexpected_error_is_a_fault() {
        assert_eq!(judge(&[], &["ERROR: port taken"]), ["main: ERROR: port taken"]);
        assert_eq!(judge(&[], &["USER ERROR: port taken"]).len(), 1);
    }

    #[test]
    fn an_expected_line_is_allowed_and_must_come() {
        assert_eq!(judge(&["port \\d+ taken"], &["ERROR: port 80 taken", "ERROR: port 81 taken"]), [""; 0]);
        assert_eq!(judge(&["grace"], &["WARNING: grace time over"]), [""; 0]);
        assert_eq!(judge(&["port"], &["port: not an error line"]), ["expected line never came: port"]);
    }

    #[test]
    fn an_allowed_line_need_not_come() {
        let allowed = [Regex::new("port \\d+ taken").expect("valid")];
        assert_eq!(Verdict::new(&[], &allowed).close(), [""; 0]);
        let mut verdict = Verdict::new(&[], &allowed);
        verdict.read("main", "ERROR: port 80 taken");
        verdict.read("main", "ERROR: port 80 is gone");
        assert_eq!(verdict.close(), ["main: ERROR: port 80 is gone"]);
    }

    #[test]
    fn some_things_cannot_be_expected() {
        for line in [
            "SCRIPT ERROR: Invalid call",
            "WARNING: ObjectDB instances leaked at exit (run with --verbose for details).",
            "ERROR: 3 resources still in use at exit (run with --verbose for details).",
            "thread 'driver' panicked at src/lib.rs:1:1",
        ] {
            assert_eq!(judge(&[".*"], &["ERROR: x", line]), [format!("main: {line}")]);
        }
    }

    #[test]
    fn a_flood_of_errors_is_cut() {
        let lines = ["ERROR: again"; 100];
        let faults = judge(&[], &lines);
        assert_eq!(faults.len(), MOST_FAULTS + 1);
        assert!(faults[MOST_FAULTS].contains("88 more"), "{}", faults[MOST_FAULTS]);
    }
}
