//! What `cargo xtask bench` measures: the goal table of the project, row by row.

use anyhow::{Result, bail};

use crate::CannotRun;
use crate::bench_goal::{Better, Goal};

/// Whose figures stand in a column.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Subject {
    /// The addon; in the rows of the core alone, the core.
    Addon,
    /// The engine's own class, or Godot 3.6's original.
    Engine,
    Three,
    /// What no implementation can undercut: a bare loop, or a peer without a network.
    Floor,
}

/// How a scenario's servers are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    /// Two programs without an engine: the core's echo example and the bare loop.
    Core,
    /// The same script in an engine, for every class; its arguments.
    Engine(&'static [&'static str]),
}

/// One thing to do to a server, and what is read off it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What `--only` calls it; one scenario may serve two rows.
    pub(crate) rows: &'static [&'static str],
    pub(crate) stage: Stage,
    /// Arguments of the load client.
    pub(crate) client: &'static [&'static str],
    pub(crate) subjects: &'static [Subject],
    /// More arguments for one subject's server and for the client that loads it.
    pub(crate) extra: &'static [(Subject, &'static [&'static str], &'static [&'static str])],
    pub(crate) measures: &'static [Measure],
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) source: Source,
    pub(crate) better: Better,
    pub(crate) goals: &'static [Goal],
    /// Its name in the README's table and picture, if it is there.
    pub(crate) headline: Option<&'static str>,
}

/// Where a figure is found: JSON pointers into the reports, or both of them together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Server(&'static str),
    Client(&'static str),
    /// The server's resident memory per connected peer, in KiB.
    Memory,
    /// Of the messages that a broadcasting server owed, how many per cent came.
    Delivered,
    /// The server's main thread for each message that it relayed, in microseconds.
    PerRelayed,
}

/// The scenarios of the named rows, or all.
pub(crate) fn select(rows: &[String]) -> Result<Vec<&'static Scenario>> {
    let mut known: Vec<&str> = Vec::new();
    for row in SCENARIOS.iter().flat_map(|scenario| scenario.rows) {
        if !known.contains(row) {
            known.push(row);
        }
    }
    if let Some(unknown) = rows.iter().find(|row| !known.contains(&row.as_str())) {
        bail!(CannotRun(format!("there is no row {unknown:?}; there are {}", known.join(", "))));
    }
    let wanted = |scenario: &&Scenario| {
        rows.is_empty() || scenario.rows.iter().any(|row| rows.iter().any(|r| r == row))
    };
    Ok(SCENARIOS.iter().filter(wanted).collect())
}

impl Scenario {
    /// The arguments of one subject's server and client.
    pub(crate) fn extra(&self, subject: Subject) -> (&'static [&'static str], &'static [&'static str]) {
        let found = self.extra.iter().find(|(one, ..)| *one == subject);
        found.map_or((&[], &[]), |(_, server, client)| (server, client))
    }

    /// Whether its server says a result of its own.
    pub(crate) fn measures_inside(&self) -> bool {
        matches!(self.stage, Stage::Engine(words) if words.iter().any(|word| word.starts_with("peers=")))
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.client.contains(&"--tls")
    }
}

const fn lower(title: &'static str, unit: &'static str, source: Source, goals: &'static [Goal]) -> Measure {
    Measure { title, unit, source, better: Better::Lower, goals, headline: None }
}

const fn higher(title: &'static str, unit: &'static str, source: Source, goals: &'static [Goal]) -> Measure {
    Measure { title, unit, source, better: Better::Higher, goals, headline: None }
}

impl Measure {
    const fn headline(self, name: &'static str) -> Self {
        Self { headline: Some(name), ..self }
    }
}

use Source::{Client, Server};
use Subject::{Addon, Engine, Floor, Three};

const RATE: Source = Client("/messages_per_second");
const P50: Source = Client("/latency/p50_ms");
const P99: Source = Client("/latency/p99_ms");
const MEAN: Source = Server("/mean_usec");
const AGAIN: Source = Server("/again_usec");
const PER_MESSAGE: Source = Server("/usec_per_message");
const LAST: Source = Client("/opened/since_start/last_ms");
const OF_BARE: &[Goal] = &[Goal::ShareOfFloor(0.6)];
const GODOT3: (&[&str], &[&str]) = (&[], &["--wire=godot3"]);

