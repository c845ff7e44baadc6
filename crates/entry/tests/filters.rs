//! What the filters leave out, compared with the same binlog without them.

use std::collections::HashSet;

use towpath_binlog::{Checksum, EventHeader, EventStream, RawEvent, event_type};
use towpath_entry::{
    Boundary, Decoder, DecoderOptions, EntryInfo, EntryKind, FieldFilter, Step, Suppress,
    TableFilter,
};
use towpath_protocol::entry::{Column, Entry, EntryType, EventType};
use towpath_schema::StructureAnswer;

use crate::golden::{folder, is_told};

/// Recorded binlogs with all types, partial JSON and compressed transactions among them.
const TYPES: [&str; 5] =
    ["types", "types-fullmeta", "types-compressed", "mysql80-types", "mariadb-types"];

#[derive(Default)]
struct Decoded {
    entries: Vec<(EntryInfo, Vec<u8>)>,
    boundary: Option<Boundary>,
    unknown: (usize, u64),
}

/// Decodes a recording; `structures`: without its statements nothing is known of a table.
fn decode(name: &str, options: DecoderOptions, has_statements: bool) -> Decoded {
    let bytes = std::fs::read(folder(name).join("mysql-bin.000001")).unwrap();
    let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
    let mut decoder = Decoder::new(options);
    let mut rest = &bytes[4..];
    let mut out = Decoded::default();
    while !rest.is_empty() {
        let len = usize::try_from(EventHeader::parse(rest).unwrap().event_len).unwrap();
        let (raw, tail) = rest.split_at(len);
        rest = tail;
        let event = stream.accept(raw).unwrap();
        let is_create = event.header.event_type == event_type::QUERY
            && event.body.windows(12).any(|text| text.eq_ignore_ascii_case(b"create table"));
        if is_create && !has_statements {
            continue;
        }
        while let Step::NeedTable { schema, table } = decoder.event(&event).unwrap() {
            // Of a table that the statements tell, only for the character set that they do not.
            let is_told = is_told(&decoder, &schema, &table);
            assert_eq!(is_told, has_statements, "{name}: asks for {schema}.{table}");
            decoder.learn_table(&schema, &table, StructureAnswer::default());
        }
    }
    while let Some(block) = decoder.take() {
        let entries = block.messages().map(<[u8]>::to_vec);
        out.entries.extend(block.entries.iter().cloned().zip(entries));
    }
    out.boundary = decoder.boundary().cloned();
    let (latest, events) = decoder.take_unknown_tables();
    out.unknown = (latest.len(), events);
    out
}

fn all(name: &str) -> Decoded {
    decode(name, DecoderOptions::default(), true)
}

fn without(name: &str, suppress: Suppress) -> Decoded {
    decode(name, DecoderOptions { suppress, ..DecoderOptions::default() }, true)
}

impl Decoded {
    /// The entries but for the bounds of transactions, of which empty ones are swallowed.
    fn data(&self) -> Vec<&[u8]> {
        let entries = self.entries.iter().map(|(_, bytes)| bytes.as_slice());
        entries
            .filter(|bytes| Entry::parse(bytes).unwrap().entry_type == EntryType::RowData)
            .collect()
    }
}

