//! The reports of the demo's processes, checked against each other.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ui;

/// The report of one process about its session.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    role: String,
    /// Whether it played with the addon's classes.
    pub(crate) addon: bool,
    /// By kind: the number of packets sent to each receiver.
    sent: BTreeMap<String, Count>,
    /// By kind and sender: the number of packets received.
    received: BTreeMap<String, BTreeMap<String, Count>>,
    seen_peers: Vec<String>,
    /// The final position of each player, as this process saw it.
    positions: BTreeMap<String, (f64, f64)>,
    ok: bool,
    problems: Vec<String>,
}

/// The engine's JSON writes some integers with a fraction.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Count(u64);

impl TryFrom<f64> for Count {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        if number >= 0.0 && number.fract() == 0.0 {
            Ok(Self(number as u64))
        } else {
            Err(format!("{number} is not a count"))
        }
    }
}

/// Returns the processes that receive the packets of a kind from a peer.
#[derive(Clone, Copy, Debug)]
enum Audience {
    Everyone,
    Server,
    Clients,
}

impl Report {
    pub(crate) fn parse(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    fn received(&self, kind: &str, from: &str) -> u64 {
        self.received.get(kind).and_then(|senders| senders.get(from)).map_or(0, |count| count.0)
    }

    fn is_audience(&self, audience: Audience) -> bool {
        match audience {
            Audience::Everyone => true,
            Audience::Server => self.role == "server",
            Audience::Clients => self.role != "server",
        }
    }
}

/// Returns a table of all packets sent and received, and the faults.
pub(crate) fn table(reports: &[Report]) -> (String, Vec<String>) {
    let mut problems = Vec::new();
    for report in reports {
        problems.extend(report.problems.iter().map(|problem| format!("{}: {problem}", report.name)));
        if !report.ok && report.problems.is_empty() {
            problems.push(format!("{}: not ok", report.name));
        }
        for other in reports.iter().filter(|other| other.name != report.name) {
            if !report.seen_peers.contains(&other.name) {
                problems.push(format!("{} never saw {}", report.name, other.name));
            }
        }
    }
    let mut rows = packets(reports, &mut problems);
    rows.extend(places(reports, &mut problems));
    let got: Vec<String> = reports.iter().map(|report| format!("at {}", report.name)).collect();
    let mut head = vec!["what", "from", "sent"];
    head.extend(got.iter().map(String::as_str));
    head.push("");
    (ui::table(&head, &rows), problems)
}

/// Makes a row for each kind and sender: the packets sent to each receiver, and those received.
fn packets(reports: &[Report], problems: &mut Vec<String>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut kinds: Vec<&String> =
        reports.iter().flat_map(|r| r.sent.keys().chain(r.received.keys())).collect();
    kinds.sort();
    kinds.dedup();
    for kind in kinds {
        let audience = audience(kind);
        let mut total = 0;
        for sender in reports {
            let sent = sender.sent.get(kind).map_or(0, |count| count.0);
            total += sent;
            let mut row = vec![kind.clone(), sender.name.clone(), sent.to_string()];
            let before = problems.len();
            for receiver in reports {
                let got = receiver.received(kind, &sender.name);
                let concerned = receiver.name != sender.name && receiver.is_audience(audience);
                let wanted = if concerned { sent } else { 0 };
                if got != wanted {
                    problems.push(format!(
                        "{kind} from {} to {}: {got} arrived, {wanted} were sent",
                        sender.name, receiver.name
                    ));
                }
                row.push(if concerned || got > 0 { got.to_string() } else { "-".to_owned() });
            }
            row.push(if problems.len() == before { "ok" } else { "WRONG" }.to_owned());
            if sent > 0 || problems.len() > before {
                rows.push(row);
            }
        }
        if total == 0 {
            problems.push(format!("nobody sent any {kind}"));
        }
    }
    if rows.is_empty() {
        problems.push("nothing was sent at all".to_owned());
    }
    rows
}

/// Makes a row for each player: its own position, and the last position that the others saw.
fn places(reports: &[Report], problems: &mut Vec<String>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let shown = |place: Option<&(f64, f64)>| {
        place.map_or_else(|| "-".to_owned(), |(x, y)| format!("({x:.0}, {y:.0})"))
    };
    for owner in reports.iter().filter(|report| report.role != "server") {
        let before = problems.len();
        let own = owner.positions.get(&owner.name);
        let mut row = vec!["place".to_owned(), owner.name.clone(), shown(own)];
        for viewer in reports {
            let seen = viewer.positions.get(&owner.name);
            row.push(shown(seen));
            let near = own.zip(seen).is_some_and(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1) <= IN_STEP);
            if !near {
                problems.push(format!("{} is out of step at {}", owner.name, viewer.name));
            }
        }
        row.push(if problems.len() == before { "ok" } else { "WRONG" }.to_owned());
        rows.push(row);
    }
    rows
}

