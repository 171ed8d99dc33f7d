//! The access policy of a server: the rules for requests and connections, and the counts that they need. No socket, no clock.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod client_key;
mod forwarded;
mod health;
pub(crate) mod log_limit;
mod metrics;
pub(crate) mod network;
pub(crate) mod origin;
mod rate_limiter;
pub(crate) mod rules;

pub(crate) use client_key::ClientKey;
pub use forwarded::{Malformed, client_address};
pub(crate) use health::health;
pub(crate) use metrics::{ServerState, metrics};
pub(crate) use rate_limiter::RateLimiter;
pub(crate) use rules::{AccessPolicy, LogLine, PolicyDecision, RejectReason};
