//! State directories on a real file system.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use towpath_coordination::{
    Client, CursorStore, CursorWriter, SourceAddress, StateDirectory, StateError, stored_len,
};

use crate::cursor;

fn address() -> SourceAddress {
    SourceAddress { host: "db".to_owned(), port: 3306 }
}

fn open(path: &Path) -> Result<(CursorStore, CursorWriter), StateError> {
    StateDirectory::open(path)?.destination("example", address())
}

/// Runs the changes and the writer to its end.
async fn write(path: &Path, changes: impl FnOnce(&CursorStore)) {
    let (store, writer) = open(path).unwrap();
    changes(&store);
    drop(store);
    writer.run().await.unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn what_was_written_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), |store| {
        assert_eq!(store.client_count(), 0);
        store.subscribe(1001, Some("db\\..*"));
        store.set_cursor(1001, cursor(100));
        assert_eq!(store.reserve_batch_ids(1001, 0).0, 65_536);
        store.subscribe(1002, None);
        store.subscribe(7, None);
        store.unsubscribe(7);
        store.set_first_cursor(&cursor(4));
    })
    .await;
    let (store, _writer) = open(directory.path()).unwrap();
    let expected = [
        Client {
            id: 1001,
            filter: Some("db\\..*".to_owned()),
            cursor: Some(cursor(100)),
            batch_ids: 65_536,
        },
        Client { id: 1002, filter: None, cursor: Some(cursor(4)), batch_ids: 0 },
    ];
    assert_eq!(store.clients(), expected);
    assert!(!directory.path().join("example/meta.dat.tmp").exists());
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_change_is_on_disk_at_once_and_many_are_one_write() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer) = open(directory.path()).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(writer.run());
    let mut written = store.written();
    store.subscribe(1001, None);
    for offset in 0..5000 {
        store.set_cursor(1001, cursor(offset));
        if offset % 500 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let last = store.set_cursor(1001, cursor(5000));
    let all = written.wait_for(|written| written.generation == last);
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap().unwrap();
    let text = fs::read_to_string(directory.path().join("example/meta.dat")).unwrap();
    assert!(text.contains("\"position\":5000,"), "{text}");
    drop(store);
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_damaged_file_gives_way_to_its_previous_generation() {
    for damage in [&b""[..], &[0; 64], b"{\"clientDatas\":[{\"clientIdent"] {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), |store| {
            store.subscribe(1001, None);
            store.set_cursor(1001, cursor(100));
            store.reserve_batch_ids(1001, 0);
        })
        .await;
        drop(open(directory.path()).unwrap());
        let current = directory.path().join("example/meta.dat");
        fs::write(&current, damage).unwrap();
        let (store, writer) = open(directory.path()).unwrap();
        let client = store.clients().remove(0);
        assert_eq!((client.cursor, client.batch_ids), (Some(cursor(100)), 131_072));
        drop((store, writer));
        let previous = fs::read_to_string(directory.path().join("example/meta.dat.prev")).unwrap();
        assert!(previous.contains("\"position\":100,"), "the good generation was lost: {previous}");

        fs::write(&current, damage).unwrap();
        fs::write(directory.path().join("example/meta.dat.prev"), damage).unwrap();
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("remove both"), "{error}");
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_crash_between_the_renames_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), |store| {
        store.subscribe(1001, None);
        store.set_cursor(1001, cursor(100));
    })
    .await;
    let current = directory.path().join("example/meta.dat");
    fs::rename(&current, directory.path().join("example/meta.dat.prev")).unwrap();
    let (store, _writer) = open(directory.path()).unwrap();
    assert_eq!(store.cursor(1001), Some(cursor(100)));
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_file_of_canal_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("example")).unwrap();
    let canals = include_str!("fixtures/meta.dat");
    fs::write(directory.path().join("example/meta.dat"), canals).unwrap();
    let (store, _writer) = open(directory.path()).unwrap();
    let cursor = store.cursor(1002).unwrap();
    assert_eq!(
        (cursor.file.as_ref(), cursor.offset, cursor.resume),
        ("mysql-bin.000001", 6916, None)
    );
}

#[tokio::test(crate = "towpath_testkit")]
async fn one_directory_serves_one_owner_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer) = open(directory.path()).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
    drop(store);
    writer.run().await.unwrap();
    drop(open(directory.path()).unwrap());
}

#[tokio::test(crate = "towpath_testkit")]
async fn directories_that_cannot_be_used_say_so_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = StateDirectory::open(&path).unwrap_err();
        assert!(error.to_string().contains("cannot be created"), "{error}");
    }
    let state = StateDirectory::open(&directory.path().join("state")).unwrap();
    for name in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a\0b"] {
        let error = state.destination(name, address()).unwrap_err();
        assert!(matches!(error, StateError::Name { .. }), "{name:?}: {error}");
    }
    fs::create_dir_all(directory.path().join("state/blocked/meta.dat.tmp")).unwrap();
    let error = state.destination("blocked", address()).unwrap_err();
    assert!(matches!(error, StateError::Write { .. }), "{error}");
}

/// What an earlier version accepted of its clients is read, and written again.
#[tokio::test(crate = "towpath_testkit")]
async fn a_state_with_many_long_filters_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let filter = "db\\..*,".repeat((1 << 20) / 8);
    write(directory.path(), |store| {
        for id in 0..70 {
            store.subscribe(id, Some(&filter));
        }
        assert_eq!(store.filter_bytes(0), 69 * stored_len(&filter));
    })
    .await;
    let len = fs::metadata(directory.path().join("example/meta.dat")).unwrap().len();
    assert!(len > 70 << 20, "{len}");
    let (store, _writer) = open(directory.path()).unwrap();
    assert_eq!(store.client_count(), 70);
}

#[test]
fn the_length_of_a_text_is_that_in_a_file() {
    for text in ["", "a", "a\\..*\"\n\u{1}é\u{7f}"] {
        assert!(stored_len(text) + 2 >= serde_json::to_string(text).unwrap().len(), "{text:?}");
    }
}

/// What is worse than a state that cannot be written is a new one in its place: clients would begin anew, behind
/// rows that they never got.
#[test]
fn a_directory_that_was_taken_away_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (place, aside) = (folder.path().join("state"), folder.path().join("aside"));
    let directory = StateDirectory::open(&place).unwrap();
    drop(directory.destination("example", address()).unwrap());
    let again = || directory.destination_again("example", address()).map(drop);
    let is_gone = |result| matches!(result, Err(StateError::Gone { .. }));
    again().unwrap();
    directory.probe().unwrap();

    fs::rename(&place, &aside).unwrap();
    assert!(is_gone(again()) && is_gone(directory.probe()));
    assert!(!place.exists());
    // Another one in its place is not it.
    let other = StateDirectory::open(&place).unwrap();
    drop(other.destination("example", address()).unwrap());
    assert!(is_gone(again()) && is_gone(directory.probe()));
    drop(other);
    fs::remove_dir_all(&place).unwrap();

    fs::rename(&aside, &place).unwrap();
    again().unwrap();
    directory.probe().unwrap();
    fs::remove_dir_all(place.join("example")).unwrap();
    assert!(is_gone(again()));
}
