//! Runs of usual columns into their `Column` messages: numbers, dates and times, and text that needs no
//! conversion.
//!
//! A message is put into a front of constant size, so that hardly a bound is checked, and a text is
//! copied and looked at in one go. A run ends at what is not usual: another type, a long message, text to
//! be converted, an image that is cut off, too little room. That is left to the general way, and nothing
//! of it has been taken.

use std::mem;
use std::num::NonZeroUsize;
use std::ops::Range;

use towpath_binlog::ColumnKind;

use super::pair::{Kept, State};
use super::{Image, ROW_TAG, bit};
use crate::plan::{Bytes, Plan, UPDATED_FROM_END};
use crate::text::{self, ShortRoom, Zone};
use towpath_protocol::piece::Piece;
use towpath_protocol::protobuf;

/// Room for everything of a message but its text: tag, length, head, length, number, tail.
const FRONT: usize = 416;

/// Room that a column wants, beside its text.
pub(super) const ROOM: usize = 2 * FRONT;

/// Lengths below this take one byte, those below the other one two.
const ONE_BYTE: usize = 1 << 7;
const TWO_BYTES: usize = 1 << 14;

/// Bytes that are copied at once.
const BLOCK: usize = 32;
const PIECE: usize = 64;

/// What is done with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Bytes behind their length, which are the text when they are ASCII.
    Ascii,
    /// The same, or when they are UTF-8.
    Utf8,
    /// An integer that may be negative.
    Signed,
    Unsigned,
    /// A value whose text is always short.
    Short,
    /// In the general way.
    General,
}

/// A column as runs need it.
#[derive(Debug)]
pub(crate) struct QuickColumn {
    way: Way,
    kind: ColumnKind,
    /// Bytes of the integer, or of the length of the text.
    raw_len: u8,
    /// Bits of a word that are not of them.
    shift: u8,
    head_len: u8,
    tail_len: u8,
    /// Where `updated` is in the head.
    updated_at: u8,
    /// With tag, length and `updated` of a short message of an inserted row.
    head: [u8; PIECE],
    tail: [u8; PIECE],
}

impl QuickColumn {
    /// `kind`: `None` for a column that runs cannot take.
    pub(crate) fn new(
        kind: Option<ColumnKind>,
        (bytes, is_unsigned): (Bytes, bool),
        head: &Piece,
        tail: &Piece,
    ) -> Self {
        let head = inserted_head(head.bytes());
        let kind = kind.filter(|_| head.len().max(tail.len()) <= PIECE);
        let kind = kind.unwrap_or(ColumnKind::Other { code: 0 });
        let (way, raw_len) = way_of(kind, bytes, is_unsigned);
        Self {
            way,
            kind,
            raw_len,
            shift: 64 - 8 * raw_len,
            head_len: low(head.len()),
            tail_len: low(tail.len()),
            updated_at: low(head.len() - UPDATED_FROM_END),
            head: padded(&head),
            tail: padded(tail.bytes()),
        }
    }

    /// Runs may take it.
    #[inline]
    fn is_usual(&self) -> bool {
        self.way != Way::General
    }

    /// Puts the head, and anything behind it.
    #[inline(always)]
    fn put_head<const N: usize>(
        &self,
        other_tag: OtherTag,
        to: &mut [u8; N],
        at: usize,
    ) -> Option<()> {
        put_piece(to, at, &self.head, self.head_len)?;
        if let Some(tag) = other_tag {
            *to.get_mut(at)? = tag;
            *to.get_mut(at + usize::from(self.updated_at))? = 0;
        }
        Some(())
    }

    /// Where the text lies in a message that was written.
    #[inline]
    fn text_of(&self, message: &Range<usize>) -> Range<usize> {
        let end = message.end - usize::from(self.tail_len);
        let is_long = message.len() >= 2 + ONE_BYTE;
        let len_at = message.start + usize::from(is_long) + usize::from(self.head_len);
        let is_long_text = end.saturating_sub(len_at) > ONE_BYTE;
        (len_at + 1 + usize::from(is_long_text)).min(end)..end
    }
}

/// A head with the tag of an inserted row's column, and a length of one byte, before it.
fn inserted_head(head: &[u8]) -> Vec<u8> {
    let mut whole = vec![Image::Inserted.tag(), 0];
    whole.extend_from_slice(head);
    if let Some(updated) = whole.iter_mut().nth_back(UPDATED_FROM_END - 1) {
        *updated = Image::Inserted.updated();
    }
    whole
}