macro_rules! core_echo {
    ($name:literal, $title:literal, $conns:literal, $inflight:literal, $size:literal) => {
        Scenario {
            name: $name,
            rows: &["core"],
            stage: Stage::Core,
            client: &["echo", $conns, $inflight, $size, "--seconds=2"],
            subjects: &[Addon, Floor],
            extra: &[],
            measures: &[higher($title, "1/s", RATE, OF_BARE), lower("... latency, p99", "ms", P99, &[])],
        }
    };
}

/// Where the number joins is not the point, connections are opened 32 at a time and without a frame limit, or the engine's
/// class would never have a thousand.
pub(crate) static SCENARIOS: [Scenario; 17] = [
    core_echo!(
        "core-10x16-64",
        "core alone, echo 10 × 16 × 64 B",
        "--conns=10",
        "--inflight=16",
        "--size=64"
    ),
    core_echo!(
        "core-100x32-64",
        "core alone, echo 100 × 32 × 64 B",
        "--conns=100",
        "--inflight=32",
        "--size=64"
    ),
    core_echo!(
        "core-10x16-1024",
        "core alone, echo 10 × 16 × 1 KiB",
        "--conns=10",
        "--inflight=16",
        "--size=1024"
    ),
    core_echo!(
        "core-100x32-1024",
        "core alone, echo 100 × 32 × 1 KiB",
        "--conns=100",
        "--inflight=32",
        "--size=1024"
    ),
    Scenario {
        name: "echo",
        rows: &["echo"],
        stage: Stage::Engine(&["work=echo", "peers=10", "fps=0", "seconds=2", "size=64"]),
        client: &["echo", "--conns=10", "--inflight=16", "--size=64", "--seconds=3"],
        subjects: &[Addon, Engine, Three, Floor],
        extra: &[(Three, GODOT3.0, GODOT3.1), (Floor, &["batch=160"], &[])],
        measures: &[
            higher(
                "GDScript echo, tight loop, 10 × 16 × 64 B",
                "1/s",
                RATE,
                &[Goal::TimesBetter(Engine, 10.0)],
            )
            .headline("echo in GDScript, 10 clients: messages per second"),
            lower("... latency, p50", "ms", P50, &[Goal::TimesBetter(Engine, 1.0)]),
            lower("... latency, p99", "ms", P99, &[Goal::TimesBetter(Engine, 1.0)])
                .headline("... 99th percentile of the latency"),
            lower("... main thread per message", "µs", PER_MESSAGE, &[]),
        ],
    },
    Scenario {
        name: "echo60",
        rows: &["echo60"],
        stage: Stage::Engine(&["work=echo", "peers=100", "fps=60", "seconds=2", "size=64"]),
        client: &["echo", "--conns=100", "--inflight=32", "--size=64", "--seconds=3", "--timeout=30"],
        subjects: &[Addon, Engine, Three, Floor],
        extra: &[(Three, GODOT3.0, GODOT3.1), (Floor, &["batch=3200"], &[])],
        measures: &[
            higher(
                "GDScript echo at 60 fps, 100 × 32 × 64 B: answered within 2 frames",
                "%",
                Client("/within_percent"),
                &[Goal::AtLeast(100.0)],
            ),
            higher("... messages", "1/s", RATE, &[]),
            lower("... latency, p99", "ms", P99, &[]),
            lower(
                "... main thread per message",
                "µs",
                PER_MESSAGE,
                &[Goal::TimesBetter(Engine, 8.0), Goal::TimesFloor(1.5)],
            )
            .headline("echo at 60 fps, 100 clients: main thread per message"),
        ],
    },
    Scenario {
        name: "idle-1",
        rows: &["idle"],
        stage: Stage::Engine(&["work=idle", "peers=1", "seconds=3"]),
        client: &["idle", "1", "--seconds=60"],
        subjects: &[Addon, Engine, Three],
        extra: &[(Three, GODOT3.0, GODOT3.1)],
        measures: &[lower("poll(), 1 idle peer", "µs", MEAN, &[]), lower("... once more", "µs", AGAIN, &[])],
    },
    Scenario {
        name: "idle-1000",
        rows: &["idle", "memory"],
        stage: Stage::Engine(&["work=idle", "peers=1000", "seconds=3"]),
        client: &["idle", "1000", "--seconds=60", "--timeout=60"],
        subjects: &[Addon, Engine],
        extra: &[],
        measures: &[
            lower("poll(), 1,000 idle peers", "µs", MEAN, &[Goal::TimesBetter(Engine, 100.0)])
                .headline("poll() with 1,000 idle clients"),
            lower(
                "... once more",
                "µs",
                AGAIN,
                &[Goal::FlatAgainst("idle-1"), Goal::TimesBetter(Engine, 100.0)],
            ),
            lower("... p99", "µs", Server("/p99_usec"), &[]),
            lower("... resident memory per peer", "KiB", Source::Memory, &[])
                .headline("memory per idle client"),
        ],
    },
    Scenario {
        name: "idle-10000",
        rows: &["idle", "memory"],
        stage: Stage::Engine(&["work=idle", "peers=10000", "seconds=3"]),
        client: &["idle", "10000", "--seconds=60", "--timeout=60"],
        subjects: &[Addon],
        extra: &[],
        measures: &[
            lower("poll(), 10,000 idle peers", "µs", MEAN, &[]),
            lower("... once more", "µs", AGAIN, &[Goal::FlatAgainst("idle-1")]),
            lower("... resident memory per peer", "KiB", Source::Memory, &[Goal::AtMost(8.0)]),
        ],
    },
    Scenario {
        name: "idle-tls-10000",
        rows: &["memory"],
        stage: Stage::Engine(&["work=idle", "peers=10000", "seconds=1"]),
        client: &["idle", "10000", "--tls", "--seconds=60", "--timeout=60"],
        subjects: &[Addon],
        extra: &[],
        measures: &[lower(
            "10,000 idle TLS peers: resident memory per peer",
            "KiB",
            Source::Memory,
            &[Goal::AtMost(40.0)],
        )],
    },
    Scenario {
        name: "broadcast",
        rows: &["broadcast"],
        stage: Stage::Engine(&["work=broadcast", "peers=1000", "seconds=3", "size=256"]),
        // From the last peer on: until the server has settled and measured.
        client: &["sink", "1000", "--seconds=5", "--timeout=60"],
        subjects: &[Addon, Engine],
        extra: &[],
        measures: &[
            lower(
                "256 B to 1,000 peers per frame by target 0: main thread per frame",
                "µs",
                MEAN,
                &[Goal::TimesBetter(Engine, 50.0)],
            )
            .headline("256 bytes to 1,000 clients per frame: main thread"),
            higher("... frame rate reached", "fps", Server("/fps"), &[]),
            higher("... delivered", "%", Source::Delivered, &[Goal::AtLeast(100.0)]),
        ],
    },
    Scenario {
        name: "rpc",
        rows: &["broadcast"],
        stage: Stage::Engine(&["work=rpc", "peers=1000", "seconds=3", "size=256"]),
        client: &["sink", "1000", "--seconds=5", "--timeout=60"],
        subjects: &[Addon, Engine],
        extra: &[],
        measures: &[
            lower(
                "256 B to 1,000 peers per frame by rpc(): main thread per frame",
                "µs",
                MEAN,
                &[Goal::TimesBetter(Engine, 5.0)],
            )
            .headline("... the same as an rpc()"),
            higher("... frame rate reached", "fps", Server("/fps"), &[]),
            higher("... delivered", "%", Source::Delivered, &[Goal::AtLeast(100.0)]),
        ],
    },
    Scenario {
        name: "join-1000",
        rows: &["join"],
        stage: Stage::Engine(&["work=idle"]),
        client: &["connect", "1000", "--timeout=10"],
        subjects: &[Addon, Engine, Three],
        extra: &[(Three, GODOT3.0, GODOT3.1)],
        measures: &[
            higher(
                "1,000 clients at once, 60 fps: usable within 10 s",
                "",
                Client("/usable"),
                &[Goal::AtLeast(1000.0)],
            )
            .headline("1,000 clients at once: in the game after 10 s"),
            lower("... until the last of them is usable", "ms", LAST, &[Goal::AtMost(1000.0)]),
        ],
    },
    Scenario {
        name: "join-10000",
        rows: &["join"],
        stage: Stage::Engine(&["work=scene"]),
        client: &["connect", "10000", "--timeout=30"],
        subjects: &[Addon],
        extra: &[],
        measures: &[
            higher(
                "10,000 clients at once, server_relay = false: usable within 30 s",
                "",
                Client("/usable"),
                &[Goal::AtLeast(10_000.0)],
            ),
            lower("... refused", "", Client("/opened/refused"), &[Goal::AtMost(0.0)]),
            lower("... until the last of them is usable", "ms", LAST, &[]),
        ],
    },
    Scenario {
        name: "tls-1000",
        rows: &["tls"],
        stage: Stage::Engine(&["work=echo", "fps=60"]),
        client: &["storm", "1000", "--tls", "--conns=20", "--inflight=4", "--seconds=2", "--timeout=10"],
        subjects: &[Addon, Engine],
        extra: &[],
        measures: &[
            higher(
                "1,000 TLS clients at once, 60 fps: usable within 10 s",
                "",
                Client("/usable"),
                &[Goal::AtLeast(1000.0)],
            ),
            // The default of handshake_timeout.
            lower("... until the last of them is usable", "ms", LAST, &[Goal::AtMost(3000.0)]),
            lower("... open peers' p99 before", "ms", Client("/before/p99_ms"), &[]),
            lower("... open peers' p99 meanwhile", "ms", Client("/during/p99_ms"), &[]),
            lower("... growth", "×", Client("/p99_growth"), &[Goal::AtMost(2.0)]),
        ],
    },
    Scenario {
        name: "stall",
        rows: &["stall"],
        stage: Stage::Engine(&["work=echo", "peers=100", "fps=60", "seconds=4", "stall=1000"]),
        client: &["steady", "--conns=100", "--rate=100", "--seconds=6", "--timeout=30"],
        subjects: &[Addon, Engine],
        extra: &[],
        measures: &[
            lower(
                "main thread stalls 1 s under 10,000 messages/s: messages lost",
                "",
                Client("/messages_lost"),
                &[Goal::AtMost(0.0)],
            ),
            lower("... silence that clients saw", "ms", Client("/recovery/silence_ms"), &[]),
            lower(
                "... until p99 is normal again",
                "ms",
                Client("/recovery/recovered_ms"),
                &[Goal::AtMost(500.0)],
            ),
        ],
    },
    RELAY,
];

