//! Reading and writing under the idle timeouts that the client asked for.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use towpath_protocol::FrameError;

use super::{Ending, LINGER, Session};
use crate::listen::Transport;

/// What is read for the error before a connection closes, in bytes.
const LINGER_MAX: usize = 64 << 10;

/// Room made for each read, in bytes: requests are tiny.
const READ_LEN: usize = 2048;

/// Longest request that every session may hold while it arrives, in bytes.
const SHORT_LEN: usize = 4096;

/// Memory for long requests of those that have logged in, and of those that have not, in KiB.
const ROOM_KIB: usize = 4096;
const ROOM_BEFORE_LOGIN_KIB: usize = 1024;

/// Time for a long request to arrive: others may wait for its memory.
const LONG_DEADLINE: Duration = Duration::from_secs(30);

/// The first bytes of TLS: a handshake record of version 3.
const TLS_RECORD: [u8; 2] = [0x16, 3];

/// Silence that is allowed when the client says nothing else.
const IDLE_DEFAULT: Duration = Duration::from_secs(3600);

/// Memory for requests that are long, for all sessions: however many of them leave theirs unfinished.
#[derive(Debug)]
pub(crate) struct Room {
    before_login: Arc<Semaphore>,
    after_login: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            before_login: Arc::new(Semaphore::new(ROOM_BEFORE_LOGIN_KIB)),
            after_login: Arc::new(Semaphore::new(ROOM_KIB)),
        }
    }
}

/// Who a session is to the rest of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Stranger,
    LoggedIn,
}

/// How long silence is allowed, and since when there is any.
#[derive(Debug)]
pub(super) struct Idle {
    read: Duration,
    write: Duration,
    last_read: Instant,
    last_write: Instant,
    /// When the long request that arrives has to be there.
    long: Option<Instant>,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self::of(None, None)
    }

    /// Timeouts in milliseconds; those that are not positive mean an hour.
    pub(super) fn of(read_ms: Option<i32>, write_ms: Option<i32>) -> Self {
        let duration = |ms: Option<i32>| {
            let ms = ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
            ms.map_or(IDLE_DEFAULT, Duration::from_millis)
        };
        let now = Instant::now();
        Self {
            read: duration(read_ms),
            write: duration(write_ms),
            last_read: now,
            last_write: now,
            long: None,
        }
    }

    /// When it is over, and why.
    fn deadline(&self) -> (Instant, Ending) {
        let idle = (self.last_read + self.read).min(self.last_write + self.write);
        match self.long {
            Some(long) if long < idle => (long, Ending::SlowRequest(LONG_DEADLINE)),
            Some(_) | None => (idle, Ending::Idle),
        }
    }
}

impl Session {
    /// The next packet. Cancelling it loses nothing.
    pub(super) async fn next_frame(&mut self) -> Result<Vec<u8>, Ending> {
        loop {
            if let Some(frame) = self.frames.next_frame().map_err(|error| self.no_frame(error))? {
                self.held = None;
                self.idle.long = None;
                return Ok(frame);
            }
            self.hold_room().await?;
            if !self.frames.space().is_empty() {
                self.confirm();
            }
            self.read_more().await?;
        }
    }

    fn no_frame(&self, error: FrameError) -> Ending {
        if self.standing == Standing::Stranger && self.frames.begun().starts_with(&TLS_RECORD) {
            return Ending::Encrypted;
        }
        error.into()
    }

    /// Waits for memory, if a long request has begun to arrive.
    async fn hold_room(&mut self) -> Result<(), Ending> {
        let Some(len) = self.frames.announced().filter(|len| *len > SHORT_LEN) else {
            return Ok(());
        };
        if self.held.is_some() {
            return Ok(());
        }
        let room = match self.standing {
            Standing::Stranger => &self.shared.room.before_login,
            Standing::LoggedIn => &self.shared.room.after_login,
        };
        // The limits of a packet are below what there is.
        let kib = u32::try_from(len.div_ceil(1024)).unwrap_or(u32::MAX);
        let (deadline, ending) = self.idle.deadline();
        let held = tokio::select! {
            () = self.membership.stop.cancelled() => return Err(self.membership.stopped()),
            () = sleep_until(deadline) => return Err(ending),
            held = Arc::clone(room).acquire_many_owned(kib) => held,
        };
        self.held = held.ok();
        self.idle.long = Some(Instant::now() + LONG_DEADLINE);
        Ok(())
    }