/// The name of a kind tells who receives it: `server_*` goes to the server, `relay_*` from client to client.
fn audience(kind: &str) -> Audience {
    if kind.starts_with("server_") {
        Audience::Server
    } else if kind.starts_with("relay_") {
        Audience::Clients
    } else {
        Audience::Everyone
    }
}

/// The players have stopped, so only rounding errors remain.
const IN_STEP: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, role: &str, sent: &str, received: &str, x: f64) -> Report {
        let peers = r#"["server","ada","bob"]"#;
        let json = format!(
            r#"{{"name":"{name}","role":"{role}","addon":true,"sent":{sent},"received":{received},"seen_peers":{peers},
                "positions":{{"ada":[{x},2],"bob":[3.0,4]}},"ok":true,"problems":[]}}"#
        );
        Report::parse(&json).expect("a whole report")
    }

    fn session(bob_received: &str, x: f64) -> Vec<String> {
        let reports = [
            report(
                "server",
                "server",
                r#"{"chat":0,"hello":2}"#,
                r#"{"chat":{"ada":5},"server_rpc":{"bob":3}}"#,
                1.0,
            ),
            report("ada", "client", r#"{"chat":5,"relay_rpc":7}"#, r#"{"hello":{"server":2.0}}"#, 1.0),
            report("bob", "client", r#"{"server_rpc":3}"#, bob_received, x),
        ];
        table(&reports).1
    }

    #[test]
    fn a_whole_session_has_no_problems() {
        let received = r#"{"chat":{"ada":5},"relay_rpc":{"ada":7},"hello":{"server":2}}"#;
        assert_eq!(session(received, 1.2), [""; 0]);
    }

    #[test]
    fn a_lost_packet_and_a_doubled_one_are_named() {
        let received = r#"{"chat":{"ada":4},"relay_rpc":{"ada":8},"hello":{"server":2}}"#;
        let problems = session(received, 1.0);
        let expected = [
            "chat from ada to bob: 4 arrived, 5 were sent",
            "relay_rpc from ada to bob: 8 arrived, 7 were sent",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_player_out_of_step_is_named() {
        let received = r#"{"chat":{"ada":5},"relay_rpc":{"ada":7},"hello":{"server":2}}"#;
        assert_eq!(session(received, 9.0), ["ada is out of step at bob"]);
    }

    #[test]
    fn a_packet_for_somebody_else_is_named() {
        let received =
            r#"{"chat":{"ada":5},"relay_rpc":{"ada":7},"hello":{"server":2},"server_rpc":{"bob":1}}"#;
        assert_eq!(session(received, 1.0), ["server_rpc from bob to bob: 1 arrived, 0 were sent"]);
    }

    #[test]
    fn silence_is_a_problem() {
        let nothing = |name: &str, role: &str| report(name, role, r#"{"chat":0}"#, r#"{"chat":{}}"#, 1.0);
        let problems =
            table(&[nothing("server", "server"), nothing("ada", "client"), nothing("bob", "client")]).1;
        assert!(problems.contains(&"nobody sent any chat".to_owned()), "{problems:?}");
    }

    #[test]
    fn a_half_report_is_refused() {
        assert!(Report::parse("{}").is_err());
        assert!(Report::parse(r#"{"name":"a","role":"client","sent":{"chat":-1}}"#).is_err());
    }
}
