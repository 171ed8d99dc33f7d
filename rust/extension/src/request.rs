//! The game's handler of requests: what it is told, and what it may return.

use std::time::{Duration, Instant};

use godot::builtin::{
    AnyArray, AnyDictionary, Callable, GString, PackedStringArray, Variant, VariantType, varray, vdict,
};
use godot::obj::Gd;
use websocket_multiplayer_core::{ConnectionRequest, Verdict};

use crate::convert;
use crate::report::Kind;
use crate::signals::HostClass;

/// Asks the handler of an object, with nothing borrowed, and passes its word on.
pub(crate) fn decide<T: HostClass>(this: &mut Gd<T>, request: &ConnectionRequest) {
    let (handler, generation) = {
        let mut class = this.bind_mut();
        let host = class.host_mut();
        (host.request_handler.clone(), host.core.generation())
    };
    let outcome = if handler.is_valid() {
        let answer = ask(&handler, request);
        verdict(request, &answer)
    } else {
        Err("its object is gone: the client was answered 500".to_owned())
    };
    // What is not kept must go when nothing is borrowed: these two live longer than the borrow.
    let (fault, (verdict, mut meta)) = match outcome {
        Ok(answer) => (None, answer),
        Err(why) => (Some(why), (Verdict::fault(), Variant::nil())),
    };
    let mut class = this.bind_mut();
    let host = class.host_mut();
    // The handler may have closed the object; whoever opened it again has other requests.
    if host.core.generation() != generation {
        return;
    }
    if let Some(why) = fault {
        host.faults.report(host.kind, &why);
    }
    if verdict.accepts() && !meta.is_nil() {
        std::mem::swap(host.metas.entry(request.id.0).or_default(), &mut meta);
    }
    host.core.answer(request, verdict);
}

fn ask(handler: &Callable, request: &ConnectionRequest) -> Variant {
    let protocols: PackedStringArray = request.protocols.iter().map(GString::from).collect();
    let about = vdict! {
        "peer_id" => i64::from(request.id.0),
        "path" => &GString::from(&request.path),
        "query" => &GString::from(&request.query),
        "headers" => &convert::headers(request.headers.clone()),
        "address" => &GString::from(&request.address.ip().to_string()),
        "port" => i64::from(request.address.port()),
        "protocols" => &protocols,
        "secure" => request.secure,
    };
    handler.callv(&varray![&about].upcast_any_array())
}

/// What the handler returned, and its `meta`.
fn verdict(request: &ConnectionRequest, answer: &Variant) -> Result<(Verdict, Variant), String> {
    if answer.get_type() == VariantType::DICTIONARY {
        return detailed(request, &answer.to());
    }
    let status = status(answer)?;
    let verdict =
        Verdict::new(request, status, "", &[], "").map_err(|error| format!("it returned {error}"))?;
    Ok((verdict, Variant::nil()))
}

fn status(answer: &Variant) -> Result<i64, String> {
    match answer.get_type() {
        VariantType::BOOL if answer.booleanize() => Ok(101),
        VariantType::BOOL => Ok(403),
        VariantType::INT => Ok(answer.to()),
        VariantType::NIL => Err("it returned nothing, or an error ended it".to_owned()),
        VariantType::OBJECT => Err(format!("it returned {answer}; it must answer at once, without await")),
        _ => Err(format!("it returned {}; it must return a bool, a status or a dictionary", shown(answer))),
    }
}

fn detailed(request: &ConnectionRequest, answer: &AnyDictionary) -> Result<(Verdict, Variant), String> {
    let (mut code, mut reason, mut headers, mut protocol) = (None, String::new(), Vec::new(), String::new());
    let mut meta = Variant::nil();
    for (key, value) in answer.iter_shared() {
        match key.to_string().as_str() {
            "status" => code = Some(status(&value)?),
            "reason" => reason = text("reason", &value)?,
            "headers" => headers = header_lines(&value)?,
            "protocol" => protocol = text("protocol", &value)?,
            "meta" => meta = value,
            // A misspelt status must not let anybody in.
            other => return Err(format!("it returned a dictionary with {other:?}, which means nothing")),
        }
    }
    let code = code.ok_or("it returned a dictionary without a status")?;
    let verdict = Verdict::new(request, code, &reason, &headers, &protocol);
    Ok((verdict.map_err(|error| format!("it returned a dictionary that cannot be used: {error}"))?, meta))
}

fn text(key: &str, value: &Variant) -> Result<String, String> {
    match value.get_type() {
        VariantType::STRING | VariantType::STRING_NAME => Ok(value.to_string()),
        _ => Err(format!("it returned a dictionary whose {key} is {}, not a string", shown(value))),
    }
}

/// `Name: value` lines, or a dictionary of names and values.
fn header_lines(value: &Variant) -> Result<Vec<String>, String> {
    match value.get_type() {
        VariantType::PACKED_STRING_ARRAY => Ok(convert::strings(&value.to())),
        VariantType::ARRAY => {
            value.to::<AnyArray>().iter_shared().map(|line| text("header", &line)).collect()
        }
        VariantType::DICTIONARY => {
            let pairs = value.to::<AnyDictionary>();
            Ok(pairs.iter_shared().map(|(name, value)| format!("{name}: {value}")).collect())
        }
        _ => Err(format!("it returned a dictionary whose headers are {}", shown(value))),
    }
}

/// Short enough for one line.
fn shown(value: &Variant) -> String {
    value.to_string().chars().filter(|char| !char.is_control()).take(60).collect()
}

/// Prints what is wrong with a handler, but not as often as strangers knock.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    since: Option<Instant>,
    printed: u32,
}

impl Faults {
    #[track_caller]
    fn report(&mut self, kind: Kind, why: &str) {
        if self.since.is_none_or(|since| since.elapsed() > FAULTS_PERIOD) {
            *self = Self { since: Some(Instant::now()), printed: 0 };
        }
        self.printed += 1;
        match self.printed {
            ..FAULTS_LIMIT => kind.property_error("request_handler", why),
            FAULTS_LIMIT => {
                let more = "further lines like this one are left out for a minute";
                kind.property_error("request_handler", format_args!("{why}; {more}"));
            }
            _ => {}
        }
    }
}

const FAULTS_PERIOD: Duration = Duration::from_mins(1);
const FAULTS_LIMIT: u32 = 20;
