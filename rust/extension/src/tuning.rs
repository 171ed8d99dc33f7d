//! The properties that all three multiplayer classes share: checked here, and applied to open objects where that is possible.

use std::time::Duration;

use godot::global::Error;
use websocket_multiplayer_core::{Buffers, Compression, OverflowPolicy, PeerConfig, WireFormat};

use crate::host::PeerHost;
use crate::report::Kind;

/// A property in seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Seconds {
    HeartbeatInterval,
    HeartbeatTimeout,
    WriteTimeout,
    HandshakeTimeout,
    CloseTimeout,
    OverflowGrace,
    ResumeTimeout,
}

impl Seconds {
    fn name(self) -> &'static str {
        match self {
            Self::HeartbeatInterval => "heartbeat_interval",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::CloseTimeout => "close_timeout",
            Self::OverflowGrace => "overflow_grace",
            Self::ResumeTimeout => "resume_timeout",
        }
    }

    fn may_be_zero(self) -> bool {
        !matches!(self, Self::HandshakeTimeout | Self::CloseTimeout)
    }
}

impl PeerHost {
    pub(crate) fn seconds(&self, which: Seconds) -> f64 {
        match which {
            Seconds::HeartbeatInterval => self.config.heartbeat_interval,
            Seconds::HeartbeatTimeout => self.config.heartbeat_timeout,
            Seconds::WriteTimeout => self.config.write_timeout,
            Seconds::HandshakeTimeout => self.config.handshake_timeout,
            Seconds::CloseTimeout => self.config.close_timeout,
            Seconds::OverflowGrace => self.config.overflow_grace,
            Seconds::ResumeTimeout => self.config.resume_timeout,
        }
        .as_secs_f64()
    }

    pub(crate) fn set_seconds(&mut self, which: Seconds, value: f64) {
        let Some(duration) = duration(self.kind, which.name(), value, which.may_be_zero()) else { return };
        if which == Seconds::ResumeTimeout && duration > PeerConfig::RESUME_MAX {
            let most = PeerConfig::RESUME_MAX.as_secs();
            let why = format_args!("{value} seconds cannot be used; it must be from 0 to {most}");
            return self.kind.property_error(which.name(), why);
        }
        let (interval, timeout) = match which {
            Seconds::HeartbeatInterval => (value, self.seconds(Seconds::HeartbeatTimeout)),
            Seconds::HeartbeatTimeout => (self.seconds(Seconds::HeartbeatInterval), value),
            _ => (0.0, 0.0),
        };
        if !is_heartbeat(self.kind, which.name(), interval, timeout) {
            return;
        }
        *match which {
            Seconds::HeartbeatInterval => &mut self.config.heartbeat_interval,
            Seconds::HeartbeatTimeout => &mut self.config.heartbeat_timeout,
            Seconds::WriteTimeout => &mut self.config.write_timeout,
            Seconds::HandshakeTimeout => &mut self.config.handshake_timeout,
            Seconds::CloseTimeout => &mut self.config.close_timeout,
            Seconds::OverflowGrace => &mut self.config.overflow_grace,
            Seconds::ResumeTimeout => &mut self.config.resume_timeout,
        } = duration;
        self.apply();
    }

    pub(crate) fn wire_format_number(&self) -> i64 {
        match self.wire_format {
            WireFormat::Godot4 => WIRE_FORMAT_GODOT4,
            WireFormat::Godot3 => WIRE_FORMAT_GODOT3,
        }
    }

    pub(crate) fn set_wire_format(&mut self, value: i64) {
        let format = match value {
            WIRE_FORMAT_GODOT4 => WireFormat::Godot4,
            WIRE_FORMAT_GODOT3 => WireFormat::Godot3,
            _ => {
                let why =
                    format_args!("{value} is unknown; use WIRE_FORMAT_GODOT4 (0) or WIRE_FORMAT_GODOT3 (1)");
                return self.kind.property_error("wire_format", why);
            }
        };
        if self.may_change("wire_format") {
            self.wire_format = format;
        }
    }

    pub(crate) fn compression_mode_number(&self) -> i64 {
        match self.config.compression {
            None => COMPRESSION_OFF,
            Some(Compression::Shared) => COMPRESSION_SHARED,
            Some(Compression::Dedicated) => COMPRESSION_DEDICATED,
        }
    }

    pub(crate) fn set_compression_mode(&mut self, value: i64) {
        let Some(compression) = compression(value) else {
            let why = format_args!(
                "{value} is unknown; use COMPRESSION_OFF (0), COMPRESSION_SHARED (1) or COMPRESSION_DEDICATED (2)"
            );
            return self.kind.property_error("compression_mode", why);
        };
        if self.may_change("compression_mode") {
            self.config.compression = compression;
        }
    }

    pub(crate) fn compression_threshold(&self) -> i64 {
        self.config.compression_threshold as i64
    }

    pub(crate) fn set_compression_threshold(&mut self, value: i64) {
        if self.in_range("compression_threshold", value, 0, MAX_THRESHOLD)
            && self.may_change("compression_threshold")
        {
            self.config.compression_threshold = value as usize;
        }
    }

    pub(crate) fn overflow_policy_number(&self) -> i64 {
        match self.config.overflow_policy {
            OverflowPolicy::Disconnect => OVERFLOW_DISCONNECT,
            OverflowPolicy::Refuse => OVERFLOW_REFUSE,
        }
    }

    pub(crate) fn set_overflow_policy(&mut self, value: i64) {
        self.config.overflow_policy = match value {
            OVERFLOW_DISCONNECT => OverflowPolicy::Disconnect,
            OVERFLOW_REFUSE => OverflowPolicy::Refuse,
            _ => {
                let why =
                    format_args!("{value} is unknown; use OVERFLOW_DISCONNECT (0) or OVERFLOW_REFUSE (1)");
                return self.kind.property_error("overflow_policy", why);
            }
        };
        self.apply();
    }

