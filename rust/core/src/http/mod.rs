//! The grammar of HTTP/1.1 that an upgrade needs, for servers and clients: heads, requests, responses and `ws://` URLs. This module
//! makes no decisions: the access policy accepts and rejects requests, and the session has the deadlines.
//!
//! The types of the crate `http` do not fit. Games read the header lines in their order, and `HeaderMap` groups lines by name; filling
//! a map and copying its lines took 2.2 to 2.4 times as long as a list. `Uri` refuses international names, and `host:port/path`
//! without a scheme, which the engine's class takes, and accepts the ports 0 and 65536. The reason phrase of 413 is not that of
//! RFC 9110.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod accept_key;
pub(crate) mod body;
pub(crate) mod deflate;
pub(crate) mod head;
mod headers;
mod offer;
mod query;
mod refused;
mod request;
mod response;
pub(crate) mod resume;
mod text;
mod token;
mod url;

pub(crate) use deflate::Agreed;
pub use deflate::Compression;
pub(crate) use head::{HEAD_LIMIT, Head};
pub(crate) use offer::{Answer, Offer};
pub(crate) use refused::{Gone, Refused};
pub(crate) use request::Request;
pub(crate) use response::HttpResponse;
pub(crate) use resume::{Denied, Resumption};
pub(crate) use text::named;
pub(crate) use token::is_token;
pub use url::Url;
