//! Batches, acks and rollbacks of one and of several clients.

use tokio::task::JoinSet;
use towpath_coordination::{Resume, SourceAddress, StateDirectory};
use towpath_entry::{Context, EntryInfo, EntryKind};

use super::*;
use crate::store::BatchMode;
use crate::subscription::Subscriber;

fn contexts() -> Vec<Context> {
    vec![Context { file: "mysql-bin.000001".into(), gtid: None }]
}

/// A destination on a state directory of its own, whose writer runs.
struct Fixture {
    destination: Destination,
    directory: tempfile::TempDir,
    writers: JoinSet<()>,
}

const OPTIONS: StoreOptions = StoreOptions {
    capacity_bytes: 1 << 20,
    mode: BatchMode::ItemSize,
    ddl: crate::store::DdlIsolation::Together,
};

impl Fixture {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(directory: tempfile::TempDir) -> Self {
        let state = StateDirectory::open(directory.path()).unwrap();
        let (cursors, writer) = state.destination("example", SourceAddress::default()).unwrap();
        let mut writers = JoinSet::new();
        writers.spawn(async move { writer.run().await.unwrap() });
        let filter = TableFilter::default();
        let destination = Destination::new("example", OPTIONS, filter, cursors, None);
        destination.set_state(InstanceState::Running);
        Self { destination, directory, writers }
    }

    async fn subscribed(client_ids: &[i16]) -> Self {
        let fixture = Self::new();
        for client_id in client_ids {
            fixture.subscribe(*client_id).await;
        }
        fixture
    }

    async fn subscribe(&self, client_id: i16) {
        let generation = self.destination.subscribe((client_id, reader(0)), None).unwrap();
        let mut written = self.destination.written();
        written.wait_for(|written| written.generation >= generation).await.unwrap();
    }

    /// Ends as after a kill that came once everything was written.
    async fn end(mut self) -> tempfile::TempDir {
        drop(self.destination);
        while self.writers.join_next().await.is_some() {}
        self.directory
    }

    /// Transactions of begin, row, end: three entries each, 100 bytes of binlog.
    async fn push(&self, transactions: std::ops::Range<u64>) {
        for transaction in transactions {
            let kinds = [EntryKind::Begin, EntryKind::Rows, EntryKind::End];
            let entries = kinds.iter().zip(0..).map(|(kind, index)| EntryInfo {
                end: 3 * (index + 1),
                entry_len: 1,
                kind: *kind,
                start_offset: transaction * 100 + 30 * index as u64,
                end_offset: transaction * 100 + 30 * (index as u64 + 1),
                execute_time_ms: 0,
                server_id: 1,
                row_count: 0,
                context: 0,
            });
            let byte = u8::try_from(transaction).unwrap();
            let bytes = [0x12, 1, byte].repeat(3);
            self.destination
                .push(Block {
                    bytes: bytes.into(),
                    entries: entries.collect(),
                    contexts: contexts(),
                    spare_bytes: 0,
                })
                .await;
        }
    }

    fn get(&self, client_id: i16, count: i32) -> Option<(i64, Vec<u8>)> {
        let batch = self.destination.get((client_id, None), count).unwrap()?;
        let entries = batch.slices.concat();
        assert_eq!(entries.len(), batch.len);
        Some((batch.id, entries.chunks(3).map(|entry| entry[2]).collect()))
    }

    fn resume(&self, client_id: i16) -> Option<u64> {
        let cursor = self.destination.core().cursors.cursor(client_id)?;
        cursor.resume.map(|resume| resume.offset)
    }
}

/// A cursor behind which reading goes on at an offset of the first file.
fn at(offset: u64) -> Cursor {
    cursor("mysql-bin.000001", offset, "")
}

fn cursor(file: &str, offset: u64, gtid: &str) -> Cursor {
    let gtid: Arc<str> = gtid.into();
    let resume =
        Resume { file: file.into(), offset, gtid: Some(Arc::clone(&gtid)), of: None, xid: None };
    Cursor { file: file.into(), offset, gtid, server_id: 1, timestamp_ms: 0, resume: Some(resume) }
}

