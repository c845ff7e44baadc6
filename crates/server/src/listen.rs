//! The port for clients: who is let in, and what the log says of it.

pub(crate) mod guesses;
pub(crate) mod notices;
pub(crate) mod tls;
mod transport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use towpath_protocol::SEED_LEN;

use crate::config::ServerConfig;
use crate::crowd::{Crowd, Limits, Place, WithoutStrangers};
use crate::session::{Ending, Session, Shared};
use notices::{Notice, PERIOD};
use tls::Certificate;
pub(crate) use transport::Transport;

/// Pause after an accept that failed: mostly there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are being ended beside those that count; more wait in the system's queue.
const ENDING_MAX: usize = 32;

/// Silence after which the system asks if the peer is still there, the time between two of these
/// questions, and how many of them may stay unanswered: a host that has vanished is noticed after two
/// minutes. A get without a timeout would else wait for the hour that clients allow it.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// What clients connect to.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    /// Clients speak TLS, if there is one.
    pub(crate) certificate: Option<Certificate>,
}

/// The port, and who has come through it.
#[derive(Debug)]
pub(crate) struct Door {
    port: Port,
    shared: Arc<Shared>,
    /// Ends sessions.
    stop: CancellationToken,
    crowd: Crowd,
    open_max: usize,
    next_id: u32,
    sum_up_at: Instant,
}

/// A connection that has a place.
#[derive(Debug)]
pub(crate) struct Guest {
    stream: TcpStream,
    certificate: Option<Certificate>,
    shared: Arc<Shared>,
    membership: Membership,
    peer: SocketAddr,
    seed: [u8; SEED_LEN],
}

/// A connection among the others.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) id: u32,
    /// Ends it alone, or all of them.
    pub(crate) stop: CancellationToken,
    pub(crate) place: Place,
}

impl Membership {
    /// Why it is told to stop.
    pub(crate) fn stopped(&self) -> Ending {
        if self.place.is_lost() { Ending::MadeRoom } else { Ending::Stopping }
    }
}

impl Guest {
    /// Serves the connection to its end. Dropping the future closes it.
    pub(crate) async fn run(self) {
        let login_deadline = self.shared.login_deadline;
        let deadline = Instant::now() + login_deadline;
        let Self { stream, certificate, shared, membership, peer, seed } = self;
        let secured = tokio::select! {
            () = membership.stop.cancelled() => Err(membership.stopped()),
            secured = timeout_at(deadline, secured(stream, certificate)) => {
                secured.unwrap_or(Err(Ending::NoTls(login_deadline)))
            }
        };
        let own = Arc::clone(&shared);
        match secured.and_then(|stream| Ok(Session::new(own, stream, membership)?)) {
            Ok(session) => session.run(seed, deadline).await,
            Err(ending) => ending.tell(&shared.notices, peer),
        }
    }
}

/// Makes the TLS handshake, if there is a certificate for one.
async fn secured(stream: TcpStream, certificate: Option<Certificate>) -> Result<Transport, Ending> {
    stream.set_nodelay(true)?;
    let Some(certificate) = certificate else { return Ok(Transport::Clear(stream)) };
    let accepting = TlsAcceptor::from(certificate.config().await).accept(stream).await;
    accepting.map(|stream| Transport::Encrypted(Box::new(stream))).map_err(handshake_failed)
}

/// What rustls objects to is worth a line; a peer that goes away is not.
fn handshake_failed(error: std::io::Error) -> Ending {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => Ending::InClear,
        Some(cause) => Ending::Tls(cause.clone()),
        None => error.into(),
    }
}

impl Door {
    pub(crate) fn new(
        config: &ServerConfig,
        port: Port,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Self {
        let total = config.connections_max;
        let half = total.div_ceil(2);
        let crowd = Crowd::new(Limits {
            total,
            per_address: config.connections_per_address_max.unwrap_or(half),
            strangers: half,
            without_strangers: WithoutStrangers::Refuse,
        });
        let (open_max, sum_up_at) = (total + ENDING_MAX, Instant::now() + PERIOD);
        Self { port, shared, stop, crowd, open_max, next_id: 0, sum_up_at }
    }

    /// The next connection, while `open` of them have not ended; nothing when something else happened.
    /// Cancelling it loses no connection.
    pub(crate) async fn next(&mut self, open: usize) -> Option<Guest> {
        let accepted = tokio::select! {
            accepted = self.port.listener.accept(), if open < self.open_max => accepted,
            () = sleep_until(self.sum_up_at) => {
                self.shared.notices.sum_up();
                self.sum_up_at = Instant::now() + PERIOD;
                return None;
            }
        };
        match accepted {
            Ok((stream, peer)) => self.admit(stream, peer),
            Err(error) => {
                if self.shared.notices.may_say(Notice::AcceptFailed) {
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<Guest> {
        let stop = self.stop.child_token();
        let place = match self.crowd.enter(peer.ip(), stop.clone()) {
            Ok(place) => place,
            Err(full) => {
                if self.shared.notices.may_say(Notice::NoRoom) {
                    let hint = "see --connections and --connections-per-address";
                    tracing::warn!(%peer, reason = %full, hint, "too many connections, closing new ones");
                }
                return None;
            }
        };
        if let Err(error) = keep_alive(&stream) {
            tracing::debug!(%peer, %error, "a peer that vanishes is noticed late");
        }
        let mut seed = [0; SEED_LEN];
        if let Err(error) = getrandom::fill(&mut seed) {
            tracing::error!(%error, "no randomness for a login seed, connection closed");
            return None;
        }
        self.next_id = self.next_id.wrapping_add(1);
        let membership = Membership { id: self.next_id, stop, place };
        let (certificate, shared) = (self.port.certificate.clone(), Arc::clone(&self.shared));
        Some(Guest { stream, certificate, shared, membership, peer, seed })
    }
}

fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let (time, interval, retries) = KEEPALIVE;
    let keepalive =
        TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
