//! The port for clients: who is let in, and what the log says of it.

pub(crate) mod guesses;
pub(crate) mod notices;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use towpath_protocol::SEED_LEN;

use crate::config::ServerConfig;
use crate::crowd::{Crowd, Limits, WithoutStrangers};
use crate::session::{Session, Shared};
use notices::{Notice, PERIOD};

/// Pause after an accept that failed: mostly there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are being ended beside those that count; more wait in the system's queue.
const ENDING_MAX: usize = 32;

/// Silence after which the system asks if the peer is still there, the time between two of these
/// questions, and how many of them may stay unanswered: a host that has vanished is noticed after two
/// minutes. A get without a timeout would else wait for the hour that clients allow it.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// The port, and who has come through it.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
    shared: Arc<Shared>,
    /// Ends sessions.
    stop: CancellationToken,
    crowd: Crowd,
    open_max: usize,
    next_id: u32,
    sum_up_at: Instant,
}

/// A session to run, with the seed of its login.
pub(crate) type Admitted = (Session, [u8; SEED_LEN]);

impl Door {
    pub(crate) fn new(
        config: &ServerConfig,
        listener: TcpListener,
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
        Self { listener, shared, stop, crowd, open_max, next_id: 0, sum_up_at }
    }

    /// The next session, while `open` of them have not ended; nothing when something else happened.
    /// Cancelling it loses no connection.
    pub(crate) async fn next(&mut self, open: usize) -> Option<Admitted> {
        let accepted = tokio::select! {
            accepted = self.listener.accept(), if open < self.open_max => accepted,
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

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<Admitted> {
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
        match Session::new(Arc::clone(&self.shared), stream, self.next_id, (stop, place)) {
            Ok(session) => Some((session, seed)),
            Err(error) => {
                tracing::debug!(%peer, %error, "connection gone at once");
                None
            }
        }
    }
}

fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let (time, interval, retries) = KEEPALIVE;
    let keepalive =
        TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
