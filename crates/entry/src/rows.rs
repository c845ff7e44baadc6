//! Rows events into `RowChange` bytes: the hot path.
//!
//! Walks each row image once by the table's plan and appends `RowData` messages. Nothing is
//! allocated for a column or a row: integers and text go straight from the event into the arena,
//! other values through one scratch buffer. Lengths that are known only behind their content are
//! guessed from the row before; a wrong guess moves the row by a byte. A column whose bytes are those
//! of the before image is copied from there.

mod column;

use std::ops::Range;

use towpath_binlog::event::{RowsEvent, RowsKind};
use towpath_binlog::{ParseError, Reader};

use crate::arena::Arena;
use crate::plan::{ColumnPlan, Plan, Updates};
use crate::proto;
use crate::text::Zone;

/// A column of a before image.
#[derive(Debug, Clone, Default)]
enum Before {
    #[default]
    Absent,
    Null,
    Value(Emitted),
}

/// Where a value lies.
#[derive(Debug, Clone, Default)]
struct Emitted {
    /// In the event.
    raw: Range<usize>,
    /// Its `Column` message, in the arena.
    message: Range<usize>,
    /// Its text.
    text: Range<usize>,
    /// The byte that says if it is updated.
    updated_at: usize,
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

impl Image {
    /// Tag of its columns.
    const fn tag(self) -> u8 {
        match self {
            Self::Before | Self::Deleted => 1 << 3 | 2,
            Self::Inserted | Self::After => 2 << 3 | 2,
        }
    }
}

impl RowsWriter {
    /// Appends field 12 (`rowDatas`) for each row; returns the count of rows.
    pub(crate) fn write(
        &mut self,
        plan: &Plan,
        event: &RowsEvent<'_>,
        zone: &Zone,
        out: &mut Arena,
    ) -> Result<u32, ParseError> {
        let mut r = Reader::new(event.rows);
        let mut rows = 0;
        let column_count = plan.columns.len();
        let mut walk = Walk {
            present: Present::new(event.present, column_count),
            present_after: Present::new(event.present_after, column_count),
            writer: self,
            plan,
            event,
            zone,
            out,
            emitted: Emitted::default(),
        };
        while !r.is_empty() {
            let row_start = r.offset();
            walk.row(&mut r)?;
            if r.offset() == row_start {
                return Err(r.invalid("row image", 0, "at least one column"));
            }
            rows += 1;
        }
        Ok(rows)
    }
}

/// Writes tag and length of a row into the gap of `guess` bytes before it.
fn close_row(out: &mut Arena, start: usize, guess: usize, len: usize) {
    let need = 1 + proto::varint_len(proto::len64(len));
    out.resize_gap(start, guess, need);
    let gap = out.written_mut().get_mut(start..start + need).unwrap_or_default();
    proto::put_head(gap, 12 << 3 | 2, len);
}

struct Walk<'w, 'e> {
    writer: &'w mut RowsWriter,
    plan: &'w Plan,
    event: &'w RowsEvent<'e>,
    /// Columns of images; of after images of a pair.
    present: Present<'e>,
    present_after: Present<'e>,
    zone: &'w Zone,
    out: &'w mut Arena,
    /// Where the last value lies that this is kept of.
    emitted: Emitted,
}

/// The columns that images of an event have.
#[derive(Debug, Clone, Copy)]
struct Present<'e> {
    bitmap: &'e [u8],
    count: usize,
    /// Every one.
    all: bool,
}

impl<'e> Present<'e> {
    fn new(bitmap: &'e [u8], column_count: usize) -> Self {
        let count = ones(bitmap, column_count);
        Self { bitmap, count, all: count == column_count }
    }

    #[inline]
    fn has(&self, index: usize) -> bool {
        self.all || bit(self.bitmap, index)
    }
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
    /// One `RowData`, from its image or from two.
    #[inline]
    fn row(&mut self, r: &mut Reader<'e>) -> Result<(), ParseError> {
        let start = self.out.len();
        let guess = 1 + proto::varint_len(proto::len64(self.writer.row_len));
        self.out.skip(guess);
        match self.event.kind {
            RowsKind::Insert if self.plan.has_exceptions => {
                self.image::<true>(r, Image::Inserted)?;
            }
            RowsKind::Delete if self.plan.has_exceptions => {
                self.image::<true>(r, Image::Deleted)?;
            }
            RowsKind::Insert => self.image::<false>(r, Image::Inserted)?,
            RowsKind::Delete => self.image::<false>(r, Image::Deleted)?,
            RowsKind::Update | RowsKind::PartialUpdate => {
                self.writer.before.clear();
                self.writer.before.resize(self.plan.columns.len(), Before::Absent);
                self.image::<true>(r, Image::Before)?;
                self.image::<true>(r, Image::After)?;
            }
        }
        self.writer.row_len = self.out.len() - start - guess;
        close_row(self.out, start, guess, self.writer.row_len);
        Ok(())
    }

