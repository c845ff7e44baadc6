//! One column of a row image into its `Column` message.

use towpath_binlog::{ColumnKind, ParseError, Reader, Value, decompress_column};

use super::{Image, Kept, State, Walk};
use crate::message::no_room;
use crate::plan::{Bytes, ColumnPlan, Sign, UPDATED_FROM_END};
use crate::text;
use towpath_protocol::piece::{Piece, SLACK};
use towpath_protocol::protobuf;

/// Longest value that a compressed column may inflate to.
const VALUE_LEN_MAX: u64 = 1 << 30;

/// Tag and length of a message, at most.
const MESSAGE_HEAD_MAX: usize = 1 + 10;

/// What stands around a value.
#[derive(Debug, Clone, Copy)]
struct Frame<'p> {
    image: Image,
    column: &'p ColumnPlan,
    head: &'p Piece,
}

impl<'p> Frame<'p> {
    const fn new(image: Image, column: &'p ColumnPlan) -> Self {
        Self { image, column, head: &column.head }
    }

    /// Of a value that only `head_wide` describes.
    const fn wide(image: Image, column: &'p ColumnPlan) -> Self {
        Self { image, column, head: &column.head_wide }
    }

    /// Puts a message around a text, which `put` puts to the front of what it gets; returns where the
    /// text begins.
    #[inline(always)]
    fn put(
        &self,
        to: &mut [u8],
        (text_len, message_len): (usize, usize),
        put: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Option<usize> {
        let head_at = protobuf::put_head(to, self.image.tag(), message_len)?;
        self.head.write(to.get_mut(head_at..)?)?;
        let head_end = head_at + self.head.len();
        *to.get_mut(head_end - UPDATED_FROM_END)? = self.image.updated();
        let varint_room = to.get_mut(head_end..)?;
        let text_at =
            head_end + protobuf::put_varint_loose(varint_room, protobuf::len64(text_len))?;
        put(to.get_mut(text_at..)?)?;
        self.column.tail.write(to.get_mut(text_at + text_len..)?)?;
        Some(text_at)
    }
}

impl<'e> Walk<'_, 'e> {
    /// A column that is NULL, at `raw_at` in the event.
    pub(super) fn null(
        &mut self,
        raw_at: usize,
        image: Image,
        (index, column): (usize, &ColumnPlan),
    ) {
        let at = self.out.len();
        let room = self.out.room(MESSAGE_HEAD_MAX + column.null.len() + SLACK);
        let head_len =
            protobuf::put_head(room, image.tag(), column.null.len()).unwrap_or_else(no_room);
        let body = room.get_mut(head_len..).unwrap_or_default();
        column.null.write(body).unwrap_or_else(no_room);
        self.out.advance(head_len + column.null.len());
        let updated = match image {
            Image::Before | Image::Deleted => false,
            Image::Inserted => true,
            Image::After => {
                !self.writer.before.get(index).is_some_and(|kept| kept.state == State::Null)
            }
        };
        if let Some(byte) = self.out.written_mut().get_mut(at + head_len + column.null_updated_at) {
            *byte = u8::from(updated);
        }
        if image == Image::Before
            && let Some(slot) = self.writer.before.get_mut(index)
        {
            let (raw, message) = (raw_at..raw_at, at..self.out.len());
            *slot = Kept { state: State::Null, raw, message, text: 0..0 };
        }
    }

    /// Takes one value from the image and appends its message; where that lies is in `written` then.
    pub(super) fn value(
        &mut self,
        r: &mut Reader<'e>,
        image: Image,
        column: &ColumnPlan,
    ) -> Result<(), ParseError> {
        let frame = Frame::new(image, column);
        let scratch = &mut self.writer.scratch;
        scratch.clear();
        match Value::read(column.kind, r)? {
            Value::Int(n) => match column.sign {
                Sign::Unsigned(range) if n < 0 => {
                    text::write_int(scratch, n.cast_unsigned().wrapping_add(range));
                    self.scratch(Frame::wide(image, column));
                    return Ok(());
                }
                Sign::Unsigned(_) | Sign::Signed => text::write_int(scratch, n),
            },
            Value::Float(f) => text::write_short(scratch, |to| text::put_f32(to, f)),
            Value::Double(f) => text::write_short(scratch, |to| text::put_f64(to, f)),
            Value::Decimal(d) => text::write_short(scratch, |to| text::put_decimal(to, &d)),
            Value::Year(year) => text::write_short(scratch, |to| text::put_year(to, year)),
            Value::Date(d) => text::write_short(scratch, |to| text::put_date(to, d)),
            Value::Time(t) => text::write_short(scratch, |to| text::put_time(to, t)),
            Value::DateTime(t) => text::write_short(scratch, |to| text::put_datetime(to, t)),
            Value::Timestamp(t) => {
                text::write_short(scratch, |to| text::put_timestamp(to, t, self.zone));
            }
            Value::Json(document) => text::write_json(scratch, document)?,
            Value::Compressed(bytes) => {
                decompress_column(bytes, &mut self.writer.inflated, VALUE_LEN_MAX)?;
                match column.bytes {
                    Bytes::Utf8 => text::write_utf8(scratch, &self.writer.inflated),
                    Bytes::Other(charset) => charset.write(scratch, &self.writer.inflated),
                    Bytes::Latin1 | Bytes::Uuid | Bytes::Inet4 | Bytes::Inet6 => {
                        text::write_latin1(scratch, &self.writer.inflated);
                    }
                }
            }
            Value::Bit(n) | Value::Set(n) => text::write_int(scratch, n),
            Value::Enum(n) => text::write_int(scratch, n),
            Value::Bytes(bytes) => {
                self.string(frame, bytes);
                return Ok(());
            }
        }
        self.scratch(frame);
        Ok(())
    }