/// What is done with a column, and how many bytes its integer has, or the length of its text.
fn way_of(kind: ColumnKind, bytes: Bytes, is_unsigned: bool) -> (Way, u8) {
    let number = if is_unsigned { Way::Unsigned } else { Way::Signed };
    let text = match bytes {
        Bytes::Utf8 => Way::Utf8,
        Bytes::Latin1 => Way::Ascii,
        Bytes::Other(charset) if charset.has_ascii() => Way::Ascii,
        Bytes::Other(_) | Bytes::Uuid | Bytes::Inet4 | Bytes::Inet6 => Way::General,
    };
    if matches!(kind, ColumnKind::Tiny) {
        (number, 1)
    } else if matches!(kind, ColumnKind::Short) {
        (number, 2)
    } else if matches!(kind, ColumnKind::Int24) {
        (number, 3)
    } else if matches!(kind, ColumnKind::Long) {
        (number, 4)
    } else if matches!(kind, ColumnKind::LongLong) {
        (number, 8)
    } else if let ColumnKind::Char { max_len } | ColumnKind::VarChar { max_len } = kind {
        (text, if max_len < 256 { 1 } else { 2 })
    } else if let ColumnKind::Blob { len_bytes } = kind {
        (text, len_bytes)
    } else if text::is_short(kind) {
        (Way::Short, 1)
    } else {
        (Way::General, 1)
    }
}

impl Plan {
    /// Columns for a run from `index` on; none when runs do not take the first of them.
    #[inline]
    pub(super) fn usual_from(&self, index: usize) -> &[QuickColumn] {
        let columns = self.quick.get(index..).unwrap_or_default();
        if columns.first().is_some_and(QuickColumn::is_usual) { columns } else { &[] }
    }
}

/// What is to be written: columns, of which image, and in which zone.
pub(super) type Columns<'a> = (&'a [QuickColumn], Image, &'a Zone);

/// How far it went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress<'r> {
    /// Rows that are finished.
    pub(super) rows: u32,
    /// Bytes of the images.
    pub(super) raw_len: usize,
    /// Bytes written.
    pub(super) out_len: usize,
    /// What was written of a row that is not finished.
    pub(super) open: Option<Open<'r>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Open<'r> {
    /// Where it begins in what was written.
    pub(super) start: usize,
    pub(super) columns: usize,
    /// Its null bitmap.
    pub(super) nulls: &'r [u8],
}

/// Puts rows of one image each, which has all columns, to the front of `to`, with `gap_len` bytes for tag
/// and length of each, as many as are finished without a column that is not usual.
#[inline(never)]
pub(super) fn rows<'r>(
    of: Columns<'_>,
    raw: &'r [u8],
    to: &mut [u8],
    gap_len: usize,
) -> Progress<'r> {
    let (columns, ..) = of;
    let null_len = columns.len().div_ceil(8);
    let to_len = to.len();
    let (mut rest, mut room) = (raw, to);
    let mut rows = 0;
    let mut open = None;
    while !rest.is_empty() {
        let start = to_len - room.len();
        let Some((nulls, values)) = rest.split_at_checked(null_len) else { break };
        if room.len() < gap_len {
            break;
        }
        let (gap, inside) = mem::take(&mut room).split_at_mut(gap_len);
        let inside_len = inside.len();
        let count;
        if nulls.iter().all(|byte| *byte == 0) {
            (count, rest, room) = run::<false>(of, NO_NULLS, values, inside, |_, _| {});
        } else {
            let part = part(of, (nulls, 0), values, inside);
            count = part.columns;
            rest = values.get(part.raw_len..).unwrap_or_default();
            room = inside.get_mut(part.out_len..).unwrap_or_default();
        }
        if count < columns.len() || close(gap, inside_len - room.len()).is_none() {
            open = Some(Open { start, columns: count, nulls });
            break;
        }
        rows += 1;
    }
    Progress { rows, raw_len: raw.len() - rest.len(), out_len: to_len - room.len(), open }
}

/// Writes tag and length of a row into the gap before it. `None` when they do not just fit.
#[inline(always)]
fn close(gap: &mut [u8], len: usize) -> Option<()> {
    match gap {
        [tag, one] if len < ONE_BYTE => {
            (*tag, *one) = (ROW_TAG, low(len));
        }
        [tag, one, other] if (ONE_BYTE..TWO_BYTES).contains(&len) => {
            *tag = ROW_TAG;
            [*one, *other] = two(len);
        }
        _ => return None,
    }
    Some(())
}

