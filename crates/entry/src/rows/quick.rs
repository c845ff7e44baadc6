//! Runs of usual columns into their `Column` messages: numbers, dates and times, and text that needs no
//! conversion.
//!
//! A message is put into a front of constant size, so that hardly a bound is checked, and a text is
//! copied and looked at in one go. A run ends at what is not usual: another type, a long message, text to
//! be converted, an image that is cut off, too little room. That is left to the general way, and nothing
//! of it has been taken.

use std::ops::Range;

use towpath_binlog::ColumnKind;

use super::pair::{Kept, State};
use super::{Image, ROW_TAG, bit};
use crate::piece::Piece;
use crate::plan::{Bytes, Plan, UPDATED_FROM_END};
use crate::proto;
use crate::text::{self, ShortRoom, Zone};

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
    /// An integer that may be negative.
    Signed,
    Unsigned,
    /// A value whose text is always short.
    Short,
    /// Bytes behind their length, which are the text when they are ASCII.
    Ascii,
    /// The same, or when they are UTF-8.
    Utf8,
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
        // Only one that is short has all of its bytes in its front.
        let fronts = head.front().zip(tail.front());
        let (kind, (head_front, tail_front)) =
            kind.zip(fronts).unwrap_or((ColumnKind::Other { code: 0 }, (&[0; PIECE], &[0; PIECE])));
        let (way, raw_len) = way_of(kind, bytes, is_unsigned);
        Self {
            way,
            kind,
            raw_len,
            shift: 64 - 8 * raw_len,
            head_len: low(head.len()),
            tail_len: low(tail.len()),
            updated_at: low(head.len().saturating_sub(UPDATED_FROM_END)),
            head: *head_front,
            tail: *tail_front,
        }
    }

    /// Runs may take it.
    #[inline]
    fn is_usual(&self) -> bool {
        self.way != Way::General
    }
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
    let (mut rest, mut out_len) = (raw, 0);
    let mut rows = 0;
    let mut open = None;
    while !rest.is_empty() {
        let start = out_len;
        let Some((nulls, values)) = rest.split_at_checked(null_len) else { break };
        if to.len() < start + gap_len {
            break;
        }
        let (count, raw_left, end);
        if nulls.iter().all(|byte| *byte == 0) {
            let at = (&mut *to, start + gap_len);
            (count, raw_left, end) = run::<false>(of, NO_NULLS, values, at, |_, _| {});
        } else {
            let Some(room) = to.get_mut(start + gap_len..) else { break };
            let part = part(of, (nulls, 0), values, room);
            let Some(left) = values.get(part.raw_len..) else { break };
            (count, raw_left, end) = (part.columns, left, start + gap_len + part.out_len);
        }
        rest = raw_left;
        out_len = end;
        if count < columns.len() || close(to, (start, end), gap_len).is_none() {
            open = Some(Open { start, columns: count, nulls });
            break;
        }
        rows += 1;
    }
    Progress { rows, raw_len: raw.len() - rest.len(), out_len, open }
}

/// Writes tag and length of a row into the gap before it. `None` when they do not just fit.
#[inline(always)]
fn close(to: &mut [u8], (start, end): (usize, usize), gap_len: usize) -> Option<()> {
    let len = end - start - gap_len;
    let gap = to.get_mut(start..)?.first_chunk_mut::<3>()?;
    if gap_len == 3 && (ONE_BYTE..TWO_BYTES).contains(&len) {
        let [first, second] = two(len);
        *gap = [ROW_TAG, first, second];
    } else if gap_len == 2 && len < ONE_BYTE {
        *gap.first_chunk_mut::<2>()? = [ROW_TAG, low(len)];
    } else {
        return None;
    }
    Some(())
}

/// A null bitmap, and which bit of it is that of the first column.
pub(super) type Nulls<'a> = (&'a [u8], usize);

pub(super) const NO_NULLS: Nulls<'_> = (&[], 0);

