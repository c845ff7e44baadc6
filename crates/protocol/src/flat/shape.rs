//! The frequent case of flat messages: columns that look like those of the row before.
//!
//! A `Column` message differs from the same column of another row in its value and two flags, and now
//! and then in the sqlType. What stands before the flags and behind the value is compared as bytes,
//! and its JSON is kept. Whatever does not match goes the general way, so that this decides about
//! speed only.

use std::iter::{repeat, repeat_n};

use super::buffer::Buffer;
use super::quick::Quick;
use crate::entry::{Column, Fields};
use crate::flat::{close, string, write_int};
use crate::piece::Piece;
use crate::protobuf::Value;

/// Tags of the images in `RowData`.
pub(super) const BEFORE: u8 = 1 << 3 | 2;
pub(super) const AFTER: u8 = 2 << 3 | 2;

/// Fronts of a column that differ in the sqlType: that of a value, of NULL, of a large one.
const VARIANTS_MAX: usize = 4;

/// One column, apart from its value.
#[derive(Debug)]
struct Template {
    variants: Vec<Variant>,
    /// Field 10.
    tail: Expected,
    /// What stands before a text value in an object: `,"name":"`, with a brace for the first column.
    key: Piece,
    name: Box<str>,
    is_key: bool,
    usual: Usual,
    /// Which variant it had in the row that was read last.
    seen: u8,
}

/// The first variant with a short value that is not NULL, in what it takes to see it at a glance. Matches
/// nothing when it is too long for that.
#[derive(Debug)]
struct Usual {
    /// Everything before the length of the value, and its length, 0 for none.
    head: Masked,
    head_len: u8,
    tail: Masked,
    tail_len: u8,
    key: [u8; SHORT],
    key_len: u8,
}

#[derive(Debug)]
struct Variant {
    /// Fields 1 to 4.
    front: Expected,
    sql_type: i64,
}

/// Short bytes, compared as whole words.
#[derive(Debug)]
struct Masked {
    bytes: Words,
    /// Ones where there is a bit to compare.
    mask: Words,
}

type Words = [u64; SHORT / 8];

