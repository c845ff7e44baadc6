//! `towpath serve`: follow a database and serve its changes to Canal clients.

mod archive;
mod descriptors;
mod state;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use towpath_coordination::{SourceAddress, ZkUrl};
use towpath_engine::{ClusterConfig, DestinationConfig, Feed, SourceFeed, StoreOptions};
use towpath_protocol::PasswordHash;
use towpath_server::{Credentials, Server, ServerConfig, TlsFiles};
use towpath_source::{Detect, FollowBy, SourceConfig, SourceError, SourceUrl, Start, WhenPurged};

use crate::filters::FilterArguments;
use crate::report::{Failure, say};
use crate::secret::Secret;
use crate::signals::{Shutdown, tell_state};
use archive::ArchiveArguments;
use descriptors::connections_below;
use state::StateFolder;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  towpath serve --source mysql://canal:canal@127.0.0.1:3306
  towpath serve --source mysql://canal:canal@db1 --filter 'shop\\..*' --listen 0.0.0.0:11111 \\
      --user app --password secret --state /var/lib/towpath
  towpath serve --source mysql://canal:canal@db1 --listen 0.0.0.0:11111 --zk zk://zk1,zk2,zk3/otter/canal

Every Canal client works against it unchanged: destination `example`, port 11111. Clients go on after
what they acknowledged last; --from counts only for a destination that no client has read yet, or with
--instead-of.

With --zk several servers share a destination: one serves it, the others stand by and take over.")]
pub(crate) struct Arguments {
    /// The source: mysql://user:password@host:port, with /NAME to keep to one database. The user needs SELECT, REPLICATION SLAVE and
    /// REPLICATION CLIENT; ?tls=required encrypts, ?tls=verify-identity&ca=FILE looks at the
    /// certificate, too. A binlog file or folder works as well. file:PATH and credential:NAME keep the URL
    /// out of sight, as the environment does.
    #[arg(long, value_name = "URL", env = "TOWPATH_SOURCE", hide_env_values = true)]
    source: Secret,
    /// The name of the destination, to which clients subscribe.
    #[arg(long, default_value = "example")]
    destination: String,
    /// Where clients connect, HOST:PORT; :PORT is any address of this machine, port 0 any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:11111", value_parser = listening)]
    listen: SocketAddr,
    /// Answer HTTP here, as at 127.0.0.1:11112: GET /state (JSON), /metrics (Canal's, for Prometheus),
    /// /health (200 or 503). Whoever reaches it can read it. SIGUSR1 writes the state into the log.
    #[arg(long, value_name = "ADDRESS", value_parser = listening)]
    status: Option<SocketAddr>,
    #[command(flatten)]
    filters: FilterArguments,
    /// Where to begin: now, earliest, FILE:OFFSET, gtid:SET, time:SECONDS.
    #[arg(long, default_value = "now")]
    from: Start,
    /// Begin at --from although clients have read the destination before, giving up the cursor of this
    /// name. An error that stops the destination names the cursor; once another one is in its place the
    /// option does nothing.
    #[arg(long, value_name = "CURSOR")]
    instead_of: Option<String>,
    /// State directory, for cursors and the history of structures. If absent, $XDG_STATE_HOME/towpath or
    /// ~/.local/state/towpath, for root /var/lib/towpath; or ./towpath-state, if an earlier version made it. With --zk
    /// cursors lie in ZooKeeper.
    #[arg(long, value_name = "FOLDER", conflicts_with = "zk")]
    state: Option<PathBuf>,
    /// Be part of a cluster: zk://host:2181,host2:2181/otter/canal, the path being the root of Canal's
    /// tree; or a connect string as in Canal's configuration.
    #[arg(long, value_name = "URL")]
    zk: Option<Secret>,
    /// Where clients reach this server, as HOST:PORT. This machine's address as ZooKeeper sees it, and
    /// the port of --listen, if absent.
    #[arg(long, value_name = "ADDRESS", requires = "zk")]
    advertise: Option<String>,
    /// Seconds after which another server takes over from one that is silent. ZooKeeper may grant
    /// less or more.
    #[arg(long, value_name = "SECONDS", requires = "zk", default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=600))]
    session_timeout: u32,
    /// Follow by GTID: places in the binlog are sets of transactions, which mean the same on all
    /// replicas. Entries carry the set, as with canal.instance.gtidon.
    #[arg(long)]
    gtid: bool,
    /// A second server that is followed when the first does not answer. By GTID nothing is lost or
    /// repeated; without, the last transactions come again.
    #[arg(long, value_name = "URL", env = "TOWPATH_STANDBY", hide_env_values = true)]
    standby: Option<Secret>,
    #[command(flatten)]
    failover: FailoverArguments,
    #[command(flatten)]
    failure: FailureArguments,
    #[command(flatten)]
    archive: ArchiveArguments,
    /// Server id under which the source knows this replica; unique among all its replicas. Generated if absent.
    #[arg(long, value_name = "N")]
    server_id: Option<u32>,
    /// User name that clients must give; needs --password.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// Password that clients must give; file:PATH and credential:NAME as for --source.
    #[arg(long, env = "TOWPATH_PASSWORD", hide_env_values = true)]
    password: Option<Secret>,
    #[command(flatten)]
    port: PortArguments,
    /// Longest event of the binlog, in MiB: a row takes a few times its length in memory. An
    /// event that is longer stops the destination. A server sends none above 1024.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1024))]
    event_len_max: u32,
    /// Memory for entries that no client has acknowledged yet, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65536))]
    store_size: u32,
}

