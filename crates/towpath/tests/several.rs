//! Several client ids of one destination, which share its entries as in Canal: whatever they take, acknowledge,
//! roll back and leave, and however the server ends, every row is acknowledged by one of them at last.
//!
//! `TOWPATH_SEED` gives other numbers, `TOWPATH_SEVERAL_STEPS` how many steps each server takes.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use towpath_client::{ClientError, Session, SessionOptions};
use towpath_testkit::{Random, Server, Version, setting};

use crate::sequence::{Serving, TABLE, inserted, write};

const DEFAULT_SEED: u64 = 1001;
const DEFAULT_STEPS: u64 = 250;
/// Time for all rows to come at the end.
const DEADLINE: Duration = Duration::from_secs(60);

/// One client id, and what it has in hand.
struct Client {
    id: i16,
    session: Option<Session>,
    /// Whether the server knows it.
    is_known: bool,
    batches: VecDeque<(i64, Vec<i64>)>,
}

impl Client {
    /// A session that is subscribed. What the id had in hand comes again.
    async fn session(&mut self, address: &str) -> Result<&mut Session, ClientError> {
        if self.session.is_none() {
            self.batches.clear();
            let options = SessionOptions { client_id: self.id, ..SessionOptions::default() };
            let mut session = Session::connect(address, options).await?;
            session.subscribe("d\\.n").await?;
            session.rollback(None).await?;
            self.session = Some(session);
            self.is_known = true;
        }
        Ok(self.session.as_mut().unwrap())
    }

    async fn take(&mut self, address: &str, fetch_size: i32) -> Result<(), ClientError> {
        let session = self.session(address).await?;
        let batch = session.get(fetch_size, Duration::from_millis(50)).await?;
        if !batch.is_nothing() {
            let numbers = batch.entries.iter().flat_map(|entry| inserted(entry)).collect();
            self.batches.push_back((batch.id, numbers));
        }
        Ok(())
    }

    /// The oldest batch; its numbers count.
    async fn ack(&mut self, acked: &mut BTreeSet<i64>) -> Result<(), ClientError> {
        let (Some(session), Some((id, numbers))) = (&mut self.session, self.batches.pop_front())
        else {
            return Ok(());
        };
        session.ack(id).await?;
        acked.extend(numbers);
        Ok(())
    }

    async fn roll_back(&mut self) -> Result<(), ClientError> {
        self.batches.clear();
        match &mut self.session {
            Some(session) => session.rollback(None).await,
            None => Ok(()),
        }
    }

    async fn leave(&mut self, unsubscribes: bool) -> Result<(), ClientError> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        self.batches.clear();
        if unsubscribes {
            session.unsubscribe().await?;
            self.is_known = false;
        }
        session.close(Duration::from_secs(1)).await;
        Ok(())
    }
}

/// The clients of a server, what was written, and what they acknowledged.
struct Scene {
    random: Random,
    clients: Vec<Client>,
    written: i64,
    acked: BTreeSet<i64>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + i16::try_from(random.below(4)).unwrap();
        let new = |id| Client { id, session: None, is_known: false, batches: VecDeque::new() };
        let clients = (1001..1001 + count).map(new).collect();
        Self { random, clients, written: 0, acked: BTreeSet::new() }
    }

    /// One thing that one of the clients does, or the source.
    async fn step(
        &mut self,
        index: usize,
        address: &str,
        server: &Server,
    ) -> Result<(), ClientError> {
        let id = self.clients[index].id;
        // Where no id is known, reading goes on from now.
        let may_unsubscribe = self.clients.iter().any(|other| other.is_known && other.id != id);
        let client = &mut self.clients[index];
        match self.random.below(20) {
            0..=2 => {
                let last = self.written + 1 + i64::try_from(self.random.below(12)).unwrap();
                write(server, self.written + 1..=last);
                self.written = last;
            }
            3..=9 => client.take(address, self.random.pick(&[1, 1, 2, 1000])).await?,
            10..=14 => client.ack(&mut self.acked).await?,
            15 => client.roll_back().await?,
            16..=18 => client.leave(may_unsubscribe && !self.random.one_in(4)).await?,
            _ => server.run(server.version().rotate_sql()),
        }
        Ok(())
    }

    /// All others go, with what they have in hand, and one goes on beyond it.
    async fn leave_one(&mut self, index: usize, address: &str) -> Result<(), ClientError> {
        for other in (0..self.clients.len()).filter(|other| *other != index) {
            self.clients[other].take(address, 1).await?;
            self.clients[index].take(address, 1).await?;
            while !self.clients[index].batches.is_empty() {
                self.clients[index].ack(&mut self.acked).await?;
            }
            self.settle().await?;
            self.clients[other].leave(true).await?;
        }
        Ok(())
    }

    /// Waits until the server has seen all that was sent, since an acknowledgement has no answer, and until
    /// it is on disk.
    async fn settle(&mut self) -> Result<(), ClientError> {
        for session in self.clients.iter_mut().filter_map(|client| client.session.as_mut()) {
            session.subscribe("d\\.n").await?;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    }

    /// All take what is left.
    async fn take_rest(&mut self, address: &str) -> Result<(), ClientError> {
        let end = Instant::now() + DEADLINE;
        for client in &mut self.clients {
            client.leave(false).await?;
            client.session(address).await?;
        }
        while self.lost().next().is_some() && Instant::now() < end {
            for client in &mut self.clients {
                client.take(address, 1000).await?;
                client.ack(&mut self.acked).await?;
            }
        }
        Ok(())
    }

    fn lost(&self) -> impl Iterator<Item = i64> {
        (1..=self.written).filter(|number| !self.acked.contains(number))
    }
}

fn share(version: Version, arguments: &[&str]) {
    let seed = setting("TOWPATH_SEED").unwrap_or(DEFAULT_SEED);
    let steps = setting("TOWPATH_SEVERAL_STEPS").unwrap_or(DEFAULT_STEPS);
    let at = format!("{version:?} {arguments:?}, TOWPATH_SEED={seed}");
    let server = Server::start(version, &[]);
    server.run(TABLE);
    let url = server.url();
    let all = [&["--source", &url, "--from", "now"], arguments].concat();
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    let mut scene = Scene::new(seed);
    let runtime = Runtime::new().unwrap();
    for step in 0..steps {
        let address = serving.towpath.address();
        let index = usize::try_from(scene.random.below(scene.clients.len() as u64)).unwrap();
        let (ends, leave) = (scene.random.one_in(20), scene.random.one_in(2));
        let done = runtime.block_on(async {
            match ends {
                true if leave => scene.leave_one(index, &address).await?,
                true => {}
                false => return scene.step(index, &address, &server).await,
            }
            scene.settle().await
        });
        if let Err(error) = done {
            panic!("{at}, step {step}: {error}\n{}", serving.towpath.program().stderr());
        }
        if ends {
            for client in &mut scene.clients {
                client.session = None;
            }
            let is_orderly = scene.random.one_in(2);
            let ended = if is_orderly { serving.end() } else { serving.kill() };
            serving = ended.start(&all);
        }
    }
    runtime.block_on(scene.take_rest(&serving.towpath.address())).unwrap();
    let lost: Vec<i64> = scene.lost().collect();
    assert!(lost.is_empty(), "{at}: lost {lost:?}");
}

#[test]
fn several_ids_lose_nothing_on_mysql() {
    share(Version::Mysql57, &[]);
    share(Version::Mysql97, &["--gtid"]);
}

#[test]
fn several_ids_lose_nothing_on_mariadb() {
    share(Version::Mariadb1011, &[]);
    share(Version::Mariadb114, &["--gtid"]);
}
