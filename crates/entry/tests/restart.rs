//! Reading stops after any event and begins again at the last boundary, with a decoder that knows
//! nothing but the structures at that place: what comes is what would have come, and what comes a
//! second time is of the transaction that was not finished (T-POS-6).

use towpath_binlog::event::QueryEvent;
use towpath_binlog::{Checksum, EventHeader, EventStream, MysqlGtidSet, RawEvent, event_type};
use towpath_entry::{Boundary, Decoder, DecoderOptions, GtidSet, Step, Suppress};
use towpath_protocol::entry::{Entry, EntryType};
use towpath_schema::{Catalog, Lookup, ParseOptions, Parsed, Table};

use crate::golden::folder;

const FILE: &str = "mysql-bin.000001";

/// Boundaries that are passed before a restart counts as gone well.
const BOUNDARIES: usize = 2;

/// One event: where it starts, and its bytes.
type Event<'a> = (u64, &'a [u8]);

fn events(bytes: &[u8]) -> Vec<Event<'_>> {
    let (mut at, mut rest) = (4, &bytes[4..]);
    let mut out = Vec::new();
    while !rest.is_empty() {
        let len = usize::try_from(EventHeader::parse(rest).unwrap().event_len).unwrap();
        let (raw, tail) = rest.split_at(len);
        out.push((at, raw));
        at += u64::try_from(len).unwrap();
        rest = tail;
    }
    out
}

/// A statement and its default database.
type Statement = (Parsed, Option<String>);

fn statement(event: &RawEvent<'_>) -> Option<Statement> {
    if event.header.event_type != event_type::QUERY {
        return None;
    }
    let query = QueryEvent::parse(event.body, &event.format).unwrap();
    let options = ParseOptions::from_sql_mode(query.sql_mode.unwrap_or(0));
    let sql = String::from_utf8_lossy(query.sql);
    let schema = String::from_utf8_lossy(query.schema).into_owned();
    Some((towpath_schema::parse(&sql, &options), Some(schema).filter(|name| !name.is_empty())))
}

/// The structures at a place, as a history of them would give them.
#[derive(Debug, Default)]
struct Structures(Catalog);

impl Structures {
    fn apply(&mut self, (parsed, schema): &Statement) {
        self.0.apply(parsed, schema.as_deref());
    }

    fn table(&self, schema: &str, table: &str) -> Option<Table> {
        match self.0.get(schema, table) {
            Lookup::Known(table) => Some(table),
            Lookup::Unknown => None,
        }
    }
}

struct Reading {
    stream: EventStream,
    decoder: Decoder,
    structures: Structures,
    out: Vec<Vec<u8>>,
    /// Begins and ends count: without, one of them comes now and then, by what was read before.
    bounds: bool,
}

impl Reading {
    /// Begins at an offset; the format description comes first, as from a server.
    fn at(offset: u64, format: &[u8], options: DecoderOptions, structures: Structures) -> Self {
        let mut stream = EventStream::new(FILE, 4, Checksum::None);
        let bounds = options.suppress == Suppress::default();
        let mut decoder = Decoder::new(options);
        decoder.event(&stream.accept(format).unwrap()).unwrap();
        stream.unread(offset);
        Self { stream, decoder, structures, out: Vec::new(), bounds }
    }

    fn event(&mut self, raw: &[u8]) {
        let event = self.stream.accept(raw).unwrap();
        while let Step::NeedTable { schema, table } = self.decoder.event(&event).unwrap() {
            let found = self.structures.table(&schema, &table);
            assert!(found.is_some(), "{schema}.{table} is not known at {}", event.start);
            self.decoder.learn_table(&schema, &table, found.into());
        }
        if let Some(statement) = statement(&event) {
            self.structures.apply(&statement);
        }
        while let Some(block) = self.decoder.take() {
            let counts = |m: &&[u8]| {
                self.bounds || Entry::parse(m).unwrap().entry_type == EntryType::RowData
            };
            self.out.extend(block.messages().filter(counts).map(<[u8]>::to_vec));
        }
    }

