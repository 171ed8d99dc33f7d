//! The grammar of HTTP/1.1 as far as an upgrade needs it, of either side: heads, requests, responses and `ws://` URLs. What is
//! let in, and when, is decided elsewhere.
//!
//! The types of the crate `http` were looked at and are not used. Games see the header lines in their order, and a `HeaderMap` groups
//! them by name; to fill one and to write the lines out of it took 2.2 to 2.4 times as long as the parser and a list. A `Uri` refuses
//! international names and `host:port/path` without a scheme, which the engine's class takes, and lets the ports 0 and 65536 pass. Its
//! reason phrases are not those of RFC 9110 throughout (413).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod accept_key;
pub(crate) mod body;
pub(crate) mod head;
mod headers;
mod offer;
mod refused;
mod request;
mod response;
mod text;
mod token;
mod url;

pub(crate) use head::{HEAD_LIMIT, Head};
pub(crate) use offer::{Answer, Offer};
pub(crate) use refused::Refused;
pub(crate) use request::Request;
pub(crate) use response::HttpResponse;
pub(crate) use text::named;
pub(crate) use token::is_token;
pub use url::Url;