/// `column` of each row, with all its fields.
fn rows(entry: &Entry<'_>) -> Vec<[Vec<String>; 2]> {
    let change = entry.row_change().unwrap().unwrap_or_default();
    let show = |columns: &[Column<'_>]| columns.iter().map(|c| format!("{c:?}")).collect();
    change.rows.iter().map(|row| [show(&row.before), show(&row.after)]).collect()
}

fn is_left_out(column: &str, names: &HashSet<String>) -> bool {
    names.iter().any(|name| column.contains(&format!("name: \"{name}\"")))
}

/// entry-format 2.5: what is left keeps its bytes, its `index` with gaps, and whether it is updated.
fn check_fields(name: &str, parity: u64) {
    let whole = all(name);
    let mut columns: std::collections::BTreeMap<String, HashSet<(u64, String)>> =
        std::collections::BTreeMap::new();
    for bytes in whole.data() {
        let entry = Entry::parse(bytes).unwrap();
        let (Some(schema), Some(table)) = (entry.header.schema_name, entry.header.table_name)
        else {
            continue;
        };
        let of_table = columns.entry(format!("{schema}.{table}")).or_default();
        for row in &entry.row_change().unwrap().unwrap_or_default().rows {
            of_table.extend(row.before.iter().map(|c| (c.index, c.name.to_owned())));
            of_table.extend(row.after.iter().map(|c| (c.index, c.name.to_owned())));
        }
    }
    // Names with what the filter's own text is made of cannot be named by it.
    let plain = |name: &str| !name.contains(['/', ',', ':']);
    let (mut white, mut black) = (Vec::new(), Vec::new());
    let mut gone: std::collections::BTreeMap<String, HashSet<String>> = columns
        .iter()
        .map(|(table, names)| {
            let is_out = |(index, name): &&(u64, String)| index % 2 == parity && plain(name);
            let out = names.iter().filter(is_out).map(|(_, name)| name.clone());
            (table.clone(), out.collect())
        })
        .collect();
    for (nth, (table, out)) in gone.iter_mut().enumerate() {
        if out.is_empty() || !plain(table) {
            out.clear();
            continue;
        }
        let kept: Vec<&str> = columns[table]
            .iter()
            .map(|(_, name)| name.as_str())
            .filter(|name| !out.contains(*name))
            .collect();
        if nth % 2 == 0 && !kept.is_empty() && kept.iter().all(|name| plain(name)) {
            white.push(format!("{table}:{}", kept.join("/")));
        } else {
            let out: Vec<&str> = out.iter().map(String::as_str).collect();
            black.push(format!("{table}:{}", out.join("/")).to_uppercase());
        }
    }
    assert!(!white.is_empty() && !black.is_empty(), "{name}: nothing is filtered");
    let fields = FieldFilter::new(&white.join(","), &black.join(",")).unwrap();
    let filtered = decode(name, DecoderOptions { fields, ..DecoderOptions::default() }, true);
    assert_eq!(whole.data().len(), filtered.data().len(), "{name}");
    let mut count = 0;
    for (ours, theirs) in filtered.data().into_iter().zip(whole.data()) {
        let (ours, theirs) = (Entry::parse(ours).unwrap(), Entry::parse(theirs).unwrap());
        assert_eq!(format!("{:?}", ours.header), format!("{:?}", theirs.header), "{name}");
        let table = format!(
            "{}.{}",
            theirs.header.schema_name.unwrap_or_default(),
            theirs.header.table_name.unwrap_or_default()
        );
        let mut expected = rows(&theirs);
        if let Some(out) = gone.get(&table) {
            for columns in expected.iter_mut().flatten() {
                let before = columns.len();
                columns.retain(|column| !is_left_out(column, out));
                count += before - columns.len();
            }
        }
        assert_eq!(rows(&ours), expected, "{name}: {table}");
    }
    assert!(count > 100, "{name}: {count} columns were left out");
}

#[test]
fn columns_are_left_out_of_every_row() {
    for name in TYPES {
        check_fields(name, 0);
        check_fields(name, 1);
    }
}

/// F15: whatever is left out, the place where reading goes on is the same.
#[test]
fn a_switch_leaves_out_its_entries_and_nothing_else() {
    let is_rows = |entry: &Entry<'_>, kinds: &[EventType]| {
        let change = entry.row_change().unwrap().unwrap_or_default();
        change.sql.is_empty() && kinds.contains(&change.event_type)
    };
    let has_sql =
        |entry: &Entry<'_>| !entry.row_change().unwrap().unwrap_or_default().sql.is_empty();
    let names = ["types", "types-compressed", "mariadb-types", "statements", "mariadb-statements"];
    for name in names {
        let whole = all(name);
        let check = |suppress: Suppress, is_out: &dyn Fn(&Entry<'_>) -> bool| {
            let filtered = without(name, suppress);
            let mut expected = whole.data();
            expected.retain(|bytes| !is_out(&Entry::parse(bytes).unwrap()));
            assert!(filtered.data() == expected, "{name}: {suppress:?}");
            assert_eq!(filtered.boundary, whole.boundary, "{name}: {suppress:?}");
        };
        check(Suppress::NONE, &|_| false);
        check(Suppress::INSERT, &|entry| is_rows(entry, &[EventType::Insert]));
        check(Suppress::UPDATE, &|entry| is_rows(entry, &[EventType::Update]));
        check(Suppress::DELETE, &|entry| is_rows(entry, &[EventType::Delete]));
        let any = [EventType::Insert, EventType::Update, EventType::Delete];
        check(Suppress::ROWS, &|entry| is_rows(entry, &any));
        check(Suppress::INSERT.and(Suppress::UPDATE).and(Suppress::DELETE), &|entry| {
            is_rows(entry, &any)
        });
        // The statements that accompany rows and XA's are no DDL and no DCL.
        let is_statement = |entry: &Entry<'_>| {
            let change = entry.row_change().unwrap().unwrap_or_default();
            let is_xa = matches!(change.event_type, EventType::XaCommit | EventType::XaRollback);
            has_sql(entry)
                && !is_xa
                && (change.is_ddl.is_some() || change.event_type != EventType::Query)
        };
        check(Suppress::QUERY_DDL, &is_statement);
        check(Suppress::QUERY_DCL, &|entry| {
            let change = entry.row_change().unwrap().unwrap_or_default();
            change.event_type == EventType::Query && change.is_ddl == Some(true)
        });
        check(Suppress::QUERY_DML, &|entry| {
            let change = entry.row_change().unwrap().unwrap_or_default();
            let is_dml = change.event_type.is_of_rows() && has_sql(entry);
            is_dml || change.event_type == EventType::Query && change.is_ddl.is_none()
        });
    }
}

