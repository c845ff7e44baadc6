//! A server fed by hand, and a peer that speaks in frames.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use towpath_coordination::{SourceAddress, StateDirectory};
use towpath_engine::{DestinationConfig, Feed, StoreOptions};
use towpath_entry::{Block, Context, EntryInfo, EntryKind, TableFilter};
use towpath_protocol::{BatchRef, ClientAuth, Get, Packet, Reply, Subscription, request, token};
use towpath_server::{Server, ServerConfig, ServerError};

/// Long enough for anything on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const DESTINATION: &str = "example";

/// Entries of the given bytes, all rows but for an end at the end. Positions: 100 a block, from
/// `number` on.
pub(crate) fn block(number: u64, entries: &[&[u8]]) -> Block {
    let (mut bytes, mut infos) = (Vec::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let mut field = Vec::new();
        towpath_protocol::Messages { batch_id: None, entries: vec![*entry] }.write(&mut field);
        bytes.extend(field);
        let last = index + 1 == entries.len();
        infos.push(EntryInfo {
            end: bytes.len(),
            entry_len: entry.len(),
            kind: if last { EntryKind::End } else { EntryKind::Rows },
            start_offset: number * 100 + 4,
            end_offset: if last { number * 100 + 104 } else { number * 100 + 54 },
            execute_time_ms: 0,
            server_id: 1,
            row_count: 1,
            context: 0,
        });
    }
    let contexts = vec![Context { file: "mysql-bin.000001".into(), gtid: None }];
    Block { bytes: bytes.into(), entries: infos, contexts, spare_bytes: 0 }
}

/// A block of one entry that says its number.
pub(crate) fn numbered(number: u64) -> Block {
    block(number, &[&number.to_be_bytes()])
}

pub(crate) fn instance(destination: &str, feed: Feed) -> DestinationConfig {
    DestinationConfig {
        destination: destination.to_owned(),
        address: SourceAddress { host: "db".to_owned(), port: 3306 },
        store: StoreOptions::default(),
        filter: TableFilter::default(),
        feed,
    }
}

pub(crate) fn config(state: &Path) -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        state: state.to_owned(),
        ..ServerConfig::default()
    }
}

/// A server with one destination, fed by hand.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) feed: mpsc::Sender<Block>,
    shutdown: CancellationToken,
    tasks: JoinSet<Result<(), ServerError>>,
    state: PathBuf,
}

impl Served {
    /// On a state directory of its own.
    pub(crate) async fn new() -> (Self, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (Self::with(config(directory.path()), StoreOptions::default()).await, directory)
    }

    pub(crate) async fn with(config: ServerConfig, store: StoreOptions) -> Self {
        let (feed, blocks) = mpsc::channel(1);
        let instance = DestinationConfig { store, ..instance(DESTINATION, Feed::Blocks(blocks)) };
        let state = config.state.clone();
        let server = Server::bind(config, vec![instance]).await.unwrap();
        let address = server.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(shutdown.clone()));
        Self { address, feed, shutdown, tasks, state }
    }

    pub(crate) async fn push(&self, block: Block) {
        timeout(PATIENCE, self.feed.send(block)).await.expect("store is full").unwrap();
    }

    /// Stops in order.
    pub(crate) async fn stop(mut self) -> Result<(), ServerError> {
        self.shutdown.cancel();
        let stopped = timeout(PATIENCE, self.tasks.join_next()).await;
        stopped.expect("the server does not stop").unwrap().unwrap()
    }

    /// Stops as a kill does: nothing is said to anybody, nothing is written any more.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
        // Until the runtime has dropped the last of its tasks.
        let freed = async {
            while StateDirectory::open(&self.state).is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, freed).await.expect("the state directory stays in use");
    }
}

