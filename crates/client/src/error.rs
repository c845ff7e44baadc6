//! What can go wrong between here and a server.

use std::time::Duration;

use thiserror::Error;
use towpath_wire::{FrameError, PacketError};

/// A request that failed. The connection is closed then.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Connecting, reading or writing failed.
    #[error("{address}: {doing}: {source}")]
    Io {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No answer came in time.
    #[error("{address}: {doing}: no answer within {} ms", deadline.as_millis())]
    Deadline {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// How long was waited.
        deadline: Duration,
    },
    /// A length that no answer has.
    #[error("{address}: {source}; is this the client port of a Canal server (11111)?")]
    Frame {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// An answer that cannot be read.
    #[error("{address}: {doing}: {source}; is this the client port of a Canal server (11111)?")]
    Packet {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// What is wrong with it.
        #[source]
        source: PacketError,
    },
    /// An answer of another kind.
    #[error("{address}: {doing}: {found} where {expected} is expected")]
    Unexpected {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// What came.
        found: &'static str,
        /// What should have come.
        expected: &'static str,
    },
    /// The server says no.
    #[error("{address}: {doing}: error {code}: {}", text.trim_end())]
    Refused {
        /// Host and port.
        address: String,
        /// The request.
        doing: &'static str,
        /// The server's code.
        code: i32,
        /// The server's text.
        text: String,
    },
    /// A protocol version that is not spoken here.
    #[error(
        "{address}: the server speaks version {version} of the protocol, this client version 1"
    )]
    Version {
        /// Host and port.
        address: String,
        /// Its version.
        version: i32,
    },
    /// An earlier error, or a dropped future, closed the connection.
    #[error("{address}: the connection is closed since an earlier request failed: connect again")]
    Closed {
        /// Host and port.
        address: String,
    },
}

impl ClientError {
    pub(crate) fn deadline(address: &str, doing: &'static str, deadline: Duration) -> Self {
        Self::Deadline { address: address.to_owned(), doing, deadline }
    }
}
