//! Why nothing was opened.

use std::io;

use crate::base::ConfigError;
use crate::tls::TlsError;

/// Why `listen` or `connect` did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The object listens or connects already.
    #[error("already open; call close() first")]
    AlreadyOpen,
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another socket has the address.
    #[error("port {port} is already in use on {address}")]
    AddressInUse {
        /// The port asked for.
        port: u16,
        /// The address asked for.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} port {port}: {source}")]
    CannotListen {
        /// The address asked for.
        address: String,
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No thread, no descriptor, or no memory.
    #[error("cannot start the I/O thread: {0}")]
    System(io::Error),
}
