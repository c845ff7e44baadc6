//! One connection to a MySQL or MariaDB server: packets, login, queries (mysql-source 1.1-1.3).

mod auth;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use towpath_binlog::Reader;

use crate::error::SourceError;
use crate::url::SourceUrl;

/// A row of a result: text, or `None` for NULL.
pub(crate) type Row = Vec<Option<String>>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest reply to a query.
const REPLY_LEN_MAX: usize = 64 << 20;

/// Capabilities (mysql-source 1.2): as Canal's, with multi statements left out.
const CAPABILITIES: u32 = 0x0008_a205 | 0x0020_0000;

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) address: String,
    pub(crate) version: String,
    pub(crate) thread_id: u32,
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

    /// Connects and logs in; what was opened is closed again when a step fails.
    pub(crate) async fn open(url: &SourceUrl) -> Result<Self, SourceError> {
        const DOING: &str = "connect";
        let address = url.address();
        let failed = |source| SourceError::Io { address: address.clone(), doing: DOING, source };
        let silent = |_| SourceError::Silence {
            address: address.clone(),
            doing: DOING,
            seconds: CONNECT_TIMEOUT.as_secs(),
        };
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((url.host.as_str(), url.port)))
            .await
            .map_err(silent)?
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let mut connection = Self {
            stream,
            address: address.clone(),
            version: String::new(),
            thread_id: 0,
            sequence: 0,
        };
        timeout(CONNECT_TIMEOUT, connection.login(url)).await.map_err(silent)??;
        Ok(connection)
    }

    async fn login(&mut self, url: &SourceUrl) -> Result<(), SourceError> {
        const DOING: &str = "log in";
        let greeting = self.read_packet(DOING).await?;
        let hello = auth::Greeting::parse(&greeting).map_err(|e| self.protocol(DOING, &e))?;
        self.version.clone_from(&hello.version);
        self.thread_id = hello.thread_id;
        let mut scramble = hello.scramble.clone();
        let mut plugin = hello.plugin.clone();
        let token = auth::token(&plugin, url.password(), &scramble)
            .ok_or_else(|| self.unsupported(&plugin))?;
        let response = auth::response(CAPABILITIES, &hello, &url.user, &token);
        self.write_packet(&response).await?;
        loop {
            let packet = self.read_packet(DOING).await?;
            match packet.split_first() {
                Some((0, _)) => return Ok(()),
                Some((0xfe, switch)) => {
                    let mut r = Reader::new(switch);
                    plugin = String::from_utf8_lossy(r.nul_terminated()).into_owned();
                    let rest = r.take_rest();
                    scramble = rest.strip_suffix(&[0]).unwrap_or(rest).to_vec();
                    let token = auth::token(&plugin, url.password(), &scramble)
                        .ok_or_else(|| self.unsupported(&plugin))?;
                    self.write_packet(&token).await?;
                }
                // caching_sha2_password: 3 = the server knew the password, OK follows; 4 = it wants
                // the password itself, encrypted with its key.
                Some((1, [3])) => {}
                Some((1, [4])) => self.send_password(url.password(), &scramble).await?,
                _ => return Err(self.protocol(DOING, &"an answer that is no answer to a login")),
            }
        }
    }

    fn unsupported(&self, plugin: &str) -> SourceError {
        let reason = format!(
            "the account uses the authentication plugin {plugin}, which is not supported: use \
             caching_sha2_password or mysql_native_password"
        );
        SourceError::Setup { address: self.address.clone(), reason }
    }

    async fn send_password(&mut self, password: &str, scramble: &[u8]) -> Result<(), SourceError> {
        const DOING: &str = "send the password";
        self.write_packet(&[2]).await?;
        let key = self.read_packet(DOING).await?;
        let encrypted = auth::encrypt(key.get(1..).unwrap_or_default(), password, scramble)
            .map_err(|e| self.protocol(DOING, &e))?;
        self.write_packet(&encrypted).await
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
        written.map_err(|e| self.io("send", e))
    }

    /// Sends a command as a new conversation.
    pub(crate) async fn command(&mut self, payload: &[u8]) -> Result<(), SourceError> {
        self.sequence = 0;
        self.write_packet(payload).await
    }

    /// Runs a statement; its rows, none for statements without a result.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<Row>, SourceError> {
        match timeout(QUERY_TIMEOUT, self.query_now(sql)).await {
            Ok(result) => result,
            Err(_) => Err(SourceError::Silence {
                address: self.address.clone(),
                doing: "query",
                seconds: QUERY_TIMEOUT.as_secs(),
            }),
        }
    }

    async fn query_now(&mut self, sql: &str) -> Result<Vec<Row>, SourceError> {
        const DOING: &str = "query";
        let mut payload = vec![3];
        payload.extend_from_slice(sql.as_bytes());
        self.command(&payload).await?;
        let first = self.read_packet(DOING).await?;
        if first.first() == Some(&0) {
            return Ok(Vec::new());
        }
        // Column definitions up to an EOF packet, then rows up to another one.
        while !is_eof(&self.read_packet(DOING).await?) {}
        let mut rows = Vec::new();
        loop {
            let packet = self.read_packet(DOING).await?;
            if is_eof(&packet) {
                return Ok(rows);
            }
            rows.push(read_row(&packet).map_err(|e| self.protocol(DOING, &e))?);
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