#[inline(always)]
fn words(bytes: &[u8; SHORT]) -> Words {
    let mut words = [0; SHORT / 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// The first bytes, and zeros behind them.
fn short(from: impl Iterator<Item = u8>) -> [u8; SHORT] {
    let mut bytes = [0; SHORT];
    for (to, from) in bytes.iter_mut().zip(from) {
        *to = from;
    }
    bytes
}

impl Masked {
    /// `mask`: which bits of the bytes, of all others none.
    fn new(from: &[u8], mask: impl Iterator<Item = u8>) -> Self {
        let mask = short(mask.take(from.len()));
        Self { bytes: words(&short(from.iter().copied())), mask: words(&mask) }
    }

    #[inline(always)]
    fn is(&self, chunk: &[u8; SHORT]) -> bool {
        let [a, b, c, d] = words(chunk);
        let [e, f, g, h] = self.bytes;
        let [i, j, k, l] = self.mask;
        (a ^ e) & i | (b ^ f) & j | (c ^ g) & k | (d ^ h) & l == 0
    }
}

impl Usual {
    fn new(front: &[u8], tail: &[u8], key: &[u8]) -> Self {
        let head = [front, &[UPDATED, 0, IS_NULL, 0, VALUE]].concat();
        let is_short = head.len().max(tail.len()).max(key.len()) <= SHORT;
        let head_len = if is_short { head.len() } else { 0 };
        // Whether it is updated differs from row to row.
        let mask = repeat_n(0xff, front.len() + 1).chain([0xfe]).chain(repeat(0xff));
        let low = |len: usize| len.to_le_bytes()[0];
        Self {
            head: Masked::new(&head, mask),
            head_len: low(head_len),
            tail: Masked::new(tail, repeat(0xff)),
            tail_len: low(tail.len()),
            key: short(key.iter().copied()),
            key_len: low(key.len()),
        }
    }

    /// Appends the cell of a message, which is the first `len` bytes of `column`; returns whether it is
    /// updated. `None`, and nothing appended, when it is not usual, or nothing is behind it.
    #[inline(always)]
    fn cell(&self, out: &mut Buffer, column: &[u8], len: usize) -> Option<bool> {
        let head_len = usize::from(self.head_len);
        let chunk = column.first_chunk::<SHORT>()?;
        if head_len == 0 || !self.head.is(chunk) {
            return None;
        }
        let is_updated = *column.get(head_len - 4)? == 1;
        let (&value_len, value) = column.get(head_len..)?.split_first()?;
        let value_len = usize::from(value_len);
        let is_whole = head_len + 1 + value_len + usize::from(self.tail_len) == len;
        let behind = value.get(value_len..)?.first_chunk::<SHORT>()?;
        if value_len >= 0x80 || !is_whole || !self.tail.is(behind) {
            return None;
        }
        out.plain_cell((&self.key, self.key_len), value, value_len)?;
        Some(is_updated)
    }
}

/// Bytes that are nearly always found: short ones are compared as whole words, without a call.
#[derive(Debug)]
struct Expected {
    front: Masked,
    bytes: Box<[u8]>,
}

/// Bytes that are compared at once.
pub(super) const SHORT: usize = 32;

/// Tags of `Column` from where its rows differ.
const UPDATED: u8 = 5 << 3;
const IS_NULL: u8 = 6 << 3;
const VALUE: u8 = 8 << 3 | 2;

impl Expected {
    fn new(bytes: &[u8]) -> Self {
        Self { front: Masked::new(bytes, repeat(0xff)), bytes: bytes.into() }
    }

    #[inline(always)]
    const fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline(always)]
    fn is_at(&self, at: &[u8]) -> bool {
        match at.first_chunk::<SHORT>() {
            Some(chunk) if self.len() <= SHORT => self.front.is(chunk),
            _ => at.starts_with(&self.bytes),
        }
    }
}

/// The columns of an image, and the parts of a message that depend on them alone.
#[derive(Debug)]
pub(super) struct Shape {
    columns: Vec<Template>,
    /// Which columns an update of this entry has changed up to now.
    updated: Vec<bool>,
    pub(super) schema: Name,
    pub(super) table: Name,
    pub(super) types: Vec<u8>,
    pub(super) keys: Vec<u8>,
    /// As told last.
    pub(super) sql_types: Vec<u8>,
    /// The variants that `sql_types` tells.
    told: Vec<u8>,
}

/// A name, and its JSON.
#[derive(Debug, Default)]
pub(super) struct Name {
    bytes: Box<[u8]>,
    pub(super) json: Vec<u8>,
}

impl Name {
    #[inline]
    fn tell(&mut self, name: &[u8]) -> Option<()> {
        if *self.bytes == *name && !self.json.is_empty() {
            return Some(());
        }
        simdutf8::basic::from_utf8(name).ok()?;
        self.bytes = name.into();
        self.json.clear();
        string(&mut self.json, name);
        Some(())
    }
}

/// What a column says beside what its template says.
struct Cell<'a> {
    is_updated: bool,
    /// The value's length, and the message from the value on; `None` for NULL.
    value: Option<(usize, &'a [u8])>,
}

impl Variant {
    /// Reads the message that is the first `len` bytes of `column`.
    #[inline(always)]
    fn read<'a>(&self, column: &'a [u8], len: usize, tail: &Expected) -> Option<Cell<'a>> {
        if !self.front.is_at(column) {
            return None;
        }
        let rest = column.get(self.front.len()..)?;
        // What is left for the value and its head.
        let left = len.checked_sub(self.front.len() + 4 + tail.len())?;
        let (&[UPDATED, updated @ 0..=1, IS_NULL, is_null @ 0..=1], rest) =
            rest.split_first_chunk()?
        else {
            return None;
        };
        let is_updated = updated == 1;
        if is_null == 1 {
            return (left == 0 && tail.is_at(rest)).then_some(Cell { is_updated, value: None });
        }
        let mut fields = Quick { rest };
        let value = fields.next()?;
        let is_whole = rest.len() - fields.rest.len() == left && tail.is_at(fields.rest);
        let value_len = value.len();
        (value.tag == VALUE && is_whole)
            .then_some(Cell { is_updated, value: Some((value_len, value.from)) })
    }
}

