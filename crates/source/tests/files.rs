//! Binlog files are not waited for: what reads ahead in them lets other tasks run.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use towpath_binlog::transaction::{FateScan, Savepoints};
use towpath_schema::NameCase;
use towpath_source::{FileSource, Filled, Source, Start};

/// A file of more than one block.
fn long_file(start: &Start) -> Source {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    let file = fixtures.join("types/mysql-bin.000001");
    Source::Files(Box::new(FileSource::open(&file, start, 1 << 30).unwrap()))
}

/// How often a future lets others run before it is done.
async fn pauses<F: Future>(future: F) -> (usize, F::Output) {
    let (mut future, mut count) = (pin!(future), 0);
    let output = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(output),
        Poll::Pending => {
            count += 1;
            Poll::Pending
        }
    });
    let output = output.await;
    (count, output)
}

#[tokio::test(crate = "towpath_testkit")]
async fn reading_lets_others_run() {
    let mut source = long_file(&Start::Earliest);
    let reading = async {
        while source.fill().await.unwrap() != Filled::End {
            while source.next_event().unwrap().is_some() {}
        }
    };
    let (count, ()) = pauses(reading).await;
    assert!(count > 2, "{count}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn the_search_for_names_lets_others_run() {
    let (count, case) = pauses(long_file(&Start::Earliest).find_name_case()).await;
    // Names in its second block have capital letters.
    assert_eq!(case, NameCase::Sensitive);
    assert!(count > 1, "{count}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn the_search_for_the_end_of_a_transaction_lets_others_run() {
    let mut source = long_file(&Start::Earliest);
    source.fill().await.unwrap();
    // No event of the file is looked at: it is read to its end.
    let scan = FateScan::new(4, u64::MAX, Savepoints::default());
    let (count, fate) = pauses(source.fate(scan)).await;
    fate.unwrap();
    assert!(count > 1, "{count}");
}

#[tokio::test(crate = "towpath_testkit")]
async fn the_search_for_the_begin_of_a_transaction_lets_others_run() {
    let (file, offset) = ("mysql-bin.000001".to_owned(), 1 << 40);
    let mut source = long_file(&Start::At { file, offset });
    let (count, is_rewound) = pauses(source.rewind()).await;
    assert!(!is_rewound.unwrap(), "it begins in no transaction");
    assert!(count > 1, "{count}");
}
