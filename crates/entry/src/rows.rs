//! Rows events into `RowChange` bytes: the hot path.
//!
//! Walks each row image once by the table's plan and appends `RowData` messages. Nothing is
//! allocated for a column or a row: usual values go straight from the event into the arena
//! ([`quick`]), other ones through one scratch buffer ([`column`]). Lengths that are known only behind
//! their content are guessed from the row before; a wrong guess moves the row by a byte. Columns
//! whose bytes are those of the before image are copied from there ([`pair`]).

mod column;
mod pair;
mod quick;

pub(crate) use quick::QuickColumn;

use towpath_binlog::event::{RowsEvent, RowsKind};
use towpath_binlog::{ParseError, Reader};

use crate::arena::Arena;
use crate::message::no_room;
use crate::plan::{ColumnPlan, Lacking, Plan};
use crate::text::Zone;
use pair::{Kept, State};
use towpath_protocol::protobuf;

/// Tag of `rowDatas`.
const ROW_TAG: u8 = 12 << 3 | 2;

/// Buffers that live from event to event.
#[derive(Debug)]
pub(crate) struct RowsWriter {
    scratch: Vec<u8>,
    inflated: Vec<u8>,
    before: Vec<Kept>,
    /// Bytes of tag and length before the last row.
    gap_len: usize,
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
    /// What `updated` is until it is known.
    const fn updated(self) -> u8 {
        match self {
            Self::Inserted => 1,
            Self::Before | Self::Deleted | Self::After => 0,
        }
    }

    /// Tag of its columns.
    const fn tag(self) -> u8 {
        match self {
            Self::Before | Self::Deleted => 1 << 3 | 2,
            Self::Inserted | Self::After => 2 << 3 | 2,
        }
    }
}

impl Default for RowsWriter {
    fn default() -> Self {
        Self { scratch: Vec::new(), inflated: Vec::new(), before: Vec::new(), gap_len: 2 }
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
            written: Kept::default(),
        };
        let alone = match event.kind {
            RowsKind::Insert => Some(Image::Inserted),
            RowsKind::Delete => Some(Image::Deleted),
            RowsKind::Update | RowsKind::PartialUpdate => None,
        };
        let is_whole = walk.present.all && column_count > 0;
        let alone = alone.filter(|_| is_whole && !plan.has_exceptions);
        if r.is_empty() && column_count > 0 {
            return walk.row_of_no_bytes(&mut r);
        }
        while !r.is_empty() {
            let row_start = r.offset();
            match alone {
                Some(image) => rows += walk.alone_rows(&mut r, image)?,
                None => {
                    walk.row(&mut r)?;
                    rows += 1;
                }
            }
            if r.offset() == row_start {
                return Err(r.invalid("row image", 0, "at least one column"));
            }
        }
        Ok(rows)
    }
}

/// Writes tag and length of a row into the gap of `gap_len` bytes before it; returns how long the gap
/// is then.
#[inline]
fn close_row(out: &mut Arena, start: usize, gap_len: usize) -> usize {
    let len = out.len() - start - gap_len;
    let need = 1 + protobuf::varint_len(protobuf::len64(len));
    if need != gap_len {
        out.resize_gap(start, gap_len, need);
    }
    let gap = out.written_mut().get_mut(start..).unwrap_or_default();
    protobuf::put_head(gap, ROW_TAG, len).unwrap_or_else(no_room);
    need
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
    /// Where the value lies that was written last by itself.
    written: Kept,
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

    const fn has_any(&self) -> bool {
        self.count > 0
    }
}

