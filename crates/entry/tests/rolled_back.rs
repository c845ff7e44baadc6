//! Transactions by chance, with savepoints and what a source rolls back: what is delivered is what a model keeps,
//! every begin has its end, and all of it is the same whether a transaction is held or read ahead.

use std::sync::Arc;

use towpath_binlog::event::RowsEvent;
use towpath_binlog::transaction::{FateScan, TransactionFate};
use towpath_binlog::{EventHeader, EventPlace, FormatDescription, RawEvent, event_type as t};
use towpath_entry::{Decoder, DecoderOptions, Step, Suppress, TableFilter};
use towpath_protocol::entry::{Entry, EntryType};
use towpath_schema::StructureAnswer;
use towpath_testkit::{Random, setting};

use crate::made::{Kind, table_map};

/// Binlogs that are made, unless `TOWPATH_SEED` names one.
const BINLOGS: u64 = 300;
/// Bounds on what is held: all is read ahead, some is, nothing is.
const HELD_BYTES_MAX: [usize; 4] = [0, 700, 5000, usize::MAX];

/// How a server says where a transaction begins, and which statement rows are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Mysql,
    Mariadb,
}

/// What one entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Begin,
    Row(u32),
    Statement(String),
    End,
}

/// What a transaction did, and whether its source takes that back with the transaction.
#[derive(Debug, Clone)]
struct Deed {
    said: Said,
    is_of_rows: bool,
}

/// A binlog that is made, and what is to be delivered of it.
struct Made {
    dialect: Dialect,
    events: Vec<(EventPlace, Vec<u8>)>,
    offset: u64,
    timestamp_s: u32,
    file: u32,
    next_id: u32,
    /// Indices of events behind which reading can begin.
    between: Vec<usize>,
    /// Without the begins and ends of transactions that have nothing else.
    expected: Vec<Said>,
}