impl Template {
    /// `None` for a column that is encoded in another way.
    fn of(message: &[u8], column: &Column<'_>, is_first: bool) -> Option<Self> {
        let (front, tail) = around_value(message)?;
        let mut key = vec![if is_first { b'{' } else { b',' }];
        string(&mut key, column.name.as_bytes());
        key.extend_from_slice(b":\"");
        let template = Self {
            variants: vec![Variant { front: Expected::new(front), sql_type: column.sql_type }],
            tail: Expected::new(tail),
            key: Piece::new(&key),
            name: column.name.into(),
            is_key: column.is_key,
            usual: Usual::new(front, tail, &key),
            seen: 0,
        };
        let is_read = template.variants.first()?.read(message, message.len(), &template.tail);
        is_read.is_some().then_some(template)
    }

    #[inline(always)]
    fn read<'a>(&mut self, column: &'a [u8], len: usize) -> Option<(u8, Cell<'a>)> {
        let usual = self.variants.first()?.read(column, len, &self.tail);
        if let Some(cell) = usual { Some((0, cell)) } else { self.read_other(column, len) }
    }

    /// Another variant, known or new.
    #[cold]
    fn read_other<'a>(&mut self, column: &'a [u8], len: usize) -> Option<(u8, Cell<'a>)> {
        for (variant, index) in self.variants.iter().zip(0..) {
            if let Some(cell) = variant.read(column, len, &self.tail) {
                return Some((index, cell));
            }
        }
        let message = column.get(..len)?;
        let facts = Column::parse(message).ok()?;
        let (front, tail) = around_value(message)?;
        let is_same = *facts.name == *self.name && facts.is_key == self.is_key;
        if !is_same || *tail != *self.tail.bytes || self.variants.len() >= VARIANTS_MAX {
            return None;
        }
        let variant = Variant { front: Expected::new(front), sql_type: facts.sql_type };
        let cell = variant.read(column, len, &self.tail)?;
        let index = u8::try_from(self.variants.len()).ok()?;
        self.variants.push(variant);
        Some((index, cell))
    }
}

/// A tag, a length of one or two bytes, and what is behind them.
#[inline(always)]
fn short_head(message: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (&[tag, low], from) = message.split_first_chunk()?;
    if low < 0x80 {
        return Some((tag, usize::from(low), from));
    }
    let (&high @ ..0x80, from) = from.split_first()? else { return None };
    Some((tag, usize::from(high) << 7 | usize::from(low & 0x7f), from))
}

/// Fields 1 to 4 of a column, and field 10.
fn around_value(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Fields::new(message, "Column");
    let (mut front, mut tail) = (None, None);
    loop {
        let at = fields.offset();
        match fields.next().ok()? {
            None => break,
            Some((5, Value::Varint(_))) => front = message.get(..at),
            Some((10, Value::Bytes(_))) => tail = message.get(at..),
            Some(_) => {}
        }
    }
    Some((front?, tail?))
}

