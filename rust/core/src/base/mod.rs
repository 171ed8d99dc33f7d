//! Types that every layer uses: ids, packets, errors, and how a connection ends.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod close;
mod error;
mod escape;
mod id;
mod packet;
mod resume_token;

pub use close::{CloseFrame, CloseReason, Phase, Side};
pub(crate) use close::{LONGEST_REASON, MESSAGE_LIMIT};
pub use error::{ConfigError, SendError};
pub(crate) use escape::{Escaped, is_invisible};
pub(crate) use id::PeerMap;
pub use id::{ConnId, PeerId, Target};
pub use packet::{Delivery, Packet};
pub(crate) use resume_token::ResumeToken;
