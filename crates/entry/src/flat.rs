//! Canal's flat JSON messages (entry-format 5).

mod scan;
mod shape;

use crate::read::{
    Column, Entry, Field, Fields, ReadError, RowChange, RowData, event_type_name, text,
};
use crate::text::{write_formatted, write_int};
use shape::{AFTER, BEFORE, Shape};

/// Shapes that are kept: one for each table, found by its name.
const SHAPES: usize = 64;

/// Appends the flat message of an entry; false when the entry has none (transaction bounds). `id` is
/// the batch id, `ts_ms` the time of sending. For many entries use one [`FlatWriter`].
///
/// # Errors
/// [`ReadError`] when the bytes are no entry.
pub fn write_flat(
    out: &mut Vec<u8>,
    entry: &Entry<'_>,
    id: i64,
    ts_ms: i64,
) -> Result<bool, ReadError> {
    FlatWriter::default().write(out, entry, id, ts_ms)
}

/// Writes flat messages, and keeps what the messages of a table have in common.
#[derive(Debug, Default)]
pub struct FlatWriter {
    shapes: Vec<Option<Shape>>,
    updated: Vec<bool>,
    old: Vec<u8>,
}

/// The fields of a `RowChange` beside its rows.
struct Change<'a> {
    event_type: u64,
    is_ddl: bool,
    sql: &'a str,
    first_row: Option<&'a [u8]>,
}

/// The parts of a message that depend on columns.
#[derive(Clone, Copy)]
struct Parts<'p> {
    types: &'p [u8],
    old: &'p [u8],
    keys: &'p [u8],
    sql_types: &'p [u8],
}

const NO_PARTS: Parts<'static> =
    Parts { types: b"null", old: b"null", keys: b"null", sql_types: b"null" };

impl FlatWriter {
    /// Appends the flat message of an entry; false when the entry has none (transaction bounds). `id`
    /// is the batch id, `ts_ms` the time of sending.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are no entry. What was appended then is not a message.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        entry: &Entry<'_>,
        id: i64,
        ts_ms: i64,
    ) -> Result<bool, ReadError> {
        if entry.entry_type != 2 {
            return Ok(false);
        }
        let change = Change::read(entry.store_value)?;
        let numbers = (id, ts_ms);
        let start = out.len();
        out.extend_from_slice(b"{\"data\":");
        let Some(first) = change.first_row.filter(|_| change.has_rows()) else {
            out.extend_from_slice(b"null");
            rest(out, (entry, &change), NO_PARTS, numbers);
            return Ok(true);
        };
        if self.usual(out, (entry, &change), first, numbers).is_none() {
            out.truncate(start);
            out.extend_from_slice(b"{\"data\":");
            general(out, (entry, &change), numbers)?;
        }
        Ok(true)
    }

    /// `None` for rows whose columns do not all look alike.
    fn usual(
        &mut self,
        out: &mut Vec<u8>,
        (entry, change): (&Entry<'_>, &Change<'_>),
        first: &[u8],
        numbers: (i64, i64),
    ) -> Option<()> {
        let image = if change.event_type == 3 { BEFORE } else { AFTER };
        let name = entry.header.table_name.unwrap_or("").as_bytes();
        let hash = name.iter().fold(0_usize, |hash, &b| hash.wrapping_mul(31) ^ usize::from(b));
        self.shapes.resize_with(SHAPES, || None);
        let slot = self.shapes.get_mut(hash % SHAPES)?;
        let begin = out.len();
        for attempt in 0..2 {
            if slot.is_none() || attempt == 1 {
                *slot = Some(Shape::of(first, image)?);
            }
            out.truncate(begin);
            self.old.clear();
            self.updated.clear();
            let shape = slot.as_ref()?;
            let is_update = change.event_type == 2;
            let store_value = entry.store_value;
            let lists = (&mut self.updated, &mut self.old);
            match rows(out, (store_value, image, is_update), shape, lists) {
                Ok(()) => {
                    let old = if is_update { &*self.old } else { b"null" };
                    let Shape { types, sql_types, keys, .. } = shape;
                    rest(out, (entry, change), Parts { types, old, keys, sql_types }, numbers);
                    return Some(());
                }
                // Another row than the first: a new shape would not help.
                Err(index) if index > 0 => return None,
                Err(_) => {}
            }
        }
        None
    }
}

/// Appends `data`, and to `old` that; the index of the first row that does not have the shape.
fn rows(
    out: &mut Vec<u8>,
    (store_value, image, is_update): (&[u8], u8, bool),
    shape: &Shape,
    (updated, old): (&mut Vec<bool>, &mut Vec<u8>),
) -> Result<(), usize> {
    let mut fields = Fields::new(store_value, "RowChange");
    let (mut index, mut mark) = (0_usize, b'[');
    while let Ok(Some(field)) = fields.next() {
        let Field::Bytes(12, row) = field else { continue };
        out.push(mark);
        let mut read = || {
            shape.object(out, (row, image), updated)?;
            if is_update {
                old.push(mark);
                shape.old(old, row, updated)?;
            }
            Some(())
        };
        read().ok_or(index)?;
        mark = b',';
        index += 1;
    }
    out.push(b']');
    old.push(b']');
    Ok(())
}