/// What a destination that has failed leads to.
#[derive(Debug, Args)]
struct FailureArguments {
    /// End when the destination fails, with what it failed of. Else it is tried again, after a pause of 1 s up
    /// to 60 s, and clients are told why they get nothing.
    #[arg(long, conflicts_with = "zk")]
    fail_fast: bool,
}

/// Who may come to the port for clients.
#[derive(Debug, Args)]
struct PortArguments {
    /// Connections of clients at a time. When there are so many, a new one takes the place of one that
    /// has not logged in; if all have, it is closed. Each takes a descriptor: see `ulimit -n`.
    #[arg(long, value_name = "N", default_value_t = 900, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// The same for each address (with IPv6: each network of 64 bits). Half of --connections if absent:
    /// give more where all clients come through one proxy.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    connections_per_address: Option<u16>,
    /// Clients speak TLS: the certificate of this server and those above it, in PEM. A renewed one is used
    /// without a restart.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM and not encrypted.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl PortArguments {
    /// Settings of a server that come from here.
    fn apply(self, config: &mut ServerConfig) {
        config.connections_max = connections_below(self.connections.into());
        let files = self.tls_cert.zip(self.tls_key);
        config.tls = files.map(|(certificates, key)| TlsFiles { certificates, key });
        config.connections_per_address_max = self.connections_per_address.map(usize::from);
    }
}

/// Where reading goes on when the source has purged its place.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Purged {
    Stop,
    Oldest,
    Newest,
}

#[derive(Debug, Args)]
struct FailoverArguments {
    /// Seconds without anything from the source after which its connection is taken as dead.
    #[arg(long, value_name = "SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u32).range(2..=3600))]
    source_timeout: u32,
    /// A statement that is run again and again to see if the source lives, as `SELECT 1`.
    #[arg(long, value_name = "SQL")]
    detect_sql: Option<String>,
    /// Seconds between two of them.
    #[arg(long, value_name = "SECONDS", requires = "detect_sql", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3600))]
    detect_interval: u32,
    /// Failures of it in a row that are borne.
    #[arg(long, value_name = "N", requires = "detect_sql", default_value_t = 3)]
    detect_retries: u32,
    /// What to do when the source has purged the place where reading goes on: stop with an error, or
    /// jump to the oldest or the newest transaction that it has. A jump is announced in the log, and to
    /// clients by an empty transaction that tells what is lost.
    #[arg(long, value_name = "ACTION", value_enum, default_value_t = Purged::Stop)]
    when_purged: Purged,
    /// Be a semi-synchronous replica, as with db.semi: where the source has that switched on, a commit
    /// there waits until its transaction is in the store, or for the source's own timeout.
    #[arg(long)]
    semi_sync: bool,
    /// Seconds that the source may go on while nothing of it is read, although there is room: then that is
    /// said, and the source is connected to anew.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    stall_timeout: u32,
    /// Seconds before the last event at which reading begins on another server without GTIDs.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    fallback_interval: u32,
}

