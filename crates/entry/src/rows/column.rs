//! One column of a row image into its `Column` message.

use towpath_binlog::column::{long_bytes, short_bytes};
use towpath_binlog::{ColumnKind, ParseError, Reader, Value, decompress_column};

use super::{Before, Emitted, Image, Walk};
use crate::message::no_room;
use crate::piece::SLACK;
use crate::plan::{Bytes, ColumnPlan, Sign, UPDATED_FROM_END};
use crate::proto;
use crate::text;

/// Longest value that a compressed column may inflate to.
const VALUE_LEN_MAX: u64 = 1 << 30;

/// Longest message whose length takes one byte.
const SHORT_MESSAGE_MAX: usize = 0x7f;

/// Tag and length of a message, at most.
const MESSAGE_HEAD_MAX: usize = 1 + 10;

/// What stands around a value.
#[derive(Debug, Clone, Copy)]
struct Frame<'p> {
    tag: u8,
    /// What `updated` is until it is known.
    updated: u8,
    column: &'p ColumnPlan,
    /// The value is one that only `head_wide` describes.
    wide: bool,
}

impl<'p> Frame<'p> {
    #[inline]
    fn new(image: Image, column: &'p ColumnPlan) -> Self {
        let updated = u8::from(image == Image::Inserted);
        Self { tag: image.tag(), updated, column, wide: false }
    }

    #[inline]
    const fn head(&self) -> &'p crate::piece::Piece {
        if self.wide { &self.column.head_wide } else { &self.column.head }
    }

    /// Puts the message of a number, whose text and length are written in one go; returns where text
    /// and message end. `None` when it is too long for that.
    #[inline(always)]
    fn put_number(&self, to: &mut [u8], negative: bool, magnitude: u64) -> Option<(usize, usize)> {
        let (head, tail) = (self.head(), &self.column.tail);
        head.write(to.get_mut(2..)?)?;
        let text_at = 2 + head.len() + 1;
        let len = text::put_int(to.get_mut(text_at..)?, negative, magnitude)?;
        let text_end = text_at + len;
        tail.write(to.get_mut(text_end..)?)?;
        let end = text_end + tail.len();
        let message_len = u8::try_from(end - 2).ok()?;
        if end - 2 > SHORT_MESSAGE_MAX {
            return None;
        }
        *to.get_mut(text_at - 1)? = u8::try_from(len).ok()?;
        *to.get_mut(2 + head.len() - UPDATED_FROM_END)? = self.updated;
        *to.first_chunk_mut::<2>()? = [self.tag, message_len];
        Some((text_end, end))
    }

    /// Puts a message around `text`; returns where its head ends, and where the text begins.
    #[inline(always)]
    fn put_text(&self, to: &mut [u8], text: &[u8], message_len: usize) -> Option<(usize, usize)> {
        let (head, tail) = (self.head(), &self.column.tail);
        let head_at = put_len(to.split_first_mut()?.1, message_len)? + 1;
        *to.first_mut()? = self.tag;
        head.write(to.get_mut(head_at..)?)?;
        let head_end = head_at + head.len();
        *to.get_mut(head_end - UPDATED_FROM_END)? = self.updated;
        let text_at = head_end + put_len(to.get_mut(head_end..)?, text.len())?;
        let text_end = text_at + text.len();
        to.get_mut(text_at..text_end)?.copy_from_slice(text);
        tail.write(to.get_mut(text_end..)?)?;
        Some((head_end, text_at))
    }
}

/// Puts a length as a varint; returns how many bytes it takes.
#[inline(always)]
fn put_len(to: &mut [u8], len: usize) -> Option<usize> {
    let [low, high, ..] = len.to_le_bytes();
    if len < 1 << 7 {
        *to.first_mut()? = low;
        Some(1)
    } else if len < 1 << 14 {
        *to.first_chunk_mut::<2>()? = [low | 0x80, high << 1 | low >> 7];
        Some(2)
    } else {
        proto::put_varint(to, len)
    }
}

