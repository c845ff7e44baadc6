//! One connection to a MySQL or MariaDB server: packets, login, queries (mysql-source 1.1-1.3).

mod auth;
mod transport;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use towpath_binlog::Reader;
use tracing::warn;

use crate::error::SourceError;
use crate::mysql::dialect::Flavour;
use crate::url::{SourceUrl, TlsMode};
use auth::Greeting;
use transport::{TlsFault, Transport};

/// A row of a result: text, or `None` for NULL.
pub(crate) type Row = Vec<Option<String>>;

/// For reaching the server, and once more for logging in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For a statement with all its rows, and for the answer to a command.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for the structures of all tables of a database.
const LONG_QUERY_TIMEOUT: Duration = Duration::from_secs(1800);
/// Largest reply to a query.
const REPLY_LEN_MAX: usize = 64 << 20;

/// Capabilities (mysql-source 1.2): as Canal's, with multi statements left out.
const CAPABILITIES: u32 = 0x0008_a205 | 0x0020_0000;
const CAPABILITY_TLS: u32 = 0x800;

const TLS_HANDSHAKE: &str = "TLS handshake";

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Transport,
    pub(crate) address: String,
    /// Where the connection comes from, as this machine sees it.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) version: String,
    /// The plugin that the login went by.
    pub(crate) plugin: String,
    pub(crate) thread_id: u32,
    /// The stream of the binlog that is asked for, where there are several.
    pub(crate) stream_name: Option<String>,
    sequence: u8,
}

impl Connection {
    pub(crate) fn io(&self, doing: &'static str, source: io::Error) -> SourceError {
        SourceError::Io { address: self.address.clone(), doing, source }
    }

    pub(crate) fn protocol(
        &self,
        doing: &'static str,
        reason: &dyn std::fmt::Display,
    ) -> SourceError {
        SourceError::Protocol { address: self.address.clone(), doing, reason: reason.to_string() }
    }

    pub(crate) fn setup(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Setup { address: self.address.clone(), reason: reason.into() }
    }

    pub(crate) fn flavour(&self) -> Flavour {
        Flavour::of(&self.version)
    }

    /// Connects and logs in; what was opened is closed again when a step fails.
    pub(crate) async fn open(url: &SourceUrl) -> Result<Self, SourceError> {
        let fault = match Self::open_with(url, url.tls).await {
            Err(fault) if url.tls == TlsMode::Preferred => fault,
            result => return result,
        };
        let no_tls = matches!(
            &fault,
            SourceError::Tls { .. } | SourceError::Io { doing: TLS_HANDSHAKE, .. }
        );
        if !no_tls {
            return Err(fault);
        }
        // The server is inside TLS by now: clear text needs a connection of its own.
        warn!(source = %url, error = %fault, "TLS failed, going on in clear");
        Self::open_with(url, TlsMode::Disabled).await
    }

