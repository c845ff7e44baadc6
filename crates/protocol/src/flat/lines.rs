//! One JSON object a line for each changed row, and for each statement: for programs that read a terminal's output.
//!
//! `{"kind","schema","table","time_ms","file","offset","gtid","key","before","after"}`; a statement has `sql` in the
//! place of `key` and the images. `gtid` is there if the entry has one.

use super::buffer::Buffer;
use super::quick::Quick;
use super::shape::{AFTER, BEFORE, Shape};
use super::{Change, EVENT_TYPE, Facts, IS_DDL, ROWS, SHAPES, SQL, object, string, write_int};
use crate::entry::{Column, Entry, EventType, Header, ReadError, RowChange, RowData};

/// What was written of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// Lines.
    pub count: u64,
    /// False when the entry has more changes than were allowed.
    pub is_whole: bool,
}

/// Writes lines, and keeps what the rows of a table have in common.
#[derive(Debug, Default)]
pub struct LineWriter {
    shapes: Vec<Option<Shape>>,
    head: Vec<u8>,
    lines: Buffer,
}

impl LineWriter {
    /// Appends the lines of an `Entry`, at most so many. Transaction bounds have none.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are no entry.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        entry: &[u8],
        limit: u64,
    ) -> Result<Lines, ReadError> {
        if let Some(lines) = self.usual(out, entry, limit) {
            return Ok(lines);
        }
        general(out, entry, limit)
    }

    /// `None`, and nothing appended, for whatever is not rows whose columns all look alike.
    fn usual(&mut self, out: &mut Vec<u8>, entry: &[u8], limit: u64) -> Option<Lines> {
        let facts = Facts::read_quickly(entry)?;
        if !facts.is_row_data() {
            return Some(Lines { count: 0, is_whole: true });
        }
        let change = Change::read_front(facts.store_value)?;
        let first = change.first_row.filter(|_| change.has_rows())?;
        self.head.clear();
        head_of(&mut self.head, &facts, change.event_type)?;
        if self.shapes.is_empty() {
            self.shapes.resize_with(SHAPES, || None);
        }
        let slot = self.shapes.get_mut(facts.table_hash() % SHAPES)?;
        let (head, lines) = (self.head.as_slice(), &mut self.lines);
        let known =
            slot.as_mut().and_then(|shape| rows(shape, (&facts, &change), lines, (head, limit)));
        let written = if known.is_some() {
            known
        } else {
            // Another table or another structure.
            *slot = Shape::of(first, change.image());
            rows(slot.as_mut()?, (&facts, &change), lines, (head, limit))
        };
        let written = written?;
        out.extend_from_slice(self.lines.written());
        Some(written)
    }
}

/// What all rows of an entry begin with, up to the key. `None` when it is not UTF-8.
fn head_of(out: &mut Vec<u8>, facts: &Facts<'_>, change: EventType) -> Option<()> {
    let kind: &[u8] = if change == EventType::Insert {
        b"{\"kind\":\"insert\",\"schema\":"
    } else if change == EventType::Update {
        b"{\"kind\":\"update\",\"schema\":"
    } else {
        b"{\"kind\":\"delete\",\"schema\":"
    };
    out.extend_from_slice(kind);
    for name in [facts.schema, facts.table, facts.file] {
        simdutf8::basic::from_utf8(name).ok()?;
    }
    string(out, facts.schema);
    out.extend_from_slice(b",\"table\":");
    string(out, facts.table);
    place(out, facts.execute_time, (facts.file, facts.offset), Some(facts.gtid));
    out.extend_from_slice(b",\"key\":");
    Some(())
}

/// Time, file, offset and GTID.
fn place(out: &mut Vec<u8>, time_ms: i64, (file, offset): (&[u8], i64), gtid: Option<&str>) {
    out.extend_from_slice(b",\"time_ms\":");
    write_int(out, time_ms);
    out.extend_from_slice(b",\"file\":");
    string(out, file);
    out.extend_from_slice(b",\"offset\":");
    write_int(out, offset);
    if let Some(gtid) = gtid.filter(|gtid| !gtid.is_empty()) {
        out.extend_from_slice(b",\"gtid\":");
        string(out, gtid.as_bytes());
    }
}

/// The lines of all rows; `None` when a row does not have the shape.
fn rows(
    shape: &mut Shape,
    (facts, change): (&Facts<'_>, &Change<'_>),
    out: &mut Buffer,
    (head, limit): (&[u8], u64),
) -> Option<Lines> {
    out.clear();
    shape.begin();
    let image = change.image();
    let mut lines = Lines { count: 0, is_whole: true };
    let mut fields = Quick { rest: facts.store_value };
    while !fields.rest.is_empty() {
        let field = fields.next()?;
        if field.tag != ROWS {
            if lines.count > 0 && matches!(field.tag, EVENT_TYPE | IS_DDL | SQL) {
                // Behind the rows, where it was not looked for.
                return None;
            }
            continue;
        }
        if lines.count == limit {
            lines.is_whole = false;
            break;
        }
        lines.count += 1;
        let row = field.content()?;
        let message = (field.from, row.len());
        out.extend(head);
        shape.keys(out, row, image)?;
        out.extend(b",\"before\":");
        if change.event_type == EventType::Insert {
            out.extend(b"null");
        } else {
            shape.object(out, message, BEFORE)?;
        }
        out.extend(b",\"after\":");
        if change.event_type == EventType::Delete {
            out.extend(b"null");
        } else {
            shape.object(out, message, AFTER)?;
        }
        out.extend(b"}\n");
    }
    Some(lines)
}

