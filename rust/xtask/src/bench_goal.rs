//! Repeated figures, and whether they reach a goal.

use serde::Deserialize;

use crate::bench_rows::Subject;

/// Which of two figures wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// The goal for the addon's median, compared within one run.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// At least this many times better than another subject.
    TimesBetter(Subject, f64),
    /// At least this share of the floor's rate.
    ShareOfFloor(f64),
    /// At most this many times the floor's cost.
    TimesFloor(f64),
    AtMost(f64),
    AtLeast(f64),
    /// Within noise of the figure of another scenario.
    FlatAgainst(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// The other figure was not measured.
    Unknown,
}

/// Repeated figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Goal {
    /// Returns the text for the table.
    pub(crate) fn words(&self, unit: &str) -> String {
        let amount = |value: f64| {
            let number = figure(value);
            let number = if number.contains('.') {
                number.trim_end_matches('0').trim_end_matches('.')
            } else {
                &number
            };
            if unit.is_empty() { number.to_owned() } else { format!("{number} {unit}") }
        };
        match self {
            &Self::TimesBetter(_, 1.0) => "better than the engine's".to_owned(),
            &Self::TimesBetter(_, times) => format!("≥ {times} × better than the engine's"),
            &Self::ShareOfFloor(share) => format!("≥ {:.0} % of the floor", share * 100.0),
            &Self::TimesFloor(times) => format!("≤ {times} × the floor"),
            &Self::AtMost(0.0) => "none".to_owned(),
            &Self::AtMost(most) => format!("≤ {}", amount(most)),
            &Self::AtLeast(100.0) => "all".to_owned(),
            &Self::AtLeast(least) => format!("≥ {}", amount(least)),
            Self::FlatAgainst(_) => "as with 1 peer".to_owned(),
        }
    }

    /// `other` finds the figures of another subject, `flat` those of another scenario.
    pub(crate) fn judge(
        &self,
        better: Better,
        addon: Spread,
        other: impl Fn(Subject) -> Option<Spread>,
        flat: impl Fn(&str) -> Option<Spread>,
    ) -> Verdict {
        let met = match self {
            &Self::TimesBetter(subject, times) => {
                // A goal of "better" requires a difference.
                other(subject)
                    .and_then(|other| ratio(addon, other, better))
                    .map(|ratio| if times == 1.0 { ratio > 1.0 } else { ratio >= times })
            }
            &Self::ShareOfFloor(share) => {
                other(Subject::Floor).map(|floor| addon.median >= share * floor.median)
            }
            &Self::TimesFloor(times) => {
                other(Subject::Floor).map(|floor| addon.median <= times * floor.median)
            }
            &Self::AtMost(most) => Some(addon.median <= most),
            // The counters of server and client may differ by what is in flight at the end of a run.
            &Self::AtLeast(least) => Some(addon.median >= least * 0.9999),
            Self::FlatAgainst(name) => {
                flat(name).map(|one| addon.median <= (one.median * FLAT).max(one.most))
            }
        };
        match met {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
            None => Verdict::Unknown,
        }
    }
}

impl Verdict {
    /// Returns the result of several goals.
    pub(crate) fn all(verdicts: &[Self]) -> Self {
        if verdicts.contains(&Self::Missed) {
            Self::Missed
        } else if verdicts.contains(&Self::Unknown) {
            Self::Unknown
        } else {
            Self::Met
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Met => "yes",
            Self::Missed => "NO",
            Self::Unknown => "not measured",
        }
    }
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { least, median, most })
    }

    pub(crate) fn shown(self, unit: &str) -> String {
        let Self { least, most, .. } = self;
        let range =
            if least == most { String::new() } else { format!(" ({} – {})", figure(least), figure(most)) };
        format!("{}{range}", self.short(unit))
    }

    /// Without the range.
    pub(crate) fn short(self, unit: &str) -> String {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        format!("{}{unit}", figure(self.median))
    }
}

/// Returns how many times better the addon's figure is.
pub(crate) fn ratio(ours: Spread, theirs: Spread, better: Better) -> Option<f64> {
    let (good, bad) = match better {
        Better::Lower => (ours.median, theirs.median),
        Better::Higher => (theirs.median, ours.median),
    };
    (good > 0.0).then(|| bad / good)
}