    /// `PAIR`: the image is one of two, or columns are exceptions. A function of its own, for it is the
    /// hottest.
    fn image<const PAIR: bool>(
        &mut self,
        r: &mut Reader<'e>,
        image: Image,
    ) -> Result<(), ParseError> {
        let present = if image == Image::After { self.present_after } else { self.present };
        let mut diffs: &[u8] = &[];
        if image == Image::After
            && self.event.kind == RowsKind::PartialUpdate
            && r.lenenc("value options")? & 1 == 1
        {
            diffs = r.bytes(self.plan.json_columns.div_ceil(8), "partial JSON columns")?;
        }
        let nulls = r.bytes(present.count.div_ceil(8), "null bitmap")?;
        let has_nulls = nulls.iter().any(|byte| *byte != 0);
        let mut nth = 0;
        for (index, column) in self.plan.columns.iter().enumerate() {
            if !present.has(index) {
                continue;
            }
            let is_null = has_nulls && bit(nulls, nth);
            nth += 1;
            if is_null {
                if !PAIR || !column.is_left_out {
                    self.null(image, index, column);
                }
                continue;
            }
            if !PAIR {
                self.value::<false>(r, image, column)?;
                continue;
            }
            let is_json = matches!(column.kind, towpath_binlog::ColumnKind::Json { .. });
            let partial = !diffs.is_empty() && is_json && bit(diffs, column.nth_json);
            if image == Image::After && !partial && self.same(r, index)? {
                continue;
            }
            let (raw_start, start) = (r.offset(), self.out.len());
            if !partial {
                self.value::<true>(r, image, column)?;
            } else if !self.diff(r, index, column)? {
                // Left alone, and its text is not known: as if it were not in the image.
                continue;
            }
            if column.is_left_out {
                self.out.truncate(start);
                continue;
            }
            self.emitted.raw = raw_start..r.offset();
            self.finish(image, index, column);
        }
        Ok(())
    }

    /// Copies a column whose bytes are those of the before image; false when they are not.
    #[inline]
    fn same(&mut self, r: &mut Reader<'e>, index: usize) -> Result<bool, ParseError> {
        let Some(Before::Value(before)) = self.writer.before.get(index) else { return Ok(false) };
        let raw = self.event.rows.get(before.raw.clone()).unwrap_or_default();
        // A value tells its length at its beginning, so that equal bytes are an equal value.
        if raw.is_empty() || !r.rest().starts_with(raw) {
            return Ok(false);
        }
        r.bytes(raw.len(), "value")?;
        let at = self.out.len();
        self.out.repeat(before.message.clone());
        if let Some(tag) = self.out.written_mut().get_mut(at) {
            *tag = Image::After.tag();
        }
        Ok(true)
    }

    /// Says if a column is updated, by Canal's rule: it is unless the before image has the same text
    /// for it.
    #[inline]
    fn finish(&mut self, image: Image, index: usize, column: &ColumnPlan) {
        match image {
            Image::Inserted if column.updates == Updates::NotTold => {
                self.set_updated(self.emitted.updated_at, false);
            }
            Image::Inserted | Image::Deleted => {}
            Image::Before => {
                if let Some(slot) = self.writer.before.get_mut(index) {
                    *slot = Before::Value(self.emitted.clone());
                }
            }
            Image::After => {
                let written = self.out.written();
                let text = |range: &Range<usize>| written.get(range.clone());
                let updated = match self.writer.before.get(index) {
                    Some(Before::Value(before)) => text(&before.text) != text(&self.emitted.text),
                    Some(Before::Absent | Before::Null) | None => true,
                };
                self.set_updated(
                    self.emitted.updated_at,
                    updated && column.updates == Updates::Told,
                );
            }
        }
    }

    #[inline]
    fn set_updated(&mut self, at: usize, updated: bool) {
        if let Some(byte) = self.out.written_mut().get_mut(at) {
            *byte = u8::from(updated);
        }
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