impl Made {
    fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let dialect = random.pick(&[Dialect::Mysql, Dialect::Mariadb]);
        let (events, expected) = (Vec::new(), Vec::new());
        let mut made = Self {
            dialect,
            events,
            offset: 4,
            timestamp_s: 100,
            file: 1,
            next_id: 1,
            between: Vec::new(),
            expected,
        };
        for _ in 0..=random.index(12) {
            if random.one_in(8) {
                made.between(random);
            }
            if random.one_in(4) {
                made.timestamp_s += 100;
            }
            made.transaction(random);
        }
        made
    }

    fn event(&mut self, event_type: u8, body: Vec<u8>) -> u64 {
        let start = self.offset;
        let event_len = u32::try_from(EventHeader::LEN + body.len()).unwrap();
        self.offset += u64::from(event_len);
        let timestamp_s = self.timestamp_s;
        let header = EventHeader {
            event_type,
            timestamp_s,
            server_id: 1,
            event_len,
            ..EventHeader::default()
        };
        let place = EventPlace {
            header,
            file: Arc::from(format!("mysql-bin.{:06}", self.file)),
            start,
            end: self.offset,
            format: FormatDescription::default(),
        };
        self.events.push((place, body));
        start
    }

    fn query(&mut self, sql: &str) -> u64 {
        self.event(t::QUERY, [&[0; 13], b"\0".as_slice(), sql.as_bytes()].concat())
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// A statement that is no part of a transaction.
    fn between(&mut self, random: &mut Random) {
        let sql = format!("CREATE DATABASE d{}", self.id());
        if self.dialect == Dialect::Mariadb && random.one_in(2) {
            self.gtid(1);
        }
        self.between.push(self.events.len());
        self.query(&sql);
        self.expected.push(Said::Statement(sql));
    }

    fn gtid(&mut self, flags: u8) -> u64 {
        self.event(t::MARIADB_GTID, [[0; 12].as_slice(), &[flags; 1], &[0; 6]].concat())
    }

    fn transaction(&mut self, random: &mut Random) {
        match self.dialect {
            Dialect::Mysql => {
                if random.one_in(2) {
                    self.event(t::ANONYMOUS_GTID, vec![1; 25]);
                }
                self.query("BEGIN")
            }
            Dialect::Mariadb => self.gtid(0),
        };
        let mut deeds: Vec<Deed> = Vec::new();
        // Name, and how many deeds there were.
        let mut savepoints: Vec<(String, usize)> = Vec::new();
        let count = random.pick(&[0, 1, 3, 10, 30]);
        for _ in 0..random.index(count + 1) {
            match random.index(8) {
                0 | 1 => {
                    let name = random.pick(&["a", "b", "S", "x`y"]);
                    savepoints.retain(|(other, _)| other != name);
                    savepoints.push((name.to_owned(), deeds.len()));
                    self.query(&format!("SAVEPOINT `{}`", name.replace('`', "``")));
                }
                2 if !savepoints.is_empty() => {
                    savepoints.truncate(1 + random.index(savepoints.len()));
                    let (name, from) = savepoints.last().unwrap();
                    let name = name.replace('`', "``");
                    let mut index = 0;
                    deeds.retain(|deed| {
                        index += 1;
                        index <= *from || !deed.is_of_rows
                    });
                    self.query(&format!("ROLLBACK TO `{name}`"));
                }
                3 => self.statement(random, &mut deeds),
                4 => self.unwanted_rows(),
                _ => self.rows(random, &mut deeds),
            }
        }
        if random.one_in(40) {
            // More than a group has.
            let row_count = random.pick(&[1022, 1023, 1024, 1100]);
            for _ in 0..row_count {
                self.row(1, &mut deeds);
            }
        }
        self.end(random, deeds);
    }

    fn end(&mut self, random: &mut Random, mut deeds: Vec<Deed>) {
        let mut is_rolled_back = false;
        match random.index(10) {
            0..3 => {
                self.query("ROLLBACK");
                is_rolled_back = true;
            }
            3 => {
                // The server ends, and begins another file.
                self.file += 1;
                self.offset = 4;
                self.event(t::FORMAT_DESCRIPTION, Vec::new());
                return;
            }
            4..7 => {
                self.query("COMMIT");
            }
            _ => {
                self.event(t::XID, vec![7; 8]);
            }
        }
        if is_rolled_back {
            deeds.retain(|deed| !deed.is_of_rows);
            if !deeds.is_empty() {
                let said = Said::Statement("ROLLBACK".to_owned());
                deeds.push(Deed { said, is_of_rows: false });
            }
        }
        if deeds.is_empty() {
            return;
        }
        if self.dialect == Dialect::Mysql {
            self.expected.push(Said::Begin);
        }
        self.expected.extend(deeds.into_iter().map(|deed| deed.said));
        self.expected.push(Said::End);
    }

    /// A statement that is logged as such, and what it reads.
    fn statement(&mut self, random: &mut Random, deeds: &mut Vec<Deed>) {
        let mut say =
            |sql: String| deeds.push(Deed { said: Said::Statement(sql), is_of_rows: false });
        let id = self.id();
        match random.index(4) {
            0 => {
                self.event(t::INTVAR, [[2].as_slice(), &u64::from(id).to_le_bytes()].concat());
                say(format!("SET INSERT_ID = {id}"));
            }
            1 => {
                self.event(t::RAND, [u64::from(id).to_le_bytes(), [0; 8]].concat());
                say(format!("SET SESSION rand_seed1 = {id} , rand_seed2 = 0"));
            }
            2 => {
                self.event(t::USER_VAR, [&[1, 0, 0, 0, b'v'], [1].as_slice()].concat());
                say("SET @v := NULL".to_owned());
            }
            _ => {}
        }
        let sql = match random.index(4) {
            // As MariaDB logs `CREATE TABLE ... SELECT`.
            0 => format!("CREATE TABLE s.c{id} (v INT)"),
            _ => format!("INSERT INTO m VALUES ({id}, '{}')", "z".repeat(random.index(400))),
        };
        self.query(&sql);
        say(sql);
    }

    fn rows(&mut self, random: &mut Random, deeds: &mut Vec<Deed>) {
        if random.one_in(2) {
            let text = format!("INSERT INTO t VALUES ({}, '?')", self.next_id);
            match self.dialect {
                Dialect::Mysql => {
                    self.event(t::ROWS_QUERY, [&[0], text.as_bytes()].concat());
                }
                Dialect::Mariadb => {
                    self.event(t::MARIADB_ANNOTATE_ROWS, text.clone().into_bytes());
                }
            }
            deeds.push(Deed { said: Said::Statement(text), is_of_rows: true });
        }
        for _ in 0..=random.index(3) {
            self.row(random.index(300), deeds);
        }
    }

    fn row(&mut self, text_len: usize, deeds: &mut Vec<Deed>) {
        let id = self.id();
        self.rows_event(t::WRITE_ROWS, id, text_len);
        deeds.push(Deed { said: Said::Row(id), is_of_rows: true });
    }

    /// Rows of a table that the filter does not want.
    fn unwanted_rows(&mut self) {
        self.event(t::TABLE_MAP, map_of(b'u'));
        self.rows_body(t::WRITE_ROWS, 0, 10);
    }

    fn rows_event(&mut self, event_type: u8, id: u32, text_len: usize) {
        self.event(t::TABLE_MAP, map_of(b't'));
        self.rows_body(event_type, id, text_len);
    }

    fn rows_body(&mut self, event_type: u8, id: u32, text_len: usize) {
        let flags = RowsEvent::STMT_END.to_le_bytes();
        let mut body = [&[1, 0, 0, 0, 0, 0], &flags[..], &[2, 0, 2, 0xff, 0]].concat();
        body.extend_from_slice(&id.to_le_bytes());
        body.extend_from_slice(&u16::try_from(text_len).unwrap().to_le_bytes());
        body.extend(std::iter::repeat_n(b'x', text_len));
        self.event(event_type, body);
    }
}

