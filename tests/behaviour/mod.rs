//! Tests of the behaviour of connections in memory and in virtual time: no sockets, no threads, no waiting.

mod lines;
mod world;

pub(crate) use world::{End, REQUEST};

mod abuse;
mod access;
mod churn;
mod closing;
mod compression;
mod compression_pieces;
mod conditions;
mod congestion;
mod control;
mod counted;
mod doorstep;
mod faults;
mod folding;
mod folding_room;
mod folding_session;
mod godot3;
mod gone;
mod handshake;
mod hostile;
mod keepalive;
mod limits;
mod proxy_protocol;
mod rejected;
mod resume;
mod resume_kick;
mod resume_limits;
mod resume_page;
mod resume_rules;
mod runs;
mod scarce;
mod tls;
mod tls_verdict;
mod tls_words;
mod transfer;
mod walk;
mod words;
