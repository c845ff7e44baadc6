//! One logged-in connection to a server (client-protocol 4).
//!
//! Requests and answers alternate; whatever does not fit that (an error nobody asked for, a late
//! answer, a dropped future) closes the connection, so that an answer is never taken for that of
//! another request.

mod socket;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use towpath_protocol::{
    BatchRef, ClientAuth, Get, LIMIT_CLIENT, Packet, PacketError, Reply, Subscription, request,
    token,
};

use crate::ClientError;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use socket::Socket;

/// Server time unit "milliseconds".
const UNIT_MS: i32 = 2;

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Settings of a session.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The destination to read.
    pub destination: String,
    /// The client id under which the server keeps the cursor.
    pub client_id: i16,
    /// Who logs in.
    pub credentials: Option<Credentials>,
    /// How the connection is encrypted, if it is.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
    /// Time for connecting and logging in.
    pub connect_timeout: Duration,
    /// Time for an answer, beyond what a get waits by itself, and for sending a request.
    pub reply_timeout: Duration,
    /// Silence after which the server closes the connection.
    pub idle_timeout: Duration,
    /// Longest packet in bytes.
    pub frame_len_max: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            destination: "example".to_owned(),
            client_id: 1001,
            credentials: None,
            #[cfg(feature = "tls")]
            tls: None,
            connect_timeout: Duration::from_secs(10),
            reply_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(3600),
            frame_len_max: LIMIT_CLIENT,
        }
    }
}

/// What a get brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBatch {
    /// Its id; -1 when there is nothing.
    pub id: i64,
    /// One `Entry` message each, slices of what was read.
    pub entries: Vec<Bytes>,
}

impl RawBatch {
    /// True when the server had nothing: there is nothing to acknowledge.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.id == -1
    }
}

/// The connection, as long as it is of use.
#[derive(Debug)]
enum State {
    /// Nothing is under way.
    Open(Socket),
    /// A get was sent; its answer comes until the deadline.
    Asked(Socket, Instant),
    /// An error, or a dropped future, left it out of step.
    Closed,
}

/// See the module.
#[derive(Debug)]
#[must_use]
pub struct Session {
    address: String,
    local: SocketAddr,
    options: SessionOptions,
    client_id: String,
    state: State,
    /// The last answer to a get had entries.
    brought: bool,
}

impl Session {
    /// Connects to `host:port` and logs in.
    ///
    /// # Errors
    /// When nothing listens there, what listens is no Canal server, or the login is refused. Nothing
    /// of the attempt is left behind.
    pub async fn connect(address: &str, options: SessionOptions) -> Result<Self, ClientError> {
        let opening = async {
            let mut socket = Socket::open(address, &options).await?;
            login(&mut socket, address, &options).await?;
            Ok::<Socket, ClientError>(socket)
        };
        let socket = timeout(options.connect_timeout, opening)
            .await
            .map_err(|_| ClientError::deadline(address, "login", options.connect_timeout))??;
        Ok(Self {
            address: address.to_owned(),
            local: socket.local(),
            client_id: options.client_id.to_string(),
            options,
            state: State::Open(socket),
            brought: false,
        })
    }

    /// The server.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address on this side.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Subscribes. A filter that is not empty replaces that of the destination, for all its clients.
    ///
    /// # Errors
    /// When the server refuses, or the connection fails. After any error it is closed.
    pub async fn subscribe(&mut self, filter: &str) -> Result<(), ClientError> {
        let filter = Some(filter).filter(|filter| !filter.is_empty());
        let frame = request::subscribe(&Subscription { filter, ..self.subscription() });
        self.acknowledged("subscribe", frame.map_err(|e| self.frame_error(e))?).await
    }