    async fn open_with(url: &SourceUrl, tls: TlsMode) -> Result<Self, SourceError> {
        let address = url.address();
        let failed =
            |source| SourceError::Io { address: address.clone(), doing: "connect", source };
        let silent = |doing| SourceError::Silence {
            address: address.clone(),
            doing,
            seconds: CONNECT_TIMEOUT.as_secs(),
        };
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((url.host.as_str(), url.port)))
            .await
            .map_err(|_| silent("connect"))?
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let connection = Self {
            local: stream.local_addr().ok(),
            stream: Transport::Plain(stream),
            address: address.clone(),
            version: String::new(),
            plugin: String::new(),
            thread_id: 0,
            stream_name: url.stream.clone(),
            sequence: 0,
        };
        timeout(CONNECT_TIMEOUT, connection.login(url, tls)).await.map_err(|_| silent("log in"))?
    }

    async fn login(mut self, url: &SourceUrl, tls: TlsMode) -> Result<Self, SourceError> {
        const DOING: &str = "log in";
        let greeting = self.read_packet(DOING).await?;
        let hello = Greeting::parse(&greeting).map_err(|e| self.protocol(DOING, &e))?;
        self.version.clone_from(&hello.version);
        self.thread_id = hello.thread_id;
        let mut capabilities = CAPABILITIES;
        match tls {
            TlsMode::Disabled => {}
            TlsMode::Preferred if hello.capabilities & CAPABILITY_TLS == 0 => {}
            TlsMode::Preferred
            | TlsMode::Required
            | TlsMode::VerifyCa
            | TlsMode::VerifyIdentity => {
                if hello.capabilities & CAPABILITY_TLS == 0 {
                    return Err(self.setup("the server offers no TLS, which the URL asks for"));
                }
                // The same capabilities in both packets: the server reads the second one by the
                // flags of the first (mysql-source 1.2).
                capabilities |= CAPABILITY_TLS;
                self.write_packet(&auth::tls_request(capabilities)).await?;
                self = self.encrypted(url).await?;
            }
        }
        let mut exchange = auth::Exchange::new(&hello, url.password(), self.stream.is_tls());
        let token = exchange.first().map_err(|refusal| self.refused(&refusal))?;
        let plugin = exchange.plugin();
        self.write_packet(&auth::response(capabilities, plugin, &url.user, &token)).await?;
        loop {
            let packet = match self.read_packet(DOING).await {
                Err(SourceError::Server { message, .. })
                    if let Some(refusal) = exchange.refusal(&message) =>
                {
                    return Err(self.refused(&refusal));
                }
                packet => packet?,
            };
            match exchange.answer(&packet).map_err(|refusal| self.refused(&refusal))? {
                auth::Step::Done => {
                    exchange.plugin().clone_into(&mut self.plugin);
                    return Ok(self);
                }
                auth::Step::Wait => {}
                auth::Step::Send(bytes) => self.write_packet(&bytes).await?,
            }
        }
    }

    async fn encrypted(self, url: &SourceUrl) -> Result<Self, SourceError> {
        let Transport::Plain(tcp) = self.stream else { return Ok(self) };
        let address = self.address;
        match transport::encrypt(tcp, url).await {
            Ok(stream) => Ok(Self { stream, address, ..self }),
            Err(TlsFault::Refused(reason)) => Err(SourceError::Tls { address, reason }),
            Err(TlsFault::Io(source)) => {
                Err(SourceError::Io { address, doing: TLS_HANDSHAKE, source })
            }
        }
    }

    fn refused(&self, refusal: &auth::Refusal) -> SourceError {
        match refusal {
            auth::Refusal::Plugin(_) | auth::Refusal::NeedsTls(_) | auth::Refusal::NoKey { .. } => {
                self.setup(refusal.to_string())
            }
            auth::Refusal::Answer | auth::Refusal::Key(_) => self.protocol("log in", refusal),
        }
    }

    /// One packet's payload; an error packet becomes an error.
    pub(crate) async fn read_packet(
        &mut self,
        doing: &'static str,
    ) -> Result<Vec<u8>, SourceError> {
        let mut payload = Vec::new();
        loop {
            let mut head = [0; 4];
            let read = self.stream.read_exact(&mut head).await;
            read.map_err(|e| self.io(doing, e))?;
            let [a, b, c, sequence] = head;
            self.sequence = sequence.wrapping_add(1);
            let len = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX);
            let start = payload.len();
            if start + len > REPLY_LEN_MAX {
                return Err(self.protocol(doing, &"the reply is longer than 64 MiB"));
            }
            payload.resize(start + len, 0);
            let rest = payload.get_mut(start..).unwrap_or_default();
            let read = self.stream.read_exact(rest).await;
            read.map_err(|e| self.io(doing, e))?;
            if len < 0xff_ffff {
                break;
            }
        }
        if payload.first() == Some(&0xff) {
            return Err(self.server_error(doing, &payload));
        }
        Ok(payload)
    }

    /// The error of an ERR packet (`ff errno '#' state text`; without `#state` before the login).
    pub(crate) fn server_error(&self, doing: &'static str, packet: &[u8]) -> SourceError {
        let mut r = Reader::new(packet.get(1..).unwrap_or_default());
        let errno = r.u16("errno").unwrap_or(0);
        let rest = r.take_rest();
        let (state, text) = match rest.strip_prefix(b"#") {
            Some(tagged) => tagged.split_at_checked(5).unwrap_or((tagged, &[])),
            None => (&[][..], rest),
        };
        SourceError::Server {
            address: self.address.clone(),
            doing,
            errno,
            sqlstate: String::from_utf8_lossy(state).into_owned(),
            message: String::from_utf8_lossy(text).into_owned(),
        }
    }

    pub(crate) async fn write_packet(&mut self, payload: &[u8]) -> Result<(), SourceError> {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let [a, b, c, _] = len.to_le_bytes();
        let mut packet = vec![a, b, c, self.sequence];
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        let written = self.stream.write_all(&packet).await;
        written.map_err(|e| self.io("send", e))?;
        self.stream.flush().await.map_err(|e| self.io("send", e))
    }

    /// Sends a command as a new conversation.
    pub(crate) async fn command(&mut self, payload: &[u8]) -> Result<(), SourceError> {
        self.sequence = 0;
        self.write_packet(payload).await
    }

    fn silence(&self, doing: &'static str, waited: Duration) -> SourceError {
        let seconds = waited.as_secs();
        SourceError::Silence { address: self.address.clone(), doing, seconds }
    }

    /// Sends a command that is answered by one packet.
    pub(crate) async fn exchange(
        &mut self,
        doing: &'static str,
        payload: &[u8],
    ) -> Result<Vec<u8>, SourceError> {
        let exchange = async {
            self.command(payload).await?;
            self.read_packet(doing).await
        };
        match timeout(QUERY_TIMEOUT, exchange).await {
            Ok(result) => result,
            Err(_) => Err(self.silence(doing, QUERY_TIMEOUT)),
        }
    }

    /// Runs a statement; its rows, none for statements without a result. After anything but a row,
    /// an OK or an error of the server the connection must not be used any more; nor when the
    /// future was dropped.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<Row>, SourceError> {
        let mut rows = Vec::new();
        let mut take = |row| rows.push(row);
        let query = self.rows(sql, REPLY_LEN_MAX, &mut take);
        match timeout(QUERY_TIMEOUT, query).await {
            Ok(result) => result.map(|()| rows),
            Err(_) => Err(self.silence("query", QUERY_TIMEOUT)),
        }
    }

    /// The same for an answer of any length, row by row.
    pub(crate) async fn query_each(
        &mut self,
        sql: &str,
        mut take: impl FnMut(Row) + Send,
    ) -> Result<(), SourceError> {
        match timeout(LONG_QUERY_TIMEOUT, self.rows(sql, usize::MAX, &mut take)).await {
            Ok(result) => result,
            Err(_) => Err(self.silence("query", LONG_QUERY_TIMEOUT)),
        }
    }

    async fn rows(
        &mut self,
        sql: &str,
        len_max: usize,
        take: &mut (dyn FnMut(Row) + Send),
    ) -> Result<(), SourceError> {
        const DOING: &str = "query";
        let mut payload = vec![3];
        payload.extend_from_slice(sql.as_bytes());
        self.command(&payload).await?;
        let first = self.read_packet(DOING).await?;
        if first.first() == Some(&0) {
            return Ok(());
        }
        // Column definitions up to an EOF packet, then rows up to another one.
        while !is_eof(&self.read_packet(DOING).await?) {}
        let mut total: usize = 0;
        loop {
            let packet = self.read_packet(DOING).await?;
            if is_eof(&packet) {
                return Ok(());
            }
            total = total.saturating_add(packet.len());
            if total > len_max {
                return Err(self.protocol(DOING, &"the reply is longer than 64 MiB"));
            }
            take(read_row(&packet).map_err(|e| self.protocol(DOING, &e))?);
        }
    }

    /// The first column of the first row.
    pub(crate) async fn scalar(&mut self, sql: &str) -> Result<Option<String>, SourceError> {
        let rows = self.query(sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }
}

fn is_eof(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

fn read_row(packet: &[u8]) -> Result<Row, towpath_binlog::ParseError> {
    let mut r = Reader::new(packet);
    let mut row = Vec::new();
    while let Some(first) = r.rest().first() {
        if *first == 0xfb {
            r.u8("NULL")?;
            row.push(None);
        } else {
            let bytes = r.lenenc_bytes("value")?;
            row.push(Some(String::from_utf8_lossy(bytes).into_owned()));
        }
    }
    Ok(row)
}