/// Tag of columns that are not those of an inserted row, and not updated.
type OtherTag = Option<u8>;

/// A null bitmap, and which bit of it is that of the first column.
pub(super) type Nulls<'a> = (&'a [u8], usize);

pub(super) const NO_NULLS: Nulls<'_> = (&[], 0);

/// Puts the messages of the values at the front of `raw` to the front of `room`: how many columns it
/// were, what is left of `raw`, and of `room`. `NULLS`: there may be some. `keep`: is told of
/// each column its index, and what was written.
#[inline(always)]
fn run<'r, 'o, const NULLS: bool>(
    (columns, image, zone): Columns<'_>,
    (nulls, first): Nulls<'_>,
    raw: &'r [u8],
    room: &'o mut [u8],
    mut keep: impl FnMut(usize, Written),
) -> (usize, &'r [u8], &'o mut [u8]) {
    let tag = (image != Image::Inserted).then_some(image.tag());
    let (mut rest, mut room) = (raw, room);
    // One number in a register: that of the bit, from which that of the column follows.
    let mut place = first;
    for column in columns {
        let is_null = NULLS && bit(nulls, place);
        let written = match column.way {
            Way::General => None,
            _ if is_null => null(column, tag, room),
            Way::Ascii | Way::Utf8 => text(column, tag, rest, room),
            Way::Signed | Way::Unsigned => number(column, tag, rest, room),
            Way::Short => value(column, zone, tag, rest, room),
        };
        let Some(written) = written else { break };
        let Some(next) = rest.get(written.raw_len..) else { break };
        if room.len() < written.message_len.get() {
            break;
        }
        rest = next;
        (_, room) = mem::take(&mut room).split_at_mut(written.message_len.get());
        keep(place - first, written);
        place += 1;
    }
    (place - first, rest, room)
}

/// What was written of a column.
#[derive(Debug, Clone, Copy)]
struct Written {
    /// Bytes of its value.
    raw_len: usize,
    message_len: NonZeroUsize,
}

impl Written {
    #[inline(always)]
    fn new(raw_len: usize, message_len: usize) -> Option<Self> {
        Some(Self { raw_len, message_len: NonZeroUsize::new(message_len)? })
    }
}

/// Columns that were written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// How many.
    pub(super) columns: usize,
    /// Bytes of the image.
    pub(super) raw_len: usize,
    /// Bytes written.
    pub(super) out_len: usize,
}

/// The same for a part of a row.
#[inline(never)]
pub(super) fn part(of: Columns<'_>, nulls: Nulls<'_>, raw: &[u8], to: &mut [u8]) -> Part {
    let to_len = to.len();
    let (columns, rest, room) = run::<true>(of, nulls, raw, to, |_, _| {});
    Part { columns, raw_len: raw.len() - rest.len(), out_len: to_len - room.len() }
}

/// The same, and each column is kept. `raw` and `to` come with where they begin in event and arena.
#[inline(never)]
pub(super) fn kept_part(
    of: Columns<'_>,
    nulls: Nulls<'_>,
    (raw, raw_start): (&[u8], usize),
    (to, out_start): (&mut [u8], usize),
    kept: &mut [Kept],
) -> Part {
    let (mut raw_at, mut at) = (raw_start, out_start);
    let keep = |index: usize, written: Written| {
        let raw = raw_at..raw_at + written.raw_len;
        let message = at..at + written.message_len.get();
        (raw_at, at) = (raw.end, message.end);
        if let (Some(slot), Some(column)) = (kept.get_mut(index), of.0.get(index)) {
            let text = column.text_of(&message);
            let state = if bit(nulls.0, nulls.1 + index) { State::Null } else { State::Value };
            *slot = Kept { state, raw, message, text };
        }
    };
    let to_len = to.len();
    let (columns, rest, room) = run::<true>(of, nulls, raw, to, keep);
    Part { columns, raw_len: raw.len() - rest.len(), out_len: to_len - room.len() }
}

/// The first bytes of `raw`, and zeros when it is shorter.
#[inline(always)]
fn padded<const N: usize>(raw: &[u8]) -> [u8; N] {
    #[cold]
    fn short<const N: usize>(raw: &[u8]) -> [u8; N] {
        let mut whole = [0; N];
        for (to, from) in whole.iter_mut().zip(raw) {
            *to = *from;
        }
        whole
    }
    match raw.first_chunk::<N>() {
        Some(whole) => *whole,
        None => short(raw),
    }
}

