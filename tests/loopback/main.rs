//! Tests over real sockets on 127.0.0.1, of behaviour that needs a kernel and a second thread.

mod support;

mod access;
mod buffers;
mod conditions;
mod congestion;
mod delivery;
mod foreign;
mod godot3;
mod hostile;
mod lifecycle;
mod observer;
mod resume;
mod resume_attack;
mod slow_reader;
mod tls;
mod tls_flood;
mod tls_slow;
mod waiting;
mod zones;