    /// Unsubscribes: the server forgets the cursor.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        let frame = request::unsubscribe(&self.subscription());
        self.acknowledged("unsubscribe", frame.map_err(|e| self.frame_error(e))?).await
    }

    /// Asks for a batch of about `fetch_size` KiB, and waits up to `timeout` for one; a timeout of
    /// zero takes what is there. See [`RawBatch::is_nothing`]. Dropping the future closes the
    /// connection.
    ///
    /// # Errors
    /// As [`Self::subscribe`]. An error that the server had for an earlier ack or rollback shows here.
    pub async fn get(
        &mut self,
        fetch_size: i32,
        timeout: Duration,
    ) -> Result<RawBatch, ClientError> {
        self.ask(fetch_size, timeout).await?;
        // Taken out for the time of waiting: a future that is dropped closes it.
        let State::Asked(mut socket, deadline) = self.take() else { return Err(self.closed()) };
        let came = timeout_at(deadline, socket.receive()).await;
        let batch = self.arrived(came)?;
        self.state = State::Open(socket);
        Ok(batch)
    }

    /// Sends the question of [`Self::get`]; [`Self::answer`] brings what comes of it. In between only
    /// [`Self::ack`] and [`Self::rollback`] are possible.
    pub(crate) async fn ask(
        &mut self,
        fetch_size: i32,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let get = Get {
            destination: Some(&self.options.destination),
            client_id: Some(&self.client_id),
            fetch_size: Some(fetch_size),
            timeout: Some(if timeout_ms == 0 { -1 } else { timeout_ms }),
            unit: Some(UNIT_MS),
            auto_ack: Some(false),
        };
        let frame = request::get(&get).map_err(|e| self.frame_error(e))?;
        let mut socket = self.open("get")?;
        self.write("get", &mut socket, &frame).await?;
        let deadline = Instant::now() + self.options.reply_timeout.saturating_add(timeout);
        self.state = State::Asked(socket, deadline);
        Ok(())
    }

    /// Waits for what [`Self::ask`] asked for; when nothing was asked for, until the server says
    /// something all the same, or closes: always an error. Cancelling it loses nothing.
    pub(crate) async fn answer(&mut self) -> Result<RawBatch, ClientError> {
        let came = match &mut self.state {
            State::Open(socket) => Ok(socket.receive().await),
            State::Asked(socket, deadline) => timeout_at(*deadline, socket.receive()).await,
            State::Closed => return Err(self.closed()),
        };
        let state = self.take();
        let batch = self.arrived(came)?;
        let State::Asked(socket, _) = state else {
            let fault = Fault::Unexpected { found: "MESSAGES", expected: "nothing" };
            return Err(fault.at(&self.address, "get"));
        };
        self.state = State::Open(socket);
        self.brought = !batch.is_nothing();
        Ok(batch)
    }

    /// Whether a get is under way that the server is likely to answer at once.
    pub(crate) const fn expects_entries(&self) -> bool {
        self.brought && matches!(self.state, State::Asked(..))
    }

    fn arrived(
        &self,
        came: Result<Result<Bytes, Fault>, Elapsed>,
    ) -> Result<RawBatch, ClientError> {
        let Ok(body) = came else {
            return Err(ClientError::deadline(&self.address, "get", self.options.reply_timeout));
        };
        body.and_then(|body| batch(&body)).map_err(|fault| fault.at(&self.address, "get"))
    }

    /// Acknowledges the oldest batch. Has no answer: an error shows in the next request. Nothing is
    /// sent for a batch id of -1.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn ack(&mut self, batch_id: i64) -> Result<(), ClientError> {
        if batch_id == -1 {
            return Ok(());
        }
        let frame = request::ack(&BatchRef { batch_id: Some(batch_id), ..self.batch_ref() });
        self.one_way("ack", &frame.map_err(|e| self.frame_error(e))?).await
    }

    /// Makes the oldest batch come again with all that follow it, or everything that is not
    /// acknowledged when no batch is named. Has no answer.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn rollback(&mut self, batch_id: Option<i64>) -> Result<(), ClientError> {
        let frame = request::rollback(&BatchRef { batch_id, ..self.batch_ref() });
        self.one_way("rollback", &frame.map_err(|e| self.frame_error(e))?).await
    }

    /// Closes the connection in order, within `deadline`. The server keeps the subscription and the
    /// cursor.
    pub async fn close(mut self, deadline: Duration) {
        if let State::Open(mut socket) | State::Asked(mut socket, _) = self.take() {
            let _told: bool = timeout(deadline, socket.shutdown()).await.is_ok();
        }
    }

    /// Whether a request can be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    fn subscription(&self) -> Subscription<'_> {
        Subscription {
            destination: Some(&self.options.destination),
            client_id: Some(&self.client_id),
            filter: None,
        }
    }

    fn batch_ref(&self) -> BatchRef<'_> {
        BatchRef {
            destination: Some(&self.options.destination),
            client_id: Some(&self.client_id),
            batch_id: None,
        }
    }

    fn frame_error(&self, source: towpath_protocol::FrameError) -> ClientError {
        ClientError::Frame { address: self.address.clone(), source }
    }

    fn closed(&self) -> ClientError {
        ClientError::Closed { address: self.address.clone() }
    }

    /// Takes the connection out for the time of a request: a future that is dropped closes it.
    fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Closed)
    }

    /// Takes the connection out for a request that has an answer.
    fn open(&mut self, doing: &'static str) -> Result<Socket, ClientError> {
        match self.take() {
            State::Open(socket) => {
                check_quiet(socket).map_err(|fault| fault.at(&self.address, doing))
            }
            State::Asked(..) => {
                let fault = Fault::Unexpected { found: "a request", expected: "MESSAGES" };
                Err(fault.at(&self.address, doing))
            }
            State::Closed => Err(self.closed()),
        }
    }

    async fn write(
        &self,
        doing: &'static str,
        socket: &mut Socket,
        frame: &[u8],
    ) -> Result<(), ClientError> {
        let deadline = self.options.reply_timeout;
        match timeout(deadline, socket.send(frame)).await {
            Ok(sent) => sent.map_err(|fault| fault.at(&self.address, doing)),
            Err(_) => Err(ClientError::deadline(&self.address, doing, deadline)),
        }
    }

    async fn acknowledged(
        &mut self,
        doing: &'static str,
        frame: Vec<u8>,
    ) -> Result<(), ClientError> {
        let mut socket = self.open(doing)?;
        self.write(doing, &mut socket, &frame).await?;
        let deadline = self.options.reply_timeout;
        let body = timeout(deadline, socket.receive())
            .await
            .map_err(|_| ClientError::deadline(&self.address, doing, deadline))?;
        body.and_then(|body| acknowledged(&body))
            .map_err(|fault| fault.at(&self.address, doing))?;
        self.state = State::Open(socket);
        Ok(())
    }

    async fn one_way(&mut self, doing: &'static str, frame: &[u8]) -> Result<(), ClientError> {
        let (mut socket, asked) = match self.take() {
            State::Open(socket) => {
                (check_quiet(socket).map_err(|fault| fault.at(&self.address, doing))?, None)
            }
            State::Asked(socket, deadline) => (socket, Some(deadline)),
            State::Closed => return Err(self.closed()),
        };
        self.write(doing, &mut socket, frame).await?;
        self.state = match asked {
            None => State::Open(socket),
            Some(deadline) => State::Asked(socket, deadline),
        };
        Ok(())
    }
}

