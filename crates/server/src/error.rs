//! What can go wrong in a server, and what a client is told of it.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use towpath_engine::{DestinationError, EngineError, InstanceError};

/// A request that cannot be served. Its text is Canal's where Canal has one: people search for it.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// What was asked of a destination.
    Destination(DestinationError),
    /// A client id that is no 16-bit number.
    ClientId { text: String },
}

impl From<DestinationError> for RequestError {
    fn from(error: DestinationError) -> Self {
        Self::Destination(error)
    }
}

impl Display for RequestError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use DestinationError as E;
        let error = match self {
            Self::ClientId { text } => return write!(f, "For input string: \"{text}\""),
            Self::Destination(error) => error,
        };
        match error {
            E::NotServed { destination } => {
                write!(f, "destination:{destination} should start first")
            }
            E::Failed { destination, cause } => {
                write!(f, "destination:{destination} should start first, it stopped: {cause}")
            }
            E::NotSubscribed { destination, client_id } => write!(
                f,
                "ClientIdentity:ClientIdentity[destination={destination},clientId={client_id},\
                 filter=<null>] should subscribe first"
            ),
            E::AckUnknown { client_id, batch_id } => write!(
                f,
                "ack error , clientId:{client_id} batchId:{batch_id} is not exist , please check"
            ),
            E::RollbackUnknown { client_id, batch_id } => write!(
                f,
                "rollback error, clientId:{client_id} batchId:{batch_id} is not exist , please check"
            ),
            E::NotOldest { batch_id, oldest } => {
                write!(f, "batchId:{batch_id} is not the firstly:{oldest}")
            }
            E::Superseded { .. }
            | E::TooManyBatches { .. }
            | E::NotDurable { .. }
            | E::Filter(_)
            | E::TooManyFilters { .. }
            | E::Uncompiled
            | _ => error.fmt(f),
        }
    }
}

impl RequestError {
    /// The class that stands before the text of such an error in Canal's answers.
    pub(crate) const fn java_class(&self) -> &'static str {
        match self {
            Self::ClientId { .. } => "java.lang.NumberFormatException",
            Self::Destination(DestinationError::NotOldest { .. }) => {
                "com.alibaba.otter.canal.meta.exception.CanalMetaManagerException"
            }
            Self::Destination(_) => "com.alibaba.otter.canal.server.exception.CanalServerException",
        }
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {reason}; expected {wanted}, in PEM", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What should be in it.
        wanted: &'static str,
    },
    /// The certificate and the key cannot be used together.
    #[error(
        "the certificate in {} cannot be used with the key in {}: {source}",
        certificates.display(), key.display()
    )]
    Unfit {
        /// The file with the certificate.
        certificates: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Why a server cannot start or had to stop.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {}", listen_hint(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate for clients cannot be used.
    #[error("TLS for clients: {0}")]
    Tls(#[from] TlsError),
    /// A destination cannot be started, or its last cursors cannot be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Two destinations of one name.
    #[error("destination `{destination}` is configured twice")]
    Twice {
        /// The name.
        destination: String,
    },
    /// No destination at all.
    #[error("no destination is configured: there is nothing to serve")]
    NoDestination,
    /// A destination has failed, and the server was told to end then.
    #[error("destination {destination}: {source}")]
    Instance {
        /// Its destination.
        destination: String,
        /// Why.
        #[source]
        source: Arc<InstanceError>,
    },
}

impl ServerError {
    /// What the operator can do, where the text does not say it already.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Instance { source, .. } => source.hint(),
            Self::Engine(error) => error.hint(),
            Self::Listen { .. } | Self::Tls(_) | Self::Twice { .. } | Self::NoDestination => None,
        }
    }
}

fn listen_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    if error.kind() == ErrorKind::AddrInUse {
        "another process has the port: stop that one, or take another port with --listen"
    } else if error.kind() == ErrorKind::PermissionDenied {
        "ports below 1024 need privileges: take a higher one"
    } else if error.kind() == ErrorKind::AddrNotAvailable {
        "this machine does not have that address"
    } else {
        "take another address with --listen"
    }
}
