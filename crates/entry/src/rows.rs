//! Rows events into `RowChange` bytes: the hot path.
//!
//! Walks each row image once by the table's plan and appends `RowData` messages. Nothing is
//! allocated for a column or a row: numbers go through one scratch buffer, strings straight from
//! the event into the output. Lengths that are known only behind their content are guessed from
//! the row before; a wrong guess moves the row by a byte.

use std::ops::Range;

use towpath_binlog::event::{RowsEvent, RowsKind};
use towpath_binlog::{ParseError, Reader, Value, decompress_column};

use crate::plan::{Bytes, ColumnPlan, Plan, Sign};
use crate::proto;
use crate::text::{self, Zone};

/// Longest value that a compressed column may inflate to.
const VALUE_LEN_MAX: u64 = 1 << 30;

/// A column of a before image: where its bytes and its text lie.
#[derive(Debug, Clone, Default)]
enum Before {
    #[default]
    Absent,
    Null,
    Value {
        raw: Range<usize>,
        text: Range<usize>,
    },
}

/// Buffers that live from event to event.
#[derive(Debug, Default)]
pub(crate) struct RowsWriter {
    scratch: Vec<u8>,
    inflated: Vec<u8>,
    before: Vec<Before>,
    row_len: usize,
}

/// Which image of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    /// `beforeColumns` of a pair: kept for the comparison.
    Before,
    /// `beforeColumns` of a delete.
    Deleted,
    /// `afterColumns` of an insert.
    Inserted,
    /// `afterColumns` of a pair.
    After,
}

