//! Settings of a client.

use std::time::Duration;

#[cfg(feature = "cluster")]
use towpath_coordination::{Ensemble, ZkUrl};

#[cfg(feature = "tls")]
use crate::Tls;
use crate::session::SessionOptions;
use crate::{Client, ClientError, Credentials};

/// Without clusters there is no way to one.
#[cfg(not(feature = "cluster"))]
type ZkUrl = std::convert::Infallible;

/// Most batches that are fetched ahead.
const PREFETCH_MAX: usize = 64;

/// Shortest and longest pause between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Where servers are found.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Servers(Vec<String>),
    Cluster(ZkUrl),
}

/// Settings that were checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) place: Place,
    pub(crate) session: SessionOptions,
    pub(crate) filter: String,
    pub(crate) fetch_size: i32,
    pub(crate) prefetch: usize,
    pub(crate) unacked_max: usize,
    pub(crate) poll: Duration,
    pub(crate) wait: Duration,
    pub(crate) give_up: Option<Duration>,
    #[cfg(feature = "cluster")]
    pub(crate) session_timeout: Duration,
    #[cfg(feature = "cluster")]
    pub(crate) standby_pause: Duration,
    pub(crate) pauses: (Duration, Duration),
}

#[cfg(feature = "cluster")]
impl Config {
    pub(crate) fn ensemble(&self) -> Option<Ensemble> {
        match &self.place {
            Place::Servers(_) => None,
            Place::Cluster(url) => {
                Some(Ensemble::new(url.clone(), self.session_timeout, self.session.connect_timeout))
            }
        }
    }
}

