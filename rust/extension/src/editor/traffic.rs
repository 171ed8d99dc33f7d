//! Reads the reports of a game, and computes rates from them.

use std::collections::HashMap;

use godot::builtin::{Array, VarDictionary};
use godot::meta::FromGodot;

/// A row of the table: an object, or one of its peers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) address: String,
    /// Per second: packets in and out, bytes in and out; for objects also relayed packets.
    pub(super) rates: [f64; COUNTERS.len()],
    pub(super) queued_in: i64,
    pub(super) queued_out: i64,
    /// Negative: unknown.
    pub(super) rtt_msec: f64,
    /// For objects only.
    pub(super) dropped: Option<i64>,
    /// Returns after the loss of a connection.
    pub(super) resumes: i64,
    /// Peers that may come back; for a peer, 1 or 0.
    pub(super) suspended: i64,
    /// For an object: the number of its peers, and the rows of the peers in the report.
    pub(super) peers: i64,
    pub(super) listed: Vec<Self>,
}

/// Object, opening and peer; without a peer, the object itself.
pub(super) type Key = (i64, i64, Option<i64>);

/// Computes rates from the counters of consecutive reports.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    usec: i64,
    counters: HashMap<Key, [i64; COUNTERS.len()]>,
}

impl Traffic {
    /// Whether no report was read yet: the first one gives no rates.
    pub(super) fn is_new(&self) -> bool {
        self.counters.is_empty()
    }

    /// Returns the rows of a report: the objects with their peers.
    pub(super) fn read(&mut self, report: &VarDictionary) -> Vec<Row> {
        let usec: i64 = get(report, "usec");
        let seconds = (usec - self.usec) as f64 / 1e6;
        let mut counters = HashMap::new();
        let mut rate = |key: Key, from: &VarDictionary| {
            let now = COUNTERS.map(|name| get::<i64>(from, name));
            counters.insert(key, now);
            match self.counters.get(&key) {
                Some(before) if seconds > 0.0 => {
                    std::array::from_fn(|index| (now[index] - before[index]).max(0) as f64 / seconds)
                }
                // New in this report: the time in which the counters have grown is not known.
                _ => [0.0; COUNTERS.len()],
            }
        };
        let objects = get::<Array<VarDictionary>>(report, "objects");
        let rows = objects.iter_shared().map(|object| {
            let (number, opening) = (get(&object, "number"), get(&object, "opening"));
            let listed = get::<Array<VarDictionary>>(&object, "listed");
            let listed: Vec<Row> = listed
                .iter_shared()
                .map(|peer| {
                    let id = get(&peer, "id");
                    let key = (number, opening, Some(id));
                    let suspended = get(&peer, "suspended");
                    // It may come back from another address.
                    let address = if suspended > 0 {
                        "suspended".to_owned()
                    } else {
                        format!("{}:{}", get::<String>(&peer, "address"), get::<i64>(&peer, "port"))
                    };
                    Row {
                        name: format!("peer {id}"),
                        address,
                        rtt_msec: get(&peer, "rtt_msec"),
                        resumes: get(&peer, "resumes"),
                        suspended,
                        ..row(key, &peer, rate(key, &peer))
                    }
                })
                .collect();
            let key = (number, opening, None);
            let port: i64 = get(&object, "local_port");
            let role = if get(&object, "is_server") { format!("port {port}") } else { "client".to_owned() };
            let round_trips = listed.iter().map(|peer| peer.rtt_msec);
            Row {
                name: get(&object, "class"),
                address: role,
                rtt_msec: round_trips.fold(-1.0, f64::max),
                dropped: Some(
                    get::<i64>(&object, "packets_dropped_unreliable")
                        + get::<i64>(&object, "packets_refused"),
                ),
                resumes: get(&object, "sessions_resumed"),
                suspended: get(&object, "peers_suspended"),
                peers: get(&object, "peers"),
                listed,
                ..row(key, &object, rate(key, &object))
            }
        });
        let rows = rows.collect();
        (self.usec, self.counters) = (usec, counters);
        rows
    }
}

fn row(key: Key, from: &VarDictionary, rates: [f64; COUNTERS.len()]) -> Row {
    let (queued_in, queued_out) = (get(from, "queued_in_bytes"), get(from, "queued_out_bytes"));
    Row { key, rates, queued_in, queued_out, ..Row::default() }
}

/// A game can have another version of the addon than the editor: a missing value counts as zero.
fn get<T: FromGodot + Default>(from: &VarDictionary, name: &str) -> T {
    from.get(name).and_then(|value| value.try_to().ok()).unwrap_or_default()
}

const COUNTERS: [&str; 5] = ["packets_in", "packets_out", "bytes_in", "bytes_out", "packets_relayed"];