/// Puts the messages of the values at the front of `raw` into `to`, from `at` on: how many columns it
/// were, what is left of `raw`, and where the messages end. `NULLS`: there may be some. `keep`: is told of
/// each column its index, and what was written.
#[inline(always)]
fn run<'r, const NULLS: bool>(
    (columns, image, zone): Columns<'_>,
    (nulls, first): Nulls<'_>,
    raw: &'r [u8],
    (to, at): (&mut [u8], usize),
    mut keep: impl FnMut(usize, Written),
) -> (usize, &'r [u8], usize) {
    let marks = (image.tag(), image.updated());
    let (mut rest, mut at) = (raw, at);
    let mut count = 0;
    for column in columns {
        let Some(room) = to.get_mut(at..) else { break };
        let is_null = NULLS && bit(nulls, first + count);
        let written = match column.way {
            Way::General => None,
            _ if is_null => null(column, marks, room),
            Way::Ascii | Way::Utf8 => text(column, marks, rest, room),
            Way::Signed | Way::Unsigned => {
                short(column, marks, room, |to| number(column, rest, to))
            }
            Way::Short => value(column, zone, marks, rest, room),
        };
        let Some((raw_len, message_len, text_len)) = written else { break };
        let Some(next) = rest.get(raw_len..) else { break };
        rest = next;
        at += message_len;
        let text_end = at - usize::from(column.tail_len);
        let (message, text) = (at - message_len..at, text_end - text_len..text_end);
        keep(count, Written { is_null, raw_len, message, text });
        count += 1;
    }
    (count, rest, at)
}

