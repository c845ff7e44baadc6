//! The frequent case of flat messages: rows whose columns all look like those of the row before.
//!
//! A `Column` message differs from the same column of another row in its value and two flags. What
//! stands before them and behind is compared as bytes, and its JSON is kept. Whatever does not match
//! goes the general way, so that this decides about speed only.

use crate::flat::{close, plain_or_escaped, string};
use crate::read::{Column, Field, Fields};
use crate::text::write_int;

/// Tags of the images in `RowData`.
pub(super) const BEFORE: u8 = 1 << 3 | 2;
pub(super) const AFTER: u8 = 2 << 3 | 2;

/// One column, apart from its value.
#[derive(Debug)]
struct Template {
    /// Fields 1 to 4.
    front: Box<[u8]>,
    /// Field 10.
    tail: Box<[u8]>,
    /// `"name":`, with a comma in front unless it is the first one.
    key: Box<[u8]>,
}

/// The columns of an image, and the parts of a message that depend on them alone.
#[derive(Debug)]
pub(super) struct Shape {
    columns: Vec<Template>,
    pub(super) types: Vec<u8>,
    pub(super) sql_types: Vec<u8>,
    pub(super) keys: Vec<u8>,
}

/// A value, and whether the update changed it.
type Cell<'a> = (bool, Option<&'a [u8]>);

/// The front of a length-delimited field: tag, content, and what follows.
#[inline]
fn field(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&low, rest) = rest.split_first()?;
    let (len, rest) = if low < 0x80 {
        (usize::from(low), rest)
    } else {
        let (&high, rest) = rest.split_first()?;
        if high < 0x80 {
            (usize::from(low & 0x7f) | usize::from(high) << 7, rest)
        } else {
            long_len(usize::from(low & 0x7f) | usize::from(high & 0x7f) << 7, rest)?
        }
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// A length of three bytes or more; `None` beyond what entries have.
#[cold]
fn long_len(mut len: usize, mut rest: &[u8]) -> Option<(usize, &[u8])> {
    for shift in [14, 21, 28] {
        let (&byte, tail) = rest.split_first()?;
        len |= usize::from(byte & 0x7f) << shift;
        rest = tail;
        if byte < 0x80 {
            return Some((len, rest));
        }
    }
    None
}

impl Template {
    #[inline]
    fn read<'a>(&self, column: &'a [u8]) -> Option<Cell<'a>> {
        const UPDATED: u8 = 5 << 3;
        const IS_NULL: u8 = 6 << 3;
        const VALUE: u8 = 8 << 3 | 2;
        let rest = column.strip_prefix(&*self.front)?;
        let &[UPDATED, updated @ 0..=1, IS_NULL, is_null @ 0..=1, ref rest @ ..] = rest else {
            return None;
        };
        if is_null == 1 {
            return (*rest == *self.tail).then_some((updated == 1, None));
        }
        let (VALUE, value, rest) = field(rest)? else { return None };
        (*rest == *self.tail).then_some((updated == 1, Some(value)))
    }

    /// `None` for a column that is encoded in another way.
    fn of(message: &[u8], name: &str, is_first: bool) -> Option<Self> {
        let mut fields = Fields::new(message, "Column");
        let (mut front, mut tail) = (None, None);
        loop {
            let at = fields.offset();
            match fields.next().ok()? {
                None => break,
                Some(Field::Int(5, _)) => front = message.get(..at),
                Some(Field::Bytes(10, _)) => tail = message.get(at..),
                Some(Field::Int(..) | Field::Bytes(..)) => {}
            }
        }
        let mut key = if is_first { Vec::new() } else { vec![b','] };
        string(&mut key, name);
        key.push(b':');
        let template = Self { front: front?.into(), tail: tail?.into(), key: key.into() };
        template.read(message).map(|_| template)
    }
}

impl Shape {
    /// That of an image of a row; `None` when it is not one of the frequent case.
    pub(super) fn of(row: &[u8], image: u8) -> Option<Self> {
        let (mut columns, mut parsed) = (Vec::new(), Vec::<Column<'_>>::new());
        let mut rest = row;
        while !rest.is_empty() {
            let (tag, message, tail) = field(rest)?;
            rest = tail;
            if tag == image {
                let column = Column::parse(message).ok()?;
                if parsed.iter().any(|other| other.name == column.name) {
                    return None;
                }
                columns.push(Template::of(message, column.name, columns.is_empty())?);
                parsed.push(column);
            }
        }
        let mut shape =
            Self { columns, types: Vec::new(), sql_types: Vec::new(), keys: Vec::new() };
        let (mut type_mark, mut sql_type_mark, mut key_mark) = (b'{', b'{', b'[');
        for column in &parsed {
            let next = |out: &mut Vec<u8>, mark: &mut u8| {
                out.push(std::mem::replace(mark, b','));
                string(out, column.name);
            };
            next(&mut shape.types, &mut type_mark);
            shape.types.push(b':');
            string(&mut shape.types, column.mysql_type);
            next(&mut shape.sql_types, &mut sql_type_mark);
            shape.sql_types.push(b':');
            write_int(&mut shape.sql_types, column.sql_type);
            if column.is_key {
                next(&mut shape.keys, &mut key_mark);
            }
        }
        close(&mut shape.types, type_mark);
        close(&mut shape.sql_types, sql_type_mark);
        shape.keys.extend_from_slice(if key_mark == b'[' { b"null" } else { b"]" });
        Some(shape)
    }

    /// Calls `each` with the cells of an image; `None` unless all columns match.
    #[inline]
    fn walk<'a>(
        &self,
        row: &'a [u8],
        image: u8,
        mut each: impl FnMut(usize, &Template, Cell<'a>) -> Option<()>,
    ) -> Option<()> {
        let (mut rest, mut index) = (row, 0);
        while !rest.is_empty() {
            let (tag, message, tail) = field(rest)?;
            rest = tail;
            if tag == image {
                let template = self.columns.get(index)?;
                each(index, template, template.read(message)?)?;
                index += 1;
            } else if tag != BEFORE && tag != AFTER {
                return None;
            }
        }
        (index == self.columns.len()).then_some(())
    }

    /// Appends the object of an image, and notes in `updated` which columns the update changed.
    pub(super) fn object(
        &self,
        out: &mut Vec<u8>,
        (row, image): (&[u8], u8),
        updated: &mut Vec<bool>,
    ) -> Option<()> {
        updated.resize(self.columns.len(), false);
        out.push(b'{');
        self.walk(row, image, |index, template, (is_updated, value)| {
            if is_updated && let Some(slot) = updated.get_mut(index) {
                *slot = true;
            }
            out.extend_from_slice(&template.key);
            cell(out, value)
        })?;
        out.push(b'}');
        Some(())
    }

    /// Appends the object of those columns of the before image that are in `updated`.
    pub(super) fn old(&self, out: &mut Vec<u8>, row: &[u8], updated: &[bool]) -> Option<()> {
        let begin = out.len();
        out.push(b'{');
        self.walk(row, BEFORE, |index, template, (_, value)| {
            if updated.get(index) != Some(&true) {
                return Some(());
            }
            let is_first = out.len() == begin + 1;
            let key = &*template.key;
            out.extend_from_slice(if is_first { key.strip_prefix(b",").unwrap_or(key) } else { key });
            cell(out, value)
        })?;
        out.push(b'}');
        Some(())
    }
}

#[inline]
fn cell(out: &mut Vec<u8>, value: Option<&[u8]>) -> Option<()> {
    match value {
        Some(value) => plain_or_escaped(out, value),
        None => {
            out.extend_from_slice(b"null");
            Some(())
        }
    }
}
