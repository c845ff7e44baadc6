//! Rows events that are made up: any number of columns, of any one type.

use std::sync::Arc;

use towpath_binlog::event::RowsEvent;
use towpath_binlog::{EventHeader, EventPlace, FormatDescription, RawEvent, event_type as t};
use towpath_entry::{Decoder, DecoderOptions, Step};
use towpath_schema::StructureAnswer;

/// A type, and a value of it as it lies in a row.
pub(crate) struct Kind {
    /// Type code.
    pub(crate) code: u8,
    /// What the table map says of it.
    pub(crate) metadata: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// It has a collation; if not, it is a number or has neither.
    pub(crate) is_text: bool,
}

/// A table with rows.
pub(crate) struct Made {
    map: (EventPlace, Vec<u8>),
    rows: (EventPlace, Vec<u8>),
}

fn place(event_type: u8, body: &[u8]) -> EventPlace {
    let event_len = u32::try_from(EventHeader::LEN + body.len()).unwrap();
    let header = EventHeader { event_type, server_id: 1, event_len, ..EventHeader::default() };
    EventPlace {
        header,
        file: Arc::from("mysql-bin.000001"),
        start: 4,
        end: 4,
        format: FormatDescription::default(),
    }
}

fn lenenc(out: &mut Vec<u8>, len: usize) {
    if let Ok(len) = u8::try_from(len)
        && len < 251
    {
        out.push(len);
    } else {
        out.push(0xfc);
        out.extend_from_slice(&u16::try_from(len).unwrap().to_le_bytes());
    }
}

fn block(out: &mut Vec<u8>, bytes: &[u8]) {
    lenenc(out, bytes.len());
    out.extend_from_slice(bytes);
}

impl Made {
    /// `rows` rows of `columns` columns of one kind, inserted.
    pub(crate) fn new(table_id: u32, kind: &Kind, columns: usize, rows: usize) -> Self {
        let mut id = table_id.to_le_bytes().to_vec();
        id.extend_from_slice(&[0; 2]);
        let bitmap = columns.div_ceil(8);
        let mut map = [&id[..], &[1, 0, 1, b's', 0]].concat();
        let name = format!("t{table_id}");
        map.push(u8::try_from(name.len()).unwrap());
        map.extend_from_slice(name.as_bytes());
        map.push(0);
        lenenc(&mut map, columns);
        map.extend(std::iter::repeat_n(kind.code, columns));
        block(&mut map, &kind.metadata.repeat(columns));
        map.extend(std::iter::repeat_n(0, bitmap));
        if kind.is_text {
            // The default collation: utf8mb4_0900_ai_ci.
            map.extend_from_slice(&[2, 3, 0xfc, 255, 0]);
        } else {
            map.push(1);
            block(&mut map, &vec![0; bitmap]);
        }
        let mut names = Vec::new();
        for column in 0..columns {
            block(&mut names, format!("column{column:04}").as_bytes());
        }
        map.push(4);
        block(&mut map, &names);
        let flags = RowsEvent::STMT_END.to_le_bytes();
        let mut body = [&id[..], &flags, &[2, 0]].concat();
        lenenc(&mut body, columns);
        body.extend(std::iter::repeat_n(0xff, bitmap));
        let row = [vec![0; bitmap], kind.value.repeat(columns)].concat();
        body.extend_from_slice(&row.repeat(rows));
        Self { map: (place(t::TABLE_MAP, &map), map), rows: (place(t::WRITE_ROWS, &body), body) }
    }

    pub(crate) fn decoder() -> Decoder {
        Decoder::new(DecoderOptions::default())
    }

    /// Feeds the table map and the rows, as a statement brings them.
    pub(crate) fn feed(&self, decoder: &mut Decoder) {
        let map = RawEvent { place: &self.map.0, body: &self.map.1 };
        if let Step::NeedTable { schema, table } = decoder.event(&map).unwrap() {
            decoder.learn_table(&schema, &table, StructureAnswer::default());
            assert_eq!(decoder.event(&map).unwrap(), Step::Done);
        }
        let rows = RawEvent { place: &self.rows.0, body: &self.rows.1 };
        assert_eq!(decoder.event(&rows).unwrap(), Step::Done);
    }
}
