//! The socket: whole frames out and in.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use towpath_wire::{HEADER_LEN, body_len};

use crate::{ClientError, Fault};

/// Room made for a read at a time, in bytes: memory grows with what arrives, not with what a length
/// promises.
const READ_LEN: usize = 1 << 20;

/// Room for the first read of an answer: most are small.
const FIRST_READ_LEN: usize = 16 << 10;

/// A connected socket. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    frame_len_max: usize,
}

impl Connection {
    pub(crate) async fn open(address: &str, frame_len_max: usize) -> Result<Self, ClientError> {
        let failed =
            |source| ClientError::Io { address: address.to_owned(), doing: "connect", source };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { stream, buffer: BytesMut::new(), frame_len_max })
    }

    /// Sends one frame. What has arrived before it is asked for is no answer.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<(), Fault> {
        if !self.buffer.is_empty() {
            return Err(Fault::Unexpected { found: "more bytes", expected: "nothing" });
        }
        Ok(self.stream.write_all(frame).await?)
    }

    /// Reads one frame.
    pub(crate) async fn receive(&mut self) -> Result<Bytes, Fault> {
        self.read_to(HEADER_LEN).await?;
        let header = self.buffer.first_chunk().copied().unwrap_or_default();
        let len = body_len(header, self.frame_len_max)?;
        self.buffer.advance(HEADER_LEN);
        self.read_to(len).await?;
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

    /// Closes in order: what was sent is read by the server before it sees the end.
    pub(crate) async fn close(mut self, deadline: Duration) {
        // The socket is closed either way.
        let _closed: bool =
            tokio::time::timeout(deadline, self.stream.shutdown()).await.is_ok_and(|r| r.is_ok());
    }
}