impl Shape {
    /// That of an image of a row; `None` when it is not one of the frequent case.
    pub(super) fn of(row: &[u8], image: u8) -> Option<Self> {
        let (mut columns, mut parsed) = (Vec::<Template>::new(), Vec::<Column<'_>>::new());
        let mut fields = Quick { rest: row };
        while !fields.rest.is_empty() {
            let field = fields.next()?;
            let message = field.content()?;
            if field.tag == image {
                let column = Column::parse(message).ok()?;
                if parsed.iter().any(|other| other.name == column.name) {
                    return None;
                }
                columns.push(Template::of(message, &column, columns.is_empty())?);
                parsed.push(column);
            }
        }
        let (mut types, mut keys) = (Vec::new(), Vec::new());
        let (mut type_mark, mut key_mark) = (b'{', b'[');
        for column in &parsed {
            types.push(std::mem::replace(&mut type_mark, b','));
            string(&mut types, column.name.as_bytes());
            types.push(b':');
            string(&mut types, column.mysql_type.as_bytes());
            if column.is_key {
                keys.push(std::mem::replace(&mut key_mark, b','));
                string(&mut keys, column.name.as_bytes());
            }
        }
        close(&mut types, type_mark);
        keys.extend_from_slice(if key_mark == b'[' { b"null" } else { b"]" });
        let (sql_types, told) = (Vec::new(), Vec::new());
        let updated = vec![false; columns.len()];
        let (schema, table) = (Name::default(), Name::default());
        let shape = Self { columns, updated, schema, table, types, keys, sql_types, told };
        (!shape.columns.is_empty()).then_some(shape)
    }

    /// The next entry begins.
    pub(super) fn begin(&mut self) {
        self.updated.fill(false);
    }

    /// Makes the names those of an entry. `None` when they are not UTF-8.
    pub(super) fn tell_names(&mut self, schema: &[u8], table: &[u8]) -> Option<()> {
        self.schema.tell(schema)?;
        self.table.tell(table)
    }

    /// Makes `sqlType` what the row that was read last says.
    pub(super) fn tell_sql_types(&mut self) {
        let seen = self.columns.iter().map(|column| column.seen);
        if !seen.clone().eq(self.told.iter().copied()) {
            self.told = seen.collect();
            self.sql_types.clear();
            let mut mark = b'{';
            for column in &self.columns {
                self.sql_types.push(std::mem::replace(&mut mark, b','));
                string(&mut self.sql_types, column.name.as_bytes());
                self.sql_types.push(b':');
                let variant = column.variants.get(usize::from(column.seen));
                write_int(&mut self.sql_types, variant.map_or(0, |variant| variant.sql_type));
            }
            self.sql_types.push(b'}');
        }
    }

    /// Appends the object of an image, and notes which columns the update changed. The row is the first
    /// `len` bytes of a slice. `None` unless all columns match.
    pub(super) fn object(
        &mut self,
        out: &mut Buffer,
        (row, len): (&[u8], usize),
        image: u8,
    ) -> Option<()> {
        let behind_len = row.len().checked_sub(len)?;
        let (mut fields, mut index) = (Quick { rest: row }, 0);
        while fields.rest.len() > behind_len {
            if let Some((tag, len, from)) = short_head(fields.rest)
                && tag == image
                && let Some(template) = self.columns.get_mut(index)
                && let Some(is_updated) = template.usual.cell(out, from, len)
            {
                fields.rest = from.get(len..)?;
                template.seen = 0;
                *self.updated.get_mut(index)? |= is_updated;
                index += 1;
                continue;
            }
            let field = fields.next()?;
            if field.tag != image {
                if field.tag != BEFORE && field.tag != AFTER {
                    return None;
                }
                continue;
            }
            let template = self.columns.get_mut(index)?;
            let (variant, cell) = template.read(field.from, field.len())?;
            template.seen = variant;
            *self.updated.get_mut(index)? |= cell.is_updated;
            out.cell(&template.key, cell.value)?;
            index += 1;
        }
        out.push(b'}');
        (index == self.columns.len() && fields.rest.len() == behind_len).then_some(())
    }

    /// Appends the object of the key's columns in an image. `None` unless its columns match, as far as they are
    /// looked at.
    pub(super) fn keys(&mut self, out: &mut Buffer, row: &[u8], image: u8) -> Option<()> {
        let begin = out.len();
        let mut left = self.columns.iter().filter(|column| column.is_key).count();
        let (mut fields, mut index) = (Quick { rest: row }, 0);
        while left > 0 && !fields.rest.is_empty() {
            let field = fields.next()?;
            if field.tag != image {
                continue;
            }
            let template = self.columns.get_mut(index)?;
            if template.is_key {
                let (_, cell) = template.read(field.from, field.len())?;
                out.cell(&template.key, cell.value)?;
                left -= 1;
            }
            index += 1;
        }
        if out.len() == begin {
            out.push(b'{');
        } else {
            // The first one need not be the first column.
            out.set(begin, b'{');
        }
        out.push(b'}');
        (left == 0).then_some(())
    }

    /// Appends the object of those columns of the before image that this or an earlier row changed.
    pub(super) fn old(&mut self, out: &mut Buffer, row: &[u8]) -> Option<()> {
        let (mut fields, mut index, begin) = (Quick { rest: row }, 0, out.len());
        while !fields.rest.is_empty() {
            let field = fields.next()?;
            if field.tag != BEFORE {
                continue;
            }
            let template = self.columns.get_mut(index)?;
            let (_, cell) = template.read(field.from, field.len())?;
            if *self.updated.get(index)? {
                out.cell(&template.key, cell.value)?;
            }
            index += 1;
        }
        if out.len() == begin {
            out.push(b'{');
        } else {
            // The first one need not be the first column.
            out.set(begin, b'{');
        }
        out.push(b'}');
        (index == self.columns.len()).then_some(())
    }
}
