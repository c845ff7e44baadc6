//! What is done again and again: connects that fail, that succeed, that are cut off on either side.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use towpath_client::{Builder, Client, ClientError, Connection, State, Waiting};
use towpath_testkit::Program;

use super::bed::Bed;
use super::scripted::{Dies, batch_len, opening_len};

/// Time for a step that must come.
const DEADLINE: Duration = Duration::from_secs(20);

/// Real time for a turn of the runtime in every other pass: what was asked for is there by then, so
/// that a turn is a step.
const TURN: Duration = Duration::from_micros(300);

/// Turns after which a connect must have come to its end.
const TURNS_MAX: usize = 100_000;

/// One kind of round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// A connect while the cluster is empty.
    Empty,
    /// The same with a client, and so a session with ZooKeeper, of its own.
    EmptyAnew,
    /// Connects and closes.
    Cycle,
    /// A connect to a server that is registered and does not listen.
    Refused,
    /// The server dies while the client logs in and subscribes, after another byte each time.
    DiesInHandshake,
    /// The server dies in a batch, after another byte each time.
    DiesInBatch,
    /// The server dies when the ack was sent.
    DiesAfterAck,
    /// A connect is dropped after 1, 2, 3 ... turns of the runtime, until it completes, and from 1
    /// again.
    Cancelled,
    /// The same with a client of its own, dropped at the same time: also while it gets its session.
    CancelledAnew,
    /// Client, connection and batch are dropped without a close, in every order.
    Dropped,
    /// A connection waits for the lock of another; in turn either is dropped first.
    Standby,
    /// The lock is taken away from an active connection, which takes it back.
    LockLost,
    /// ZooKeeper ends the session of an active connection, which goes on with a new one.
    Expired,
    /// A process that was given a batch is told to end (SIGTERM), after another time each round.
    Terminated,
}

impl Round {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::EmptyAnew => "empty-anew",
            Self::Cycle => "cycle",
            Self::Refused => "refused",
            Self::DiesInHandshake => "dies-in-handshake",
            Self::DiesInBatch => "dies-in-batch",
            Self::DiesAfterAck => "dies-after-ack",
            Self::Cancelled => "cancelled",
            Self::CancelledAnew => "cancelled-anew",
            Self::Dropped => "dropped",
            Self::Standby => "standby",
            Self::LockLost => "lock-lost",
            Self::Expired => "expired",
            Self::Terminated => "terminated",
        }
    }
}

/// Goes from round to round.
pub(crate) struct Rounds<'b> {
    bed: &'b Bed,
    round: Round,
    builder: Builder,
    client: Client,
    /// Another one, with a session of its own, for standbys.
    other: Client,
    number: usize,
    turns: usize,
    passes: usize,
}

impl<'b> Rounds<'b> {
    /// Sets the tree and the server up for them.
    pub(crate) async fn new(bed: &'b Bed, round: Round) -> Self {
        let (builder, dies) = match round {
            Round::Empty | Round::EmptyAnew | Round::Refused | Round::DiesInHandshake => {
                (bed.builder().wait(Duration::ZERO), Dies::Never)
            }
            Round::DiesAfterAck => (bed.builder(), Dies::AfterAck),
            Round::Expired => (Bed::builder_at(bed.expiry.address()), Dies::Never),
            Round::Cycle
            | Round::DiesInBatch
            | Round::Cancelled
            | Round::CancelledAnew
            | Round::Dropped
            | Round::Standby
            | Round::LockLost
            | Round::Terminated => (bed.builder(), Dies::Never),
        };
        bed.server.dies(dies);
        match round {
            // Nothing listens on the port of a socket that is closed.
            Round::Refused => {
                let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                bed.announce(&port.local_addr().unwrap().to_string()).await;
            }
            Round::Empty | Round::EmptyAnew => bed.silence().await,
            Round::Cycle
            | Round::DiesInHandshake
            | Round::DiesInBatch
            | Round::DiesAfterAck
            | Round::Cancelled
            | Round::CancelledAnew
            | Round::Dropped
            | Round::Standby
            | Round::LockLost
            | Round::Expired
            | Round::Terminated => bed.announce(bed.server.address()).await,
        }
        let [client, other] = [(); 2].map(|()| builder.clone().build().unwrap());
        Self { bed, round, builder, client, other, number: 0, turns: 0, passes: 0 }
    }

    /// Goes on until connects were cancelled at one turn after the other, up to the last, in both ways.
    pub(crate) async fn complete_passes(&mut self) {
        while matches!(self.round, Round::Cancelled | Round::CancelledAnew) && self.passes < 2 {
            self.next().await;
        }
    }

    /// Bytes that may be held over the baseline: lists grow with the most entries that they ever had at
    /// a time, never with the number of rounds. Connects that are dropped at once leave requests to
    /// ZooKeeper in such a list by the hundred.
    pub(crate) fn slack_bytes(&self) -> usize {
        let is_cancelled = matches!(self.round, Round::Cancelled | Round::CancelledAnew);
        if is_cancelled { 256 << 10 } else { 32 << 10 }
    }

    pub(crate) async fn run(&mut self, count: usize) {
        for _ in 0..count {
            self.next().await;
        }
    }

