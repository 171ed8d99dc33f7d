//! The script's `request_handler`: its argument, its results, and `answer_request()`.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use godot::builtin::{
    AnyArray, AnyDictionary, Callable, GString, PackedStringArray, Variant, VariantType, varray, vdict,
};
use godot::global::Error;
use godot::obj::Gd;
use websocket_multiplayer_core::{AdmissionDecision, ConnectionRequest};

use crate::convert;
use crate::report::Kind;
use crate::signals::HostClass;

/// Calls the handler of an object, with nothing borrowed, and passes its decision to the core, unless it will answer later.
pub(crate) fn call_handler<T: HostClass>(this: &mut Gd<T>, request: Rc<ConnectionRequest>) {
    let (handler, generation) = {
        let mut class = this.bind_mut();
        let host = class.host_mut();
        // The handler may call `answer_request()` itself, for example if it has the answer in a cache.
        host.pending_requests.insert(&request);
        (host.request_handler.clone(), host.core.generation())
    };
    let outcome = if handler.is_valid() {
        let answer = call(&handler, &request);
        parse_returned(&request, &answer)
    } else {
        Err("its object was freed; the client was answered 500".to_owned())
    };
    // Values that are not kept must be freed when nothing is borrowed, so they outlive the borrow below.
    let (error, decision, mut meta) = match outcome {
        Ok(Returned::Later) => return,
        Ok(Returned::Now(decision, meta)) => (None, decision, meta),
        Err(why) => (Some(why), AdmissionDecision::fault(), Variant::nil()),
    };
    let mut class = this.bind_mut();
    let host = class.host_mut();
    // The handler may have closed the object; if it was opened again, this request is gone.
    if host.core.generation() != generation {
        return;
    }
    if host.pending_requests.take(request.id.0.into()).is_err() {
        let why = "it called answer_request() and returned something other than {later = true}";
        host.handler_errors.report(host.kind, why);
        return;
    }
    if let Some(why) = error {
        host.handler_errors.report(host.kind, &why);
    }
    host.answer(&request, decision, &mut meta);
}

/// The implementation of `answer_request()`.
pub(crate) fn answer<T: HostClass>(this: &mut Gd<T>, id: i64, verdict: &Variant) -> Error {
    const METHOD: &str = "answer_request";
    let (kind, is_open, generation, found) = {
        let mut class = this.bind_mut();
        let host = class.host_mut();
        (host.kind, host.is_open(), host.core.generation(), host.pending_requests.take(id))
    };
    let request = match found {
        Ok(request) => request,
        // No mistake of the script: the client has disconnected, or was answered because time was over or the server is closing.
        Err(NotPending::Withdrawn) => return Error::ERR_DOES_NOT_EXIST,
        Err(NotPending::Unknown) if !is_open => {
            kind.error(METHOD, format_args!("nothing is open; call {} first", kind.opener()));
            return Error::ERR_UNCONFIGURED;
        }
        Err(NotPending::Unknown) => {
            kind.error(METHOD, format_args!("no request with the peer_id {id} waits for an answer"));
            return Error::ERR_DOES_NOT_EXIST;
        }
    };
    // With nothing borrowed: a dictionary can contain an object whose `_to_string()` is a script's.
    let (outcome, (decision, mut meta)) = match parse_answer(&request, verdict) {
        Ok(decision) => (Error::OK, decision),
        Err(why) => {
            kind.error(METHOD, format_args!("{why}; the client is answered 500"));
            (Error::ERR_INVALID_PARAMETER, (AdmissionDecision::fault(), Variant::nil()))
        }
    };
    let mut class = this.bind_mut();
    let host = class.host_mut();
    if host.core.generation() != generation {
        return Error::ERR_DOES_NOT_EXIST;
    }
    host.answer(&request, decision, &mut meta);
    outcome
}

/// Requests for which the handler was called, and which have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct PendingRequests {
    requests: HashMap<i32, Rc<ConnectionRequest>>,
    /// Ids of the last requests that were withdrawn without an answer: a late answer to them is no mistake.
    withdrawn: VecDeque<i32>,
}

/// Why a request cannot be answered.
#[derive(Debug)]
pub(crate) enum NotPending {
    /// The request was withdrawn.
    Withdrawn,
    /// There was no such request, or it was answered.
    Unknown,
}

impl PendingRequests {
    fn insert(&mut self, request: &Rc<ConnectionRequest>) {
        self.requests.insert(request.id.0, Rc::clone(request));
    }

    fn take(&mut self, id: i64) -> Result<Rc<ConnectionRequest>, NotPending> {
        let id = i32::try_from(id).map_err(|_| NotPending::Unknown)?;
        self.requests.remove(&id).ok_or_else(|| match self.withdrawn.iter().position(|known| *known == id) {
            Some(at) => {
                self.withdrawn.remove(at);
                NotPending::Withdrawn
            }
            None => NotPending::Unknown,
        })
    }

