//! Settings of a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use towpath_engine::ClusterConfig;
use towpath_protocol::PasswordHash;

/// Who may log in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user name; any when absent.
    pub user: Option<String>,
    /// The password.
    pub password: PasswordHash,
}

/// The files of a certificate, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server, and those that lead from it to one that clients trust.
    pub certificates: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the status is asked for over HTTP; nowhere when absent.
    pub status: Option<SocketAddr>,
    /// Who may log in; anyone when absent.
    pub credentials: Option<Credentials>,
    /// The state directory. In a cluster it is not used.
    pub state: PathBuf,
    /// The cluster that it belongs to; alone when absent.
    pub cluster: Option<ClusterConfig>,
    /// Whether the server ends at the first destination that fails. Else that is tried again and again, and
    /// the others go on.
    pub fail_fast: bool,
    /// Connections at a time. A further one takes the place of one that has not logged in, or is
    /// closed at once. Half of them at most are without a login.
    pub connections_max: usize,
    /// The same for each address; half of all when absent.
    pub connections_per_address_max: Option<usize>,
    /// Clients speak TLS, and find this certificate. They do not when absent.
    pub tls: Option<TlsFiles>,
    /// Time a connection has to log in, the TLS handshake included.
    pub login_deadline: Duration,
    /// Time for everything to end at a stop.
    pub stop_deadline: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 11111)),
            status: None,
            credentials: None,
            state: PathBuf::from("state"),
            cluster: None,
            fail_fast: false,
            // Stays below the usual limit of 1024 descriptors.
            connections_max: 900,
            connections_per_address_max: None,
            tls: None,
            login_deadline: Duration::from_secs(10),
            stop_deadline: Duration::from_secs(5),
        }
    }
}
