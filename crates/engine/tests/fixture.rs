//! Engines on folders of their own, with destinations fed by hand or from recorded files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use towpath_coordination::SourceAddress;
use towpath_engine::{
    Batch, DestinationConfig, DestinationLook, Engine, EngineConfig, Feed, SourceFeed,
    StoreOptions, Subscriber, Subscription, Wait,
};
use towpath_entry::{Block, Context, DecoderOptions, EntryInfo, EntryKind, TableFilter};
use towpath_source::{SourceConfig, Start};

/// Long enough for anything on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// For a stop in order.
pub(crate) const STOP: Duration = Duration::from_secs(5);

pub(crate) fn engine() -> (Engine, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Engine::open(EngineConfig::Alone(folder.path().join("state"))).unwrap(), folder)
}

pub(crate) fn config(destination: &str, feed: Feed) -> DestinationConfig {
    DestinationConfig {
        destination: destination.to_owned(),
        address: SourceAddress { host: "db".to_owned(), port: 3306 },
        store: StoreOptions::default(),
        filter: TableFilter::default(),
        feed,
    }
}

/// Reads a file or a folder from its begin.
pub(crate) fn files(place: &Path) -> Feed {
    Feed::Source(Box::new(SourceFeed {
        place: place.to_str().unwrap().to_owned(),
        config: SourceConfig::default(),
        start: Start::Earliest,
        instead_of: None,
        decoder: DecoderOptions::default(),
        stall_timeout: PATIENCE,
    }))
}

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden").join(name)
}

/// A destination fed by hand.
pub(crate) async fn by_hand(engine: &Engine, destination: &str) -> mpsc::Sender<Block> {
    let (feed, blocks) = mpsc::channel(1);
    engine.start(config(destination, Feed::Blocks(blocks))).await.unwrap();
    feed
}

/// A block of one entry, the end of a transaction, that says its number.
pub(crate) fn numbered(number: u64) -> Block {
    let entry = number.to_be_bytes();
    let mut bytes = Vec::new();
    towpath_protocol::Messages { batch_id: None, entries: vec![&entry] }.write(&mut bytes);
    let info = EntryInfo {
        end: bytes.len(),
        entry_len: entry.len(),
        kind: EntryKind::End,
        start_offset: number * 100 + 4,
        end_offset: number * 100 + 104,
        execute_time_ms: 0,
        server_id: 1,
        row_count: 1,
        context: 0,
    };
    let contexts = vec![Context { file: "mysql-bin.000001".into(), gtid: None }];
    Block { bytes: bytes.into(), entries: vec![info], contexts, spare_bytes: 0 }
}

/// The numbers of a batch of [`numbered`] blocks.
pub(crate) fn numbers(batch: &Batch) -> Vec<u64> {
    let bytes = batch.slices.concat();
    let messages = towpath_protocol::Messages::parse(&bytes).unwrap();
    let number = |entry: &&[u8]| u64::from_be_bytes((*entry).try_into().unwrap());
    messages.entries.iter().map(number).collect()
}

pub(crate) async fn worker(engine: &Engine, destination: &str) -> Subscription {
    let who = (1001, Subscriber::Worker(Arc::from("test")));
    engine.subscribe(destination, who, None).await.unwrap()
}

/// The next batch, which must come.
pub(crate) async fn next(subscription: &mut Subscription, fetch_size: i32) -> Batch {
    let wait = Wait::Until(Instant::now() + PATIENCE);
    subscription.next(fetch_size, wait).await.unwrap().expect("no batch comes")
}

/// Waits until a destination is as it should be.
pub(crate) async fn until(
    engine: &Engine,
    destination: &str,
    is: impl Fn(&DestinationLook) -> bool,
) {
    let found = async {
        while !engine.look_at(destination).is_some_and(|look| is(&look)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let found = timeout(PATIENCE, found).await;
    assert!(found.is_ok(), "{:?}", engine.look_at(destination));
}
