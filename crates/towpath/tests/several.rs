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

/// Whether another id is known: where none is, reading goes on from now.
fn may_unsubscribe(clients: &[Client], id: i16) -> bool {
    clients.iter().any(|client| client.is_known && client.id != id)
}

/// Waits until the server has seen all that was sent, since an acknowledgement has no answer, and until it is
/// on disk.
async fn settle(clients: &mut [Client]) {
    for client in clients {
        if let Some(session) = &mut client.session {
            session.subscribe("d\\.n").await.unwrap();
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
}

fn share(version: Version, server_arguments: &[&str], arguments: &[&str]) {
    let seed = setting("TOWPATH_SEED").unwrap_or(DEFAULT_SEED);
    let steps = setting("TOWPATH_SEVERAL_STEPS").unwrap_or(DEFAULT_STEPS);
    let mut random = Random::new(seed);
    let server = Server::start(version, server_arguments);
    server.run(TABLE);
    let url = server.url();
    let mut all = vec!["--source", &url, "--from", "now"];
    all.extend(arguments);
    let mut serving = Serving::start(&all);
    serving.wait_until_running();
    let count = 2 + i16::try_from(random.below(4)).unwrap();
    let new = |id| Client { id, session: None, is_known: false, batches: VecDeque::new() };
    let mut clients: Vec<Client> = (1001..1001 + count).map(new).collect();
    let (mut written, mut acked) = (0, BTreeSet::new());
    let runtime = Runtime::new().unwrap();
    let at = |step: u64| format!("{version:?} {arguments:?}, TOWPATH_SEED={seed}, step {step}");
    for step in 0..steps {
        let address = serving.towpath.address();
        let index = usize::try_from(random.below(clients.len() as u64)).unwrap();
        let action = random.below(20);
        if action == 19 {
            let leave = random.one_in(2);
            runtime.block_on(async {
                // All others go before, with what they have in hand, and one goes on beyond it.
                for other in (0..clients.len()).filter(|other| leave && *other != index) {
                    clients[other].take(&address, 1).await.unwrap();
                    clients[index].take(&address, 1).await.unwrap();
                    while !clients[index].batches.is_empty() {
                        clients[index].ack(&mut acked).await.unwrap();
                    }
                    settle(&mut clients).await;
                    clients[other].leave(true).await.unwrap();
                }
                settle(&mut clients).await;
            });
            for client in &mut clients {
                client.session = None;
            }
            let is_orderly = random.one_in(2);
            let ended = if is_orderly { serving.end() } else { serving.kill() };
            serving = ended.start(&all);
            continue;
        }
        let may_unsubscribe = may_unsubscribe(&clients, clients[index].id);
        let client = &mut clients[index];
        let done = runtime.block_on(async {
            match action {
                0..=2 => {
                    let last = written + 1 + i64::try_from(random.below(12)).unwrap();
                    write(&server, written + 1..=last);
                    written = last;
                    Ok(())
                }
                3..=9 => client.take(&address, random.pick(&[1, 1, 2, 1000])).await,
                10..=13 => client.ack(&mut acked).await,
                14 => client.roll_back().await,
                15..=17 => client.leave(may_unsubscribe && !random.one_in(4)).await,
                _ => {
                    server.run(version.rotate_sql());
                    Ok(())
                }
            }
        });
        if let Err(error) = done {
            panic!("{}: {error}\n{}", at(step), serving.towpath.program().stderr());
        }
    }
    // At last one of them takes all that is left; the others have gone.
    let address = serving.towpath.address();
    let end = Instant::now() + DEADLINE;
    runtime.block_on(async {
        for client in &mut clients {
            client.leave(false).await.unwrap();
            client.session(&address).await.unwrap();
        }
        while acked.len() < usize::try_from(written).unwrap() && Instant::now() < end {
            for client in &mut clients {
                client.take(&address, 1000).await.unwrap();
                client.ack(&mut acked).await.unwrap();
            }
        }
    });
    let lost: Vec<i64> = (1..=written).filter(|number| !acked.contains(number)).collect();
    assert!(lost.is_empty(), "{}: lost {lost:?}", at(steps));
}

#[test]
fn several_ids_lose_nothing_on_mysql() {
    share(Version::Mysql57, &[], &[]);
    share(Version::Mysql97, &[], &["--gtid"]);
}

#[test]
fn several_ids_lose_nothing_on_mariadb() {
    share(Version::Mariadb1011, &[], &[]);
    share(Version::Mariadb114, &[], &["--gtid"]);
}
