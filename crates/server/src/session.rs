//! One connection of one client: a task that owns the socket.
//!
//! Strictly one request at a time; while an answer is unsent nothing is read. A get that waits holds
//! nothing but this task, and ends when the peer goes, the instance stops or the server stops.

mod count;
mod get;
mod io;
mod login;

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use towpath_engine::{DestinationError, Engine, Reader, RollBack, Subscriber};
use towpath_protocol::{
    BatchRef, FrameDecoder, FrameError, LIMIT_AFTER_LOGIN, LIMIT_BEFORE_LOGIN, Packet, PacketError,
    PacketType, Request, SEED_LEN, Subscription, Text, reply,
};

use crate::config::Credentials;
use crate::error::RequestError;
use crate::figures::{Requests, Told};
use crate::listen::guesses::Guesses;
use crate::listen::notices::{Notice, Notices};
use crate::listen::{Membership, Transport};
use count::named;
pub(crate) use io::Room;
use io::{Idle, Standing};

/// Canal's error codes.
mod code {
    pub(super) const FAILED: i32 = 400;
    pub(super) const NO_IDENTITY: i32 = 401;
    pub(super) const NO_BATCH_ID: i32 = 402;
}

/// Time a peer has to read an error before its connection is closed.
const LINGER: Duration = Duration::from_secs(1);

/// What all sessions of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) login_deadline: Duration,
    pub(crate) requests: Requests,
    /// Connections that are open.
    pub(crate) connections: AtomicUsize,
    /// Memory for long requests.
    pub(crate) room: Room,
    /// Turns of logins, where a password is asked for.
    pub(crate) guesses: Guesses,
    /// What the log says of peers.
    pub(crate) notices: Notices,
}

