//! Rows events of a recorded binlog, one table each, to be fed again with any number of rows.

use std::path::Path;

use towpath_binlog::event::{RowsEvent, RowsKind, TableMap};
use towpath_binlog::{Checksum, EventHeader, EventPlace, EventStream, RawEvent, event_type as t};
use towpath_entry::{Decoder, DecoderOptions, Step};
use towpath_schema::StructureAnswer;

/// A table map and a rows event behind it.
pub(crate) struct Case {
    /// Table and kind of change, such as `t_json update`.
    pub(crate) name: String,
    map: (EventPlace, Vec<u8>),
    rows: (EventPlace, Vec<u8>),
}

/// The first rows event of each table and kind of change. The binlog has full metadata, so that each
/// event can be decoded by itself.
pub(crate) fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/golden/types-fullmeta/mysql-bin.000001");
    let bytes = std::fs::read(path).unwrap();
    let mut stream = EventStream::new("mysql-bin.000001", 4, Checksum::None);
    let mut cases: Vec<Case> = Vec::new();
    let mut map = None;
    let mut rest = &bytes[4..];
    while !rest.is_empty() {
        let (raw, tail) = rest.split_at(EventHeader::peek_len(rest).unwrap());
        rest = tail;
        let event = stream.accept(raw).unwrap();
        if event.header.event_type == t::TABLE_MAP {
            map = Some((event.place.clone(), event.body.to_vec()));
        }
        let Some((kind, _)) = RowsKind::of(event.header.event_type) else { continue };
        let Some(map) = map.take() else { continue };
        let table = TableMap::parse(&map.1, &event.format).unwrap().table;
        let table = String::from_utf8_lossy(table).into_owned();
        let name = format!("{table} {}", format!("{kind:?}").to_lowercase());
        if cases.iter().all(|case| case.name != name) {
            cases.push(Case { name, map, rows: (event.place.clone(), event.body.to_vec()) });
        }
    }
    cases
}

impl Case {
    /// A decoder that knows the table.
    pub(crate) fn decoder(&self) -> Decoder {
        let mut decoder = Decoder::new(DecoderOptions::default());
        self.feed_map(&mut decoder);
        decoder
    }

    /// Feeds the table map, as before each statement.
    pub(crate) fn feed_map(&self, decoder: &mut Decoder) {
        let map = RawEvent { place: &self.map.0, body: &self.map.1 };
        if let Step::NeedTable { schema, table } = decoder.event(&map).unwrap() {
            decoder.learn_table(&schema, &table, StructureAnswer::default());
            assert_eq!(decoder.event(&map).unwrap(), Step::Done);
        }
    }

    /// The body of the rows event, its rows so many times.
    pub(crate) fn repeated(&self, times: usize) -> Vec<u8> {
        let (place, body) = &self.rows;
        let rows = RowsEvent::parse(body, place.header.event_type, &place.format).unwrap().rows;
        [&body[..body.len() - rows.len()], &rows.repeat(times)].concat()
    }

    /// Feeds a rows event with this body.
    pub(crate) fn feed_rows(&self, decoder: &mut Decoder, body: &[u8]) {
        let event = RawEvent { place: &self.rows.0, body };
        assert_eq!(decoder.event(&event).unwrap(), Step::Done);
    }
}