impl<'a> Change<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = Fields::new(bytes, "RowChange");
        let mut change = Self { event_type: 2, is_ddl: false, sql: "", first_row: None };
        while let Some(field) = fields.next()? {
            match field {
                Field::Int(2, number) => change.event_type = number,
                Field::Int(10, flag) => change.is_ddl = flag != 0,
                Field::Bytes(11, sql) => change.sql = text(sql, &fields)?,
                Field::Bytes(12, row) => change.first_row = change.first_row.or(Some(row)),
                Field::Int(..) | Field::Bytes(..) => {}
            }
        }
        Ok(change)
    }

    const fn has_rows(&self) -> bool {
        matches!(self.event_type, 1..=3) && !self.is_ddl && self.first_row.is_some()
    }
}

/// Any rows.
fn general(
    out: &mut Vec<u8>,
    (entry, facts): (&Entry<'_>, &Change<'_>),
    numbers: (i64, i64),
) -> Result<(), ReadError> {
    let change = entry.row_change()?.unwrap_or_default();
    // The image that `data` shows.
    let is_before = |row: &RowData<'_>| change.event_type == 3 && !row.before.is_empty();
    let rows: Vec<&[Column<'_>]> = change
        .rows
        .iter()
        .map(|row| if is_before(row) { row.before.as_slice() } else { row.after.as_slice() })
        .collect();
    list(out, rows.iter(), |out, columns| object(out, columns.iter()));
    let (mut type_list, mut sql_type_list, mut key_list) = (Vec::new(), Vec::new(), Vec::new());
    types(&mut type_list, &rows);
    sql_types(&mut sql_type_list, &rows);
    let mut old_list = Vec::new();
    if change.event_type == 2 {
        old(&mut old_list, &change);
    } else {
        old_list.extend_from_slice(b"null");
    }
    let first = rows.first().copied().unwrap_or_default();
    let keys: Vec<&str> = first.iter().filter(|c| c.is_key).map(|c| c.name).collect();
    if keys.is_empty() {
        key_list.extend_from_slice(b"null");
    } else {
        list(&mut key_list, keys.iter(), |out, name| string(out, name));
    }
    let parts =
        Parts { types: &type_list, old: &old_list, keys: &key_list, sql_types: &sql_type_list };
    rest(out, (entry, facts), parts, numbers);
    Ok(())
}

/// Everything behind `data`.
fn rest(
    out: &mut Vec<u8>,
    (entry, change): (&Entry<'_>, &Change<'_>),
    parts: Parts<'_>,
    (id, ts_ms): (i64, i64),
) {
    out.extend_from_slice(b",\"database\":");
    string(out, entry.header.schema_name.unwrap_or(""));
    out.extend_from_slice(b",\"es\":");
    write_int(out, entry.header.execute_time);
    out.extend_from_slice(b",\"gtid\":");
    string(out, entry.header.gtid.unwrap_or(""));
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
    string(out, change.sql);
    out.extend_from_slice(b",\"sqlType\":");
    out.extend_from_slice(parts.sql_types);
    out.extend_from_slice(b",\"table\":");
    string(out, entry.header.table_name.unwrap_or(""));
    out.extend_from_slice(b",\"ts\":");
    write_int(out, ts_ms);
    out.extend_from_slice(b",\"type\":");
    string(out, event_type_name(change.event_type));
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
        string(out, column.name);
        out.push(b':');
        match column.value {
            Some(value) => string(out, value),
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
        string(out, column.name);
        out.push(b':');
        string(out, column.mysql_type);
    }
    close(out, first);
}

fn sql_types(out: &mut Vec<u8>, rows: &[&[Column<'_>]]) {
    let mut first = b'{';
    for column in merged(rows) {
        out.push(std::mem::replace(&mut first, b','));
        string(out, column.name);
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

/// A JSON string of bytes that must be UTF-8; `None` when they are not.
#[inline]
fn plain_or_escaped(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let found = scan::scan(bytes);
    if found.has_high {
        simdutf8::basic::from_utf8(bytes).ok()?;
    }
    if found.has_special {
        escaped(out, bytes);
    } else {
        quoted(out, bytes);
    }
    Some(())
}

/// A JSON string with the escapes that Canal's serializer writes.
fn string(out: &mut Vec<u8>, text: &str) {
    if scan::scan(text.as_bytes()).has_special {
        escaped(out, text.as_bytes());
    } else {
        quoted(out, text.as_bytes());
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
            other => write_formatted(out, format_args!("\\u{other:04x}")),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
