//! What `cargo xtask bench` measures, read from `bench.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::CannotRun;
use crate::bench_goal::{Better, Goal};

/// The subject of a column.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    Addon,
    Engine,
    Three,
    Floor,
    Node,
}

/// How a server compresses, if its client offers permessage-deflate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    Off,
    Shared,
    Dedicated,
}

impl Compression {
    /// The argument of servers and clients.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
        }
    }
}

/// One scenario, and the figures that are read from it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// In the table of compression.
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    compression: Vec<Compression>,
    /// One of them: a scenario is measured for each.
    #[serde(skip)]
    pub(crate) how: Option<Compression>,
    rows: Vec<String>,
    pub(crate) server: Option<String>,
    pub(crate) client: String,
    pub(crate) subjects: Vec<Subject>,
    /// The server's main thread has a processor of its own.
    #[serde(default)]
    pub(crate) apart: bool,
    #[serde(default)]
    extra: BTreeMap<Subject, Extra>,
    pub(crate) measures: Vec<Measure>,
}

/// More arguments.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Extra {
    pub(crate) server: String,
    pub(crate) client: String,
}

/// One line of the table.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Measure {
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) unit: String,
    #[serde(flatten)]
    wanted: Wanted,
    #[serde(default)]
    pub(crate) goals: Vec<Goal>,
    pub(crate) headline: Option<String>,
}

/// Whether a higher or a lower figure is better, and where the figure is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Lower(String),
    Higher(String),
}

/// The scenarios of the named rows, or all.
pub(crate) fn select(rows: &[String]) -> Result<Vec<&'static Scenario>> {
    let mut known: Vec<&str> = Vec::new();
    for row in SCENARIOS.iter().flat_map(|scenario| &scenario.rows) {
        if !known.contains(&row.as_str()) {
            known.push(row);
        }
    }
    if let Some(unknown) = rows.iter().find(|row| !known.contains(&row.as_str())) {
        bail!(CannotRun(format!("there is no row {unknown:?}; there are {}", known.join(", "))));
    }
    let is_wanted =
        |scenario: &&Scenario| rows.is_empty() || scenario.rows.iter().any(|row| rows.contains(row));
    Ok(SCENARIOS.iter().filter(is_wanted).collect())
}

impl Scenario {
    /// Returns whether this is the other scenario, but for the way to compress.
    pub(crate) fn is_as(&self, other: &Self, how: Compression) -> bool {
        other.how == Some(how) && self.title == other.title
    }

    fn for_each_compression(self) -> Vec<Self> {
        if self.compression.is_empty() {
            return vec![self];
        }
        let one = |&how: &Compression| Self {
            name: format!("{}-{}", self.name, how.word()),
            how: Some(how),
            ..self.clone()
        };
        self.compression.iter().map(one).collect()
    }

    /// Returns whether the subject needs no engine.
    pub(crate) fn is_core(&self) -> bool {
        self.server.is_none()
    }

    /// More arguments for one subject's server and client.
    pub(crate) fn extra(&self, subject: Subject) -> &Extra {
        static NONE: Extra = Extra { server: String::new(), client: String::new() };
        self.extra.get(&subject).unwrap_or(&NONE)
    }

    /// Returns whether the server reports a result.
    pub(crate) fn measures_inside(&self) -> bool {
        self.server.as_ref().is_some_and(|words| words.contains("peers="))
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.client.contains("--tls")
    }
}

impl Measure {
    pub(crate) fn better(&self) -> Better {
        match self.wanted {
            Wanted::Lower(_) => Better::Lower,
            Wanted::Higher(_) => Better::Higher,
        }
    }

    /// The place of the figure, as in `bench.toml`.
    pub(crate) fn source(&self) -> &str {
        let (Wanted::Lower(source) | Wanted::Higher(source)) = &self.wanted;
        source
    }
}

#[derive(Deserialize)]
struct File {
    scenario: Vec<Scenario>,
}

static SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let file: File = toml::from_str(include_str!("bench.toml")).expect("a test reads the committed file");
    file.scenario.into_iter().flat_map(Scenario::for_each_compression).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_pick_scenarios() {
        let names = |rows: &[&str]| {
            let rows: Vec<String> = rows.iter().map(|&row| row.to_owned()).collect();
            select(&rows)
                .map(|picked| picked.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all").len(), SCENARIOS.len());
        assert_eq!(names(&["stall", "echo"]).expect("both exist"), ["echo", "stall"]);
        assert_eq!(
            names(&["memory"]).expect("exists"),
            ["idle-1000", "idle-10000", "idle-tls-10000", "idle-session-10000"]
        );
        let compression = names(&["compression"]).expect("exists");
        assert_eq!(compression.len(), 18);
        assert_eq!(compression[..2], ["compression-json-300-off", "compression-json-300-shared"]);
        let message = names(&["fly"]).expect_err("no such row").to_string();
        assert!(message.contains("core, echo, echo60, idle, memory"), "{message}");
    }

    #[test]
    fn measures_of_a_scenario_have_names_of_their_own() {
        let mut names = std::collections::BTreeSet::new();
        for scenario in SCENARIOS.iter() {
            // Another class of the engine stands for itself, below what it is compared with.
            let is_other = scenario.subjects == [Subject::Engine];
            assert!(is_other || scenario.subjects.contains(&Subject::Addon), "{}", scenario.name);
            for measure in &scenario.measures {
                assert!(names.insert((&scenario.name, &measure.title)), "{measure:?}");
            }
        }
    }

    #[test]
    fn goals_compare_with_what_is_measured() {
        for scenario in SCENARIOS.iter() {
            for goal in scenario.measures.iter().flat_map(|measure| &measure.goals) {
                match goal {
                    Goal::TimesBetter(subject, _) => assert!(scenario.subjects.contains(subject), "{goal:?}"),
                    Goal::ShareOfFloor(_) | Goal::TimesFloor(_) => {
                        assert!(scenario.subjects.contains(&Subject::Floor), "{goal:?}");
                    }
                    Goal::FlatAgainst(name) => {
                        assert!(SCENARIOS.iter().any(|scenario| scenario.name == *name), "{goal:?}");
                    }
                    Goal::AtMost(_) | Goal::AtLeast(_) => {}
                }
            }
        }
    }
}