const RELAY: Scenario = Scenario {
    name: "relay",
    rows: &["relay"],
    stage: Stage::Engine(&["work=relay", "peers=20", "fps=60", "seconds=2"]),
    client: &["relay", "--conns=20", "--inflight=16", "--size=64", "--seconds=3"],
    subjects: &[Addon, Engine, Three],
    extra: &[(Addon, &["wire=3"], GODOT3.1), (Three, GODOT3.0, GODOT3.1)],
    measures: &[
        lower(
            "relay client to client, 20 × 16 × 64 B: main thread per message",
            "µs",
            Source::PerRelayed,
            &[
                // What an idle poll() per frame comes to.
                Goal::AtMost(0.01),
            ],
        ),
        higher("... messages", "1/s", RATE, &[]).headline("messages between clients (3.x wire) per second"),
        lower("... latency, p99", "ms", P99, &[]),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_pick_scenarios() {
        let names = |rows: &[&str]| {
            let rows: Vec<String> = rows.iter().map(|&row| row.to_owned()).collect();
            select(&rows).map(|picked| picked.iter().map(|scenario| scenario.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all").len(), SCENARIOS.len());
        assert_eq!(names(&["stall", "echo"]).expect("both exist"), ["echo", "stall"]);
        assert_eq!(names(&["memory"]).expect("exists"), ["idle-1000", "idle-10000", "idle-tls-10000"]);
        let message = names(&["fly"]).expect_err("no such row").to_string();
        assert!(message.contains("core, echo, echo60, idle, memory"), "{message}");
    }

    #[test]
    fn measures_of_a_scenario_have_names_of_their_own() {
        let mut names = std::collections::BTreeSet::new();
        for scenario in &SCENARIOS {
            assert!(scenario.subjects.contains(&Addon), "{}", scenario.name);
            for measure in scenario.measures {
                assert!(names.insert((scenario.name, measure.title)), "{measure:?}");
            }
        }
    }

    #[test]
    fn goals_compare_with_what_is_measured() {
        for scenario in &SCENARIOS {
            for goal in scenario.measures.iter().flat_map(|measure| measure.goals) {
                match goal {
                    Goal::TimesBetter(subject, _) => assert!(scenario.subjects.contains(subject), "{goal:?}"),
                    Goal::ShareOfFloor(_) | Goal::TimesFloor(_) => {
                        assert!(scenario.subjects.contains(&Floor), "{goal:?}");
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