impl FailoverArguments {
    /// Settings of a source that come from here.
    fn apply(self, config: &mut SourceConfig) {
        let seconds = |count: u32| Duration::from_secs(count.into());
        config.read_timeout = seconds(self.source_timeout);
        // Canal's pair is 15 and 25 seconds: one heartbeat that is late is too late then.
        config.heartbeat = config.read_timeout / 5;
        config.fallback = seconds(self.fallback_interval);
        config.semi_sync = self.semi_sync;
        config.when_purged = match self.when_purged {
            Purged::Stop => WhenPurged::Stop,
            Purged::Oldest => WhenPurged::Oldest,
            Purged::Newest => WhenPurged::Newest,
        };
        config.detect = self.detect_sql.map(|sql| Detect {
            sql,
            interval: seconds(self.detect_interval),
            retries: self.detect_retries,
        });
    }
}

/// An address to listen on: a literal one, a name that leads to one, or a port alone.
fn listening(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected HOST:PORT, as 127.0.0.1:11111, localhost:11111 or :11111";
    if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    let mut found = text.to_socket_addrs().map_err(|error| format!("{error}; {expected}"))?;
    found.next().ok_or_else(|| format!("the name leads nowhere; {expected}"))
}

/// Host and port as configured, for Canal's cursor file.
fn address(source: &str) -> Result<SourceAddress, Failure> {
    if !SourceUrl::is_meant(source) {
        let path = PathBuf::from(source);
        return match std::fs::metadata(&path) {
            Ok(_) => Ok(SourceAddress { host: source.to_owned(), port: 0 }),
            // Files that are not there are mistyped rather than late.
            Err(error) => Err(Failure::source(SourceError::File { path, source: error })),
        };
    }
    let url = SourceUrl::parse(source).map_err(Failure::source)?;
    Ok(SourceAddress { host: url.host, port: url.port })
}

/// What others can connect to.
fn check_address(address: String) -> Result<String, Failure> {
    let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_address {
        return Ok(address);
    }
    Err(Failure::of(&format!("--advertise {address}: expected HOST:PORT, as 10.0.0.5:11111")))
}

/// The address of this machine on the way to ZooKeeper, when it listens on all of its addresses.
fn own_address(listen: SocketAddr, zookeeper: &ZkUrl) -> Result<String, Failure> {
    if listen.port() == 0 {
        return Err(Failure::of(
            "--listen with port 0: others cannot know the port; name one, or give --advertise",
        ));
    }
    if !listen.ip().is_unspecified() {
        return Ok(listen.to_string());
    }
    let unknown = |error: std::io::Error| {
        Failure::new(
            "this machine's address is not known, give it with --advertise HOST:PORT",
            error,
        )
    };
    let server = zookeeper.servers.split(',').next().unwrap_or_default();
    let mut targets = server.to_socket_addrs().map_err(unknown)?;
    let target = targets.next().ok_or_else(|| unknown(std::io::ErrorKind::NotFound.into()))?;
    let any = SocketAddr::new(if target.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() }, 0);
    // Nothing is sent: the system only looks up the way.
    let socket = UdpSocket::bind(any).map_err(unknown)?;
    socket.connect(target).map_err(unknown)?;
    let ip = socket.local_addr().map_err(unknown)?.ip();
    Ok(SocketAddr::new(ip, listen.port()).to_string())
}