    /// Whether as much has arrived as may be kept.
    fn is_full(&self) -> bool {
        self.frames.is_full() || (self.held.is_none() && self.frames.buffered() >= SHORT_LEN)
    }

    /// Reads what has arrived. An error when the peer is gone, idle for too long, or the server
    /// stops. Cancelling it loses nothing.
    pub(super) async fn read_more(&mut self) -> Result<(), Ending> {
        let (deadline, ending) = self.idle.deadline();
        // While a request waits for its answer nobody takes packets out: the rest stays with the
        // system.
        if self.is_full() {
            tokio::select! {
                () = self.membership.stop.cancelled() => return Err(self.membership.stopped()),
                () = sleep_until(deadline) => return Err(ending),
            }
        }
        let space = self.frames.space();
        if space.capacity() - space.len() < READ_LEN {
            space.reserve(READ_LEN);
        }
        let count = tokio::select! {
            () = self.membership.stop.cancelled() => return Err(self.membership.stopped()),
            () = sleep_until(deadline) => return Err(ending),
            count = self.stream.read_buf(space) => count?,
        };
        if count == 0 {
            return Err(Ending::Peer);
        }
        self.idle.last_read = Instant::now();
        Ok(())
    }

    /// Lets the system confirm at once what was read, when no answer does: a part of a frame, or a
    /// request without an answer. A client that does not set `TCP_NODELAY`, as Canal's for Java, which
    /// also writes length and body of a frame one by one, holds the rest back until then: 40 ms for
    /// each batch.
    pub(super) fn confirm(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = self.stream.tcp().set_quickack(true) {
            tracing::debug!(peer = %self.peer, %error, "requests without an answer are confirmed late");
        }
    }

    /// Sends one frame as one write.
    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), Ending> {
        let sent = timeout(self.idle.write, async {
            self.stream.write_all(frame).await?;
            self.stream.flush().await
        });
        sent.await.map_err(|_| Ending::Idle)??;
        self.sent_bytes += u64::try_from(frame.len()).unwrap_or_default();
        self.idle.last_write = Instant::now();
        Ok(())
    }

    /// Sends a frame that lies in pieces, without putting them together.
    pub(super) async fn send_slices(&mut self, head: &[u8], rest: &[Bytes]) -> Result<(), Ending> {
        let mut pieces = Vec::with_capacity(rest.len() + 1);
        pieces.push(IoSlice::new(head));
        pieces.extend(rest.iter().map(|slice| IoSlice::new(slice)));
        let mut unsent = pieces.as_mut_slice();
        while !unsent.is_empty() {
            // The clock runs while nothing moves: a slow reader of a large batch is not idle.
            let written = timeout(self.idle.write, self.stream.write_vectored(unsent)).await;
            let count = written.map_err(|_| Ending::Idle)??;
            if count == 0 {
                return Err(std::io::Error::from(ErrorKind::WriteZero).into());
            }
            self.sent_bytes += u64::try_from(count).unwrap_or_default();
            IoSlice::advance_slices(&mut unsent, count);
        }
        // Of what is encrypted some waits in memory until now.
        timeout(self.idle.write, self.stream.flush()).await.map_err(|_| Ending::Idle)??;
        self.idle.last_write = Instant::now();
        Ok(())
    }

    /// Lets the peer read the last error: closing with unread requests would reset the connection
    /// and take the error away.
    pub(super) async fn linger(mut self) {
        let end = async {
            self.stream.shutdown().await?;
            discard(&mut self.stream).await
        };
        let lost = async {
            self.membership.stop.cancelled().await;
            // A server that stops gives it the time.
            if !self.membership.place.is_lost() {
                std::future::pending::<()>().await;
            }
        };
        let end = async {
            tokio::select! {
                ended = end => ended,
                () = lost => Ok(()),
            }
        };
        match timeout(LINGER, end).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::debug!(peer = %self.peer, "peer did not close"),
        }
    }
}

async fn discard(stream: &mut Transport) -> std::io::Result<()> {
    let mut discarded = Vec::with_capacity(READ_LEN);
    let mut total = 0;
    while total < LINGER_MAX {
        discarded.clear();
        match stream.read_buf(&mut discarded).await? {
            0 => return Ok(()),
            count => total += count,
        }
    }
    Ok(())
}
