//! Large things: rows, transactions, tables, and how many of them. What memory they may take is in
//! `memory.rs`.
//!
//! `TOWPATH_LARGE_MB` is the size of the large transaction: with 10,000 a binlog file is longer than
//! 4 GiB. `TOWPATH_LARGE_ROW_MB`, `TOWPATH_LARGE_ENTRY_MB`, `TOWPATH_LARGE_TABLES` and
//! `TOWPATH_LARGE_DDL` are for the others.

use std::fmt::Write;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use towpath_client::{Session, SessionOptions};
use towpath_protocol::entry::{Entry, EntryType};
use towpath_testkit::{Server, Towpath, Version, setting};

use crate::binary;

/// Time for the next batch on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// Peak resident memory with the default store, as in `memory.rs`.
const BOUND_BYTES: u64 = 64 << 20;
/// What a table of ten columns may take beside.
const TABLE_BYTES: u64 = 4 << 10;
/// Without `TOWPATH_LARGE_MB`: ten times the default store.
const LARGE_MB: u64 = 330;

/// `towpath serve` of one source, and a client that reads it.
struct Following {
    towpath: Towpath,
    client: Session,
    runtime: tokio::runtime::Runtime,
    _state: Option<TempDir>,
}

impl Following {
    fn start(server: &Server, from: &str) -> Self {
        let state = TempDir::new().unwrap();
        let (url, folder) = (server.url(), state.path().to_str().unwrap());
        let arguments = ["--source", &url, "--from", from, "--state", folder];
        let towpath = Towpath::serve(binary(), &arguments);
        Self::of(towpath, Some(state))
    }

    /// Of a server that runs.
    fn of(towpath: Towpath, state: Option<TempDir>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let options = SessionOptions { frame_len_max: 2 << 30, ..SessionOptions::default() };
            let mut client = Session::connect(&towpath.address(), options).await.unwrap();
            client.subscribe("").await.unwrap();
            client
        });
        Self { towpath, client, runtime, _state: state }
    }

    /// Takes entries, batch by batch, until `take` says that it has seen the last.
    fn until(&mut self, mut take: impl FnMut(&Entry<'_>) -> bool) {
        let mut since = Instant::now();
        loop {
            let got = self.runtime.block_on(self.client.get(1000, Duration::from_secs(1)));
            let batch = got.unwrap_or_else(|error| {
                panic!("{error}\n{}", self.towpath.program().stderr());
            });
            if batch.is_nothing() {
                let said = self.towpath.program().stderr();
                assert!(since.elapsed() < DEADLINE, "nothing more comes\n{said}");
                continue;
            }
            since = Instant::now();
            let mut is_last = false;
            for entry in &batch.entries {
                is_last |= take(&Entry::parse(entry).unwrap());
            }
            self.runtime.block_on(self.client.ack(batch.id)).unwrap();
            if is_last {
                return;
            }
        }
    }
}

/// F7: rows whose packets end just before, at and behind the largest length that a packet has, and a row
/// of 40 MiB.
#[test]
fn rows_of_any_packet_length_arrive() {
    const PACKET: usize = (1 << 24) - 1;
    let server = Server::start(Version::Mysql80, &["--max-allowed-packet=256M"]);
    server.run("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, b LONGTEXT)");
    let (file, offset) = server.binlog_end();
    let insert = |id: usize, len: usize| {
        server.run(&format!("INSERT INTO d.t VALUES ({id}, REPEAT(CHAR(97 + {id}), {len}))"));
    };
    insert(0, 1000);
    let events = server.query(&format!("SHOW BINLOG EVENTS IN '{file}' FROM {offset}"));
    let rows = events.iter().find(|event| event[2] == "Write_rows").unwrap();
    let len = rows[4].parse::<usize>().unwrap() - rows[1].parse::<usize>().unwrap();
    // A packet has one byte before the event.
    let around = len - 1000 + 1;
    let payloads = [PACKET - 1, PACKET, PACKET + 1, 2 * PACKET - 1, 2 * PACKET, 2 * PACKET + 1];
    let mut expected: Vec<usize> = vec![1000];
    expected.extend(payloads.map(|payload| payload - around));
    expected.push(40 << 20);
    for (id, len) in expected.iter().enumerate().skip(1) {
        insert(id, *len);
    }
    let mut following = Following::start(&server, &format!("{file}:{offset}"));
    let mut found = Vec::new();
    following.until(|entry| {
        for row in entry.row_change().unwrap().iter().flat_map(|change| &change.rows) {
            let letter = [b'a' + u8::try_from(found.len()).unwrap()];
            let text = row.after[1].value.unwrap();
            assert!(text.as_bytes().iter().all(|byte| [*byte] == letter), "row {}", found.len());
            found.push(text.len());
        }
        found.len() == expected.len()
    });
    assert_eq!(found, expected);
}