/// What came unasked ends the connection; an error tells why, as far as it is there.
fn check_quiet(mut socket: Socket) -> Result<Socket, Fault> {
    if socket.is_quiet() {
        return Ok(socket);
    }
    let Some(body) = socket.arrived() else {
        return Err(Fault::Unexpected { found: "more bytes", expected: "nothing" });
    };
    Err(match batch(&body) {
        Ok(_) => Fault::Unexpected { found: "MESSAGES", expected: "nothing" },
        Err(fault) => fault,
    })
}

async fn login(
    socket: &mut Socket,
    address: &str,
    options: &SessionOptions,
) -> Result<(), ClientError> {
    let failed = |fault: Fault| fault.at(address, "login");
    let credentials = options.credentials.as_ref();
    let greeting = socket.receive().await.map_err(failed)?;
    let seed = seed(&greeting).map_err(failed)?;
    let password = credentials.map(|credentials| match &seed {
        Some(seed) => token(&credentials.password, seed),
        None => credentials.password.clone(),
    });
    let idle_ms = i32::try_from(options.idle_timeout.as_millis()).unwrap_or(i32::MAX);
    let auth = ClientAuth {
        username: credentials.map(|credentials| credentials.user.as_str()),
        password: password.as_deref().map(str::as_bytes),
        net_read_timeout: Some(idle_ms),
        net_write_timeout: Some(idle_ms),
        ..ClientAuth::default()
    };
    let frame = request::login(&auth)
        .map_err(|source| ClientError::Frame { address: address.to_owned(), source })?;
    socket.send(&frame).await.map_err(failed)?;
    let answer = socket.receive().await.map_err(failed)?;
    acknowledged(&answer).map_err(|fault| match fault {
        Fault::Refused { code, text } => {
            ClientError::Login { address: address.to_owned(), code, text }
        }
        Fault::Io(_)
        | Fault::Frame(_)
        | Fault::Packet(_)
        | Fault::Unexpected { .. }
        | Fault::Version(_) => failed(fault),
    })
}