/// Without transaction ends the last entry of a transaction says where reading goes on behind it.
#[test]
fn positions_advance_without_transaction_entries() {
    for name in ["types", "statements", "mariadb-types"] {
        let ends = |decoded: &Decoded| -> HashSet<u64> {
            let is_end = |kind| matches!(kind, EntryKind::End | EntryKind::Ddl);
            let ends = decoded.entries.iter().filter(|(info, _)| is_end(info.kind));
            ends.map(|(info, _)| info.end_offset).collect()
        };
        let has_rows = |decoded: &Decoded| {
            decoded.entries.iter().filter(|(info, _)| info.row_count > 0).count()
        };
        let (whole, filtered) = (all(name), without(name, Suppress::TRANSACTION_ENTRIES));
        assert_eq!(has_rows(&whole), has_rows(&filtered), "{name}");
        assert!(filtered.entries.len() < whole.entries.len(), "{name}");
        assert_eq!(filtered.boundary, whole.boundary, "{name}");
        let places = ends(&filtered);
        assert!(places.is_subset(&ends(&whole)), "{name}");
        // A transaction with rows has its end, whether it is delivered or not.
        let mut open = false;
        for (info, bytes) in &whole.entries {
            match Entry::parse(bytes).unwrap().entry_type {
                EntryType::TransactionBegin => open = false,
                EntryType::RowData => open |= info.row_count > 0,
                EntryType::TransactionEnd
                | EntryType::Heartbeat
                | EntryType::GtidLog
                | EntryType::Unrecognized(_) => {
                    assert!(!open || places.contains(&info.end_offset), "{name}: {info:?}");
                }
            }
        }
    }
}

/// The rows of tables that are not known are counted; what is around them is delivered.
#[test]
fn rows_of_unknown_tables_can_be_left_out() {
    // It has no metadata, so only its statements tell the structures.
    let whole = all("types");
    let options =
        || DecoderOptions { suppress: Suppress::TABLE_ERRORS, ..DecoderOptions::default() };
    let left = decode("types", options(), false);
    let (tables, events) = left.unknown;
    assert!(tables > 5, "{tables} tables are reported");
    let rows = |decoded: &Decoded| {
        decoded.entries.iter().filter(|(info, _)| info.row_count > 0).count() as u64
    };
    assert_eq!(rows(&left) + events, rows(&whole));
    assert_eq!(left.boundary, whole.boundary);
    let same = decode("types", options(), true);
    assert!(same.data() == whole.data() && same.unknown == (0, 0));
}

/// F6: what a filter drops of statements still changes the structures that are known.
#[test]
fn structures_follow_statements_that_are_not_delivered() {
    for name in ["types", "mysql57-types", "statements"] {
        let filter = TableFilter::new(r".*\.t_.*", "").unwrap();
        let options = DecoderOptions {
            suppress: Suppress::QUERY_DDL.and(Suppress::QUERY_DCL).and(Suppress::QUERY_DML),
            filter: filter.clone(),
            ..DecoderOptions::default()
        };
        let with = decode(name, DecoderOptions { filter, ..DecoderOptions::default() }, true);
        let rows = |decoded: &Decoded| -> Vec<Vec<u8>> {
            let rows = decoded.entries.iter().filter(|(info, _)| info.row_count > 0);
            rows.map(|(_, bytes)| bytes.clone()).collect()
        };
        assert!(rows(&decode(name, options, true)) == rows(&with), "{name}");
    }
}

/// A heartbeat of the source, old or new, is nothing to a client (entry-format 2.8).
#[test]
fn heartbeats_are_not_delivered() {
    let bytes = std::fs::read(folder("types").join("mysql-bin.000001")).unwrap();
    let len = usize::try_from(EventHeader::parse(&bytes[4..]).unwrap().event_len).unwrap();
    let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
    let mut decoder = Decoder::new(DecoderOptions::default());
    let first = stream.accept(&bytes[4..4 + len]).unwrap();
    decoder.event(&first).unwrap();
    let mut place = first.place.clone();
    for (kind, body) in [
        (event_type::HEARTBEAT, b"mysql-bin.000001".to_vec()),
        (event_type::HEARTBEAT_V2, [&[1, 16][..], b"mysql-bin.000001", &[2, 1, 126, 0]].concat()),
    ] {
        let event_len = u32::try_from(19 + body.len()).unwrap().to_le_bytes();
        let head = [&[0; 4][..], &[kind], &[1, 0, 0, 0], &event_len, &[126, 0, 0, 0], &[0, 0]];
        place.header = EventHeader::parse(&head.concat()).unwrap();
        let event = RawEvent { place: &place, body: &body };
        assert_eq!(decoder.event(&event).unwrap(), Step::Done);
    }
    assert!(decoder.take().is_none() && decoder.boundary().is_none());
}