/// An integer.
#[inline(always)]
fn number(column: &QuickColumn, tag: OtherTag, raw: &[u8], to: &mut [u8]) -> Option<Written> {
    short(column, tag, to, |to| {
        let shift = u32::from(column.shift);
        let word = u64::from_le_bytes(padded(raw)).wrapping_shl(shift);
        let n = word.cast_signed().wrapping_shr(shift);
        // An unsigned one of the upper half has a head of its own.
        if n < 0 && column.way == Way::Unsigned {
            return None;
        }
        let text_len = text::put_int(to, n < 0, n.unsigned_abs())?;
        Some((usize::from(column.raw_len), text_len))
    })
}

/// A value whose text is always short.
#[inline(never)]
fn value(
    column: &QuickColumn,
    zone: &Zone,
    tag: OtherTag,
    raw: &[u8],
    to: &mut [u8],
) -> Option<Written> {
    short(column, tag, to, |to| text::put_short(column.kind, zone, raw, to))
}

/// A message around a short text, which `put` puts.
#[inline(always)]
fn short(
    column: &QuickColumn,
    tag: OtherTag,
    to: &mut [u8],
    put: impl FnOnce(&mut ShortRoom) -> Option<(usize, usize)>,
) -> Option<Written> {
    let to = to.first_chunk_mut::<FRONT>()?;
    column.put_head(tag, to, 0)?;
    let head_end = usize::from(column.head_len);
    let (raw_len, text_len) = put(to.get_mut(head_end + 1..)?.first_chunk_mut()?)?;
    let text_end = head_end + 1 + text_len;
    put_piece(to, text_end, &column.tail, column.tail_len)?;
    let message_len = text_end + usize::from(column.tail_len);
    let body_len = message_len - 2;
    if body_len >= ONE_BYTE {
        return None;
    }
    *to.get_mut(head_end)? = low(text_len);
    *to.get_mut(1)? = low(body_len);
    Written::new(raw_len, message_len)
}

/// A NULL: where a value's head says that it is not, and what its tag is, it is, and the tail follows.
#[inline(always)]
fn null(column: &QuickColumn, tag: OtherTag, to: &mut [u8]) -> Option<Written> {
    let to = to.first_chunk_mut::<FRONT>()?;
    column.put_head(tag, to, 0)?;
    let updated_at = usize::from(column.updated_at);
    *to.get_mut(updated_at + 1..)?.first_chunk_mut::<2>()? = [6 << 3, 1];
    put_piece(to, updated_at + 3, &column.tail, column.tail_len)?;
    let message_len = updated_at + 3 + usize::from(column.tail_len);
    let body_len = message_len - 2;
    if body_len >= ONE_BYTE {
        return None;
    }
    *to.get_mut(1)? = low(body_len);
    Written::new(0, message_len)
}

#[inline(always)]
fn text(column: &QuickColumn, tag: OtherTag, raw: &[u8], to: &mut [u8]) -> Option<Written> {
    let word = u64::from(u32::from_le_bytes(padded(raw)));
    let shift = u32::from(column.shift);
    let len = usize::try_from(word.wrapping_shl(shift).wrapping_shr(shift)).ok()?;
    let from = raw.get(usize::from(column.raw_len)..)?;
    if from.len() < len || to.len() < FRONT + len {
        return None;
    }
    let (head_len, tail_len) = (usize::from(column.head_len), usize::from(column.tail_len));
    let text_len_len = 1 + usize::from(len >= ONE_BYTE);
    // Without its own tag and length of one byte.
    let body_len = head_len - 2 + text_len_len + len + tail_len;
    let front = to.first_chunk_mut::<FRONT>()?;
    let head_end = if body_len < ONE_BYTE {
        column.put_head(tag, front, 0)?;
        *front.get_mut(1)? = low(body_len);
        head_len
    } else if body_len < TWO_BYTES {
        column.put_head(tag, front, 1)?;
        let [first, second] = two(body_len);
        *front.first_chunk_mut::<3>()? = [tag.unwrap_or(Image::Inserted.tag()), first, second];
        head_len + 1
    } else {
        return None;
    };
    if text_len_len == 1 {
        *front.get_mut(head_end)? = low(len);
    } else {
        *front.get_mut(head_end..)?.first_chunk_mut::<2>()? = two(len);
    }
    let text_at = head_end + text_len_len;
    let room = to.get_mut(text_at..)?;
    if !copy(from, len, room)? && !is_right(column.way, from.get(..len)?) {
        return None;
    }
    put_piece(room.get_mut(len..)?.first_chunk_mut::<PIECE>()?, 0, &column.tail, column.tail_len)?;
    Written::new(usize::from(column.raw_len) + len, text_at + len + tail_len)
}

