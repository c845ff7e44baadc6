//! Settings of a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use towpath_coordination::{SourceAddress, ZkUrl};
use towpath_entry::TableFilter;
use towpath_protocol::PasswordHash;

use crate::instance::Feed;
use crate::store::StoreOptions;

/// Who may log in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user name; any when absent.
    pub user: Option<String>,
    /// The password.
    pub password: PasswordHash,
}

/// A server's place in a cluster.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The ensemble, and the root of Canal's tree in it.
    pub zookeeper: ZkUrl,
    /// `host:port` at which clients reach this server.
    pub address: String,
    /// How long the ensemble waits for a silent server until it gives its place to another. The
    /// ensemble may grant less or more.
    pub session_timeout: Duration,
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
    /// Connections at a time. Further ones are closed at once.
    pub connections_max: usize,
    /// Time a connection has to log in.
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
            // Stays below the usual limit of 1024 descriptors.
            connections_max: 900,
            login_deadline: Duration::from_secs(10),
            stop_deadline: Duration::from_secs(5),
        }
    }
}

/// Settings of one destination.
#[derive(Debug)]
pub struct InstanceConfig {
    /// Its name, as clients subscribe to it.
    pub destination: String,
    /// Its source as configured, for Canal's cursor file.
    pub address: SourceAddress,
    /// Its store.
    pub store: StoreOptions,
    /// The table filter until a client sets another one. A client replaces the white list; the black
    /// list stays.
    pub filter: TableFilter,
    /// Where its entries come from.
    pub feed: Feed,
}
