use towpath_coordination::StateDirectory;
use towpath_schema::{Column, Lookup, Table};

use super::*;

fn place(file: &str, offset: u64, gtid: &str) -> HistoryPosition {
    HistoryPosition { file: file.to_owned(), offset, gtid: gtid.to_owned() }
}

fn beginning(at: HistoryPosition) -> Beginning {
    let identity = "one".to_owned();
    Beginning { identity, case: NameCase::Sensitive, at, begun_s: 77, was_read: true }
}

fn table(name: &str, column: &str) -> PackedTable {
    PackedTable::new(&Table {
        schema: "d".to_owned(),
        name: name.to_owned(),
        columns: vec![Column::new(column, "int")],
        ..Table::default()
    })
}

fn set(at: &HistoryPosition, name: &str, column: &str) -> StructureRecord {
    record(at, StructureChange::Set(table(name, column)))
}

fn record(at: &HistoryPosition, change: StructureChange) -> StructureRecord {
    StructureRecord {
        file: at.file.as_str().into(),
        offset: at.offset,
        gtid: (!at.gtid.is_empty()).then(|| at.gtid.as_str().into()),
        timestamp_s: 1,
        changes: vec![change],
    }
}

fn column(catalog: Option<&Catalog>, name: &str) -> String {
    match catalog.map(|catalog| catalog.get("d", name)) {
        None => "no history".to_owned(),
        Some(Lookup::Unknown) => "unknown".to_owned(),
        Some(Lookup::Known(table)) => table.columns[0].name.clone(),
    }
}

async fn open(folder: &std::path::Path, at: HistoryPosition) -> (History, Option<Catalog>) {
    let directory = StateDirectory::open(folder).unwrap();
    History::open("x", directory.history("x").unwrap(), beginning(at)).await.unwrap()
}

/// A history that began at the first place and had these records.
async fn keep(folder: &std::path::Path, first: HistoryPosition, records: Vec<StructureRecord>) {
    let (mut history, found) = open(folder, first.clone()).await;
    assert!(found.is_none());
    let mut catalog = Catalog::new(NameCase::Sensitive);
    catalog.learn(table("t", "first"));
    history.begin(&beginning(first), &catalog).await.unwrap();
    for record in records {
        catalog.replay(record.changes[0].clone());
        history.append(vec![record], &catalog).await.unwrap();
    }
}

#[tokio::test(crate = "towpath_testkit")]
async fn structures_are_those_of_the_place() {
    let file = |number: u32, offset| place(&format!("bin.{number:06}"), offset, "");
    for (at, expected) in [
        (file(999_999, 100), "first"),
        (file(999_999, 199), "first"),
        (file(999_999, 200), "second"),
        (file(1_000_000, 50), "second"),
        (file(1_000_000, 60), "third"),
        (file(1_000_000, 99), "third"),
        (file(999_999, 99), "no history"),
        (file(1_000_001, 4), "no history"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let records =
            vec![set(&file(999_999, 200), "t", "second"), set(&file(1_000_000, 60), "t", "third")];
        keep(folder.path(), file(999_999, 100), records).await;
        let (_, catalog) = open(folder.path(), at.clone()).await;
        assert_eq!(column(catalog.as_ref(), "t"), expected, "{at:?}");
        // What lies behind the place is gone: it is read again.
        let (_, again) = open(folder.path(), at).await;
        assert_eq!(column(again.as_ref(), "t"), expected);
    }
}

/// Files and offsets differ between the servers that a position by GTID can come from.
#[tokio::test(crate = "towpath_testkit")]
async fn gtid_sets_order_the_records() {
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let mysql = |last: u32| format!("{uuid}:1-{last}");
    let mariadb = |last: u32| format!("0-1-{last},5-1-7");
    for set_of in [&mysql as &dyn Fn(u32) -> String, &mariadb] {
        for (last, expected) in [(5, "first"), (7, "first"), (8, "second"), (20, "second")] {
            let folder = tempfile::tempdir().unwrap();
            let first = place("bin.000009", 4, &set_of(5));
            let records = vec![set(&place("bin.000009", 100, &set_of(8)), "t", "second")];
            keep(folder.path(), first, records).await;
            let at = place("other.000001", 77, &set_of(last));
            let (_, catalog) = open(folder.path(), at.clone()).await;
            assert_eq!(column(catalog.as_ref(), "t"), expected, "{at:?}");
        }
    }
}

/// A table that was looked up later had the same structure before, if nothing had changed it.
#[tokio::test(crate = "towpath_testkit")]
async fn what_was_learned_later_holds_until_a_statement_changes_it() {
    let at = |offset| place("bin.000001", offset, "");
    let learned = |name, column| StructureChange::Learned(table(name, column));
    let folder = tempfile::tempdir().unwrap();
    let lost =
        |name: &str| StructureChange::Lost { schema: "d".to_owned(), table: name.to_owned() };
    let records = vec![
        record(&at(200), learned("a", "found")),
        record(&at(300), lost("b")),
        record(&at(400), learned("b", "found_after_a_change")),
    ];
    keep(folder.path(), at(100), records).await;
    let (_, catalog) = open(folder.path(), at(150)).await;
    assert_eq!(column(catalog.as_ref(), "a"), "found");
    assert_eq!(column(catalog.as_ref(), "b"), "unknown");
    assert_eq!(column(catalog.as_ref(), "t"), "first");
}

#[tokio::test(crate = "towpath_testkit")]
async fn a_history_of_another_server_is_not_used_for_files() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), place("bin.000001", 4, ""), Vec::new()).await;
    let directory = StateDirectory::open(folder.path()).unwrap();
    let other = Beginning { identity: "two".to_owned(), ..beginning(place("bin.000001", 4, "")) };
    let opened = History::open("x", directory.history("x").unwrap(), other).await.unwrap();
    assert!(opened.1.is_none());
}