/// The seed of a greeting. Servers before 1.1.4 send neither version nor seed.
fn seed(body: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let packet = Packet::parse(body)?;
    if let Some(version) = packet.version.filter(|version| *version != 1) {
        return Err(Fault::Version(version));
    }
    match Reply::parse(&packet)? {
        Reply::Handshake(handshake) => {
            Ok(handshake.seeds.filter(|seeds| !seeds.is_empty()).map(<[u8]>::to_vec))
        }
        Reply::Ack(ack) => Err(Fault::of(&ack, "HANDSHAKE")),
        Reply::Messages(_) => Err(Fault::Unexpected { found: "MESSAGES", expected: "HANDSHAKE" }),
    }
}

fn acknowledged(body: &[u8]) -> Result<(), Fault> {
    match Reply::parse(&Packet::parse(body)?)? {
        Reply::Ack(ack) if ack.error_code.unwrap_or(0) == 0 => Ok(()),
        Reply::Ack(ack) => Err(Fault::of(&ack, "ACK")),
        Reply::Messages(_) => Err(Fault::Unexpected { found: "MESSAGES", expected: "ACK" }),
        Reply::Handshake(_) => Err(Fault::Unexpected { found: "HANDSHAKE", expected: "ACK" }),
    }
}

fn batch(body: &Bytes) -> Result<RawBatch, Fault> {
    match Reply::parse(&Packet::parse(body)?)? {
        Reply::Messages(messages) => {
            let entries = messages.entries.iter().map(|entry| body.slice_ref(entry)).collect();
            Ok(RawBatch { id: messages.batch_id.unwrap_or(0), entries })
        }
        Reply::Ack(ack) => Err(Fault::of(&ack, "MESSAGES")),
        Reply::Handshake(_) => Err(Fault::Unexpected { found: "HANDSHAKE", expected: "MESSAGES" }),
    }
}

/// What went wrong, before it is known where and when.
#[derive(Debug)]
enum Fault {
    Io(std::io::Error),
    Frame(towpath_protocol::FrameError),
    Packet(PacketError),
    Unexpected { found: &'static str, expected: &'static str },
    Refused { code: i32, text: String },
    Version(i32),
}

impl From<PacketError> for Fault {
    fn from(error: PacketError) -> Self {
        Self::Packet(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<towpath_protocol::FrameError> for Fault {
    fn from(error: towpath_protocol::FrameError) -> Self {
        Self::Frame(error)
    }
}

impl Fault {
    fn of(ack: &towpath_protocol::Ack<'_>, expected: &'static str) -> Self {
        match ack.error_code.unwrap_or(0) {
            0 => Self::Unexpected { found: "ACK", expected },
            code => Self::Refused { code, text: ack.error_message.unwrap_or_default().to_owned() },
        }
    }

    fn at(self, address: &str, doing: &'static str) -> ClientError {
        let address = address.to_owned();
        match self {
            Self::Io(source) => ClientError::io(&address, doing, source),
            Self::Frame(source) => ClientError::Frame { address, source },
            Self::Packet(source) => ClientError::Packet { address, doing, source },
            Self::Unexpected { found, expected } => {
                ClientError::Unexpected { address, doing, found, expected }
            }
            Self::Refused { code, text } => ClientError::Refused { address, doing, code, text },
            Self::Version(version) => ClientError::Version { address, version },
        }
    }
}
