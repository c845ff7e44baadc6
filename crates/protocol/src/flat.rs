//! Canal's flat JSON messages (entry-format 5).

mod buffer;
mod lines;
mod quick;
mod scan;
mod shape;

use std::io::Write as _;

use crate::entry::{Column, EntryType, EventType, Fields, ReadError, RowChange, RowData, text};
use crate::protobuf::Value;
use buffer::Buffer;
pub use lines::{LineWriter, Lines};
use quick::Quick;
use shape::{AFTER, BEFORE, Shape};

/// Shapes that are kept: one for each table, found by its name.
const SHAPES: usize = 64;

/// Writes flat messages, and keeps what the messages of a table have in common.
#[derive(Debug, Default)]
pub struct FlatWriter {
    shapes: Vec<Option<Shape>>,
    data: Buffer,
    old: Buffer,
}

/// What a flat message says of an entry beside its content.
#[derive(Default)]
struct Facts<'a> {
    /// UTF-8 when they were read in the general way.
    schema: &'a [u8],
    table: &'a [u8],
    file: &'a [u8],
    offset: i64,
    execute_time: i64,
    gtid: &'a str,
    entry_type: EntryType,
    store_value: &'a [u8],
}

/// The fields of a `RowChange` beside its rows.
#[derive(Default)]
struct Change<'a> {
    event_type: EventType,
    is_ddl: bool,
    sql: &'a str,
    first_row: Option<&'a [u8]>,
}

/// The parts of a message that depend on the table, as JSON.
#[derive(Clone, Copy)]
struct Parts<'p> {
    schema: &'p [u8],
    table: &'p [u8],
    data: &'p [u8],
    types: &'p [u8],
    old: &'p [u8],
    keys: &'p [u8],
    sql_types: &'p [u8],
}

impl FlatWriter {
    /// Appends the flat message of an `Entry`; false when it has none (transaction bounds). `id` is the
    /// batch id, `ts_ms` the time of sending.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are no entry.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        entry: &[u8],
        id: i64,
        ts_ms: i64,
    ) -> Result<bool, ReadError> {
        let numbers = (id, ts_ms);
        if let Some(facts) = Facts::read_quickly(entry) {
            if facts.entry_type != EntryType::RowData {
                return Ok(false);
            }
            if let Some(change) = Change::read_front(facts.store_value)
                && let Some(first) = change.first_row.filter(|_| change.has_rows())
                && self.usual(out, (&facts, &change), first, numbers).is_some()
            {
                return Ok(true);
            }
        }
        let facts = Facts::read(entry)?;
        if facts.entry_type != EntryType::RowData {
            return Ok(false);
        }
        let change = Change::read(facts.store_value)?;
        general(out, (&facts, &change), numbers)?;
        Ok(true)
    }

    /// `None`, and nothing appended, for rows whose columns do not all look alike.
    fn usual(
        &mut self,
        out: &mut Vec<u8>,
        (entry, change): (&Facts<'_>, &Change<'_>),
        first: &[u8],
        numbers: (i64, i64),
    ) -> Option<()> {
        if self.shapes.is_empty() {
            self.shapes.resize_with(SHAPES, || None);
        }
        let slot = self.shapes.get_mut(entry.table_hash() % SHAPES)?;
        let lists = (&mut self.data, &mut self.old);
        let is_done = slot.as_mut().and_then(|shape| rows(shape, entry, change, lists)).is_some();
        if !is_done {
            // Another table or another structure.
            *slot = Shape::of(first, change.image());
            rows(slot.as_mut()?, entry, change, (&mut self.data, &mut self.old))?;
        }
        let shape = slot.as_mut()?;
        shape.tell_names(entry.schema, entry.table)?;
        shape.tell_sql_types();
        let old: &[u8] =
            if change.event_type == EventType::Update { self.old.written() } else { b"null" };
        let Shape { schema, table, types, keys, sql_types, .. } = shape;
        let (schema, table) = (&*schema.json, &*table.json);
        let data = self.data.written();
        let parts = Parts { schema, table, data, types, old, keys, sql_types };
        message(out, (entry, change), parts, numbers);
        Some(())
    }
}

