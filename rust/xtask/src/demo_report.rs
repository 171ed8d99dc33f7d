//! The reports of the demo's processes, checked against each other.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::ui;

/// What one process says about its session.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) role: String,
    /// Whether it played with the addon's classes.
    pub(crate) addon: bool,
    /// kind -> how many went to each receiver.
    sent: BTreeMap<String, u64>,
    /// kind -> sender -> count.
    received: BTreeMap<String, BTreeMap<String, u64>>,
    seen_peers: Vec<String>,
    /// Where it saw each player at the end.
    positions: BTreeMap<String, (f64, f64)>,
    ok: bool,
    problems: Vec<String>,
}

/// Who must get what a peer sends of a kind.
#[derive(Clone, Copy, Debug)]
enum Audience {
    Everyone,
    Server,
    Clients,
}

impl Report {
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json)?;
        let text = |field: &str| value[field].as_str().map(str::to_owned).with_context(|| field.to_owned());
        let object =
            |value: &Value, field: &str| value.as_object().cloned().with_context(|| field.to_owned());
        let mut report = Self {
            name: text("name")?,
            role: text("role")?,
            addon: value["addon"].as_bool().context("addon")?,
            sent: counts(&value["sent"])?,
            received: BTreeMap::new(),
            seen_peers: strings(&value["seen_peers"]).context("seen_peers")?,
            positions: BTreeMap::new(),
            ok: value["ok"].as_bool().context("ok")?,
            problems: strings(&value["problems"]).context("problems")?,
        };
        for (kind, senders) in object(&value["received"], "received")? {
            report.received.insert(kind, counts(&senders)?);
        }
        for (name, place) in object(&value["positions"], "positions")? {
            let axis = |index: usize| place[index].as_f64().with_context(|| format!("position of {name}"));
            report.positions.insert(name.clone(), (axis(0)?, axis(1)?));
        }
        Ok(report)
    }

    fn received(&self, kind: &str, from: &str) -> u64 {
        self.received.get(kind).and_then(|senders| senders.get(from)).copied().unwrap_or(0)
    }

    fn is_audience(&self, audience: Audience) -> bool {
        match audience {
            Audience::Everyone => true,
            Audience::Server => self.role == "server",
            Audience::Clients => self.role != "server",
        }
    }
}

/// A table of everything that was sent and received, and what is wrong with it.
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

/// One row for each kind and sender: what was sent to each, and what each got.
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
            let sent = sender.sent.get(kind).copied().unwrap_or(0);
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

/// One row for each player: where it says it is, and where the others saw it last.
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

/// The kind's name says whom it goes to: `server_*` to the server, `relay_*` from client to client.
fn audience(kind: &str) -> Audience {
    if kind.starts_with("server_") {
        Audience::Server
    } else if kind.starts_with("relay_") {
        Audience::Clients
    } else {
        Audience::Everyone
    }
}

fn counts(value: &Value) -> Result<BTreeMap<String, u64>> {
    let entries = value.as_object().context("counts are an object")?;
    // The engine's JSON writes whole numbers of some kinds with a fraction.
    let count = |value: &Value| {
        let number = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0)?;
        Some(number as u64)
    };
    entries
        .iter()
        .map(|(key, value)| Ok((key.clone(), count(value).with_context(|| format!("count of {key}"))?)))
        .collect()
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Players have come to a halt, so that only rounding remains.
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