    /// Appends the message of a text.
    fn plain(&mut self, frame: Frame<'_>, text: &[u8]) {
        self.message(frame, text.len(), |to| {
            to.get_mut(..text.len())?.copy_from_slice(text);
            Some(())
        });
    }

    /// Appends the message of a text of this length, which `put` puts.
    #[inline(always)]
    fn message(
        &mut self,
        frame: Frame<'_>,
        text_len: usize,
        put: impl FnOnce(&mut [u8]) -> Option<()>,
    ) {
        let start = self.out.len();
        let tail = &frame.column.tail;
        let value_len = protobuf::varint_len(protobuf::len64(text_len)) + text_len;
        let message_len = frame.head.len() + value_len + tail.len();
        let room = self.out.room(MESSAGE_HEAD_MAX + message_len + 2 * SLACK);
        let lens = (text_len, message_len);
        let text_at = frame.put(room, lens, put).unwrap_or_else(no_room);
        let text_end = text_at + text_len;
        self.out.advance(text_end + tail.len());
        let (message, text) = (start..self.out.len(), start + text_at..start + text_end);
        self.written = Kept { state: State::Value, raw: 0..0, message, text };
    }

    /// Appends the message of the text in the scratch buffer.
    fn scratch(&mut self, frame: Frame<'_>) {
        let scratch = std::mem::take(&mut self.writer.scratch);
        self.plain(frame, &scratch);
        self.writer.scratch = scratch;
    }

    fn string(&mut self, frame: Frame<'_>, bytes: &[u8]) {
        match frame.column.bytes {
            Bytes::Utf8 | Bytes::Latin1 if text::is_ascii(bytes) => self.plain(frame, bytes),
            Bytes::Utf8 if simdutf8::basic::from_utf8(bytes).is_ok() => self.plain(frame, bytes),
            Bytes::Utf8
            | Bytes::Latin1
            | Bytes::Other(_)
            | Bytes::Uuid
            | Bytes::Inet4
            | Bytes::Inet6 => self.converted(frame, bytes),
        }
    }

    fn converted(&mut self, frame: Frame<'_>, bytes: &[u8]) {
        let scratch = &mut self.writer.scratch;
        scratch.clear();
        match frame.column.bytes {
            Bytes::Utf8 => text::write_utf8(scratch, bytes),
            Bytes::Latin1 => {
                return self
                    .message(frame, text::latin1_len(bytes), |to| text::put_latin1(to, bytes));
            }
            Bytes::Other(charset) if charset.has_ascii() && text::is_ascii(bytes) => {
                return self.plain(frame, bytes);
            }
            Bytes::Other(charset) => charset.write(scratch, bytes),
            Bytes::Uuid => text::write_uuid(scratch, bytes),
            Bytes::Inet4 => text::write_inet4(scratch, bytes),
            Bytes::Inet6 => text::write_inet6(scratch, bytes),
        }
        self.scratch(frame);
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
            let before = self.writer.before.get(index).filter(|kept| kept.state == State::Value);
            let Some(before) = before else { return Ok(false) };
            let text = self.out.written().get(before.text.clone()).unwrap_or_default();
            self.writer.scratch.extend_from_slice(text);
            self.scratch(frame);
            return Ok(true);
        }
        text::write_diffs(&mut self.writer.scratch, &column.name, diffs)?;
        self.scratch(Frame::wide(Image::After, column));
        Ok(true)
    }
}
