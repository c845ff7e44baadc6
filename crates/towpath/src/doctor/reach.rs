//! From a name to an open socket.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::findings::{Finding, Findings};

/// Why there is no socket.
#[derive(Debug, Error)]
pub(super) enum Unreached {
    #[error("the name cannot be resolved: {0}")]
    Unresolved(io::Error),
    #[error("the name stands for no address")]
    NoAddress,
    #[error("nobody answers: {0}")]
    Refused(io::Error),
    #[error("no answer to {doing} within {} s", after.as_secs())]
    Late { doing: &'static str, after: Duration },
}

impl Unreached {
    pub(super) fn fix(&self) -> &'static str {
        match self {
            Self::Unresolved(_) | Self::NoAddress => {
                "check the name, and the name service of this machine (getent hosts NAME)"
            }
            Self::Refused(error) if error.kind() == ErrorKind::ConnectionRefused => {
                "nothing listens on that port: start the server there, or correct host and port; a \
                 server that listens on 127.0.0.1 only cannot be reached from elsewhere"
            }
            Self::Refused(_) => "check the route and the firewalls between here and there",
            Self::Late { .. } => {
                "a firewall may drop the packets, or the machine is down: check the address, and the \
                 firewalls between here and there"
            }
        }
    }
}

pub(super) async fn resolve(
    address: &str,
    deadline: Duration,
) -> Result<Vec<SocketAddr>, Unreached> {
    let found = match timeout(deadline, lookup_host(address)).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(Unreached::Unresolved(error)),
        Err(_) => return Err(Unreached::Late { doing: "resolve", after: deadline }),
    };
    if found.is_empty() { Err(Unreached::NoAddress) } else { Ok(found) }
}

pub(super) async fn connect(
    addresses: &[SocketAddr],
    deadline: Duration,
) -> Result<TcpStream, Unreached> {
    match timeout(deadline, TcpStream::connect(addresses)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Unreached::Refused(error)),
        Err(_) => Err(Unreached::Late { doing: "connect", after: deadline }),
    }
}

/// Both at once.
pub(super) async fn reach(address: &str, deadline: Duration) -> Result<TcpStream, Unreached> {
    let addresses = resolve(address, deadline).await?;
    connect(&addresses, deadline).await
}

/// Both as steps of their own; the step that failed.
pub(super) async fn steps(
    findings: &mut Findings,
    address: &str,
    deadline: Duration,
) -> Result<TcpStream, &'static str> {
    let begun = Instant::now();
    let addresses = match resolve(address, deadline).await {
        Ok(addresses) => addresses,
        Err(error) => {
            let fix = error.fix();
            findings.add(&Finding::failure("resolve", address, error.to_string()).fix(fix));
            return Err("resolve");
        }
    };
    let shown: Vec<String> = addresses.iter().map(|found| found.ip().to_string()).collect();
    findings.add(&Finding::ok("resolve", address, shown.join(", ")).took(begun.elapsed()));
    let begun = Instant::now();
    match connect(&addresses, deadline).await {
        Ok(stream) => {
            findings.add(&Finding::ok("connect", address, "TCP").took(begun.elapsed()));
            Ok(stream)
        }
        Err(error) => {
            let fix = error.fix();
            findings.add(&Finding::failure("connect", address, error.to_string()).fix(fix));
            Err("connect")
        }
    }
}