/// The bits behind the last byte are not set.
#[inline]
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
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
    /// Rows of one image, which has all columns, up to one that is not usual, and that one.
    fn alone_rows(&mut self, r: &mut Reader<'e>, image: Image) -> Result<u32, ParseError> {
        let gap_len = self.writer.gap_len;
        let out_start = self.out.len();
        let of = (&*self.plan.quick, image, self.zone);
        let done = quick::rows(of, r.rest(), self.out.room(quick::ROOM), gap_len);
        self.out.advance(done.out_len);
        r.bytes(done.raw_len, "rows")?;
        if done.open.is_none() && r.is_empty() {
            return Ok(done.rows);
        }
        let (start, columns, nulls) = match done.open {
            Some(open) => (out_start + open.start, open.columns, open.nulls),
            None => {
                self.out.skip(gap_len);
                let nulls = r.bytes(self.present.count.div_ceil(8), "null bitmap")?;
                (out_start + done.out_len, 0, nulls)
            }
        };
        self.columns_from(r, image, nulls, columns)?;
        self.writer.gap_len = close_row(self.out, start, gap_len);
        Ok(done.rows + 1)
    }

    /// The row of an event without any bytes of rows: that is how a row looks whose columns all have their
    /// defaults, with `binlog_row_image=MINIMAL`. There is only one of them: MySQL refuses a second such
    /// row in an event (error 1534), and MariaDB writes no such row for a table without a primary key.
    #[cold]
    fn row_of_no_bytes(&mut self, r: &mut Reader<'e>) -> Result<u32, ParseError> {
        if self.present.has_any() || self.present_after.has_any() {
            return Ok(0);
        }
        self.row(r)?;
        Ok(1)
    }

    /// One `RowData`, from its image or from two.
    fn row(&mut self, r: &mut Reader<'e>) -> Result<(), ParseError> {
        let start = self.out.len();
        let gap_len = self.writer.gap_len;
        self.out.skip(gap_len);
        self.writer.before.resize(self.plan.columns.len(), Kept::default());
        match self.event.kind {
            RowsKind::Insert => self.image(r, Image::Inserted)?,
            RowsKind::Delete => self.image(r, Image::Deleted)?,
            RowsKind::Update
                if self.present.all && self.present_after.all && !self.plan.has_exceptions =>
            {
                self.whole_pair(r)?;
            }
            RowsKind::Update | RowsKind::PartialUpdate => {
                self.writer.before.fill(Kept::default());
                self.image(r, Image::Before)?;
                self.image(r, Image::After)?;
            }
        }
        self.writer.gap_len = close_row(self.out, start, gap_len);
        Ok(())
    }

    /// Columns from `index` on of an image that has all of them, and is not one of two.
    fn columns_from(
        &mut self,
        r: &mut Reader<'e>,
        image: Image,
        nulls: &[u8],
        mut index: usize,
    ) -> Result<(), ParseError> {
        let plan = self.plan;
        while let Some(column) = plan.columns.get(index) {
            if bit(nulls, index) {
                self.null(r.offset(), image, (index, column));
            } else {
                self.value(r, image, column)?;
            }
            index += 1;
            let columns = plan.usual_from(index);
            if !columns.is_empty() {
                let of = (columns, image, self.zone);
                let to = self.out.room(quick::ROOM);
                let part = quick::part(of, (nulls, index), r.rest(), to);
                index += self.took(r, part)?;
            }
        }
        Ok(())
    }

    /// Counts what was taken and written; returns how many columns it was.
    #[inline]
    fn took(&mut self, r: &mut Reader<'e>, part: quick::Part) -> Result<usize, ParseError> {
        self.out.advance(part.out_len);
        r.bytes(part.raw_len, "columns")?;
        Ok(part.columns)
    }

    /// An image that may lack columns, is one of two, or has columns that are exceptions.
    fn image(&mut self, r: &mut Reader<'e>, image: Image) -> Result<(), ParseError> {
        let present = if image == Image::After { self.present_after } else { self.present };
        let mut diffs: &[u8] = &[];
        if image == Image::After
            && self.event.kind == RowsKind::PartialUpdate
            && r.lenenc("value options")? & 1 == 1
        {
            diffs = r.bytes(self.plan.json_columns.div_ceil(8), "partial JSON columns")?;
        }
        let nulls = r.bytes(present.count.div_ceil(8), "null bitmap")?;
        let mut nth = 0;
        let completes = image == Image::After && self.completes();
        for (index, column) in self.plan.columns.iter().enumerate() {
            if !present.has(index) {
                if completes {
                    self.unchanged(index);
                }
                continue;
            }
            let is_null = bit(nulls, nth);
            nth += 1;
            let start = self.out.len();
            if is_null {
                self.null(r.offset(), image, (index, column));
            } else if !diffs.is_empty() && column.is_json() && bit(diffs, column.nth_json) {
                // One that is left alone, and whose text is not known, is as if it were not in the image.
                if self.diff(r, index, column)? {
                    self.finish(image, index, 0..0);
                }
            } else if image != Image::After || !self.copy_same(r, index)? {
                self.one(r, image, index)?;
            }
            if column.is_left_out {
                self.out.truncate(start);
                if let Some(slot) = self.writer.before.get_mut(index) {
                    *slot = Kept::default();
                }
            }
        }
        Ok(())
    }

    /// Whether columns that the after image lacks are those of the before image, which has all.
    fn completes(&self) -> bool {
        let is_there =
            |(index, column): (usize, &ColumnPlan)| column.is_left_out || self.present.has(index);
        self.plan.lacking == Lacking::Unchanged
            && !self.present_after.all
            && self.plan.columns.iter().enumerate().all(is_there)
    }

    /// One column, which may be usual.
    fn one(&mut self, r: &mut Reader<'e>, image: Image, index: usize) -> Result<(), ParseError> {
        let (raw_start, out_start) = (r.offset(), self.out.len());
        let quick = self.plan.quick.get(index..=index).unwrap_or_default();
        let mut kept = [Kept::default()];
        let (from, to) = ((r.rest(), raw_start), (self.out.room(quick::ROOM), out_start));
        let part =
            quick::kept_part((quick, image, self.zone), quick::NO_NULLS, from, to, &mut kept);
        if self.took(r, part)? > 0 {
            [self.written] = kept;
        } else if let Some(column) = self.plan.columns.get(index) {
            self.value(r, image, column)?;
        }
        self.finish(image, index, raw_start..r.offset());
        Ok(())
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