/// Builds a [`Client`]. What is not set has a default that fits a usual Canal installation.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    servers: Vec<String>,
    cluster: Option<ZkUrl>,
    config: Config,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let config = Config {
            place: Place::Servers(Vec::new()),
            session: SessionOptions::default(),
            filter: String::new(),
            fetch_size: 1000,
            prefetch: 1,
            unacked_max: 64,
            poll: Duration::from_millis(100),
            wait: Duration::from_secs(30),
            give_up: None,
            #[cfg(feature = "cluster")]
            session_timeout: Duration::from_secs(12),
            #[cfg(feature = "cluster")]
            standby_pause: Duration::from_secs(1),
            pauses: PAUSES,
        };
        Self { servers: Vec::new(), cluster: None, config }
    }

    /// Everything from a URL: `canal://[user:password@]host:port[,host:port]/destination`, or
    /// `zk://host:port,host:port/otter/canal?destination=example`.
    ///
    /// # Errors
    /// [`ClientError::Setting`]
    pub fn url(mut self, url: &str) -> Result<Self, ClientError> {
        // All else of it may be a password.
        let scheme = url.split_once("://").map(|(scheme, _)| format!("`{scheme}://`: "));
        let fail = |reason: &str| ClientError::Setting {
            setting: "url",
            reason: format!(
                "{}{reason}; expected canal://user:password@host:11111/destination or \
                 zk://host:2181/otter/canal?destination=example",
                scheme.as_deref().unwrap_or("it is no URL: ")
            ),
        };
        if url.starts_with("zk://") || url.starts_with("zookeeper://") {
            let (place, query) = url.split_once('?').unwrap_or((url, ""));
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                let Some(("destination", destination)) = pair.split_once('=') else {
                    let name = pair.split('=').next().unwrap_or_default();
                    return Err(fail(&format!("there is no option `{name}`, only destination")));
                };
                self = self.destination(destination);
            }
            #[cfg(feature = "cluster")]
            return self.cluster(place);
            #[cfg(not(feature = "cluster"))]
            return Err(fail(&format!(
                "`{place}` is a cluster, and this client is built without them"
            )));
        }
        let rest = url.strip_prefix("canal://").ok_or_else(|| fail("its scheme is not known"))?;
        let (place, destination) = rest.split_once('/').unwrap_or((rest, ""));
        let servers = match place.rsplit_once('@') {
            Some((login, servers)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                self = self.credentials(user, password);
                servers
            }
            None => place,
        };
        if !destination.is_empty() {
            self = self.destination(destination);
        }
        if servers.split(',').any(|server| with_port(server.trim()).is_err()) {
            return Err(fail("there is no host in it, or a port is no number from 1 to 65535"));
        }
        Ok(servers.split(',').fold(self, Self::server))
    }

    /// A server, `host:port` or `host` (port 11111). Called again it adds one more: they are tried in
    /// turn until one serves the destination.
    pub fn server(mut self, address: &str) -> Self {
        self.servers.push(address.trim().to_owned());
        self
    }

    /// A cluster: `zk://host:2181,host2:2181/otter/canal`, or a connect string as in Canal's
    /// configuration.
    ///
    /// # Errors
    /// [`ClientError::ZooKeeper`] when it is none.
    #[cfg(feature = "cluster")]
    pub fn cluster(mut self, url: &str) -> Result<Self, ClientError> {
        self.cluster = Some(url.parse()?);
        Ok(self)
    }

    /// The destination to follow. Default: `example`.
    pub fn destination(mut self, destination: &str) -> Self {
        destination.clone_into(&mut self.config.session.destination);
        self
    }

    /// The id under which the servers keep the cursor. Default: 1001, as all Java clients.
    pub const fn client_id(mut self, client_id: i16) -> Self {
        self.config.session.client_id = client_id;
        self
    }

    /// User name and password. Default: none.
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        self.config.session.credentials = Some(Credentials { user, password });
        self
    }

    /// Encrypts connections to servers: Towpath's that have a certificate, or those behind a proxy that
    /// speaks TLS, as Canal's do not.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.config.session.tls = Some(tls);
        self
    }

    /// Tables to deliver, as Canal's regular expressions. It replaces that of the destination, for all
    /// its clients; the empty one, which is the default, leaves it.
    pub fn filter(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.config.filter);
        self
    }

    /// Size of a batch, in KiB of binlog (or in entries, when the server counts so). Default: 1000.
    pub const fn fetch_size(mut self, fetch_size: i32) -> Self {
        self.config.fetch_size = fetch_size;
        self
    }

    /// Batches that are fetched while one is processed, 1 to 64. Default: 1.
    pub const fn prefetch(mut self, count: usize) -> Self {
        self.config.prefetch = count;
        self
    }

    /// Batches that may be out without being acknowledged; then no more are fetched. Default: 64.
    pub const fn unacked_max(mut self, count: usize) -> Self {
        self.config.unacked_max = count;
        self
    }

    /// How long a Canal server may hold back a batch that is not full. A Towpath server never does.
    /// Default: 100 ms.
    pub const fn poll(mut self, poll: Duration) -> Self {
        self.config.poll = poll;
        self
    }

    /// How long [`Client::connect`] waits for a server, for its turn or for an attempt to succeed.
    /// Zero: it looks once. Default: 30 s.
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.config.wait = wait;
        self
    }

    /// Time without an active server after which a connection ends with the error. Standing by for
    /// another client does not count. Default: it never gives up, and tells in its [`crate::Status`]
    /// what it waits for.
    pub const fn give_up_after(mut self, time: Duration) -> Self {
        self.config.give_up = Some(time);
        self
    }

    /// Time for connecting and logging in, to a server or to ZooKeeper. Default: 10 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.session.connect_timeout = timeout;
        self
    }

    /// Time for an answer, and for sending a request. Default: 30 s.
    pub const fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.config.session.reply_timeout = timeout;
        self
    }

    /// Silence after which the server closes the connection: the longest time for processing a batch.
    /// Default: 1 h.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.session.idle_timeout = timeout;
        self
    }

    /// Longest packet, in bytes. Default: 256 MiB.
    pub const fn frame_len_max(mut self, bytes: usize) -> Self {
        self.config.session.frame_len_max = bytes;
        self
    }

    /// How long ZooKeeper waits for a silent client until its lock goes to another. The ensemble may
    /// grant less or more. Default: 12 s.
    #[cfg(feature = "cluster")]
    pub const fn zookeeper_session_timeout(mut self, timeout: Duration) -> Self {
        self.config.session_timeout = timeout;
        self
    }

    /// Pause of a standby before it takes a lock that has become free: its owner may come back.
    /// Default: 1 s.
    #[cfg(feature = "cluster")]
    pub const fn standby_pause(mut self, pause: Duration) -> Self {
        self.config.standby_pause = pause;
        self
    }

    /// Shortest and longest pause between attempts. Default: 100 ms and 5 s.
    pub const fn pauses(mut self, least: Duration, most: Duration) -> Self {
        self.config.pauses = (least, most);
        self
    }

    /// Checks the settings. Opens nothing.
    ///
    /// # Errors
    /// [`ClientError::Setting`] names the one that cannot be used.
    pub fn build(self) -> Result<Client, ClientError> {
        self.check().map(Client::new)
    }

    pub(crate) fn check(self) -> Result<Config, ClientError> {
        let fail = |setting, reason: String| Err(ClientError::Setting { setting, reason });
        let Self { servers, cluster, mut config } = self;
        config.place = match (servers.is_empty(), cluster) {
            (true, Some(url)) => Place::Cluster(url),
            (false, None) => {
                let servers = servers.iter().map(|server| with_port(server));
                Place::Servers(servers.collect::<Result<_, _>>()?)
            }
            (true, None) => {
                return fail("server", "name a server, several, or a cluster".to_owned());
            }
            (false, Some(_)) => {
                return fail("server", "servers and a cluster exclude each other".to_owned());
            }
        };
        let destination = &config.session.destination;
        if destination.is_empty() || destination.contains('/') {
            return fail("destination", format!("`{destination}` is no name of a destination"));
        }
        if config.fetch_size < 1 {
            return fail("fetch_size", format!("{} is not positive", config.fetch_size));
        }
        if !(1..=PREFETCH_MAX).contains(&config.prefetch) {
            return fail("prefetch", format!("{} is not 1 to {PREFETCH_MAX}", config.prefetch));
        }
        if config.unacked_max <= config.prefetch {
            let reason = format!("{} is not above prefetch", config.unacked_max);
            return fail("unacked_max", reason);
        }
        if config.pauses.0.is_zero() || config.pauses.0 > config.pauses.1 {
            return fail("pauses", format!("{:?} is no range of pauses", config.pauses));
        }
        Ok(config)
    }
}