/// The connection that subscribed as the how manyth.
fn reader(number: u64) -> Reader {
    Reader {
        number,
        subscriber: Subscriber::Connection(([127, 0, 0, 1], 40_000).into()),
        since_ms: 0,
    }
}

fn text<T: std::fmt::Debug>(result: Result<T, DestinationError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test(crate = "towpath_testkit")]
async fn batches_are_acked_in_order_and_move_the_cursor() {
    let f = Fixture::subscribed(&[1001]).await;
    f.push(0..3).await;
    assert_eq!(f.get(1001, 2), Some((1, vec![0, 0])));
    assert_eq!(f.get(1001, 3), Some((2, vec![0, 1, 1])));
    let d = &f.destination;
    assert_eq!(text(d.ack(1001, 2)), "batch 2 is not the oldest one, which is 1");
    let expected = "client id 1001 has no batch 3 to acknowledge";
    assert_eq!(text(d.ack(1001, 3)), expected);
    d.ack(1001, 1).unwrap();
    assert_eq!(f.resume(1001), None, "a batch without an end moves nothing");
    d.ack(1001, 2).unwrap();
    assert_eq!(f.resume(1001), Some(90));
    assert!(text(d.ack(1001, 2)).contains("has no batch"), "an ack works once");
}

/// F15: past what nobody is given, the cursor moves when all before it is acknowledged.
#[tokio::test(crate = "towpath_testkit")]
async fn cursors_pass_what_is_not_delivered() {
    let f = Fixture::subscribed(&[1001, 1002]).await;
    f.destination.set_origin(at(4));
    f.push(0..1).await;
    assert!(!f.destination.pass(&at(500)), "nothing is taken yet");
    let (id, _) = f.get(1001, 9).unwrap();
    assert!(!f.destination.pass(&at(500)), "nothing is acknowledged yet");
    f.destination.ack(1001, id).unwrap();
    assert!(f.destination.pass(&at(500)));
    assert_eq!((f.resume(1001), f.resume(1002)), (Some(500), Some(500)));
    assert!(f.destination.pass(&at(600)));
    assert_eq!((f.resume(1001), f.resume(1002)), (Some(600), Some(600)));
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_rollback_brings_the_same_entries_under_new_ids() {
    let f = Fixture::subscribed(&[1001]).await;
    f.push(0..2).await;
    assert_eq!(f.get(1001, 3).unwrap().0, 1);
    f.destination.ack(1001, 1).unwrap();
    assert_eq!(f.get(1001, 1), Some((2, vec![1])));
    assert_eq!(f.get(1001, 1), Some((3, vec![1])));
    f.destination.rollback_all(1001);
    assert_eq!(f.get(1001, 9), Some((4, vec![1, 1, 1])));
    let expected = "client id 1001 has no batch 2 to roll back";
    assert_eq!(text(f.destination.rollback(1001, 2)), expected);
    f.destination.rollback(1001, 4).unwrap();
    assert_eq!(f.get(1001, 9), Some((5, vec![1, 1, 1])));
    assert_eq!(f.get(1001, 9), None);
}

#[tokio::test(crate = "towpath_testkit")]
async fn rolling_back_a_batch_drops_the_younger_ones_too() {
    let f = Fixture::subscribed(&[1001]).await;
    f.push(0..2).await;
    for id in 1..=3 {
        assert_eq!(f.get(1001, 2).unwrap().0, id);
    }
    assert_eq!(text(f.destination.rollback(1001, 2)), "batch 2 is not the oldest one, which is 1");
    f.destination.rollback(1001, 1).unwrap();
    for id in 1..=3 {
        assert!(text(f.destination.ack(1001, id)).contains("has no batch"));
    }
    assert_eq!(f.get(1001, 9), Some((4, vec![0, 0, 0, 1, 1, 1])));
}

#[tokio::test(crate = "towpath_testkit")]
async fn who_has_not_subscribed_gets_nothing_but_may_roll_back() {
    let f = Fixture::new();
    let expected = "client id 7 has not subscribed to destination example";
    assert_eq!(text(f.destination.get((7, None), 1)), expected);
    assert_eq!(text(f.destination.ack(7, 1)), expected);
    f.destination.rollback_all(7);
    f.destination.rollback(7, 4711).unwrap();
    f.destination.unsubscribe(7).unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn an_unsubscribed_client_leaves_its_entries_to_the_next_and_its_ids_unused() {
    let f = Fixture::subscribed(&[1001]).await;
    f.push(0..1).await;
    assert_eq!(f.get(1001, 9).unwrap().0, 1);
    f.destination.unsubscribe(1001).unwrap();
    assert!(text(f.destination.get((1001, None), 9)).contains("has not subscribed"));
    f.subscribe(7).await;
    assert_eq!(f.get(7, 9), Some((1, vec![0, 0, 0])));
    f.destination.ack(7, 1).unwrap();
    f.push(1..2).await;
    f.subscribe(1001).await;
    assert_eq!(f.get(1001, 9), Some((2, vec![1, 1, 1])));
    let directory = f.end().await;
    let known = Fixture::on(directory).destination.core().cursors.clients();
    assert_eq!(known.iter().map(|client| client.id).collect::<Vec<_>>(), [7, 1001]);
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_restart_goes_on_behind_the_last_ack_with_new_ids() {
    let f = Fixture::subscribed(&[1001]).await;
    f.push(0..2).await;
    assert_eq!(f.get(1001, 3).unwrap().0, 1);
    f.destination.ack(1001, 1).unwrap();
    assert_eq!(f.get(1001, 3).unwrap().0, 2);
    let f = Fixture::on(f.end().await);
    let resume = f.destination.oldest_cursor().unwrap().resume.unwrap();
    assert_eq!((resume.file.as_ref(), resume.offset), ("mysql-bin.000001", 90));
    f.push(1..2).await;
    assert!(text(f.destination.ack(1001, 2)).contains("has no batch"), "a stale ack hits nothing");
    // The ids of the last run are used up: the next ones are given out once they are on disk.
    assert!(text(f.destination.get((1001, None), 3)).contains("state directory"));
    f.destination.written().wait_for(|written| written.generation > 0).await.unwrap();
    assert_eq!(f.get(1001, 3), Some((65_537, vec![1, 1, 1])));
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_client_that_never_acks_is_known_from_where_it_began() {
    let f = Fixture::new();
    f.subscribe(1001).await;
    f.destination.set_origin(at(4));
    f.push(0..2).await;
    f.subscribe(7).await;
    assert_eq!((f.resume(1001), f.resume(7)), (Some(4), Some(4)));
    assert!(f.get(1001, 3).is_some());
    f.destination.ack(1001, 1).unwrap();
    f.subscribe(8).await;
    assert_eq!(f.resume(8), Some(90), "a new client begins behind what is acked");
}

#[tokio::test(crate = "towpath_testkit")]
async fn clients_of_one_destination_share_the_entries_and_lose_none() {
    let f = Fixture::subscribed(&[1, 2]).await;
    f.push(0..4).await;
    assert_eq!(f.get(1, 3), Some((1, vec![0, 0, 0])));
    assert_eq!(f.get(2, 3), Some((1, vec![1, 1, 1])));
    f.destination.ack(2, 1).unwrap();
    assert_eq!(f.destination.core().store.ack_sequence(), 0, "client 1 still holds the first");
    f.destination.rollback_all(1);
    assert_eq!(f.get(1, 3), Some((2, vec![0, 0, 0])));
    assert_eq!(f.get(2, 6), Some((2, vec![1, 1, 1, 2, 2, 2])));
    // Client 2 comes back: what client 1 has in hand comes again too, yet its ack is in order.
    f.destination.rollback_all(2);
    f.destination.ack(1, 2).unwrap();
    assert_eq!(f.destination.core().store.ack_sequence(), 0);
    assert_eq!(f.get(2, 12).unwrap().1.len(), 12);
    f.destination.ack(2, 3).unwrap();
    assert_eq!(f.destination.core().store.held_bytes(), 0);
}

/// What one client holds and another has gone past is on disk: it comes again after any end.
#[tokio::test(crate = "towpath_testkit")]
async fn what_a_client_that_left_had_in_hand_comes_again_after_a_restart() {
    let f = Fixture::subscribed(&[1, 2]).await;
    f.destination.set_origin(at(0));
    f.push(0..4).await;
    assert_eq!(f.get(1, 6), Some((1, vec![0, 0, 0, 1, 1, 1])));
    assert_eq!(f.get(2, 6), Some((1, vec![2, 2, 2, 3, 3, 3])));
    f.destination.ack(2, 1).unwrap();
    assert_eq!((f.resume(1), f.resume(2)), (Some(0), Some(0)));
    f.destination.unsubscribe(1).unwrap();
    let f = Fixture::on(f.end().await);
    assert_eq!(f.resume(2), Some(0));
    let f = Fixture::subscribed(&[1, 2]).await;
    f.push(0..4).await;
    assert_eq!(f.get(1, 6), Some((1, vec![0, 0, 0, 1, 1, 1])));
    assert_eq!(f.get(2, 6), Some((1, vec![2, 2, 2, 3, 3, 3])));
    f.destination.ack(2, 1).unwrap();
    f.destination.ack(1, 1).unwrap();
    assert_eq!((f.resume(1), f.resume(2)), (Some(390), Some(390)));
    f.subscribe(3).await;
    assert_eq!(f.resume(3), Some(390));
    let f = Fixture::on(f.end().await);
    assert_eq!([1, 2, 3].map(|id| f.resume(id)), [Some(390); 3], "nobody is left behind");
}

/// A standby may count its files in another way: sets tell what is older.
#[test]
fn the_oldest_cursor_is_found_by_what_was_executed() {
    const A: &str = "00000000-0000-0000-0000-00000000000a";
    for (older_one, later) in [
        (cursor("b.000001", 9, ""), cursor("b.000001", 10, "")),
        (cursor("b.999999", 9, ""), cursor("b.1000000", 4, "")),
        (cursor("b.000009", 9, &format!("{A}:1-5")), cursor("b.000001", 4, &format!("{A}:1-6"))),
        (cursor("b.000009", 9, "0-1-5"), cursor("b.000001", 4, "0-2-6")),
        (cursor("b.000001", 9, ""), cursor("b.000002", 4, "0-2-6")),
    ] {
        assert_eq!(older(older_one.clone(), later.clone()), older_one);
        assert_eq!(older(later, older_one.clone()), older_one);
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_batch_that_could_not_be_sent_comes_again() {
    let f = Fixture::subscribed(&[1001]).await;
    f.push(0..2).await;
    assert_eq!(f.get(1001, 3).unwrap().0, 1);
    f.destination.take_back(1001, 1);
    assert_eq!(f.get(1001, 3), Some((2, vec![0, 0, 0])));
    assert_eq!(f.get(1001, 3), Some((3, vec![1, 1, 1])));
    f.destination.take_back(1001, 2);
    assert_eq!(f.get(1001, 3), None, "younger batches are on their way");
    f.destination.ack(1001, 2).unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_clients_filter_is_in_force_and_kept() {
    let f = Fixture::subscribed(&[1001]).await;
    let mut changes = f.destination.filter_changes();
    let filter = |text: &str| {
        let compiled = f.destination.base_filter().with_white(text).unwrap();
        Some(ClientFilter { text: text.to_owned(), compiled, remarks: Vec::new() })
    };
    f.destination.subscribe((1001, reader(0)), filter(r"db\..*")).unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(changes.borrow_and_update().as_ref().unwrap().matches("other", "t"), Ok(false));
    f.destination.subscribe((1001, reader(0)), filter(r"db\..*")).unwrap();
    assert!(!changes.has_changed().unwrap(), "the same filter is no change");
    let f = Fixture::on(f.end().await);
    assert_eq!(f.destination.stored_filter().unwrap().matches("other", "t"), Ok(false));
    assert!(f.destination.filter_in_force(r"db\..*").is_some());
}

/// Another server has left more filters than are taken here.
#[tokio::test(crate = "towpath_testkit")]
async fn a_filter_may_shrink_where_there_is_no_room_for_it_to_grow() {
    let f = Fixture::subscribed(&[1001]).await;
    let subscribe = |text: &str| {
        let compiled = f.destination.base_filter().with_white(text).unwrap();
        let filter = ClientFilter { text: text.to_owned(), compiled, remarks: Vec::new() };
        f.destination.subscribe((1001, reader(0)), Some(filter))
    };
    subscribe(r"db\.a,db\.b").unwrap();
    f.destination.core().cursors.subscribe(7, Some(&"x".repeat(FILTERS_LEN_MAX)));
    assert!(text(subscribe(r"db\.a,db\.b,db\.c")).contains("use a shorter filter"));
    subscribe(r"db\.a,db\.c").unwrap();
    subscribe(r"db\.a").unwrap();
    f.destination.subscribe((1001, reader(0)), None).unwrap();
    assert!(text(subscribe(r"db\.a")).contains("use a shorter filter"));
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_failed_instance_says_why_and_lets_rollbacks_pass() {
    let f = Fixture::subscribed(&[1001]).await;
    let cause = InstanceError::Task("the position is gone".to_owned());
    f.destination.set_state(InstanceState::Failed(Arc::new(cause)));
    let expected =
        "destination example has failed: the instance's task failed: the position is gone";
    assert_eq!(text(f.destination.subscribe((1001, reader(0)), None)), expected);
    assert_eq!(text(f.destination.get((1001, None), 1)), expected);
    f.destination.rollback_all(1001);
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_full_store_holds_the_reader_until_something_is_acked() {
    let f = Fixture::subscribed(&[1001]).await;
    let row = |byte: u8| {
        let entry = EntryInfo {
            end: 300_000,
            entry_len: 299_996,
            kind: EntryKind::Rows,
            start_offset: 0,
            end_offset: 1,
            execute_time_ms: 0,
            server_id: 1,
            row_count: 1,
            context: 0,
        };
        Block {
            bytes: vec![byte; 300_000].into(),
            entries: vec![entry],
            contexts: contexts(),
            spare_bytes: 0,
        }
    };
    let mut pushed = 0;
    while timeout(Duration::from_millis(20), f.destination.push(row(pushed))).await.is_ok() {
        pushed += 1;
        assert!(f.get(1001, 1).is_some(), "taking alone frees nothing");
    }
    assert_eq!(pushed, 3);
    let blocked = f.destination.push(row(9));
    let ack = async { f.destination.ack(1001, 1).unwrap() };
    timeout(Duration::from_secs(5), async { tokio::join!(blocked, ack) }).await.unwrap();
    assert!(f.destination.core().store.held_bytes() <= OPTIONS.capacity_bytes);
}

/// I-ONE, at the server: what a connection took and lost does not come to an older one out of turn.
#[tokio::test(crate = "towpath_testkit")]
async fn a_connection_gets_nothing_once_another_has_subscribed() {
    let f = Fixture::subscribed(&[1001]).await;
    f.push(0..2).await;
    let (old, new) = (Some(reader(1)), Some(reader(2)));
    for reader in [&old, &new] {
        f.destination.subscribe((1001, reader.clone().unwrap()), None).unwrap();
        f.destination.rollback_all(1001);
    }
    assert!(f.destination.get((1001, new.as_ref()), 3).unwrap().is_some());
    let refused = text(f.destination.get((1001, old.as_ref()), 3));
    assert!(refused.contains("subscribed again from 127.0.0.1:40000"), "{refused}");
    // It takes over by subscribing, and begins with what was not acknowledged.
    f.destination.subscribe((1001, reader(3)), None).unwrap();
    f.destination.rollback_all(1001);
    assert_eq!(f.get(1001, 9).unwrap().1, [0, 0, 0, 1, 1, 1]);
    assert!(f.destination.get((1001, new.as_ref()), 3).is_err());
}
