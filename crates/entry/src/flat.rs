//! Canal's flat JSON messages (entry-format 5).

use crate::read::{Column, Entry, ReadError, RowChange, RowData, event_type_name};
use crate::text::{write_formatted, write_int};

/// Appends the flat message of an entry; false when the entry has none (transaction bounds).
/// `id` is the batch id, `ts_ms` the time of sending.
///
/// # Errors
/// [`ReadError`] when the bytes are no entry.
pub fn write_flat(
    out: &mut Vec<u8>,
    entry: &Entry<'_>,
    id: i64,
    ts_ms: i64,
) -> Result<bool, ReadError> {
    let Some(change) = entry.row_change()? else { return Ok(false) };
    let kind = event_type_name(change.event_type);
    let is_ddl = change.is_ddl.unwrap_or(false);
    let dml = matches!(change.event_type, 1..=3) && !is_ddl;
    // The image that `data` shows.
    let image = |row: &RowData<'_>| -> usize {
        usize::from(change.event_type != 3 || row.before.is_empty())
    };
    let rows: Vec<&[Column<'_>]> = change
        .rows
        .iter()
        .map(|row| if image(row) == 0 { row.before.as_slice() } else { row.after.as_slice() })
        .collect();
    let has_rows = dml && !rows.is_empty();
    out.extend_from_slice(b"{\"data\":");
    if has_rows {
        list(out, rows.iter(), |out, columns| object(out, columns.iter()));
    } else {
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(b",\"database\":");
    string(out, entry.header.schema_name.unwrap_or(""));
    out.extend_from_slice(b",\"es\":");
    write_int(out, entry.header.execute_time);
    out.extend_from_slice(b",\"gtid\":");
    string(out, entry.header.gtid.unwrap_or(""));
    out.extend_from_slice(b",\"id\":");
    write_int(out, id);
    out.extend_from_slice(if is_ddl { b",\"isDdl\":true" } else { b",\"isDdl\":false" });
    types(out, has_rows.then_some(&rows));
    out.extend_from_slice(b",\"old\":");
    if has_rows && change.event_type == 2 {
        old(out, &change);
    } else {
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(b",\"pkNames\":");
    let keys: Vec<&str> = rows
        .first()
        .filter(|_| has_rows)
        .map(|row| row.iter().filter(|c| c.is_key).map(|c| c.name).collect())
        .unwrap_or_default();
    if keys.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        list(out, keys.iter(), |out, name| string(out, name));
    }
    out.extend_from_slice(b",\"sql\":");
    string(out, change.sql);
    sql_types(out, has_rows.then_some(&rows));
    out.extend_from_slice(b",\"table\":");
    string(out, entry.header.table_name.unwrap_or(""));
    out.extend_from_slice(b",\"ts\":");
    write_int(out, ts_ms);
    out.extend_from_slice(b",\"type\":");
    string(out, kind);
    out.push(b'}');
    Ok(true)
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

fn types(out: &mut Vec<u8>, rows: Option<&Vec<&[Column<'_>]>>) {
    out.extend_from_slice(b",\"mysqlType\":");
    let Some(rows) = rows else { return out.extend_from_slice(b"null") };
    let mut first = b'{';
    for column in merged(rows) {
        out.push(std::mem::replace(&mut first, b','));
        string(out, column.name);
        out.push(b':');
        string(out, column.mysql_type);
    }
    close(out, first);
}

fn sql_types(out: &mut Vec<u8>, rows: Option<&Vec<&[Column<'_>]>>) {
    out.extend_from_slice(b",\"sqlType\":");
    let Some(rows) = rows else { return out.extend_from_slice(b"null") };
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

/// A JSON string with the escapes that Canal's serializer writes.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
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