/// `data` and `old`; `None` when a row does not have the shape.
fn rows(
    shape: &mut Shape,
    entry: &Facts<'_>,
    change: &Change<'_>,
    (data, old): (&mut Buffer, &mut Buffer),
) -> Option<()> {
    data.clear();
    old.clear();
    shape.begin();
    let mut fields = Quick { rest: entry.store_value };
    let mut mark = b'[';
    while !fields.rest.is_empty() {
        let field = fields.next()?;
        if field.tag != ROWS {
            if mark == b',' && matches!(field.tag, EVENT_TYPE | IS_DDL | SQL) {
                // Behind the rows, where it was not looked for.
                return None;
            }
            continue;
        }
        let row = field.content()?;
        data.push(mark);
        shape.object(data, (field.from, row.len()), change.image())?;
        if change.event_type == EventType::Update {
            old.push(mark);
            shape.old(old, row)?;
        }
        mark = b',';
    }
    data.push(b']');
    old.push(b']');
    Some(())
}

/// Tags of `Header`.
const FILE: u8 = 2 << 3 | 2;
const OFFSET: u8 = 3 << 3;
const EXECUTE_TIME: u8 = 6 << 3;
const SCHEMA: u8 = 8 << 3 | 2;
const TABLE: u8 = 9 << 3 | 2;
const GTID: u8 = 13 << 3 | 2;

/// Tags of `RowChange`.
const EVENT_TYPE: u8 = 2 << 3;
const IS_DDL: u8 = 10 << 3;
const SQL: u8 = 11 << 3 | 2;
const ROWS: u8 = 12 << 3 | 2;

impl<'a> Facts<'a> {
    fn is_row_data(&self) -> bool {
        self.entry_type == EntryType::RowData
    }

    /// What the shape of the table is found by.
    #[inline]
    fn table_hash(&self) -> usize {
        self.table.iter().fold(0, |hash, &b| hash.wrapping_mul(31) ^ usize::from(b))
    }

    fn read_quickly(bytes: &'a [u8]) -> Option<Self> {
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
        let mut facts = Self::default();
        let mut fields = Quick { rest: bytes };
        let header = fields.next().filter(|field| field.tag == 1 << 3 | 2)?;
        let mut header = Quick { rest: header.content()? };
        while !header.rest.is_empty() {
            let field = header.next()?;
            match field.tag {
                FILE => facts.file = field.content()?,
                OFFSET => facts.offset = field.number.cast_signed(),
                EXECUTE_TIME => facts.execute_time = field.number.cast_signed(),
                SCHEMA => facts.schema = field.content()?,
                TABLE => facts.table = field.content()?,
                GTID => facts.gtid = text(field.content()?)?,
                _ => {}
            }
        }
        let entry_type = fields.next().filter(|field| field.tag == 2 << 3)?;
        let store_value = fields.next().filter(|field| field.tag == 3 << 3 | 2)?;
        facts.entry_type = EntryType::from_code(entry_type.number);
        facts.store_value = store_value.content()?;
        fields.rest.is_empty().then_some(facts)
    }

    fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = Fields::new(bytes, "Entry");
        let mut facts = Self::default();
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(header)) => facts.read_header(header)?,
                (2, Value::Varint(number)) => facts.entry_type = EntryType::from_code(number),
                (3, Value::Bytes(store)) => facts.store_value = store,
                _ => {}
            }
        }
        Ok(facts)
    }

    fn read_header(&mut self, bytes: &'a [u8]) -> Result<(), ReadError> {
        let mut fields = Fields::new(bytes, "Header");
        while let Some(field) = fields.next()? {
            match field {
                (6, Value::Varint(time)) => self.execute_time = time.cast_signed(),
                (8, Value::Bytes(name)) => self.schema = text(name, &fields)?.as_bytes(),
                (9, Value::Bytes(name)) => self.table = text(name, &fields)?.as_bytes(),
                (13, Value::Bytes(set)) => self.gtid = text(set, &fields)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Change<'a> {
    /// What stands before the rows, which is all of it in entries of rows as they are written.
    fn read_front(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Quick { rest: bytes };
        let mut change = Self::default();
        while !fields.rest.is_empty() && change.first_row.is_none() {
            let field = fields.next()?;
            match field.tag {
                EVENT_TYPE => change.event_type = EventType::from_code(field.number),
                IS_DDL => change.is_ddl = field.number != 0,
                SQL => change.sql = std::str::from_utf8(field.content()?).ok()?,
                ROWS => change.first_row = Some(field.content()?),
                _ => {}
            }
        }
        Some(change)
    }

    fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = Fields::new(bytes, "RowChange");
        let mut change = Self::default();
        while let Some(field) = fields.next()? {
            match field {
                (2, Value::Varint(number)) => change.event_type = EventType::from_code(number),
                (10, Value::Varint(flag)) => change.is_ddl = flag != 0,
                (11, Value::Bytes(sql)) => change.sql = text(sql, &fields)?,
                (12, Value::Bytes(row)) => change.first_row = change.first_row.or(Some(row)),
                _ => {}
            }
        }
        Ok(change)
    }

    /// The image that `data` shows, unless it is not there.
    const fn image(&self) -> u8 {
        if matches!(self.event_type, EventType::Delete) { BEFORE } else { AFTER }
    }

    const fn has_rows(&self) -> bool {
        self.event_type.is_of_rows() && !self.is_ddl && self.first_row.is_some()
    }
}

/// Any entry of rows or a statement.
fn general(
    out: &mut Vec<u8>,
    (entry, facts): (&Facts<'_>, &Change<'_>),
    numbers: (i64, i64),
) -> Result<(), ReadError> {
    let (mut schema, mut table) = (Vec::new(), Vec::new());
    string(&mut schema, entry.schema);
    string(&mut table, entry.table);
    let null: &[u8] = b"null";
    let parts = Parts {
        schema: &schema,
        table: &table,
        data: null,
        types: null,
        old: null,
        keys: null,
        sql_types: null,
    };
    if !facts.has_rows() {
        message(out, (entry, facts), parts, numbers);
        return Ok(());
    }
    let change = RowChange::parse(entry.store_value)?;
    // The image that `data` shows.
    let is_before =
        |row: &RowData<'_>| change.event_type == EventType::Delete && !row.before.is_empty();
    let rows: Vec<&[Column<'_>]> = change
        .rows
        .iter()
        .map(|row| if is_before(row) { row.before.as_slice() } else { row.after.as_slice() })
        .collect();
    let mut data = Vec::new();
    list(&mut data, rows.iter(), |out, columns| object(out, columns.iter()));
    let (mut type_list, mut sql_type_list, mut key_list) = (Vec::new(), Vec::new(), Vec::new());
    types(&mut type_list, &rows);
    sql_types(&mut sql_type_list, &rows);
    let mut old_list = Vec::new();
    if change.event_type == EventType::Update {
        old(&mut old_list, &change);
    } else {
        old_list.extend_from_slice(b"null");
    }
    let first = rows.first().copied().unwrap_or_default();
    let keys: Vec<&str> = first.iter().filter(|c| c.is_key).map(|c| c.name).collect();
    if keys.is_empty() {
        key_list.extend_from_slice(b"null");
    } else {
        list(&mut key_list, keys.iter(), |out, name| string(out, name.as_bytes()));
    }
    let (types, sql_types) = (&*type_list, &*sql_type_list);
    let parts = Parts { data: &data, types, old: &old_list, keys: &key_list, sql_types, ..parts };
    message(out, (entry, facts), parts, numbers);
    Ok(())
}

/// Appends a number in decimal.
#[inline]
fn write_int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The whole of it.
fn message(
    out: &mut Vec<u8>,
    (entry, change): (&Facts<'_>, &Change<'_>),
    parts: Parts<'_>,
    (id, ts_ms): (i64, i64),
) {
    out.extend_from_slice(b"{\"data\":");
    out.extend_from_slice(parts.data);
    out.extend_from_slice(b",\"database\":");
    out.extend_from_slice(parts.schema);
    out.extend_from_slice(b",\"es\":");
    write_int(out, entry.execute_time);
    out.extend_from_slice(b",\"gtid\":");
    string(out, entry.gtid.as_bytes());
    out.extend_from_slice(b",\"id\":");
    write_int(out, id);
    out.extend_from_slice(if change.is_ddl { b",\"isDdl\":true" } else { b",\"isDdl\":false" });
    out.extend_from_slice(b",\"mysqlType\":");
    out.extend_from_slice(parts.types);
    out.extend_from_slice(b",\"old\":");
    out.extend_from_slice(parts.old);
    out.extend_from_slice(b",\"pkNames\":");
    out.extend_from_slice(parts.keys);
    out.extend_from_slice(b",\"sql\":");
    string(out, change.sql.as_bytes());
    out.extend_from_slice(b",\"sqlType\":");
    out.extend_from_slice(parts.sql_types);
    out.extend_from_slice(b",\"table\":");
    out.extend_from_slice(parts.table);
    out.extend_from_slice(b",\"ts\":");
    write_int(out, ts_ms);
    out.extend_from_slice(b",\"type\":");
    string(out, change.event_type.name().as_bytes());
    out.push(b'}');
}

fn list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn object<'c, 'a: 'c>(out: &mut Vec<u8>, columns: impl Iterator<Item = &'c Column<'a>>) {
    out.push(b'{');
    for (index, column) in columns.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, column.name.as_bytes());
        out.push(b':');
        match column.value {
            Some(value) => string(out, value.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

/// The columns of all rows, by name in order of first appearance; the last row's facts win.
fn merged<'c, 'a>(rows: &[&'c [Column<'a>]]) -> Vec<&'c Column<'a>> {
    let mut all: Vec<&Column<'a>> = Vec::new();
    for row in rows {
        for (at, column) in row.iter().enumerate() {
            let same = |c: &&Column<'a>| c.name == column.name;
            let slot =
                if all.get(at).is_some_and(same) { Some(at) } else { all.iter().position(same) };
            match slot.and_then(|slot| all.get_mut(slot)) {
                Some(slot) => *slot = column,
                None => all.push(column),
            }
        }
    }
    all
}

fn types(out: &mut Vec<u8>, rows: &[&[Column<'_>]]) {
    let mut first = b'{';
    for column in merged(rows) {
        out.push(std::mem::replace(&mut first, b','));
        string(out, column.name.as_bytes());
        out.push(b':');
        string(out, column.mysql_type.as_bytes());
    }
    close(out, first);
}

fn sql_types(out: &mut Vec<u8>, rows: &[&[Column<'_>]]) {
    let mut first = b'{';
    for column in merged(rows) {
        out.push(std::mem::replace(&mut first, b','));
        string(out, column.name.as_bytes());
        out.push(b':');
        write_int(out, column.sql_type);
    }
    close(out, first);
}

fn close(out: &mut Vec<u8>, first: u8) {
    if first == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Values before the update of the columns that were updated in this row or in one before it (Canal
/// does not reset the set between rows).
fn old(out: &mut Vec<u8>, change: &RowChange<'_>) {
    let mut updated: Vec<&str> = Vec::new();
    list(out, change.rows.iter(), |out, row| {
        for column in row.after.iter().filter(|column| column.updated) {
            if !updated.contains(&column.name) {
                updated.push(column.name);
            }
        }
        object(out, row.before.iter().filter(|column| updated.contains(&column.name)));
    });
}

/// UTF-8 as a JSON string with the escapes that Canal's serializer writes.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    if scan::scan(text).has_special() {
        escaped(out, text);
    } else {
        quoted(out, text);
    }
}

#[inline]
fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let mut rest = bytes;
    let special = |b: &u8| matches!(b, b'"' | b'\\' | 0..=0x1f);
    while let Some(at) = rest.iter().position(special) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                // A vector takes everything.
                let _written: bool = write!(out, "\\u{other:04x}").is_ok();
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
