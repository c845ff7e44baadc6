//! The socket: whole frames out and in.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_util::either::Either;
use towpath_protocol::{HEADER_LEN, body_len};

use super::{Fault, SessionOptions};
use crate::ClientError;

/// Room made for a read at a time, in bytes: memory grows with what arrives, not with what a length
/// promises.
const READ_LEN: usize = 1 << 20;

/// Room for the first read of an answer: most are small.
const FIRST_READ_LEN: usize = 16 << 10;

/// Silence after which the system asks if the server is still there, the time between two of these
/// questions, and how many of them may stay unanswered: a host that has vanished is noticed after two
/// minutes, also by a get that waits longer.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

#[cfg(feature = "tls")]
type Stream = Either<TcpStream, Box<tokio_rustls::client::TlsStream<TcpStream>>>;
#[cfg(not(feature = "tls"))]
type Stream = TcpStream;

/// A connected socket. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    local: SocketAddr,
    buffer: BytesMut,
    frame_len_max: usize,
}

impl Socket {
    pub(super) async fn open(address: &str, options: &SessionOptions) -> Result<Self, ClientError> {
        let failed = |source: Error| ClientError::io(address, "connect", source);
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        keep_alive(&stream).map_err(failed)?;
        let local = stream.local_addr().map_err(failed)?;
        #[cfg(feature = "tls")]
        let stream = match &options.tls {
            None => Either::Left(stream),
            Some(tls) => Either::Right(Box::new(tls.wrap(address, stream).await?)),
        };
        Ok(Self { stream, local, buffer: BytesMut::new(), frame_len_max: options.frame_len_max })
    }

    /// The address on this side.
    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether nothing has arrived: what came before it is asked for is no answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The first frame of what has arrived, if it is whole.
    pub(super) fn arrived(&mut self) -> Option<Bytes> {
        let len = body_len(self.buffer.first_chunk().copied()?, self.frame_len_max).ok()?;
        (self.buffer.len() >= HEADER_LEN + len).then(|| {
            self.buffer.advance(HEADER_LEN);
            self.buffer.split_to(len).freeze()
        })
    }

    /// Sends one frame. Cancelling it leaves the connection out of step.
    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), Fault> {
        self.stream.write_all(frame).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads one frame. Cancelling it loses nothing.
    pub(super) async fn receive(&mut self) -> Result<Bytes, Fault> {
        self.read_to(HEADER_LEN).await?;
        let header = self.buffer.first_chunk().copied().unwrap_or_default();
        let len = body_len(header, self.frame_len_max)?;
        self.read_to(HEADER_LEN + len).await?;
        self.buffer.advance(HEADER_LEN);
        Ok(self.buffer.split_to(len).freeze())
    }

    async fn read_to(&mut self, len: usize) -> Result<(), Fault> {
        while self.buffer.len() < len {
            let missing = len - self.buffer.len();
            self.buffer.reserve(missing.clamp(FIRST_READ_LEN, READ_LEN));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                let text = "the server closed the connection";
                return Err(Error::new(ErrorKind::UnexpectedEof, text).into());
            }
        }
        Ok(())
    }

    /// Says that nothing more comes: the server reads what was sent before it sees the end.
    pub(super) async fn shutdown(&mut self) {
        // The socket is closed either way.
        let _closed: bool = self.stream.shutdown().await.is_ok();
    }
}

fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let (time, interval, retries) = KEEPALIVE;
    let keepalive =
        TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