    /// The client has disconnected, or was answered without the handler.
    pub(crate) fn withdraw(&mut self, id: i32) {
        if self.requests.remove(&id).is_some() {
            if self.withdrawn.len() == WITHDRAWN_LIMIT {
                self.withdrawn.pop_front();
            }
            self.withdrawn.push_back(id);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A service that is slow for everybody answers as many requests late as came meanwhile: clients that have given up come again.
const WITHDRAWN_LIMIT: usize = 65_536;

fn call(handler: &Callable, request: &ConnectionRequest) -> Variant {
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

/// The result of a handler.
enum Returned {
    /// With the `meta` of the peer.
    Now(AdmissionDecision, Variant),
    Later,
}

/// Checks the value that the handler has returned.
fn parse_returned(request: &ConnectionRequest, answer: &Variant) -> Result<Returned, String> {
    match answer.get_type() {
        VariantType::BOOL | VariantType::INT => {}
        VariantType::DICTIONARY => {
            let pairs: AnyDictionary = answer.to();
            if let Some((_, later)) = pairs.iter_shared().find(|(key, _)| key.to_string() == "later") {
                let is_alone =
                    pairs.len() == 1 && later.get_type() == VariantType::BOOL && later.booleanize();
                let why = "it returned a dictionary with a later that is not true, or that has other keys";
                return is_alone.then_some(Returned::Later).ok_or_else(|| why.to_owned());
            }
        }
        VariantType::NIL => return Err("it returned nothing, or ended with an error".to_owned()),
        VariantType::OBJECT => {
            let how = "without await; to answer later, return {later = true} and call answer_request()";
            return Err(format!("it returned {answer}; it must answer at once, {how}"));
        }
        _ => {
            let text = abbreviated(answer);
            return Err(format!("it returned {text}; it must return a bool, a status or a dictionary"));
        }
    }
    let decision = decision(request, answer).map_err(|why| format!("it returned {why}"))?;
    Ok(Returned::Now(decision.0, decision.1))
}

/// Checks the value that was passed to `answer_request()`.
fn parse_answer(
    request: &ConnectionRequest,
    answer: &Variant,
) -> Result<(AdmissionDecision, Variant), String> {
    match answer.get_type() {
        VariantType::BOOL | VariantType::INT | VariantType::DICTIONARY => {
            decision(request, answer).map_err(|why| format!("the verdict cannot be used: {why}"))
        }
        _ => Err(format!(
            "the verdict is {}; it must be a bool, a status or a dictionary",
            abbreviated(answer)
        )),
    }
}

/// Returns the decision, and the `meta` for the peer.
fn decision(request: &ConnectionRequest, answer: &Variant) -> Result<(AdmissionDecision, Variant), String> {
    if answer.get_type() == VariantType::DICTIONARY {
        return detailed(request, &answer.to());
    }
    let decision = AdmissionDecision::new(request, status(answer)?, "", &[], "");
    Ok((decision.map_err(|error| error.to_string())?, Variant::nil()))
}

fn status(answer: &Variant) -> Result<i64, String> {
    match answer.get_type() {
        VariantType::BOOL if answer.booleanize() => Ok(101),
        VariantType::BOOL => Ok(403),
        VariantType::INT => Ok(answer.to()),
        _ => Err(format!("a dictionary whose status is {}, not a bool or a number", abbreviated(answer))),
    }
}

fn detailed(
    request: &ConnectionRequest,
    answer: &AnyDictionary,
) -> Result<(AdmissionDecision, Variant), String> {
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
            other => return Err(format!("a dictionary with the unknown key {other:?}")),
        }
    }
    let code = code.ok_or("a dictionary without a status")?;
    let decision = AdmissionDecision::new(request, code, &reason, &headers, &protocol);
    Ok((decision.map_err(|error| format!("a dictionary that cannot be used: {error}"))?, meta))
}

fn text(key: &str, value: &Variant) -> Result<String, String> {
    match value.get_type() {
        VariantType::STRING | VariantType::STRING_NAME => Ok(value.to_string()),
        _ => Err(format!("a dictionary whose {key} is {}, not a string", abbreviated(value))),
    }
}

/// Reads `Name: value` lines, or a dictionary of names and values.
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
        _ => Err(format!("a dictionary whose headers are {}", abbreviated(value))),
    }
}

/// The text of a value, short enough for one line.
fn abbreviated(value: &Variant) -> String {
    value.to_string().chars().filter(|char| !char.is_control()).take(60).collect()
}

/// Prints the errors of a handler, with a limit: strangers can cause any number of requests.
#[derive(Debug, Default)]
pub(crate) struct HandlerErrors {
    since: Option<Instant>,
    printed: u32,
}

impl HandlerErrors {
    #[track_caller]
    fn report(&mut self, kind: Kind, why: &str) {
        if self.since.is_none_or(|since| since.elapsed() > ERRORS_PERIOD) {
            *self = Self { since: Some(Instant::now()), printed: 0 };
        }
        self.printed += 1;
        match self.printed {
            ..ERRORS_LIMIT => kind.property_error("request_handler", why),
            ERRORS_LIMIT => {
                let more = "further lines like this one are left out for a minute";
                kind.property_error("request_handler", format_args!("{why}; {more}"));
            }
            _ => {}
        }
    }
}

const ERRORS_PERIOD: Duration = Duration::from_mins(1);
const ERRORS_LIMIT: u32 = 20;