/// How a value becomes bytes of the output.
enum Rendered<'a> {
    Null,
    /// Already in the scratch buffer.
    Scratch {
        wide: bool,
    },
    /// As it stands in the event.
    Plain(&'a [u8]),
    Latin1(&'a [u8]),
    /// The text of the before image: a JSON column that a partial update left alone.
    Unchanged,
}

impl RowsWriter {
    /// Appends field 12 (`rowDatas`) for each row; returns the count of rows.
    pub(crate) fn write(
        &mut self,
        plan: &Plan,
        event: &RowsEvent<'_>,
        zone: &Zone,
        out: &mut Vec<u8>,
    ) -> Result<u32, ParseError> {
        let mut r = Reader::new(event.rows);
        let mut rows = 0;
        while !r.is_empty() {
            let start = out.len();
            let guess = 1 + proto::varint_len(proto::len64(self.row_len));
            out.resize(start + guess, 0);
            let mut walk = Walk { writer: self, plan, event, zone, out };
            match event.kind {
                RowsKind::Insert => walk.image(&mut r, Image::Inserted)?,
                RowsKind::Delete => walk.image(&mut r, Image::Deleted)?,
                RowsKind::Update | RowsKind::PartialUpdate => {
                    walk.writer.before.clear();
                    walk.writer.before.resize(plan.columns.len(), Before::Absent);
                    walk.image(&mut r, Image::Before)?;
                    walk.image(&mut r, Image::After)?;
                }
            }
            self.row_len = out.len() - start - guess;
            close_row(out, start, guess, self.row_len);
            rows += 1;
        }
        Ok(rows)
    }
}

/// Writes tag and length of a row into the gap of `guess` bytes before it.
fn close_row(out: &mut Vec<u8>, start: usize, guess: usize, len: usize) {
    let need = 1 + proto::varint_len(proto::len64(len));
    if need > guess {
        out.resize(out.len() + need - guess, 0);
        out.copy_within(start + guess..start + guess + len, start + need);
    } else if need < guess {
        out.copy_within(start + guess.., start + need);
        out.truncate(start + need + len);
    }
    let mut head = [0_u8; 11];
    let head = encode_head(&mut head, 12, len);
    if let Some(gap) = out.get_mut(start..start + need) {
        gap.copy_from_slice(head);
    }
}

/// Tag and length of a length-delimited field, in a fixed buffer.
fn encode_head(buffer: &mut [u8; 11], field: u8, len: usize) -> &[u8] {
    let [tag, rest @ ..] = buffer;
    *tag = field << 3 | 2;
    let mut value = proto::len64(len);
    let mut count = 1;
    for byte in rest {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        count += 1;
        if value == 0 {
            *byte = low & 0x7f;
            break;
        }
        *byte = low | 0x80;
    }
    buffer.get(..count).unwrap_or_default()
}

struct Walk<'w, 'e> {
    writer: &'w mut RowsWriter,
    plan: &'w Plan,
    event: &'w RowsEvent<'e>,
    zone: &'w Zone,
    out: &'w mut Vec<u8>,
}

#[inline]
fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// How many of the first `len` bits are set. The bits behind them may be set as well: servers fill
/// a bitmap up to its last byte.
#[inline]
fn ones(bitmap: &[u8], len: usize) -> usize {
    let (whole, rest) = (len / 8, len % 8);
    let full = bitmap.iter().take(whole).map(|byte| byte.count_ones()).sum::<u32>();
    let last = bitmap.get(whole).map_or(0, |byte| (byte & ((1 << rest) - 1)).count_ones());
    usize::try_from(full + last).unwrap_or(usize::MAX)
}

impl<'e> Walk<'_, 'e> {
    fn image(&mut self, r: &mut Reader<'e>, image: Image) -> Result<(), ParseError> {
        let present =
            if image == Image::After { self.event.present_after } else { self.event.present };
        let count = ones(present, self.plan.columns.len());
        let mut diffs: &[u8] = &[];
        if image == Image::After
            && self.event.kind == RowsKind::PartialUpdate
            && r.lenenc("value options")? & 1 == 1
        {
            diffs = r.bytes(self.plan.json_columns.div_ceil(8), "partial JSON columns")?;
        }
        let nulls = r.bytes(count.div_ceil(8), "null bitmap")?;
        let (mut nth, mut json) = (0, 0);
        for (index, column) in self.plan.columns.iter().enumerate() {
            let is_json = matches!(column.kind, towpath_binlog::ColumnKind::Json { .. });
            let partial = is_json && bit(diffs, json);
            json += usize::from(is_json);
            if !bit(present, index) {
                continue;
            }
            let is_null = bit(nulls, nth);
            nth += 1;
            self.column(r, index, column, (image, is_null, partial))?;
        }
        Ok(())
    }

    #[inline]
    fn column(
        &mut self,
        r: &mut Reader<'e>,
        index: usize,
        column: &ColumnPlan,
        (image, is_null, partial): (Image, bool, bool),
    ) -> Result<(), ParseError> {
        let raw_start = r.offset();
        let rendered = if is_null {
            Rendered::Null
        } else if partial {
            self.diff(r, column)?
        } else {
            self.render(column, Value::read(column.kind, r)?)?
        };
        let raw = raw_start..r.offset();
        let updated = match image {
            Image::Inserted => true,
            Image::Before | Image::Deleted => false,
            Image::After => self.is_updated(index, &rendered, &raw, partial),
        };
        let field = if matches!(image, Image::Before | Image::Deleted) { 1 } else { 2 };
        let text = self.emit((field, updated), index, column, &rendered);
        if image == Image::Before
            && let Some(slot) = self.writer.before.get_mut(index)
        {
            *slot = if is_null { Before::Null } else { Before::Value { raw, text } };
        }
        Ok(())
    }

    /// The text of a value, or the value itself where it is text already.
    #[inline]
    fn render(
        &mut self,
        column: &ColumnPlan,
        value: Value<'e>,
    ) -> Result<Rendered<'e>, ParseError> {
        let scratch = &mut self.writer.scratch;
        scratch.clear();
        let mut wide = false;
        match value {
            Value::Int(n) => match column.sign {
                Sign::Unsigned(range) if n < 0 => {
                    wide = true;
                    text::write_int(scratch, n.cast_unsigned().wrapping_add(range));
                }
                Sign::Unsigned(_) | Sign::Signed => text::write_int(scratch, n),
            },
            Value::Float(f) => text::write_f32(scratch, f),
            Value::Double(f) => text::write_f64(scratch, f),
            Value::Decimal(d) => text::write_decimal(scratch, &d),
            Value::Bit(n) | Value::Set(n) => text::write_int(scratch, n),
            Value::Year(0) => scratch.extend_from_slice(b"0000"),
            Value::Year(y) => text::write_int(scratch, 1900 + u32::from(y)),
            Value::Date(d) => text::write_date(scratch, d),
            Value::Time(t) => text::write_time(scratch, t),
            Value::DateTime(t) => text::write_datetime(scratch, t),
            Value::Timestamp(t) => text::write_timestamp(scratch, t, self.zone),
            Value::Enum(n) => text::write_int(scratch, n),
            Value::Json(document) => text::write_json(scratch, document)?,
            Value::Bytes(bytes) => return Ok(self.string(column.bytes, bytes)),
            Value::Compressed(bytes) => {
                decompress_column(bytes, &mut self.writer.inflated, VALUE_LEN_MAX)?;
                match column.bytes {
                    Bytes::Utf8 => text::write_utf8(scratch, &self.writer.inflated),
                    Bytes::Latin1 | Bytes::Uuid | Bytes::Inet4 | Bytes::Inet6 => {
                        text::write_latin1(scratch, &self.writer.inflated);
                    }
                }
            }
        }
        Ok(Rendered::Scratch { wide })
    }

    #[inline]
    fn string(&mut self, as_text: Bytes, bytes: &'e [u8]) -> Rendered<'e> {
        let scratch = &mut self.writer.scratch;
        match as_text {
            Bytes::Utf8 if simdutf8::basic::from_utf8(bytes).is_ok() => Rendered::Plain(bytes),
            Bytes::Utf8 => {
                text::write_utf8(scratch, bytes);
                Rendered::Scratch { wide: false }
            }
            Bytes::Latin1 => Rendered::Latin1(bytes),
            Bytes::Uuid => {
                text::write_uuid(scratch, bytes);
                Rendered::Scratch { wide: false }
            }
            Bytes::Inet4 => {
                text::write_inet4(scratch, bytes);
                Rendered::Scratch { wide: false }
            }
            Bytes::Inet6 => {
                text::write_inet6(scratch, bytes);
                Rendered::Scratch { wide: false }
            }
        }
    }

    /// A JSON column of a partial update: its length, then the diffs.
    fn diff(
        &mut self,
        r: &mut Reader<'e>,
        column: &ColumnPlan,
    ) -> Result<Rendered<'e>, ParseError> {
        let towpath_binlog::ColumnKind::Json { len_bytes } = column.kind else {
            return Ok(Rendered::Unchanged);
        };
        let len = r.uint(usize::from(len_bytes), "JSON diff length")?;
        let diffs = r.bytes(usize::try_from(len).unwrap_or(usize::MAX), "JSON diffs")?;
        if diffs.is_empty() {
            return Ok(Rendered::Unchanged);
        }
        self.writer.scratch.clear();
        text::write_diffs(&mut self.writer.scratch, &column.name, diffs)?;
        Ok(Rendered::Scratch { wide: true })
    }

    /// Canal's rule: a column is updated unless the before image has the same text for it.
    #[inline]
    fn is_updated(
        &self,
        index: usize,
        rendered: &Rendered<'_>,
        raw: &Range<usize>,
        partial: bool,
    ) -> bool {
        match (self.writer.before.get(index), rendered) {
            (Some(Before::Null), Rendered::Null) | (_, Rendered::Unchanged) => false,
            (Some(Before::Value { raw: before_raw, text }), rendered) => {
                let bytes_of = |range: &Range<usize>| self.event.rows.get(range.clone());
                if !partial && bytes_of(before_raw) == bytes_of(raw) {
                    return false;
                }
                let before = self.out.get(text.clone());
                match rendered {
                    Rendered::Null | Rendered::Latin1(_) => true,
                    Rendered::Unchanged => false,
                    Rendered::Scratch { .. } => before != Some(self.writer.scratch.as_slice()),
                    Rendered::Plain(bytes) => before != Some(bytes),
                }
            }
            (Some(Before::Absent | Before::Null) | None, _) => true,
        }
    }

    /// Appends one `Column` message; returns where its text lies.
    #[inline]
    fn emit(
        &mut self,
        (field, updated): (u8, bool),
        index: usize,
        column: &ColumnPlan,
        rendered: &Rendered<'_>,
    ) -> Range<usize> {
        let unchanged = match (rendered, self.writer.before.get(index)) {
            (Rendered::Unchanged, Some(Before::Value { text, .. })) => text.clone(),
            _ => 0..0,
        };
        let (prefix, text_len) = match rendered {
            Rendered::Null => (&column.prefix_null, None),
            Rendered::Scratch { wide: true } => {
                (&column.prefix_wide, Some(self.writer.scratch.len()))
            }
            Rendered::Scratch { wide: false } => (&column.prefix, Some(self.writer.scratch.len())),
            Rendered::Plain(bytes) => (&column.prefix, Some(bytes.len())),
            Rendered::Latin1(bytes) => (&column.prefix, Some(text::latin1_len(bytes))),
            Rendered::Unchanged => (&column.prefix, Some(unchanged.len())),
        };
        let value_len = text_len.map_or(0, |len| 1 + proto::varint_len(proto::len64(len)) + len);
        let out = &mut *self.out;
        proto::head(out, field, prefix.len() + 4 + value_len + column.suffix.len());
        out.extend_from_slice(prefix);
        out.extend_from_slice(&[5 << 3, u8::from(updated), 6 << 3, u8::from(text_len.is_none())]);
        let mut text = out.len()..out.len();
        if let Some(len) = text_len {
            proto::head(out, 8, len);
            text.start = out.len();
            match rendered {
                Rendered::Null => {}
                Rendered::Scratch { .. } => out.extend_from_slice(&self.writer.scratch),
                Rendered::Plain(bytes) => out.extend_from_slice(bytes),
                Rendered::Latin1(bytes) => text::write_latin1(out, bytes),
                Rendered::Unchanged => out.extend_from_within(unchanged),
            }
            text.end = out.len();
        }
        out.extend_from_slice(&column.suffix);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `INSERT ... ON DUPLICATE KEY UPDATE` of MySQL 5.7 with `binlog_row_image=NOBLOB`: the before
    /// image of nine columns has eight of them, so one byte of null bits.
    #[test]
    fn bits_behind_the_last_column_do_not_count() {
        assert_eq!(ones(&[0x7f, 0xff], 9), 8);
        assert_eq!(ones(&[0xff, 0xff], 16), 16);
        assert_eq!(ones(&[0xff], 0), 0);
        assert_eq!(ones(&[], 3), 0);
    }
}