/// The map of the table `s`.`t`, or of one with another letter.
fn map_of(letter: u8) -> Vec<u8> {
    let kinds = [Kind::Int { len: 4, is_unsigned: true }, Kind::Varchar { max_len: 60_000 }];
    let mut map = table_map(&kinds, &["id".to_owned(), "v".to_owned()]);
    let name = map.iter_mut().find(|byte| **byte == b't').unwrap();
    *name = letter;
    map
}

/// What a reader ahead finds out.
fn read_ahead(mut scan: FateScan, events: &[(EventPlace, Vec<u8>)]) -> TransactionFate {
    let file = &events[0].0.file;
    for (place, body) in events {
        if place.file != *file {
            break;
        }
        if let Some(fate) = scan.event(&RawEvent { body, place }).unwrap() {
            return fate;
        }
    }
    scan.cut_off()
}

/// What is delivered, and how many transactions were read ahead.
fn deliver(made: &Made, options: DecoderOptions, random: &mut Random) -> (Vec<Vec<u8>>, usize) {
    let mut decoder = Decoder::new(options);
    let (mut out, mut ahead_count) = (Vec::new(), 0);
    for (index, (place, body)) in made.events.iter().enumerate() {
        let event = RawEvent { body, place };
        loop {
            match decoder.event(&event).unwrap() {
                Step::Done => break,
                Step::NeedTable { schema, table } => {
                    decoder.learn_table(&schema, &table, StructureAnswer::default());
                }
                Step::NeedFate => {
                    let scan = decoder.fate_scan().unwrap();
                    decoder.learn_fate(read_ahead(scan, &made.events[index..]));
                    ahead_count += 1;
                }
            }
        }
        if made.between.contains(&index) {
            let boundary = decoder.boundary().unwrap();
            assert_eq!((&boundary.file, boundary.offset), (&place.file, place.end));
        }
        if random.one_in(5) || index + 1 == made.events.len() {
            while let Some(block) = decoder.take() {
                out.extend(block.messages().map(<[u8]>::to_vec));
            }
        }
    }
    (out, ahead_count)
}