/// The binlog was reset: its files have the names of those that were read.
#[tokio::test(crate = "towpath_testkit")]
async fn a_history_of_files_that_are_gone_is_not_used() {
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let set = |last: u32| format!("{uuid}:1-{last}");
    for (at, begun_s, expected) in [
        (place("bin.000002", 500, ""), 77, "first"),
        (place("bin.000002", 500, ""), 78, "no history"),
        // Not known: it counts.
        (place("bin.000002", 500, ""), 0, "first"),
        (place("bin.000002", 500, &set(9)), 77, "first"),
        (place("bin.000002", 500, &set(9)), 78, "no history"),
        (place("bin.000003", 500, &set(9)), 78, "first"),
        (place("bin.000001", 500, &set(9)), 78, "no history"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let gtid = if at.gtid.is_empty() { String::new() } else { set(5) };
        keep(folder.path(), place("bin.000002", 100, &gtid), Vec::new()).await;
        let directory = StateDirectory::open(folder.path()).unwrap();
        let now = Beginning { begun_s, ..beginning(at) };
        let log = directory.history("x").unwrap();
        let (_, catalog) = History::open("x", log, now.clone()).await.unwrap();
        assert_eq!(column(catalog.as_ref(), "t"), expected, "{now:?}");
    }
}

/// A start does not replay years: snapshots come before there is much to replay, and what is older
/// than the one that is needed goes.
#[tokio::test(crate = "towpath_testkit")]
async fn the_file_stays_small_and_a_start_short() {
    let at = |offset| place("bin.000001", offset, "");
    let folder = tempfile::tempdir().unwrap();
    let (mut history, _) = open(folder.path(), at(4)).await;
    let mut catalog = Catalog::new(NameCase::Sensitive);
    history.begin(&beginning(at(4)), &catalog).await.unwrap();
    let count = 30_000_u64;
    let mut offset = 4;
    for _ in 0..count / 1000 {
        let mut records = Vec::new();
        for _ in 0..1000 {
            offset += 100;
            let record = set(&at(offset), &format!("table_number_{}", offset % 7), "column");
            catalog.replay(record.changes[0].clone());
            records.push(record);
        }
        history.append(records, &catalog).await.unwrap();
    }
    let path = folder.path().join("x/schema.history");
    let written = std::fs::metadata(&path).unwrap().len();
    drop(history);
    let (history, catalog) = open(folder.path(), at(offset)).await;
    assert_eq!(catalog.unwrap().tables().count(), 7);
    let kept = std::fs::metadata(&path).unwrap().len();
    assert!(written > 2 << 20, "{written}");
    assert!(kept < SNAPSHOT_AFTER + (1 << 18), "{kept} of {written}");
    assert!(history.since_bytes <= SNAPSHOT_AFTER + (1 << 18), "{history:?}");
}

/// A start that was asked for, further on than the history is known to reach: statements may lie between.
#[tokio::test(crate = "towpath_testkit")]
async fn a_start_behind_the_end_of_the_history_is_not_covered() {
    let at = |offset| place("bin.000001", offset, "");
    for (offset, expected) in
        [(150, "first"), (200, "second"), (201, "no history"), (900, "no history")]
    {
        let folder = tempfile::tempdir().unwrap();
        keep(folder.path(), at(100), vec![set(&at(200), "t", "second")]).await;
        let directory = StateDirectory::open(folder.path()).unwrap();
        let asked = Beginning { was_read: false, ..beginning(at(offset)) };
        let opened = History::open("x", directory.history("x").unwrap(), asked).await;
        assert_eq!(column(opened.unwrap().1.as_ref(), "t"), expected, "{offset}");
    }
}