impl<'e> Walk<'_, 'e> {
    /// A column that is NULL.
    pub(super) fn null(&mut self, image: Image, index: usize, column: &ColumnPlan) {
        let at = self.out.len();
        let room = self.out.room(MESSAGE_HEAD_MAX + column.null.len() + SLACK);
        let head_len =
            proto::put_head(room, image.tag(), column.null.len()).unwrap_or_else(no_room);
        let body = room.get_mut(head_len..).unwrap_or_default();
        column.null.write(body).unwrap_or_else(no_room);
        self.out.advance(head_len + column.null.len());
        let updated = match image {
            Image::Before | Image::Deleted => false,
            Image::Inserted => true,
            Image::After => !matches!(self.writer.before.get(index), Some(Before::Null)),
        };
        self.set_updated(at + head_len + column.null_updated_at, updated);
        if image == Image::Before
            && let Some(slot) = self.writer.before.get_mut(index)
        {
            *slot = Before::Null;
        }
    }

    /// Takes one value from the image and appends its message. `KEEP`: where it lies is kept in
    /// `emitted`, which only some images need. Not the result, which would go through memory.
    #[inline(always)]
    pub(super) fn value<const KEEP: bool>(
        &mut self,
        r: &mut Reader<'e>,
        image: Image,
        column: &ColumnPlan,
    ) -> Result<(), ParseError> {
        let frame = Frame::new(image, column);
        // The frequent kinds are read here: a `Value` on its way through memory costs more than all the
        // rest of a column.
        let n = match column.kind {
            ColumnKind::Tiny => i64::from(r.i8("TINYINT")?),
            ColumnKind::Short => i64::from(r.i16("SMALLINT")?),
            ColumnKind::Int24 => i64::from(r.i24("MEDIUMINT")?),
            ColumnKind::Long => i64::from(r.i32("INT")?),
            ColumnKind::LongLong => r.i64("BIGINT")?,
            ColumnKind::Char { max_len } | ColumnKind::VarChar { max_len } => {
                self.string::<KEEP>(frame, short_bytes(r, max_len)?);
                return Ok(());
            }
            ColumnKind::Blob { len_bytes } => {
                self.string::<KEEP>(frame, long_bytes(r, len_bytes)?);
                return Ok(());
            }
            ColumnKind::Float
            | ColumnKind::Double
            | ColumnKind::Decimal { .. }
            | ColumnKind::Bit { .. }
            | ColumnKind::Year
            | ColumnKind::Date
            | ColumnKind::Time { .. }
            | ColumnKind::DateTime { .. }
            | ColumnKind::Timestamp { .. }
            | ColumnKind::OldTime
            | ColumnKind::OldDateTime
            | ColumnKind::OldTimestamp
            | ColumnKind::Json { .. }
            | ColumnKind::Geometry { .. }
            | ColumnKind::Vector { .. }
            | ColumnKind::Enum { .. }
            | ColumnKind::Set { .. }
            | ColumnKind::CompressedVarChar { .. }
            | ColumnKind::CompressedBlob { .. }
            | ColumnKind::Other { .. } => {
                return self.other::<KEEP>(frame, Value::read(column.kind, r)?);
            }
        };
        match column.sign {
            Sign::Unsigned(range) if n < 0 => {
                let n = n.cast_unsigned().wrapping_add(range);
                self.number::<KEEP>(Frame { wide: true, ..frame }, false, n);
            }
            Sign::Unsigned(_) | Sign::Signed => {
                self.number::<KEEP>(frame, n < 0, n.unsigned_abs());
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn number<const KEEP: bool>(&mut self, frame: Frame<'_>, negative: bool, magnitude: u64) {
        let start = self.out.len();
        let (head, tail) = (frame.head(), &frame.column.tail);
        let fixed = head.len() + tail.len();
        let room = self.out.room(2 + fixed + text::INT_ROOM + 2 * SLACK);
        let Some((text_end, end)) = frame.put_number(room, negative, magnitude) else {
            self.writer.scratch.clear();
            if negative {
                self.writer.scratch.push(b'-');
            }
            text::write_int(&mut self.writer.scratch, magnitude);
            return self.scratch::<KEEP>(frame);
        };
        self.out.advance(end);
        if KEEP {
            let head_end = start + 2 + head.len();
            self.emitted = Emitted {
                raw: 0..0,
                message: start..start + end,
                text: head_end + 1..start + text_end,
                updated_at: head_end - UPDATED_FROM_END,
            };
        }
    }

    /// Appends the message of a text.
    #[inline(always)]
    fn plain<const KEEP: bool>(&mut self, frame: Frame<'_>, text: &[u8]) {
        let start = self.out.len();
        let (head, tail) = (frame.head(), &frame.column.tail);
        let value_len = proto::varint_len(proto::len64(text.len())) + text.len();
        let message_len = head.len() + value_len + tail.len();
        let room = self.out.room(MESSAGE_HEAD_MAX + message_len + 2 * SLACK);
        let (head_end, text_at) = frame.put_text(room, text, message_len).unwrap_or_else(no_room);
        let end = text_at + text.len() + tail.len();
        self.out.advance(end);
        if KEEP {
            self.emitted = Emitted {
                raw: 0..0,
                message: start..start + end,
                text: start + text_at..start + text_at + text.len(),
                updated_at: start + head_end - UPDATED_FROM_END,
            };
        }
    }

    /// Appends the message of the text in the scratch buffer.
    fn scratch<const KEEP: bool>(&mut self, frame: Frame<'_>) {
        let scratch = std::mem::take(&mut self.writer.scratch);
        self.plain::<KEEP>(frame, &scratch);
        self.writer.scratch = scratch;
    }

    #[inline(always)]
    fn string<const KEEP: bool>(&mut self, frame: Frame<'_>, bytes: &[u8]) {
        match frame.column.bytes {
            Bytes::Utf8 | Bytes::Latin1 if text::is_ascii(bytes) => {
                self.plain::<KEEP>(frame, bytes);
            }
            Bytes::Utf8 if simdutf8::basic::from_utf8(bytes).is_ok() => {
                self.plain::<KEEP>(frame, bytes);
            }
            Bytes::Utf8
            | Bytes::Latin1
            | Bytes::Other(_)
            | Bytes::Uuid
            | Bytes::Inet4
            | Bytes::Inet6 => self.converted::<KEEP>(frame, bytes),
        }
    }

    fn converted<const KEEP: bool>(&mut self, frame: Frame<'_>, bytes: &[u8]) {
        let scratch = &mut self.writer.scratch;
        scratch.clear();
        match frame.column.bytes {
            Bytes::Utf8 => text::write_utf8(scratch, bytes),
            Bytes::Latin1 => text::write_latin1(scratch, bytes),
            Bytes::Other(charset) if charset.has_ascii() && text::is_ascii(bytes) => {
                return self.plain::<KEEP>(frame, bytes);
            }
            Bytes::Other(charset) => charset.write(scratch, bytes),
            Bytes::Uuid => text::write_uuid(scratch, bytes),
            Bytes::Inet4 => text::write_inet4(scratch, bytes),
            Bytes::Inet6 => text::write_inet6(scratch, bytes),
        }
        self.scratch::<KEEP>(frame);
    }

    /// Values that go through the scratch buffer.
    fn other<const KEEP: bool>(
        &mut self,
        frame: Frame<'_>,
        value: Value<'e>,
    ) -> Result<(), ParseError> {
        let scratch = &mut self.writer.scratch;
        scratch.clear();
        match value {
            Value::Float(f) => text::write_f32(scratch, f),
            Value::Double(f) => text::write_f64(scratch, f),
            Value::Decimal(d) => text::write_decimal(scratch, &d),
            Value::Year(0) => scratch.extend_from_slice(b"0000"),
            Value::Year(y) => text::write_int(scratch, 1900 + u32::from(y)),
            Value::Date(d) => text::write_date(scratch, d),
            Value::Time(t) => text::write_time(scratch, t),
            Value::DateTime(t) => text::write_datetime(scratch, t),
            Value::Timestamp(t) => text::write_timestamp(scratch, t, self.zone),
            Value::Json(document) => text::write_json(scratch, document)?,
            Value::Compressed(bytes) => {
                decompress_column(bytes, &mut self.writer.inflated, VALUE_LEN_MAX)?;
                match frame.column.bytes {
                    Bytes::Utf8 => text::write_utf8(scratch, &self.writer.inflated),
                    Bytes::Other(charset) => charset.write(scratch, &self.writer.inflated),
                    Bytes::Latin1 | Bytes::Uuid | Bytes::Inet4 | Bytes::Inet6 => {
                        text::write_latin1(scratch, &self.writer.inflated);
                    }
                }
            }
            Value::Int(n) => text::write_int(scratch, n),
            Value::Bit(n) | Value::Set(n) => text::write_int(scratch, n),
            Value::Enum(n) => text::write_int(scratch, n),
            Value::Bytes(bytes) => {
                self.string::<KEEP>(frame, bytes);
                return Ok(());
            }
        }
        self.scratch::<KEEP>(frame);
        Ok(())
    }

    /// A JSON column of a partial update: its length, then the diffs. Without any it has the text of
    /// the before image; false when that does not have it.
    pub(super) fn diff(
        &mut self,
        r: &mut Reader<'e>,
        index: usize,
        column: &ColumnPlan,
    ) -> Result<bool, ParseError> {
        let frame = Frame::new(Image::After, column);
        let mut diffs: &[u8] = &[];
        if let ColumnKind::Json { len_bytes } = column.kind {
            let len = r.uint(usize::from(len_bytes), "JSON diff length")?;
            diffs = r.bytes(usize::try_from(len).unwrap_or(usize::MAX), "JSON diffs")?;
        }
        self.writer.scratch.clear();
        if diffs.is_empty() {
            let Some(Before::Value(before)) = self.writer.before.get(index) else {
                return Ok(false);
            };
            let text = self.out.written().get(before.text.clone()).unwrap_or_default();
            self.writer.scratch.extend_from_slice(text);
            self.scratch::<true>(frame);
            return Ok(true);
        }
        text::write_diffs(&mut self.writer.scratch, &column.name, diffs)?;
        self.scratch::<true>(Frame { wide: true, ..frame });
        Ok(true)
    }
}