fn with_port(server: &str) -> Result<String, ClientError> {
    let after_v6 = server.rsplit_once(']').map_or(server, |(_, rest)| rest);
    let address = match after_v6.split_once(':') {
        None => format!("{server}:11111"),
        Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => server.to_owned(),
        Some(_) => String::new(),
    };
    if address.starts_with(':') || address.is_empty() {
        let reason = format!("`{server}` is no host:port");
        return Err(ClientError::Setting { setting: "server", reason });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "cluster")]
    #[test]
    fn urls_say_everything() {
        let builder = Builder::new().url("canal://me:x@db1,db2:22222/shop").unwrap();
        let config = &builder.config;
        assert_eq!(config.session.destination, "shop");
        let credentials = config.session.credentials.clone().unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("me", "x"));
        let client = builder.build();
        assert!(client.is_ok(), "{client:?}");
        let builder = Builder::new().url("zk://a,b:1/otter/canal?destination=shop").unwrap();
        assert_eq!(builder.cluster.unwrap().to_string(), "zk://a:2181,b:1/otter/canal");
        assert_eq!(builder.config.session.destination, "shop");
        for url in ["", "http://x", "db1:11111", "zk://a/x?what=1"] {
            let error = Builder::new().url(url).unwrap_err().to_string();
            assert!(error.contains("expected canal://"), "{error}");
        }
    }

    #[test]
    fn settings_that_cannot_be_used_are_named() {
        let error = |builder: Builder| builder.build().unwrap_err().to_string();
        assert!(error(Builder::new()).starts_with("server: name a server"));
        assert!(error(Builder::new().server("a:b")).contains("`a:b` is no host:port"));
        assert!(error(Builder::new().server("")).contains("no host:port"));
        #[cfg(feature = "cluster")]
        {
            let both = Builder::new().server("a").cluster("zk://a").unwrap();
            assert!(error(both).contains("exclude each other"));
        }
        #[cfg(not(feature = "cluster"))]
        {
            let error = Builder::new().url("zk://a/otter/canal").unwrap_err().to_string();
            assert!(error.contains("is built without"), "{error}");
        }
        assert!(error(Builder::new().server("a").destination("a/b")).contains("destination"));
        assert!(error(Builder::new().server("a").prefetch(0)).contains("prefetch"));
        assert!(error(Builder::new().server("a").fetch_size(0)).contains("fetch_size"));
        assert_eq!(with_port("[::1]").unwrap(), "[::1]:11111");
        assert_eq!(with_port("[::1]:5").unwrap(), "[::1]:5");
    }
}