/// Whether bytes that are not all ASCII are the text.
#[inline(never)]
fn is_right(way: Way, text: &[u8]) -> bool {
    way == Way::Utf8 && simdutf8::basic::from_utf8(text).is_ok()
}

/// Puts a head or tail, and anything behind it.
#[inline(always)]
fn put_piece<const N: usize>(
    to: &mut [u8; N],
    at: usize,
    piece: &[u8; PIECE],
    len: u8,
) -> Option<()> {
    let to = to.get_mut(at..)?;
    if usize::from(len) <= BLOCK {
        *to.first_chunk_mut::<BLOCK>()? = *piece.first_chunk::<BLOCK>()?;
    } else {
        *to.first_chunk_mut::<PIECE>()? = *piece;
    }
    Some(())
}

/// Copies the first `len` bytes, and anything behind them up to the end of a block; true when all of
/// them are ASCII.
#[inline(always)]
fn copy(from: &[u8], len: usize, to: &mut [u8]) -> Option<bool> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    type Words = [u64; BLOCK / 8];
    #[inline(always)]
    fn words(block: &[u8; BLOCK]) -> Words {
        let mut words = [0; BLOCK / 8];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }
    #[inline(always)]
    fn put(all: &mut Words, from: &[u8; BLOCK], to: &mut [u8; BLOCK]) {
        for (all, word) in all.iter_mut().zip(words(from)) {
            *all |= word;
        }
        *to = *from;
    }
    let mut all = [0; BLOCK / 8];
    let text = from.get(..len)?;
    if let Some(last) = text.last_chunk::<BLOCK>() {
        let to = to.get_mut(..len)?;
        // The block that overlaps comes first: better vectors are made of the loop then.
        put(&mut all, last, to.last_chunk_mut()?);
        for (from, to) in text.as_chunks::<BLOCK>().0.iter().zip(to.as_chunks_mut::<BLOCK>().0) {
            let words = words(from);
            for (all, word) in all.iter_mut().zip(words) {
                *all |= word;
            }
            for (to, word) in to.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                *to = word.to_le_bytes();
            }
        }
    } else {
        let block = padded::<BLOCK>(from);
        *to.first_chunk_mut::<BLOCK>()? = block;
        for ((all, word), mask) in all.iter_mut().zip(words(&block)).zip(MASKS.get(len)?) {
            *all |= word & mask;
        }
    }
    let [a, b, c, d] = all;
    Some((a | b | c | d) & HIGH == 0)
}

/// For each length below a block: ones where its bytes are.
static MASKS: [[u64; BLOCK / 8]; BLOCK] = masks();

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn masks() -> [[u64; BLOCK / 8]; BLOCK] {
    let mut masks = [[0; BLOCK / 8]; BLOCK];
    let mut len = 0;
    while len < BLOCK {
        let mut at = 0;
        while at < len {
            masks[len][at / 8] |= 0xff << (8 * (at % 8));
            at += 1;
        }
        len += 1;
    }
    masks
}

#[inline(always)]
const fn low(len: usize) -> u8 {
    let [low, ..] = len.to_le_bytes();
    low
}

/// A length of two bytes as a varint.
#[inline(always)]
fn two(len: usize) -> [u8; 2] {
    protobuf::two_bytes(protobuf::len64(len))
}

/// How many bytes at the front are the same.
pub(super) fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let (blocks, others) = (one.as_chunks::<BLOCK>().0, other.as_chunks::<BLOCK>().0);
    let mut same =
        blocks.iter().zip(others).take_while(|(one, other)| one == other).count() * BLOCK;
    loop {
        let word = |bytes: &[u8]| bytes.get(same..)?.first_chunk().copied().map(u64::from_le_bytes);
        let (Some(one), Some(other)) = (word(one), word(other)) else { break };
        if one != other {
            return same + (one ^ other).trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    let (one, other) = (one.iter().skip(same), other.iter().skip(same));
    same + one.zip(other).take_while(|(one, other)| one == other).count()
}
