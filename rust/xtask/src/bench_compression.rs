//! The tables of the scenarios that are measured once for each way to compress.

use std::fmt::Write as _;

use crate::bench_goal::{Spread, figure};
use crate::bench_report::{NOTHING, markdown_table};
use crate::bench_rows::{Compression, Scenario, Subject};
use crate::ui;

/// Finds the figures of a subject in a scenario by the measure's title.
pub(crate) type Find<'a> = &'a dyn Fn(Subject, &Scenario, &str) -> Option<Spread>;

/// A table.
#[derive(Debug)]
struct Table {
    head: [&'static str; 8],
    rows: Vec<Vec<String>>,
}

/// Returns the tables as Markdown; empty if none of the scenarios compresses.
pub(crate) fn markdown(scenarios: &[&Scenario], find: Find<'_>, shown: fn(Spread, &str) -> String) -> String {
    let mut text = String::new();
    for table in tables(scenarios, find, shown) {
        let gap = if text.is_empty() { "" } else { "\n" };
        _ = write!(text, "{gap}{}", markdown_table(&table.head, &table.rows));
    }
    text
}

/// The same for the terminal.
pub(crate) fn plain(scenarios: &[&Scenario], find: Find<'_>) -> String {
    tables(scenarios, find, Spread::short)
        .iter()
        .map(|table| format!("{}\n", ui::table(&table.head, &table.rows)))
        .collect()
}

fn tables(scenarios: &[&Scenario], find: Find<'_>, shown: fn(Spread, &str) -> String) -> Vec<Table> {
    let (mut sizes, mut latencies) = (Vec::new(), Vec::new());
    for (scenario, how) in scenarios.iter().filter_map(|scenario| Some((*scenario, scenario.how?))) {
        let is_first = how == Compression::Off;
        let title = if is_first { scenario.title.clone() } else { String::new() };
        let cell = |subject, measure: &str, unit: &str| {
            let nothing =
                || if scenario.subjects.contains(&subject) { "not measured" } else { NOTHING }.to_owned();
            find(subject, scenario, measure).map_or_else(nothing, |spread| shown(spread, unit))
        };
        let off = scenarios.iter().find(|other| scenario.is_as(other, Compression::Off));
        let share = |subject| {
            let bytes = find(subject, scenario, BYTES)?.median;
            let of = find(subject, off?, BYTES)?.median;
            Some(format!("{} %", figure(bytes / of * 100.0)))
        };
        let figures = SUBJECTS.map(|subject| {
            let share = share(subject).unwrap_or_else(|| NOTHING.to_owned());
            [cell(subject, BYTES, "B"), share, cell(subject, PROCESSOR, "µs")]
        });
        sizes.push([vec![title.clone(), how.word().to_owned()], figures.concat()].concat());
        if scenario.measures.iter().any(|measure| measure.title == DURING) {
            let figures = SUBJECTS.map(|subject| {
                let [before, during] = [BEFORE, DURING].map(|measure| cell(subject, measure, "ms"));
                let growth = find(subject, scenario, BEFORE)
                    .zip(find(subject, scenario, DURING))
                    .filter(|(before, _)| before.median > 0.0)
                    .map(|(before, during)| format!("{} ×", figure(during.median / before.median)));
                [before, during, growth.unwrap_or_else(|| NOTHING.to_owned())]
            });
            latencies.push([vec![title, how.word().to_owned()], figures.concat()].concat());
        }
    }
    let tables = [Table { head: SIZES, rows: sizes }, Table { head: LATENCIES, rows: latencies }];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

const SUBJECTS: [Subject; 2] = [Subject::Addon, Subject::Node];
/// Titles of measures.
const BYTES: &str = "bytes";
const PROCESSOR: &str = "processor";
const BEFORE: &str = "p99 before";
const DURING: &str = "p99 meanwhile";
const SIZES: [&str; 8] =
    ["a message", "", "core: bytes", "of off", "processor", "Node `ws`: bytes", "of off", "processor"];
const LATENCIES: [&str; 8] = [
    "a small packet of another client, p99",
    "",
    "core: before",
    "meanwhile",
    "growth",
    "Node `ws`: before",
    "meanwhile",
    "growth",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench_rows::select;

    fn figures(subject: Subject, scenario: &Scenario, measure: &str) -> Option<Spread> {
        let off = scenario.how == Some(Compression::Off);
        let figure = match (subject, measure) {
            (Subject::Addon, BYTES) => {
                if off {
                    304.0
                } else {
                    76.0
                }
            }
            (Subject::Addon, PROCESSOR) => 2.5,
            (Subject::Addon, BEFORE) => 2.0,
            (Subject::Addon, DURING) => 5.0,
            _ => return None,
        };
        Spread::of(&[figure])
    }

    #[test]
    fn sizes_are_compared_with_those_of_off() {
        let scenarios = select(&["compression".to_owned()]).expect("exists");
        let text = markdown(&scenarios, &figures, Spread::short);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            "| JSON, 300 B | off | 304 B | 100 % | 2.50 µs | not measured | – | not measured |"
        );
        assert_eq!(lines[3], "|  | shared | 76.0 B | 25.0 % | 2.50 µs | not measured | – | not measured |");
        let latency = lines.iter().find(|line| line.contains("5.00 ms")).expect("of the level");
        assert!(latency.contains("| off | 2.00 ms | 5.00 ms | 2.50 × | not measured |"), "{latency}");
        assert_eq!(lines.iter().filter(|line| line.contains("2.50 ×")).count(), 3, "{text}");
        assert!(plain(&scenarios, &figures).contains("25.0 %"));
    }

    #[test]
    fn scenarios_without_compression_have_no_table() {
        let scenarios = select(&["echo".to_owned()]).expect("exists");
        assert_eq!(markdown(&scenarios, &figures, Spread::short), "");
        assert_eq!(plain(&scenarios, &figures), "");
    }

    #[test]
    fn measures_have_the_titles_that_the_tables_look_for() {
        for scenario in select(&["compression".to_owned()]).expect("exists") {
            assert!(scenario.how.is_some(), "{}", scenario.name);
            for measure in &scenario.measures {
                assert!([BYTES, PROCESSOR, BEFORE, DURING].contains(&measure.title.as_str()), "{measure:?}");
            }
        }
    }
}