/// Three significant digits, thousands in groups.
pub(crate) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        size if size < 0.0995 => 4,
        size if size < 1.0 => 3,
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (index, digit) in text.char_indices() {
        let left = whole.saturating_sub(index);
        if index > 0 && left > 0 && left.is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The noise of figures of one or two microseconds.
const FLAT: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(figure: f64) -> Spread {
        Spread::of(&[figure]).expect("one figure")
    }

    #[test]
    fn figures_are_short_and_grouped() {
        let shown = [0.0, 0.00123, 0.1234, 1.0, 3.456, 12.34, 123.4, 1234.5, 1_234_567.0].map(figure);
        assert_eq!(shown, ["0", "0.0012", "0.123", "1.00", "3.46", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of(&[9.0, 1.0, 2.0]).expect("three figures");
        assert_eq!(spread, Spread { least: 1.0, median: 2.0, most: 9.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 9.0]).expect("four figures").median, 3.0);
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(spread.shown("ms"), "2.00 ms (1.00 – 9.00)");
        assert_eq!(one(3.0).shown(""), "3.00");
    }

    #[test]
    fn ratios_say_how_many_times_better_ours_is() {
        let [two, ten] = [2.0, 10.0].map(one);
        assert_eq!(ratio(two, ten, Better::Lower), Some(5.0));
        assert_eq!(ratio(ten, two, Better::Higher), Some(5.0));
        assert_eq!(ratio(ten, two, Better::Lower), Some(0.2));
        assert_eq!(ratio(one(0.0), two, Better::Lower), None);
    }

    #[test]
    fn goals_are_judged_by_medians() {
        let judge = |goal: &Goal, better: Better, addon: f64, other: Option<f64>| {
            goal.judge(better, one(addon), |_| other.map(one), |_| other.map(one))
        };
        let times = Goal::TimesBetter(Subject::Engine, 10.0);
        assert_eq!(judge(&times, Better::Higher, 100.0, Some(10.0)), Verdict::Met);
        assert_eq!(judge(&times, Better::Higher, 99.0, Some(10.0)), Verdict::Missed);
        assert_eq!(judge(&times, Better::Higher, 99.0, None), Verdict::Unknown);
        let better = Goal::TimesBetter(Subject::Engine, 1.0);
        assert_eq!(judge(&better, Better::Lower, 5.0, Some(5.0)), Verdict::Missed);
        assert_eq!(judge(&Goal::ShareOfFloor(0.6), Better::Higher, 60.0, Some(100.0)), Verdict::Met);
        assert_eq!(judge(&Goal::TimesFloor(1.5), Better::Lower, 1.6, Some(1.0)), Verdict::Missed);
        assert_eq!(judge(&Goal::AtMost(0.0), Better::Lower, 0.0, None), Verdict::Met);
        assert_eq!(judge(&Goal::AtLeast(1000.0), Better::Higher, 999.0, None), Verdict::Missed);
        assert_eq!(judge(&Goal::FlatAgainst("x".to_owned()), Better::Lower, 1.4, Some(1.0)), Verdict::Met);
        assert_eq!(judge(&Goal::FlatAgainst("x".to_owned()), Better::Lower, 1.6, Some(1.0)), Verdict::Missed);
    }

    #[test]
    fn one_missed_goal_decides() {
        assert_eq!(Verdict::all(&[Verdict::Met, Verdict::Unknown, Verdict::Missed]), Verdict::Missed);
        assert_eq!(Verdict::all(&[Verdict::Met, Verdict::Unknown]), Verdict::Unknown);
        assert_eq!(Verdict::all(&[Verdict::Met]), Verdict::Met);
    }

    #[test]
    fn goals_read_well() {
        assert_eq!(Goal::AtMost(1000.0).words("ms"), "≤ 1,000 ms");
        assert_eq!(Goal::AtMost(8.0).words("KiB"), "≤ 8 KiB");
        assert_eq!(Goal::AtMost(40.0).words("KiB"), "≤ 40 KiB");
        assert_eq!(Goal::AtMost(500.0).words("ms"), "≤ 500 ms");
        assert_eq!(Goal::AtMost(0.01).words("µs"), "≤ 0.01 µs");
        assert_eq!(Goal::ShareOfFloor(0.6).words(""), "≥ 60 % of the floor");
        assert_eq!(Goal::TimesBetter(Subject::Engine, 8.0).words(""), "≥ 8 × better than the engine's");
    }
}
