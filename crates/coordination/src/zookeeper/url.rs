//! Where the ensemble is, and where in it Canal's tree begins.

use std::fmt;
use std::str::FromStr;

use super::ZkError;

const CANAL_ROOT: &str = "/otter/canal";

/// `zk://host:2181,host2/otter/canal`, or a connect string as in Canal's configuration
/// (`host:2181,host2:2181`, further groups behind `;`, an optional chroot).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZkUrl {
    /// Servers with their ports, separated by commas.
    pub servers: String,
    /// The root of Canal's tree, without a slash at its end.
    pub root: String,
}

impl FromStr for ZkUrl {
    type Err = ZkError;

    /// In a `zk://` URL the path is the root of the tree itself, `/otter/canal` when there is none;
    /// in a connect string it is a chroot, under which `/otter/canal` lies.
    fn from_str(text: &str) -> Result<Self, ZkError> {
        // What stands before an `@` is a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, behind)| behind);
        let told = |url: &str, reason: &str| ZkError::Url {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        let fail = |reason: &str| told(shown, reason);
        let (is_url, rest) = match text.split_once("://") {
            Some(("zk" | "zookeeper", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(told(&format!("{scheme}://"), "it does not begin with zk://"));
            }
            None => (false, text),
        };
        let (hosts, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if hosts.contains('@') {
            return Err(fail("it has no place for a user"));
        }
        let mut servers = Vec::new();
        for host in hosts.split([',', ';']).map(str::trim).filter(|host| !host.is_empty()) {
            // What stands in the place of a port may be a password.
            let name = host.split(':').next().filter(|name| *name != "[").unwrap_or_default();
            let bad_port = || told(&format!("{name}:***"), "a port is no number from 1 to 65535");
            servers.push(with_port(host).ok_or_else(bad_port)?);
        }
        if servers.is_empty() {
            return Err(fail("there is no server in it"));
        }
        let path = path.trim_end_matches('/');
        if path.contains("//") || path.contains(['?', '#']) {
            return Err(fail("its path is no ZooKeeper path"));
        }
        let root = match (is_url, path) {
            (_, "") => CANAL_ROOT.to_owned(),
            (true, path) => path.to_owned(),
            (false, chroot) => format!("{chroot}{CANAL_ROOT}"),
        };
        Ok(Self { servers: servers.join(","), root })
    }
}

fn with_port(host: &str) -> Option<String> {
    let port = match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.1.strip_prefix(':'),
        None => host.rsplit_once(':').map(|(_, port)| port),
    };
    match port {
        Some(port) => port.parse::<u16>().is_ok_and(|port| port > 0).then(|| host.to_owned()),
        None => Some(format!("{host}:2181")),
    }
}

impl fmt::Display for ZkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zk://{}{}", self.servers, self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_canals_connect_strings_are_read() {
        for (text, expected) in [
            ("zk://a", "zk://a:2181/otter/canal"),
            ("zk://a:1,b:2/otter/canal/", "zk://a:1,b:2/otter/canal"),
            ("zk://[::1]:2181/x/y", "zk://[::1]:2181/x/y"),
            ("a:2181,b;c:3", "zk://a:2181,b:2181,c:3/otter/canal"),
            ("a:2181/chroot", "zk://a:2181/chroot/otter/canal"),
        ] {
            assert_eq!(text.parse::<ZkUrl>().unwrap().to_string(), expected);
        }
        for text in ["", "zk://", "http://a", "zk://a:b", "zk://a/x//y", "zk://a/x?y=1"] {
            let error = text.parse::<ZkUrl>().unwrap_err().to_string();
            assert!(error.contains("zk://host:2181"), "{text}: {error}");
        }
    }
}