    pub(crate) fn max_message_size_kb(&self) -> i64 {
        self.config.max_message().div_ceil(1024) as i64
    }

    pub(crate) fn set_max_message_size_kb(&mut self, value: i64) {
        if self.in_range("max_message_size_kb", value, 1, Buffers::MAX) {
            self.config.max_message_size = Some(value as usize * 1024);
            self.apply();
        }
    }

    pub(crate) fn unreliable_backlog_kb(&self) -> i64 {
        self.config.unreliable_backlog.div_ceil(1024) as i64
    }

    pub(crate) fn set_unreliable_backlog_kb(&mut self, value: i64) {
        if self.in_range("unreliable_backlog_kb", value, 0, Buffers::MAX) {
            self.config.unreliable_backlog = value as usize * 1024;
            self.apply();
        }
    }

    pub(crate) fn set_buffers(
        &mut self,
        input_kb: i64,
        input_packets: i64,
        output_kb: i64,
        output_packets: i64,
    ) -> Error {
        if self.is_open() {
            let why =
                format_args!("buffers can only be set before {}; call close() first", self.kind.opener());
            self.kind.error("set_buffers", why);
            return Error::FAILED;
        }
        match Buffers::rounded(input_kb, input_packets, output_kb, output_packets) {
            Ok(buffers) => {
                self.config.buffers = buffers;
                Error::OK
            }
            Err(error) => {
                self.kind.error("set_buffers", error);
                Error::ERR_INVALID_PARAMETER
            }
        }
    }

    /// Whether a number is in a property's range; prints a line otherwise.
    pub(crate) fn in_range(&self, property: &str, value: i64, min: i64, max: i64) -> bool {
        let fits = (min..=max).contains(&value);
        if !fits {
            self.kind.property_error(property, out_of_range(value, min, max));
        }
        fits
    }

    /// Whether a property that cannot be changed while open may change now; prints a line otherwise.
    pub(crate) fn may_change(&self, property: &str) -> bool {
        let open = self.is_open();
        if open {
            self.kind.property_error(
                property,
                format_args!(
                    "it cannot change while open; call close() first, or set it before {}",
                    self.kind.opener()
                ),
            );
        }
        !open
    }

    pub(crate) fn apply(&mut self) {
        if self.is_open() {
            self.core.reconfigure(self.config.clone());
        }
    }
}

/// The mode of a number; `None`: there is none.
pub(crate) fn compression(value: i64) -> Option<Option<Compression>> {
    match value {
        COMPRESSION_OFF => Some(None),
        COMPRESSION_SHARED => Some(Some(Compression::Shared)),
        COMPRESSION_DEDICATED => Some(Some(Compression::Dedicated)),
        _ => None,
    }
}

/// The error text for a number out of range.
pub(crate) fn out_of_range(value: i64, min: i64, max: i64) -> String {
    format!("{value} cannot be used; it must be from {min} to {max}")
}

/// Converts a property in seconds; prints a line if it is out of range.
pub(crate) fn duration(kind: Kind, property: &str, seconds: f64, may_be_zero: bool) -> Option<Duration> {
    let least = if may_be_zero { 0.0 } else { f64::MIN_POSITIVE };
    if !(least..=MAX_SECONDS).contains(&seconds) {
        let range = if may_be_zero { "0 or more" } else { "more than 0" };
        kind.property_error(
            property,
            format_args!("{seconds} seconds cannot be used; it must be {range}, and finite"),
        );
        return None;
    }
    // A value below a nanosecond would be rounded to zero, which has another meaning.
    let least = if seconds > 0.0 { Duration::from_nanos(1) } else { Duration::ZERO };
    Some(Duration::from_secs_f64(seconds).max(least))
}

/// Whether `heartbeat_timeout` is longer than `heartbeat_interval`, so that a peer that answers pings is not dropped; prints a line
/// otherwise.
pub(crate) fn is_heartbeat(kind: Kind, property: &str, interval: f64, timeout: f64) -> bool {
    let dies = interval > 0.0 && timeout > 0.0 && timeout <= interval;
    if dies {
        kind.property_error(
            property,
            format_args!(
                "heartbeat_timeout ({timeout} s) must be greater than heartbeat_interval ({interval} s); \
                 change the other one first"
            ),
        );
    }
    !dies
}

/// `WIRE_FORMAT_GODOT4`.
pub(crate) const WIRE_FORMAT_GODOT4: i64 = 0;
/// `WIRE_FORMAT_GODOT3`.
pub(crate) const WIRE_FORMAT_GODOT3: i64 = 1;
/// `OVERFLOW_DISCONNECT`.
pub(crate) const OVERFLOW_DISCONNECT: i64 = 0;
/// `OVERFLOW_REFUSE`.
pub(crate) const OVERFLOW_REFUSE: i64 = 1;
/// `COMPRESSION_OFF`.
pub(crate) const COMPRESSION_OFF: i64 = 0;
/// `COMPRESSION_SHARED`.
pub(crate) const COMPRESSION_SHARED: i64 = 1;
/// `COMPRESSION_DEDICATED`.
pub(crate) const COMPRESSION_DEDICATED: i64 = 2;
/// The largest `compression_threshold`: as large as the largest message.
pub(crate) const MAX_THRESHOLD: i64 = Buffers::MAX * 1024;

/// Three years. `Instant` can represent a time so far ahead on every platform.
const MAX_SECONDS: f64 = 1e8;