/// A client that speaks in frames.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    /// Connects, and reads the greeting. Returns the seed as well.
    pub(crate) async fn connect(address: SocketAddr) -> (Self, Vec<u8>) {
        let mut peer = Self { stream: TcpStream::connect(address).await.unwrap() };
        let greeting = peer.receive().await;
        let packet = Packet::parse(&greeting).unwrap();
        let Reply::Handshake(handshake) = Reply::parse(&packet).unwrap() else { panic!() };
        let seed = handshake.seeds.unwrap().to_vec();
        (peer, seed)
    }

    /// Connects from another address of this machine, as `127.0.0.2`. Nothing is read.
    pub(crate) async fn from(host: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{host}:0").parse().unwrap()).unwrap();
        Self { stream: socket.connect(address).await.unwrap() }
    }

    /// Logs in as somebody, after the greeting was read; what the server says of it.
    pub(crate) async fn try_login(&mut self, user: &str, password: &str) -> Option<Vec<u8>> {
        let greeting = self.try_receive().await?;
        let packet = Packet::parse(&greeting).unwrap();
        let Reply::Handshake(handshake) = Reply::parse(&packet).unwrap() else { panic!() };
        let token = token(password, handshake.seeds.unwrap());
        let auth = ClientAuth {
            username: Some(user),
            password: Some(token.as_bytes()),
            ..ClientAuth::default()
        };
        self.send(&request::login(&auth).unwrap()).await;
        self.try_receive().await
    }

    /// Connects and logs in.
    pub(crate) async fn login(address: SocketAddr) -> Self {
        let (mut peer, _) = Self::connect(address).await;
        peer.send(&request::login(&ClientAuth::default()).unwrap()).await;
        peer.expect_ok().await;
        peer
    }

    /// Connects, logs in and subscribes.
    pub(crate) async fn subscribed(address: SocketAddr, client_id: &str) -> Self {
        let mut peer = Self::login(address).await;
        peer.subscribe(client_id, None).await;
        peer.expect_ok().await;
        peer
    }

    pub(crate) async fn subscribe(&mut self, client_id: &str, filter: Option<&str>) {
        let destination = Some(DESTINATION);
        let sub = Subscription { destination, client_id: Some(client_id), filter };
        self.send(&request::subscribe(&sub).unwrap()).await;
    }

    /// Asks for a batch: fetch size in KiB, timeout in milliseconds.
    pub(crate) async fn get(&mut self, client_id: &str, fetch_size: i32, timeout: i64) {
        let get = Get {
            destination: Some(DESTINATION),
            client_id: Some(client_id),
            fetch_size: Some(fetch_size),
            timeout: Some(timeout),
            unit: Some(2),
            auto_ack: Some(false),
        };
        self.send(&request::get(&get).unwrap()).await;
    }

    pub(crate) async fn ack(&mut self, client_id: &str, batch_id: i64) {
        let batch_id = Some(batch_id);
        let batch =
            BatchRef { destination: Some(DESTINATION), client_id: Some(client_id), batch_id };
        self.send(&request::ack(&batch).unwrap()).await;
    }

    pub(crate) async fn rollback(&mut self, client_id: &str, batch_id: Option<i64>) {
        let batch =
            BatchRef { destination: Some(DESTINATION), client_id: Some(client_id), batch_id };
        self.send(&request::rollback(&batch).unwrap()).await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// The next frame, or `None` when the connection is closed.
    pub(crate) async fn try_receive(&mut self) -> Option<Vec<u8>> {
        let receive = async {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).await.ok()?;
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(header)).unwrap()];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(body)
        };
        timeout(PATIENCE, receive).await.expect("no answer and no end")
    }

    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        self.try_receive().await.expect("the connection is closed")
    }

    pub(crate) async fn expect_ok(&mut self) {
        assert_eq!(self.receive().await, [0x10, 1, 0x18, 3]);
    }

    /// Code and text of the error that comes next.
    pub(crate) async fn expect_error(&mut self) -> (i32, String) {
        let body = self.receive().await;
        let Reply::Ack(ack) = Reply::parse(&Packet::parse(&body).unwrap()).unwrap() else {
            panic!("no error: {body:02x?}")
        };
        (ack.error_code.unwrap(), ack.error_message.unwrap().to_owned())
    }

    /// Id and entries of the batch that comes next.
    pub(crate) async fn expect_batch(&mut self) -> (i64, Vec<Vec<u8>>) {
        let body = self.receive().await;
        let Reply::Messages(messages) = Reply::parse(&Packet::parse(&body).unwrap()).unwrap()
        else {
            panic!("no batch: {}", String::from_utf8_lossy(&body))
        };
        let entries = messages.entries.iter().map(|entry| entry.to_vec()).collect();
        (messages.batch_id.unwrap(), entries)
    }

    /// Id and numbers of the batch of [`numbered`] blocks that comes next.
    pub(crate) async fn expect_numbers(&mut self) -> (i64, Vec<u64>) {
        let (id, entries) = self.expect_batch().await;
        let number = |entry: Vec<u8>| u64::from_be_bytes(entry.try_into().unwrap());
        (id, entries.into_iter().map(number).collect())
    }

    pub(crate) async fn expect_closed(&mut self) {
        let more = self.try_receive().await;
        assert_eq!(more, None, "the connection is not closed");
    }

    /// Nothing unasked is on its way, and requests are served: asks for what is not supported.
    pub(crate) async fn expect_open(&mut self) {
        self.send(&[0, 0, 0, 2, 0x18, 11]).await;
        let (code, text) = self.expect_error().await;
        assert_eq!((code, text.as_str()), (400, "packet type: HEARTBEAT is NOT supported!"));
    }
}