fn configure(
    mut arguments: Arguments,
    state: &StateFolder,
) -> Result<(ServerConfig, DestinationConfig), Failure> {
    arguments.filters.keep_to(&arguments.source, arguments.standby.as_deref())?;
    let decoder = arguments.filters.options()?;
    let filter = decoder.filter.clone();
    let capacity_bytes = usize::try_from(arguments.store_size).unwrap_or(32) << 20;
    let credentials = arguments.password.as_deref().map(|password| Credentials {
        user: arguments.user.clone(),
        password: PasswordHash::of(password),
    });
    let mut config = SourceConfig {
        server_id: arguments.server_id,
        by: if arguments.gtid { FollowBy::Gtid } else { FollowBy::Position },
        event_len_max: usize::try_from(arguments.event_len_max).unwrap_or(1024) << 20,
        ..SourceConfig::default()
    };
    let standby = arguments.standby.as_deref().map(SourceUrl::parse);
    config.standby = standby.transpose().map_err(Failure::source)?;
    let stall_timeout = Duration::from_secs(arguments.failover.stall_timeout.into());
    arguments.failover.apply(&mut config);
    config.archive =
        arguments.archive.read(&arguments.source, &state.path, &arguments.destination)?;
    let feed = SourceFeed {
        place: (*arguments.source).to_owned(),
        config,
        start: arguments.from,
        instead_of: arguments.instead_of,
        decoder,
        stall_timeout,
    };
    let instance = DestinationConfig {
        destination: arguments.destination,
        address: address(&arguments.source)?,
        store: StoreOptions { capacity_bytes, ..StoreOptions::default() },
        filter,
        feed: Feed::Source(Box::new(feed)),
    };
    let zk = arguments.zk.as_deref().map(str::parse::<ZkUrl>).transpose();
    let zk = zk.map_err(|error| Failure::new("cannot use --zk", error))?;
    let cluster = match zk {
        None => None,
        Some(zookeeper) => Some(ClusterConfig {
            address: match arguments.advertise {
                Some(address) => check_address(address)?,
                None => own_address(arguments.listen, &zookeeper)?,
            },
            zookeeper,
            session_timeout: Duration::from_secs(arguments.session_timeout.into()),
        }),
    };
    let mut server = ServerConfig {
        listen: arguments.listen,
        status: arguments.status,
        cluster,
        credentials,
        state: state.path.clone(),
        fail_fast: arguments.failure.fail_fast,
        ..ServerConfig::default()
    };
    arguments.port.apply(&mut server);
    Ok((server, instance))
}

pub(crate) async fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let zone = arguments.filters.zone()?;
    let has_password = arguments.password.is_some();
    let state = StateFolder::find(arguments.state.take())?;
    let is_alone = arguments.zk.is_none();
    let (config, instance) = configure(arguments, &state)?;
    let server = Server::bind(config, vec![instance])
        .await
        .map_err(|error| Failure::server("cannot start", error))?;
    let local = server.local_addr().map_err(|error| Failure::new("cannot start", error))?;
    if !has_password && !local.ip().is_loopback() {
        tracing::warn!(
            address = %local,
            "whoever reaches this address gets the rows: --user and --password ask for a login"
        );
    }
    let shutdown = Shutdown::listen()?;
    let _state = tell_state(server.observer())?;
    if let Some(status) = server.status_addr() {
        say(&format!("status on http://{status}"));
    }
    if is_alone {
        say(&state.describe());
    }
    say(&format!("TIMESTAMP columns are served in the time zone {zone}"));
    say(&format!("listening on {local}"));
    let stop = shutdown.token().clone();
    server.run(stop).await.map_err(|error| Failure::server("the server stopped", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("127.0.0.1:4120", "127.0.0.1:4120"),
            ("[::1]:4120", "[::1]:4120"),
            (":4120", "0.0.0.0:4120"),
        ] {
            assert_eq!(listening(text), Ok(expected.parse().unwrap()), "{text}");
        }
        assert!(listening("localhost:4120").is_ok_and(|address| address.ip().is_loopback()));
        for text in ["4120", "127.0.0.1", ":x", "127.0.0.1:70000", ""] {
            assert!(listening(text).unwrap_err().contains("expected HOST:PORT"), "{text}");
        }
    }
}