fn said(message: &[u8]) -> Said {
    let entry = Entry::parse(message).unwrap();
    match entry.entry_type {
        EntryType::TransactionBegin => Said::Begin,
        EntryType::TransactionEnd => Said::End,
        EntryType::RowData
        | EntryType::Heartbeat
        | EntryType::GtidLog
        | EntryType::Unrecognized(_) => {
            let change = entry.row_change().unwrap().unwrap();
            match change.rows.first() {
                Some(row) => Said::Row(row.after[0].value.unwrap().parse().unwrap()),
                None => Said::Statement(change.sql.to_owned()),
            }
        }
    }
}

/// Leaves out transactions that have nothing: one of them comes now and then. Begins of them have an end.
fn without_empty(said: Vec<Said>, dialect: Dialect) -> Vec<Said> {
    let mut out: Vec<Said> = Vec::new();
    for one in said {
        let is_empty_end = one == Said::End
            && match dialect {
                Dialect::Mysql => out.last() == Some(&Said::Begin),
                Dialect::Mariadb => !is_open(&out),
            };
        if is_empty_end {
            if dialect == Dialect::Mysql {
                out.pop();
            }
        } else {
            out.push(one);
        }
    }
    out
}

/// Whether something is said behind the last end that is part of a transaction.
fn is_open(said: &[Said]) -> bool {
    let is_between =
        |one: &Said| matches!(one, Said::Statement(sql) if sql.starts_with("CREATE DATABASE"));
    said.iter().rev().take_while(|one| **one != Said::End).any(|one| !is_between(one))
}

fn check_bounds(said: &[Said]) {
    let mut is_open = false;
    for one in said {
        match one {
            Said::Begin => {
                assert!(!std::mem::replace(&mut is_open, true), "a begin in a transaction");
            }
            Said::End => assert!(std::mem::replace(&mut is_open, false), "an end without a begin"),
            Said::Row(_) => assert!(is_open, "a row without a begin"),
            Said::Statement(_) => {}
        }
    }
    assert!(!is_open, "a begin without an end");
}

fn check(seed: u64, suppress: Suppress) -> usize {
    let mut made = Made::new(seed);
    let is_bound = |one: &Said| matches!(one, Said::Begin | Said::End);
    if suppress != Suppress::NONE {
        made.expected.retain(|one| !is_bound(one));
    }
    let mut first: Option<Vec<Vec<u8>>> = None;
    let mut ahead_count = 0;
    for held_bytes_max in HELD_BYTES_MAX {
        let filter = TableFilter::new(".*\\..*", "s\\.u").unwrap();
        let options =
            DecoderOptions { filter, held_bytes_max, suppress, ..DecoderOptions::default() };
        let (messages, ahead) = deliver(&made, options, &mut Random::new(seed));
        ahead_count += ahead;
        let all: Vec<Said> = messages.iter().map(|message| said(message)).collect();
        let got = if suppress == Suppress::NONE {
            if made.dialect == Dialect::Mysql {
                check_bounds(&all);
            }
            without_empty(all, made.dialect)
        } else {
            // One of them comes now and then.
            all.into_iter().filter(|one| !is_bound(one)).collect()
        };
        for (index, (got, expected)) in got.iter().zip(&made.expected).enumerate() {
            assert_eq!(got, expected, "entry {index}, {held_bytes_max} bytes are held");
        }
        assert_eq!(got.len(), made.expected.len(), "{held_bytes_max} bytes are held");
        let same = first.get_or_insert_with(|| messages.clone());
        assert!(*same == messages, "other bytes when {held_bytes_max} bytes are held");
    }
    ahead_count
}

#[test]
fn what_survives_is_delivered_whether_it_is_held_or_read_ahead() {
    let seeds = setting("TOWPATH_SEED").map_or(0..BINLOGS, |seed| seed..seed + 1);
    let mut ahead_count = 0;
    for seed in seeds {
        for suppress in [Suppress::NONE, Suppress::TRANSACTION_ENTRIES] {
            let result = std::panic::catch_unwind(|| check(seed, suppress));
            ahead_count += result.unwrap_or_else(|_| panic!("TOWPATH_SEED={seed}, {suppress:?}"));
        }
    }
    assert!(ahead_count > 0, "nothing was read ahead");
}