impl Shared {
    /// Connections that are open.
    pub(crate) fn connection_count(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Why a session ended.
#[derive(Debug, Error)]
pub(crate) enum Ending {
    #[error("the peer closed the connection")]
    Peer,
    #[error("nothing was read or written for too long")]
    Idle,
    #[error("the server stops")]
    Stopping,
    #[error("no login came within {} s", .0.as_secs())]
    LoginDeadline(Duration),
    #[error("another connection took its place before it had logged in")]
    MadeRoom,
    #[error("login refused")]
    LoginRefused,
    #[error(
        "login refused unread: too many wrong ones have come, and it would be its turn in {} s",
        .0.as_secs()
    )]
    LoginPutOff(Duration),
    #[error("a long request did not arrive within {} s", .0.as_secs())]
    SlowRequest(Duration),
    #[error(
        "the client speaks TLS, and this port does not: start with --tls-cert and --tls-key, or let the client connect without TLS"
    )]
    Encrypted,
    #[error(
        "no TLS handshake came within {} s: this port speaks TLS, and a client without it waits for the \
         server to begin",
        .0.as_secs()
    )]
    NoTls(Duration),
    #[error("the peer does not speak TLS, and this port does: let the client connect with TLS")]
    InClear,
    #[error("TLS handshake: {0}")]
    Tls(rustls::Error),
    #[error("{0}; is this a Canal client?")]
    Frame(#[from] FrameError),
    #[error("not a packet: {0}; is this a Canal client?")]
    Packet(#[from] PacketError),
    #[error("a request without an answer failed")]
    OneWay,
    #[error("the lease ended while a batch was being sent")]
    Fenced,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Ending {
    /// The kind of line in the log, if something is wrong that somebody may want to know of.
    const fn notice(&self) -> Option<Notice> {
        match self {
            Self::Peer | Self::Stopping | Self::Io(_) => None,
            Self::MadeRoom => Some(Notice::MadeRoom),
            Self::LoginDeadline(_) | Self::NoTls(_) => Some(Notice::NoLogin),
            Self::LoginRefused | Self::LoginPutOff(_) => Some(Notice::LoginRefused),
            Self::Frame(_) | Self::Packet(_) | Self::Encrypted | Self::InClear | Self::Tls(_) => {
                Some(Notice::OtherProtocol)
            }
            Self::Idle | Self::OneWay | Self::Fenced | Self::SlowRequest(_) => Some(Notice::Broken),
        }
    }

    /// Says in the log why a connection ended, as far as lines of its kind are left.
    pub(crate) fn tell(&self, notices: &Notices, peer: SocketAddr) {
        if self.notice().is_some_and(|notice| notices.may_say(notice)) {
            tracing::warn!(%peer, reason = %self, "connection closed");
        } else {
            tracing::debug!(%peer, reason = %self, "connection closed");
        }
    }

    /// Whether an error was sent that the peer should have a chance to read.
    const fn lingers(&self) -> bool {
        match self {
            Self::LoginRefused | Self::LoginPutOff(_) | Self::OneWay => true,
            Self::Peer
            | Self::Fenced
            | Self::Idle
            | Self::Stopping
            | Self::MadeRoom
            | Self::LoginDeadline(_)
            | Self::SlowRequest(_)
            | Self::Encrypted
            | Self::NoTls(_)
            | Self::InClear
            | Self::Tls(_)
            | Self::Frame(_)
            | Self::Packet(_)
            | Self::Io(_) => false,
        }
    }
}

/// One batch comes again, or with 0 all of them.
const fn rolled_back(batch_id: i64) -> RollBack {
    match batch_id {
        0 => RollBack::All,
        batch_id => RollBack::From(batch_id),
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    stream: Transport,
    frames: FrameDecoder,
    idle: Idle,
    standing: Standing,
    membership: Membership,
    /// Memory for the long request that arrives.
    held: Option<OwnedSemaphorePermit>,
    peer: SocketAddr,
    local: SocketAddr,
    /// What it is as one that has subscribed.
    reader: Option<Reader>,
    /// Bytes sent, ever.
    sent_bytes: u64,
    /// What the current request was told.
    told: Told,
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        stream: Transport,
        membership: Membership,
    ) -> std::io::Result<Self> {
        let (peer, local) = (stream.tcp().peer_addr()?, stream.tcp().local_addr()?);
        let frames = FrameDecoder::new(LIMIT_BEFORE_LOGIN);
        let idle = Idle::new();
        let told = Told::Done;
        Ok(Self {
            shared,
            stream,
            frames,
            idle,
            standing: Standing::Stranger,
            membership,
            held: None,
            peer,
            local,
            reader: None,
            sent_bytes: 0,
            told,
        })
    }

    /// Serves the connection to its end. Dropping the future closes it. The login is over by
    /// `deadline`.
    pub(crate) async fn run(mut self, seed: [u8; SEED_LEN], deadline: Instant) {
        let Err(ending) = self.serve(seed, deadline).await;
        if matches!(ending, Ending::Peer) {
            self.serve_rest();
        }
        ending.tell(&self.shared.notices, self.peer);
        if ending.lingers() {
            self.linger().await;
        }
    }

    async fn serve(
        &mut self,
        seed: [u8; SEED_LEN],
        deadline: Instant,
    ) -> Result<std::convert::Infallible, Ending> {
        timeout_at(deadline, self.login(seed))
            .await
            .map_err(|_| Ending::LoginDeadline(self.shared.login_deadline))??;
        self.frames.set_limit(LIMIT_AFTER_LOGIN);
        loop {
            let frame = self.next_frame().await?;
            if self.membership.stop.is_cancelled() {
                return Err(self.membership.stopped());
            }
            self.request(&frame).await?;
        }
    }

    /// What a peer that has gone had sent behind a get that waited: its acknowledgements count, and what it
    /// gave back is given to others, unless another connection has taken its place by now.
    fn serve_rest(&mut self) {
        while let Ok(Some(frame)) = self.frames.next_frame() {
            let Ok(packet) = Packet::parse(&frame) else { return };
            let (is_ack, batch) = match Request::parse(&packet) {
                Ok(Request::Ack(batch)) => (true, batch),
                Ok(Request::Rollback(batch)) => (false, batch),
                // Nobody is there for an answer.
                Ok(_) => continue,
                Err(_) => return,
            };
            let batch_id = batch.batch_id.unwrap_or(0);
            let done = self
                .identity(batch.destination, batch.client_id)
                .and_then(|(name, client_id)| self.attach(name, client_id).ok())
                .filter(|subscription| !subscription.is_taken())
                .map(|mut subscription| match (is_ack, batch_id) {
                    (true, -1) => Ok(()),
                    (true, batch_id) => subscription.ack(batch_id),
                    (false, batch_id) => subscription.roll_back(rolled_back(batch_id)),
                });
            if !matches!(done, Some(Ok(()))) {
                return;
            }
        }
    }

    async fn request(&mut self, frame: &[u8]) -> Result<(), Ending> {
        let packet = Packet::parse(frame)?;
        let begun = self.begin_count();
        let request = Request::parse(&packet);
        let destination = request.as_ref().ok().and_then(named);
        let result = match &request {
            Ok(request) => self.handle(request).await,
            Err(error) => self.malformed(packet.packet_type(), error).await,
        };
        self.count(destination, packet.packet_type(), begun);
        result
    }

    async fn handle(&mut self, request: &Request<'_>) -> Result<(), Ending> {
        match *request {
            Request::Subscribe(sub) => {
                let text = Text::Subscription(sub);
                match self.identity(sub.destination, sub.client_id) {
                    Some(id) => {
                        let result = self.subscribe(id, sub.filter.unwrap_or_default()).await;
                        self.answer(result).await
                    }
                    None => self.no_identity("Sub", text).await,
                }
            }
            Request::Unsubscribe(sub) => self.unsubscribe(sub).await,
            Request::Get(get) => self.get(&get).await,
            Request::Ack(batch) => {
                self.confirm();
                self.ack(batch).await
            }
            Request::Rollback(batch) => {
                self.confirm();
                self.rollback(batch).await
            }
            Request::Login(_) => self.unsupported(PacketType::ClientAuthentication).await,
            Request::Unsupported(packet_type) => self.unsupported(packet_type).await,
        }
    }

    async fn malformed(&mut self, kind: PacketType, error: &PacketError) -> Result<(), Ending> {
        let class = "com.google.protobuf.InvalidProtocolBufferException";
        let text = self.exception(class, error);
        self.error(code::FAILED, &text).await?;
        match kind {
            PacketType::ClientAck | PacketType::ClientRollback => Err(Ending::OneWay),
            PacketType::Compatible
            | PacketType::Handshake
            | PacketType::ClientAuthentication
            | PacketType::Ack
            | PacketType::Subscription
            | PacketType::Unsubscription
            | PacketType::Get
            | PacketType::Messages
            | PacketType::Shutdown
            | PacketType::Dump
            | PacketType::Heartbeat
            | PacketType::Unrecognized(_) => Ok(()),
        }
    }

    async fn unsupported(&mut self, packet_type: PacketType) -> Result<(), Ending> {
        let text = format!("packet type: {} is NOT supported!", packet_type.name());
        self.error(code::FAILED, &text).await
    }

    async fn unsubscribe(&mut self, sub: Subscription<'_>) -> Result<(), Ending> {
        let Some((name, client_id)) = self.identity(sub.destination, sub.client_id) else {
            return self.no_identity("Unsub", Text::Subscription(sub)).await;
        };
        let result = async {
            let subscription = self.attach(name, client_id)?;
            tracing::info!(destination = name, client_id, peer = %self.peer, "client unsubscribes");
            Ok(subscription.unsubscribe().await?)
        }
        .await;
        self.answer(result).await
    }

    async fn ack(&mut self, batch: BatchRef<'_>) -> Result<(), Ending> {
        let Some((name, client_id)) = self.identity(batch.destination, batch.client_id) else {
            self.no_identity("Ack", Text::BatchRef(batch)).await?;
            return Err(Ending::OneWay);
        };
        let batch_id = match batch.batch_id.unwrap_or(0) {
            0 => {
                let request = Text::BatchRef(batch);
                let text = format!("batchId should assign value. Ack: {request}");
                self.error(code::NO_BATCH_ID, &text).await?;
                return Err(Ending::OneWay);
            }
            // Acknowledges the answer "nothing there".
            -1 => {
                self.told = Told::Uncounted;
                return Ok(());
            }
            batch_id => batch_id,
        };
        let result = self
            .attach(name, client_id)
            .and_then(|mut subscription| Ok(subscription.ack(batch_id)?));
        self.one_way(result).await
    }

    async fn rollback(&mut self, batch: BatchRef<'_>) -> Result<(), Ending> {
        let Some((name, client_id)) = self.identity(batch.destination, batch.client_id) else {
            self.no_identity("Rollback", Text::BatchRef(batch)).await?;
            return Err(Ending::OneWay);
        };
        let batch_id = batch.batch_id.unwrap_or(0);
        let result = self
            .attach(name, client_id)
            .and_then(|mut subscription| Ok(subscription.roll_back(rolled_back(batch_id))?));
        let refused = result.as_ref().err();
        tracing::debug!(destination = name, client_id, batch_id, ?refused, peer = %self.peer, "rolled back");
        match result {
            // Every client sends it first, before its subscription has a chance to start anything.
            Err(RequestError::Destination(
                DestinationError::NotServed { .. } | DestinationError::Failed { .. },
            )) if batch_id == 0 => Ok(()),
            result => self.one_way(result).await,
        }
    }

    /// A request that has no answer: an error is sent, and is then the last thing that is sent, for
    /// the peer takes it for the answer to its next request.
    async fn one_way(&mut self, result: Result<(), RequestError>) -> Result<(), Ending> {
        let Err(error) = result else { return Ok(()) };
        self.failure(&error).await?;
        Err(Ending::OneWay)
    }

    async fn answer(&mut self, result: Result<(), RequestError>) -> Result<(), Ending> {
        match result {
            Ok(()) => self.send(&reply::ok()).await,
            Err(error) => self.failure(&error).await,
        }
    }

    async fn subscribe(&mut self, id: (&str, &str), filter: &str) -> Result<(), RequestError> {
        let (name, client_id) = (id.0, number(id.1)?);
        let who = (client_id, Subscriber::Connection(self.peer));
        let filter = Some(filter).filter(|filter| !filter.is_empty());
        let subscription = self.shared.engine.subscribe(name, who, filter).await?;
        self.reader = subscription.reader().cloned();
        tracing::debug!(destination = name, client_id, peer = %self.peer, "subscribed");
        Ok(())
    }

    /// Destination and client id, if both are there.
    #[expect(clippy::unused_self, reason = "reads as a question to the session beside its others")]
    fn identity<'a>(
        &self,
        destination: Option<&'a str>,
        client_id: Option<&'a str>,
    ) -> Option<(&'a str, &'a str)> {
        destination.filter(|text| !text.is_empty()).zip(client_id.filter(|text| !text.is_empty()))
    }

    /// The place of a client id, which this connection has subscribed for, or another one.
    fn attach(&self, name: &str, id: &str) -> Result<towpath_engine::Subscription, RequestError> {
        Ok(self.shared.engine.attach(name, number(id)?, self.reader.as_ref())?)
    }

    async fn no_identity(&mut self, name: &str, request: Text<'_>) -> Result<(), Ending> {
        let text = format!("destination or clientId is null. {name}: {request}");
        self.error(code::NO_IDENTITY, &text).await
    }

    async fn failure(&mut self, error: &RequestError) -> Result<(), Ending> {
        tracing::debug!(peer = %self.peer, %error, "request refused");
        let text = self.exception(error.java_class(), error);
        self.error(code::FAILED, &text).await
    }

    /// The first line of Canal's text for an exception.
    fn exception(&self, class: &str, error: &impl Display) -> String {
        let Self { peer, local, membership: Membership { id, .. }, .. } = self;
        format!(
            "something goes wrong with channel: [id: 0x{id:08x}, /{peer} => /{local}], exception: \
             {class}: {error}\n"
        )
    }

    async fn error(&mut self, code: i32, text: &str) -> Result<(), Ending> {
        self.told = Told::Error(code);
        self.send(&reply::error(code, text)).await
    }
}

fn number(id: &str) -> Result<i16, RequestError> {
    id.parse().map_err(|_| RequestError::ClientId { text: id.to_owned() })
}