    /// One round. Whatever it opened was closed, or dropped, when it returns.
    pub(crate) async fn next(&mut self) {
        self.number += 1;
        match self.round {
            Round::Empty => empty(&self.client).await,
            Round::EmptyAnew => empty(&self.anew()).await,
            Round::Cycle => self.connected().await.close().await,
            Round::Refused => {
                let error = self.client.connect().await.unwrap_err();
                assert!(matches!(error, ClientError::Io { .. }), "{error}");
            }
            Round::DiesInHandshake => {
                self.bed.server.dies(Dies::AfterBytes(1 + self.number % opening_len()));
                // The last byte of all is that of a subscription: it connects, and fails then.
                match self.client.connect().await {
                    Ok(connection) => failed(&connection).await,
                    Err(error) => assert!(matches!(error, ClientError::Io { .. }), "{error}"),
                }
            }
            Round::DiesInBatch => {
                let part = 1 + self.number % (batch_len() - 1);
                self.bed.server.dies(Dies::AfterBytes(opening_len() + part));
                failed(&self.connected().await).await;
            }
            Round::DiesAfterAck => self.dies_after_ack().await,
            Round::Cancelled => {
                let client = self.client.clone();
                self.cancelled(&client).await;
            }
            Round::CancelledAnew => {
                let client = self.anew();
                self.cancelled(&client).await;
            }
            Round::Dropped => self.dropped().await,
            Round::Standby => {
                let active = self.connected().await;
                let standby = self.standby().await;
                if self.number.is_multiple_of(2) {
                    drop(standby);
                    active.close().await;
                } else {
                    drop(active);
                    standby.active(DEADLINE).await.unwrap();
                }
            }
            Round::LockLost => self.lock_lost().await,
            Round::Expired => {
                let connection = self.connected().await;
                self.bed.expiry.expire().await;
                failed(&connection).await;
                active_again(connection).await;
            }
            Round::Terminated => self.terminated().await,
        }
    }

    fn anew(&self) -> Client {
        self.builder.clone().build().unwrap()
    }

    pub(crate) async fn connected(&self) -> Connection {
        timeout(DEADLINE, self.client.connect()).await.unwrap().unwrap()
    }

    /// A connection that waits for the lock.
    pub(crate) async fn standby(&self) -> Connection {
        let connection = self.other.start();
        let mut changes = connection.changes();
        let waits = changes
            .wait_for(|status| matches!(status.state, State::Waiting(Waiting::Standby { .. })));
        assert!(timeout(DEADLINE, waits).await.unwrap().is_ok());
        connection
    }

    async fn dies_after_ack(&self) {
        let mut connection = self.connected().await;
        let batch = timeout(DEADLINE, connection.next()).await.unwrap().unwrap().unwrap();
        timeout(DEADLINE, batch.ack()).await.unwrap().unwrap();
        failed(&connection).await;
        if self.number.is_multiple_of(2) {
            connection.close().await;
        }
    }

    async fn cancelled(&mut self, client: &Client) {
        self.turns += 1;
        let turn = if self.passes.is_multiple_of(2) { TURN } else { Duration::ZERO };
        assert!(self.turns < TURNS_MAX, "a connect does not come to its end");
        if let Some(connected) = within(client.connect(), self.turns, turn).await {
            connected.unwrap().close().await;
            self.turns = 0;
            self.passes += 1;
        }
    }

    async fn dropped(&self) {
        let client = self.anew();
        let mut connection = timeout(DEADLINE, client.connect()).await.unwrap().unwrap();
        let batch = timeout(DEADLINE, connection.next()).await.unwrap().unwrap().unwrap();
        match self.number % 4 {
            0 => {
                drop(client);
                drop(connection);
                drop(batch);
            }
            1 => {
                drop(batch);
                drop(connection);
                drop(client);
            }
            2 => {
                drop(connection);
                assert!(batch.ack().await.is_err());
                drop(client);
            }
            // Without an await in between, and with the ack under way.
            _ => {
                let ack = batch.ack();
                drop(client);
                drop(connection);
                assert!(ack.await.is_err());
            }
        }
    }

    async fn lock_lost(&self) {
        let connection = self.connected().await;
        let control = &self.bed.control;
        let lock = control.tree().client_running(super::bed::DESTINATION, 1001);
        assert!(control.delete(&lock, None).await.unwrap());
        failed(&connection).await;
        active_again(connection).await;
    }

    async fn terminated(&self) {
        let batches = self.bed.server.batches();
        let mut command = crate::follower(&self.bed.zookeeper.address());
        let mut follower = Program::start(&mut command, "this is the program itself");
        let has_batch = async {
            while self.bed.server.batches() == batches {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, has_batch).await.unwrap();
        sleep(Duration::from_micros(u64::try_from(self.number % 8).unwrap() * 250)).await;
        follower.terminate();
        // The server is in this runtime: nothing may block it.
        let has_ended = async {
            while !follower.has_ended() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, has_ended).await.unwrap();
        let ended = follower.wait(Duration::ZERO);
        assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    }
}

async fn empty(client: &Client) {
    let error = client.connect().await.unwrap_err();
    assert!(matches!(error, ClientError::NoServer { cluster_nodes: 0, .. }), "{error}");
}

/// Waits until the connection has lost its server.
async fn failed(connection: &Connection) {
    let mut changes = connection.changes();
    let failed = changes.wait_for(|status| status.last_failure.is_some());
    assert!(timeout(DEADLINE, failed).await.unwrap().is_ok());
}

/// Waits for the next server, and closes the connection.
async fn active_again(connection: Connection) {
    timeout(DEADLINE, connection.active(DEADLINE)).await.unwrap().unwrap();
    connection.close().await;
}

/// Polls the future at every turn of the runtime, so many times at most, and drops it then.
async fn within<F: Future>(future: F, turns: usize, turn: Duration) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..turns {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context)));
        if let Poll::Ready(output) = polled.await {
            return Some(output);
        }
        // Blocks all of the runtime, so that nothing but time passes.
        std::thread::sleep(turn);
        yield_now().await;
    }
    None
}