/// T-WEDGE-4, F16: one transaction of many times the store streams through to an ordinary client in
/// bounded memory; positions beyond 4 GiB are right.
#[test]
fn a_transaction_larger_than_the_store_streams_through() {
    const ROW_BYTES: u64 = 1000;
    let rows = setting("TOWPATH_LARGE_MB").unwrap_or(LARGE_MB) * 1_000_000 / ROW_BYTES;
    let server = Server::start(Version::Mysql80, &["--binlog-row-event-max-size=8192"]);
    // A table that keeps nothing: all of it is in the binlog only.
    server.run(
        "CREATE DATABASE d; CREATE TABLE d.digit (n INT PRIMARY KEY); \
         INSERT INTO d.digit VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9); \
         CREATE TABLE d.t (id INT, v VARCHAR(1000)) ENGINE=BLACKHOLE",
    );
    let (file, offset) = server.binlog_end();
    server.run(&format!(
        "INSERT INTO d.t SELECT a.n, REPEAT('x', 980) FROM d.digit a, d.digit b, d.digit c, \
         d.digit d, d.digit e, d.digit f, d.digit g, d.digit h LIMIT {rows}"
    ));
    let ends = server.query("SHOW BINARY LOGS");
    let end: i64 = ends.iter().find(|row| row[0] == file).unwrap()[1].parse().unwrap();
    let mut following = Following::start(&server, &format!("{file}:{offset}"));
    let (mut count, mut last) = (0, 0);
    following.until(|entry| {
        let offset = entry.header.logfile_offset;
        assert!(offset >= last, "{offset} behind {last}");
        assert!(offset < end, "{offset}: the file has {end} bytes");
        last = offset;
        count += entry.row_change().unwrap().map_or(0, |change| change.rows.len() as u64);
        entry.entry_type == EntryType::TransactionEnd
    });
    let peak = following.towpath.peak_memory_bytes();
    println!("{count} rows, {end} bytes of binlog, last at {last}, peak {} MiB", peak >> 20);
    assert_eq!(count, rows);
    assert!(end - last < 1000, "the transaction ends at {last}, the file at {end}");
    assert!(peak <= BOUND_BYTES, "peak memory {} MiB", peak >> 20);
}

