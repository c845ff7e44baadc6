//! A server that serves until its script says that it dies.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use towpath_protocol::{Packet, PacketType, reply};

const SEED: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// One entry field of a batch; nobody looks into it.
const ENTRY: [u8; 3] = [0x12, 1, 0xcc];

/// How long a get without an answer is held back.
const HOLD: Duration = Duration::from_millis(20);

/// When it closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dies {
    /// When the client does.
    Never,
    /// When it has sent so many bytes.
    AfterBytes(usize),
    /// When it has read an ack.
    AfterAck,
}

/// A running server, in tasks of this runtime.
pub(crate) struct Scripted {
    address: String,
    dies: Arc<Mutex<Dies>>,
    batches: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

/// Bytes that it sends until a client is subscribed.
pub(crate) fn opening_len() -> usize {
    reply::handshake(&SEED).len() + 2 * reply::ok().len()
}

/// Bytes of the batch that comes next.
pub(crate) fn batch_len() -> usize {
    batch(1).len()
}

fn batch(id: i64) -> Vec<u8> {
    let mut bytes = reply::messages_head(id, ENTRY.len()).unwrap();
    bytes.extend_from_slice(&ENTRY);
    bytes
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let dies = Arc::new(Mutex::new(Dies::Never));
        let mut task = JoinSet::new();
        let batches = Arc::new(AtomicUsize::new(0));
        task.spawn(accept(listener, Arc::clone(&dies), Arc::clone(&batches)));
        Self { address, dies, batches, _task: task }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Batches sent so far.
    pub(crate) fn batches(&self) -> usize {
        self.batches.load(Ordering::Relaxed)
    }

    /// For the connections to come.
    pub(crate) fn dies(&self, dies: Dies) {
        *self.dies.lock().unwrap_or_else(PoisonError::into_inner) = dies;
    }
}

async fn accept(listener: TcpListener, dies: Arc<Mutex<Dies>>, batches: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let dies = *dies.lock().unwrap_or_else(PoisonError::into_inner);
                let left = if let Dies::AfterBytes(count) = dies { count } else { usize::MAX };
                let (stream, batches) = (accepted.unwrap().0, Arc::clone(&batches));
                let served = Served { stream, dies, left, batches };
                connections.spawn(served.run());
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection.
struct Served {
    stream: TcpStream,
    dies: Dies,
    /// Bytes that it may still send.
    left: usize,
    batches: Arc<AtomicUsize>,
}

impl Served {
    async fn run(mut self) {
        // The end of either side ends it, and closes the socket.
        let _ended: std::io::Result<()> = self.serve().await;
    }

    async fn serve(&mut self) -> std::io::Result<()> {
        self.send(&reply::handshake(&SEED)).await?;
        let mut has_batch = true;
        loop {
            let body = self.receive().await?;
            let request = Packet::parse(&body).unwrap().packet_type();
            if request == PacketType::Get {
                self.answer_get(std::mem::take(&mut has_batch)).await?;
            } else if request == PacketType::ClientAck && self.dies == Dies::AfterAck {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            } else if request != PacketType::ClientAck && request != PacketType::ClientRollback {
                self.send(&reply::ok()).await?;
            }
        }
    }

    async fn answer_get(&mut self, has_batch: bool) -> std::io::Result<()> {
        if has_batch {
            self.send(&batch(1)).await?;
            self.batches.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        tokio::time::sleep(HOLD).await;
        self.send(&reply::no_messages()).await
    }

    async fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).await?;
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(header)).unwrap()];
        self.stream.read_exact(&mut body).await?;
        Ok(body)
    }

    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let part = bytes.get(..self.left).unwrap_or(bytes);
        self.stream.write_all(part).await?;
        self.left -= part.len();
        if self.left == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }
}