/// Any entry.
fn general(out: &mut Vec<u8>, bytes: &[u8], limit: u64) -> Result<Lines, ReadError> {
    let entry = Entry::parse(bytes)?;
    let mut lines = Lines { count: 0, is_whole: true };
    let Some(change) = entry.row_change()? else { return Ok(lines) };
    if change.rows.is_empty() {
        if limit == 0 {
            return Ok(Lines { is_whole: false, ..lines });
        }
        header(out, &entry.header, &change);
        out.extend_from_slice(b",\"sql\":");
        string(out, change.sql.as_bytes());
        out.extend_from_slice(b"}\n");
        return Ok(Lines { count: 1, ..lines });
    }
    for row in &change.rows {
        if lines.count == limit {
            return Ok(Lines { is_whole: false, ..lines });
        }
        lines.count += 1;
        header(out, &entry.header, &change);
        any_row(out, row, change.event_type);
    }
    Ok(lines)
}

fn header(out: &mut Vec<u8>, header: &Header<'_>, change: &RowChange<'_>) {
    out.extend_from_slice(b"{\"kind\":");
    string(out, change.event_type.name().to_ascii_lowercase().as_bytes());
    for (key, name) in
        [(&b",\"schema\":"[..], header.schema_name), (b",\"table\":", header.table_name)]
    {
        out.extend_from_slice(key);
        match name {
            Some(name) => string(out, name.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
    }
    let file = (header.logfile_name.as_bytes(), header.logfile_offset);
    place(out, header.execute_time, file, header.gtid);
}

fn any_row(out: &mut Vec<u8>, row: &RowData<'_>, kind: EventType) {
    // The key of an update may stand in the before image only: with a minimal row image.
    let mut key: Vec<&Column<'_>> = Vec::new();
    for column in row.after.iter().chain(&row.before).filter(|column| column.is_key) {
        if !key.iter().any(|other| other.name == column.name) {
            key.push(column);
        }
    }
    out.extend_from_slice(b",\"key\":");
    object(out, key.into_iter());
    // An image may have no columns at all: that of a row of defaults, with a minimal row image.
    let shown = [
        (&b",\"before\":"[..], &row.before, kind != EventType::Insert),
        (b",\"after\":", &row.after, kind != EventType::Delete),
    ];
    for (name, image, is_there) in shown {
        out.extend_from_slice(name);
        if is_there {
            object(out, image.iter());
        } else {
            out.extend_from_slice(b"null");
        }
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// All entries that Canal made of the binlogs of the tests.
    fn recorded() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
        let mut all = Vec::new();
        for golden in std::fs::read_dir(folder).unwrap() {
            let Ok(bytes) = std::fs::read(golden.unwrap().path().join("entries.bin")) else {
                continue;
            };
            let mut rest = bytes.as_slice();
            while let Some((len, tail)) = rest.split_first_chunk::<4>() {
                let (entry, tail) =
                    tail.split_at(usize::try_from(u32::from_be_bytes(*len)).unwrap());
                all.push(entry.to_vec());
                rest = tail;
            }
        }
        all
    }

    /// What is written the frequent way is what the general way writes, and is what the entry says.
    #[test]
    fn both_ways_write_the_same() {
        let (mut writer, mut usual_count, mut row_count) = (LineWriter::default(), 0, 0);
        for bytes in recorded() {
            for limit in [u64::MAX, 0, 1, 2] {
                let (mut out, mut want) = (Vec::new(), Vec::new());
                let wanted = general(&mut want, &bytes, limit).unwrap();
                let usual = writer.usual(&mut out, &bytes, limit);
                assert!(usual.is_some() || out.is_empty());
                usual_count += u64::from(usual.is_some_and(|lines| lines.count > 0));
                out.clear();
                assert_eq!(writer.write(&mut out, &bytes, limit).unwrap(), wanted);
                assert_eq!(
                    String::from_utf8(out).unwrap(),
                    String::from_utf8(want.clone()).unwrap()
                );
                let lines =
                    want.strip_suffix(b"\n").map_or(0, |all| all.split(|b| *b == b'\n').count());
                assert_eq!(u64::try_from(lines).unwrap(), wanted.count);
            }
            row_count += check_values(&bytes);
        }
        assert!(usual_count > 100 && row_count > 100, "{usual_count} {row_count}");
    }

    fn check_values(bytes: &[u8]) -> usize {
        let entry = Entry::parse(bytes).unwrap();
        let change = entry.row_change().unwrap().unwrap_or_default();
        let mut out = Vec::new();
        LineWriter::default().write(&mut out, bytes, u64::MAX).unwrap();
        let lines = out.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let objects: Vec<serde_json::Value> =
            lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        for (row, object) in change.rows.iter().zip(&objects) {
            assert_eq!(object["offset"], entry.header.logfile_offset);
            assert_eq!(object["time_ms"], entry.header.execute_time);
            assert_eq!(object["table"].as_str(), entry.header.table_name);
            for (name, image) in [("before", &row.before), ("after", &row.after)] {
                for column in image {
                    assert_eq!(object[name][column.name].as_str(), column.value);
                    assert_eq!(
                        object["key"][column.name].is_null(),
                        !column.is_key || column.value.is_none()
                    );
                }
            }
        }
        if change.rows.is_empty() && !objects.is_empty() {
            assert_eq!(objects[0]["sql"], change.sql);
        }
        change.rows.len()
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        let mut out = Vec::new();
        assert!(LineWriter::default().write(&mut out, &[0xff, 1, 2], 1).is_err());
        assert!(out.is_empty());
    }
}