    fn boundary(&self) -> Option<&Boundary> {
        self.decoder.boundary()
    }
}

fn check(name: &str, gtid: Option<&str>) {
    check_without(name, gtid, Suppress::default());
}

fn check_without(name: &str, gtid: Option<&str>, suppress: Suppress) {
    let options = |gtid: Option<&str>| {
        let set = gtid.map(|set| GtidSet::Mysql(MysqlGtidSet::parse(set).unwrap()));
        DecoderOptions { gtid: set, suppress, ..DecoderOptions::default() }
    };
    let bytes = std::fs::read(folder(name).join(FILE)).unwrap();
    let events = events(&bytes);
    let nothing = Structures::default();
    let mut whole = Reading::at(events[1].0, events[0].1, options(gtid), nothing);
    let mut history = EventStream::new(FILE, 4, Checksum::None);
    let statements: Vec<Option<Statement>> =
        events.iter().map(|(_, raw)| statement(&history.accept(raw).unwrap())).collect();
    // How many entries there are after each event, and the boundary there.
    let mut after = Vec::new();
    for (_, raw) in &events[1..] {
        whole.event(raw);
        after.push((whole.out.len(), whole.boundary().cloned()));
    }
    let whole = whole.out;

    for (stopped, (delivered, boundary)) in after.iter().enumerate() {
        let at = boundary.as_ref().map_or(events[1].0, |boundary| boundary.offset);
        let set = boundary.as_ref().and_then(|boundary| boundary.gtid.as_deref()).or(gtid);
        let first = events.partition_point(|(start, _)| *start < at);
        assert_eq!(
            events.get(first).map_or(at, |(start, _)| *start),
            at,
            "{name}: inside an event"
        );
        let mut structures = Structures::default();
        for statement in statements[..first].iter().flatten() {
            structures.apply(statement);
        }
        // All that lies before the boundary was delivered, and all of it is acknowledged.
        let acknowledged = if first == 1 { 0 } else { after[first - 2].0 };
        assert!(acknowledged <= *delivered, "{name}: event {stopped}: entries are skipped");

        let mut again = Reading::at(at, events[0].1, options(set), structures);
        let (mut passed, mut last) = (0, None);
        for (_, raw) in &events[first..] {
            again.event(raw);
            let now = again.boundary().map(|boundary| boundary.offset);
            passed += usize::from(now != last);
            last = now;
            if passed > BOUNDARIES && again.out.len() > delivered - acknowledged {
                break;
            }
        }
        let expected = &whole[acknowledged..acknowledged + again.out.len()];
        for (index, (ours, theirs)) in again.out.iter().zip(expected).enumerate() {
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(
                ours == theirs,
                "{name}: stopped after event {stopped}: entry {index} differs\nnow:    {:?}\nbefore: {:?}",
                show(ours),
                show(theirs)
            );
        }
    }
}

#[test]
fn mysql_goes_on_after_a_stop_at_any_event() {
    for name in ["types", "mysql57-types", "mysql80-types", "statements", "mysql57-statements"] {
        check(name, None);
    }
    check("mysql80-statements", None);
}

#[test]
fn suppressed_statements_go_on_after_a_stop_at_any_event() {
    let suppress = Suppress::TRANSACTION_ENTRIES.and(Suppress::QUERY_DCL).and(Suppress::QUERY_DML);
    check_without("statements-filtered", None, suppress);
}

#[test]
fn mariadb_goes_on_after_a_stop_at_any_event() {
    for name in ["mariadb-types", "mariadb-statements"] {
        check(name, None);
    }
}

#[test]
fn full_metadata_and_compression_go_on_after_a_stop_at_any_event() {
    for name in ["types-fullmeta", "types-compressed"] {
        check(name, None);
    }
}

#[test]
fn gtid_mode_goes_on_after_a_stop_at_any_event() {
    check("statements-gtid", Some("00000000-0000-0000-0000-000000000001:1"));
}