/// A table of as many columns as a server takes.
fn widest(version: Version, columns: usize, engine: &str) {
    let server = Server::start(version, &[]);
    server.run("CREATE DATABASE d");
    let (file, offset) = server.binlog_end();
    let list: String = (1..columns).map(|n| format!(", c{n} TINYINT NOT NULL")).collect();
    let values: String = (1..columns).map(|n| format!(", {}", n % 100)).collect();
    server.run(&format!(
        "CREATE TABLE d.wide (id INT PRIMARY KEY{list}) ENGINE={engine}; \
         INSERT INTO d.wide VALUES (1{values}); UPDATE d.wide SET c{0} = 101; \
         ALTER TABLE d.wide DROP c1, CHANGE c{0} last TINYINT; DELETE FROM d.wide",
        columns - 1
    ));
    let mut following = Following::start(&server, &format!("{file}:{offset}"));
    let mut seen = Vec::new();
    following.until(|entry| {
        for row in entry.row_change().unwrap().iter().flat_map(|change| &change.rows) {
            for image in [&row.before, &row.after].into_iter().filter(|image| !image.is_empty()) {
                let last = image.last().unwrap();
                seen.push((image.len(), last.name.to_owned(), last.value.unwrap().to_owned()));
                for column in &image[1..image.len() - 1] {
                    let n: usize = column.name[1..].parse().unwrap();
                    assert_eq!(column.value, Some((n % 100).to_string().as_str()));
                }
            }
        }
        seen.len() == 4
    });
    let (name, value) = (format!("c{}", columns - 1), ((columns - 1) % 100).to_string());
    let row = |len: usize, name: &str, value: &str| (len, name.to_owned(), value.to_owned());
    let expected = [
        row(columns, &name, &value),
        row(columns, &name, &value),
        row(columns, &name, "101"),
        row(columns - 1, "last", "101"),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_table_of_4096_columns_arrives_from_mysql() {
    widest(Version::Mysql97, 4096, "MyISAM");
}

/// Its definition may have 64 KiB, names included.
#[test]
fn a_table_of_2800_columns_arrives_from_mariadb() {
    widest(Version::Mariadb1011, 2800, "MyISAM");
}

/// F7: a row that is longer than `--event-len-max` allows stops the instance by name.
#[test]
fn a_row_that_is_too_long_is_refused_by_name() {
    let server = Server::start(Version::Mysql80, &["--max-allowed-packet=256M"]);
    server.run("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, b LONGTEXT)");
    let (file, offset) = server.binlog_end();
    server.run("INSERT INTO d.t VALUES (1, REPEAT('x', 9000000))");
    let state = TempDir::new().unwrap();
    let (url, from) = (server.url(), format!("{file}:{offset}"));
    let folder = state.path().to_str().unwrap();
    let arguments = ["--source", &url, "--from", &from, "--state", folder];
    let arguments = [&arguments[..], &["--event-len-max", "8"]].concat();
    let ended = Towpath::try_serve(binary(), &arguments).wait(DEADLINE);
    assert!(!ended.status.success());
    for needle in [
        file.as_str(),
        "table d.t,",
        "has 90000",
        "the limit is 8388608 (--event-len-max)",
        "hint: raise --event-len-max",
        "or start behind the event",
    ] {
        assert!(ended.stderr.contains(needle), "{needle}: {}", ended.stderr);
    }
}

/// Of a JSON text, without `TOWPATH_LARGE_ENTRY_MB`: with 360 its entry is too long for any frame, which
/// takes some GB of memory.
const ENTRY_MB: u64 = 10;

/// F7: a value may be longer in its entry than in its row, here six times. An entry that no frame can
/// carry stops the instance by name.
#[test]
fn an_entry_many_times_as_long_as_its_row_arrives_or_is_refused_by_name() {
    let mb = setting("TOWPATH_LARGE_ENTRY_MB").unwrap_or(ENTRY_MB);
    let server = Server::start(Version::Mysql80, &["--max-allowed-packet=1G"]);
    server.run("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, j JSON)");
    let (file, offset) = server.binlog_end();
    let len = usize::try_from(mb * 1_000_000).unwrap();
    // JSON writes the character 1 as `\u0001`.
    server.run(&format!(
        "INSERT INTO d.t VALUES (1, JSON_ARRAY(REPEAT(CHAR(1 USING utf8mb4), {len})))"
    ));
    let expected = 6 * len + r#"[""]"#.len();
    let from = format!("{file}:{offset}");
    if expected > i32::MAX as usize {
        let (url, state) = (server.url(), TempDir::new().unwrap());
        let folder = state.path().to_str().unwrap();
        let arguments = ["--source", &url, "--from", &from, "--state", folder];
        let ended = Towpath::try_serve(binary(), &arguments).wait(4 * DEADLINE);
        assert!(!ended.status.success());
        for needle in [
            &format!("the entry of {file}:"),
            "table d.t, has 2",
            "Canal's protocol has no frame of more than 2147483647",
            "hint: exclude the table with --black-filter, or start behind the event",
        ] {
            assert!(ended.stderr.contains(needle), "{needle}: {}", ended.stderr);
        }
        return;
    }
    let mut following = Following::start(&server, &from);
    let mut found = 0;
    following.until(|entry| {
        for row in entry.row_change().unwrap().iter().flat_map(|change| &change.rows) {
            found = row.after[1].value.unwrap().len();
        }
        found > 0 && entry.entry_type == EntryType::TransactionEnd
    });
    assert_eq!(found, expected);
}

/// Tables of a source, without `TOWPATH_LARGE_TABLES`.
const TABLES: u64 = 800;

/// All tables are known at the start, by their structures then; a row of any of them arrives. After a
/// restart they come from the history.
#[test]
fn a_source_of_many_tables_is_followed() {
    let count = setting("TOWPATH_LARGE_TABLES").unwrap_or(TABLES);
    let server = Server::start(Version::Mysql80, &["--innodb-flush-method=nosync"]);
    let columns: String = (1..10).map(|n| format!(", column_{n} VARCHAR({n}00)")).collect();
    let mut sql = "CREATE DATABASE d; USE d;\n".to_owned();
    for n in 0..count {
        writeln!(sql, "CREATE TABLE t{n} (id INT PRIMARY KEY{columns}) ENGINE=BLACKHOLE;").unwrap();
    }
    server.run(&sql);
    let state = TempDir::new().unwrap();
    let (url, folder) = (server.url(), state.path().to_str().unwrap());
    let arguments = ["--source", &url, "--state", folder];
    let history = state.path().join("example/schema.history");
    for start in ["from the source", "from the history"] {
        let since = Instant::now();
        let mut towpath = Towpath::serve(binary(), &arguments);
        if start == "from the source" {
            let known = "structures at the start are known";
            towpath.program().wait_for_line(known, Duration::from_secs(1200));
        }
        let known_after = since.elapsed();
        let step = usize::try_from(count / 500).unwrap();
        let inserts = (0..count).step_by(step);
        let inserts: String = inserts
            .map(|n| format!("INSERT INTO d.t{n} (id, column_9) VALUES ({n}, 'x');\n"))
            .collect();
        server.run(&inserts);
        let mut following = Following::of(towpath, None);
        let mut expected = (0..count).step_by(step).peekable();
        following.until(|entry| {
            for row in entry.row_change().unwrap().iter().flat_map(|change| &change.rows) {
                let (first, last) = (&row.after[0], row.after.last().unwrap());
                let id = expected.next().unwrap().to_string();
                assert_eq!((first.name, first.value), ("id", Some(id.as_str())));
                assert_eq!((last.name, last.mysql_type), ("column_9", "varchar(900)"));
            }
            expected.peek().is_none() && entry.entry_type == EntryType::TransactionEnd
        });
        println!(
            "{count} tables {start}: known after {known_after:?}, peak {} MiB, history {} KiB",
            following.towpath.peak_memory_bytes() >> 20,
            std::fs::metadata(&history).unwrap().len() >> 10,
        );
        let peak = following.towpath.peak_memory_bytes();
        let bound = BOUND_BYTES + count * TABLE_BYTES;
        assert!(peak <= bound, "peak memory {} MiB", peak >> 20);
        let ended = following.towpath.terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
    }
}

/// Statements in a row, without `TOWPATH_LARGE_DDL`.
const STATEMENTS: u64 = 700;
/// Of the history, for one of them.
const STATEMENT_BYTES: u64 = 400;

/// Many changes of structure in a row: each row has the names that were in force, the history stays
/// short, and a start does not take long.
#[test]
fn many_statements_in_a_row_are_followed() {
    let count = setting("TOWPATH_LARGE_DDL").unwrap_or(STATEMENTS);
    let server = Server::start(Version::Mysql80, &["--innodb-flush-method=nosync"]);
    server.run("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, a0 INT, b INT)");
    let state = TempDir::new().unwrap();
    let (url, folder) = (server.url(), state.path().to_str().unwrap());
    let (file, offset) = server.binlog_end();
    let from = format!("{file}:{offset}");
    let arguments = ["--source", &url, "--state", folder, "--from", &from];
    let history = state.path().join("example/schema.history");
    let mut towpath = Towpath::serve(binary(), &arguments);
    towpath.program().wait_for_line("structures at the start are known", DEADLINE);
    let mut following = Following::of(towpath, None);
    let mut done = 0;
    for from in [0, count] {
        let mut sql = "USE d;\n".to_owned();
        for n in from..from + count {
            writeln!(sql, "ALTER TABLE t CHANGE a{n} a{} INT;", n + 1).unwrap();
            if (n + 1) % 50 == 0 {
                writeln!(sql, "INSERT INTO t VALUES ({0}, {0}, 7);", n + 1).unwrap();
            }
        }
        server.run(&sql);
        let since = Instant::now();
        following.until(|entry| {
            for row in entry.row_change().unwrap().iter().flat_map(|change| &change.rows) {
                done += 50;
                let (column, id) = (&row.after[1], done.to_string());
                assert_eq!((column.name, column.value), (&*format!("a{id}"), Some(id.as_str())));
            }
            done == from + count && entry.entry_type == EntryType::TransactionEnd
        });
        let len = std::fs::metadata(&history).unwrap().len();
        println!(
            "{count} statements: the rest took {:?}, history {} KiB, peak {} MiB",
            since.elapsed(),
            len >> 10,
            following.towpath.peak_memory_bytes() >> 20
        );
        assert!(len <= (1 << 20) + (from + count) * STATEMENT_BYTES, "history of {len} bytes");
        assert!(following.towpath.peak_memory_bytes() <= BOUND_BYTES);
        let ended = following.towpath.terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
        let since = Instant::now();
        following = Following::of(Towpath::serve(binary(), &arguments), None);
        println!("started in {:?}", since.elapsed());
    }
}

/// Of the longest row, without `TOWPATH_LARGE_ROW_MB`: up to 1000, which takes some GB of memory.
const ROW_MB: u64 = 100;

/// F7: a row costs a few times its length in memory.
#[test]
fn a_row_as_long_as_a_server_takes_arrives() {
    let mb = setting("TOWPATH_LARGE_ROW_MB").unwrap_or(ROW_MB);
    let server = Server::start(Version::Mysql80, &["--max-allowed-packet=1G"]);
    server.run("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, b LONGBLOB)");
    let (file, offset) = server.binlog_end();
    let len = usize::try_from(mb * 1_000_000).unwrap();
    server.run(&format!("INSERT INTO d.t VALUES (1, REPEAT('x', {len}))"));
    let mut following = Following::start(&server, &format!("{file}:{offset}"));
    let mut found = 0;
    following.until(|entry| {
        for row in entry.row_change().unwrap().iter().flat_map(|change| &change.rows) {
            found = row.after[1].value.unwrap().len();
        }
        found > 0 && entry.entry_type == EntryType::TransactionEnd
    });
    let peak = following.towpath.peak_memory_bytes();
    println!("{found} bytes, peak {} MiB", peak >> 20);
    assert_eq!(found, len);
    assert!(peak <= BOUND_BYTES + mb * 4_000_000, "peak memory {} MiB", peak >> 20);
}