/// What was written of a column.
#[derive(Debug, Clone, Default)]
struct Written {
    is_null: bool,
    /// Bytes of its value.
    raw_len: usize,
    message: Range<usize>,
    text: Range<usize>,
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
    let (columns, rest, out_len) = run::<true>(of, nulls, raw, (to, 0), |_, _| {});
    Part { columns, raw_len: raw.len() - rest.len(), out_len }
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
    let mut raw_at = raw_start;
    let keep = |index: usize, written: Written| {
        let raw = raw_at..raw_at + written.raw_len;
        raw_at = raw.end;
        if let Some(slot) = kept.get_mut(index) {
            let shifted = |range: Range<usize>| out_start + range.start..out_start + range.end;
            *slot = Kept {
                state: if written.is_null { State::Null } else { State::Value },
                raw,
                message: shifted(written.message),
                text: shifted(written.text),
            };
        }
    };
    let (columns, rest, out_len) = run::<true>(of, nulls, raw, (to, 0), keep);
    Part { columns, raw_len: raw.len() - rest.len(), out_len }
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

/// An integer; returns how many bytes it and its text take.
#[inline(always)]
fn number(column: &QuickColumn, raw: &[u8], to: &mut ShortRoom) -> Option<(usize, usize)> {
    let raw_len = usize::from(column.raw_len);
    if raw.len() < raw_len {
        return None;
    }
    let shift = u32::from(column.shift);
    let word = u64::from_le_bytes(padded(raw)).wrapping_shl(shift);
    let n = word.cast_signed().wrapping_shr(shift);
    // An unsigned one of the upper half has a head of its own.
    if n < 0 && column.way == Way::Unsigned {
        return None;
    }
    Some((raw_len, text::put_int(to, n < 0, n.unsigned_abs())?))
}

/// A message around a short text, which `put` puts.
#[inline(always)]
fn short(
    column: &QuickColumn,
    (tag, updated): (u8, u8),
    to: &mut [u8],
    put: impl FnOnce(&mut ShortRoom) -> Option<(usize, usize)>,
) -> Option<(usize, usize, usize)> {
    let to = to.first_chunk_mut::<FRONT>()?;
    put_piece(to, 2, &column.head, column.head_len)?;
    let head_end = 2 + usize::from(column.head_len);
    let (raw_len, text_len) = put(to.get_mut(head_end + 1..)?.first_chunk_mut()?)?;
    let text_end = head_end + 1 + text_len;
    put_piece(to, text_end, &column.tail, column.tail_len)?;
    let message_len = text_end + usize::from(column.tail_len);
    let body_len = message_len - 2;
    if body_len >= ONE_BYTE {
        return None;
    }
    *to.get_mut(head_end)? = low(text_len);
    *to.get_mut(2 + usize::from(column.updated_at))? = updated;
    *to.first_chunk_mut::<2>()? = [tag, low(body_len)];
    Some((raw_len, message_len, text_len))
}

/// A NULL: where a value's head says that it is not, and what its tag is, it is, and the tail follows.
#[inline(always)]
fn null(
    column: &QuickColumn,
    (tag, updated): (u8, u8),
    to: &mut [u8],
) -> Option<(usize, usize, usize)> {
    let to = to.first_chunk_mut::<FRONT>()?;
    put_piece(to, 2, &column.head, column.head_len)?;
    let updated_at = 2 + usize::from(column.updated_at);
    *to.get_mut(updated_at..)?.first_chunk_mut::<3>()? = [updated, 6 << 3, 1];
    put_piece(to, updated_at + 3, &column.tail, column.tail_len)?;
    let message_len = updated_at + 3 + usize::from(column.tail_len);
    let body_len = message_len - 2;
    if body_len >= ONE_BYTE {
        return None;
    }
    *to.first_chunk_mut::<2>()? = [tag, low(body_len)];
    Some((0, message_len, 0))
}

#[inline(always)]
fn text(
    column: &QuickColumn,
    (tag, updated): (u8, u8),
    raw: &[u8],
    to: &mut [u8],
) -> Option<(usize, usize, usize)> {
    let word = u64::from(u32::from_le_bytes(padded(raw)));
    let shift = u32::from(column.shift);
    let len = usize::try_from(word.wrapping_shl(shift).wrapping_shr(shift)).ok()?;
    let from = raw.get(usize::from(column.raw_len)..)?;
    if from.len() < len {
        return None;
    }
    let (head_len, tail_len) = (usize::from(column.head_len), usize::from(column.tail_len));
    let is_long = len >= ONE_BYTE;
    let body_len = head_len + 1 + usize::from(is_long) + len + tail_len;
    if body_len >= TWO_BYTES || to.len() < FRONT + len {
        return None;
    }
    let front = to.first_chunk_mut::<FRONT>()?;
    let head_at = if body_len < ONE_BYTE {
        *front.first_chunk_mut::<2>()? = [tag, low(body_len)];
        2
    } else {
        let [first, second] = two(body_len);
        *front.first_chunk_mut::<3>()? = [tag, first, second];
        3
    };
    put_piece(front, head_at, &column.head, column.head_len)?;
    *front.get_mut(head_at + usize::from(column.updated_at))? = updated;
    let head_end = head_at + head_len;
    let text_at = if is_long {
        *front.get_mut(head_end..)?.first_chunk_mut::<2>()? = two(len);
        head_end + 2
    } else {
        *front.get_mut(head_end)? = low(len);
        head_end + 1
    };
    let room = to.get_mut(text_at..)?;
    if !copy(from, len, room)? && !is_right(column.way, from.get(..len)?) {
        return None;
    }
    put_piece(room.get_mut(len..)?.first_chunk_mut::<PIECE>()?, 0, &column.tail, column.tail_len)?;
    Some((usize::from(column.raw_len) + len, text_at + len + tail_len, len))
}

/// Out of line: most columns are not of these types.
#[inline(never)]
fn value(
    column: &QuickColumn,
    zone: &Zone,
    marks: (u8, u8),
    raw: &[u8],
    to: &mut [u8],
) -> Option<(usize, usize, usize)> {
    short(column, marks, to, |to| text::put_short(column.kind, zone, raw, to))
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
    let mut all = [0; BLOCK / 8];
    let text = from.get(..len)?;
    if let Some(last) = text.last_chunk::<BLOCK>() {
        let to = to.get_mut(..len)?;
        for (from, to) in text.as_chunks::<BLOCK>().0.iter().zip(to.as_chunks_mut::<BLOCK>().0) {
            for (all, word) in all.iter_mut().zip(words(from)) {
                *all |= word;
            }
            *to = *from;
        }
        for (all, word) in all.iter_mut().zip(words(last)) {
            *all |= word;
        }
        *to.last_chunk_mut::<BLOCK>()? = *last;
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
    proto::two_bytes(proto::len64(len))
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
