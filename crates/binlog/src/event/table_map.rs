//! `TABLE_MAP` (19): which table, which column types (mysql-source 2.4).

use crate::column::ColumnKind;
use crate::error::ParseError;
use crate::format::FormatDescription;
use crate::header::event_type;
use crate::reader::Reader;

/// A table map, borrowed from the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMap<'a> {
    /// Id by which the rows events that follow name the table.
    pub table_id: u64,
    /// Everything behind the id: equal bytes describe an equal table.
    pub identity: &'a [u8],
    /// Database name.
    pub schema: &'a [u8],
    /// Table name.
    pub table: &'a [u8],
    /// Type code of each column.
    pub types: &'a [u8],
    /// Metadata of the types that have some.
    type_metadata: &'a [u8],
    /// Bit i set: column i may be NULL.
    pub nullable: &'a [u8],
    optional: &'a [u8],
}

impl<'a> TableMap<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] when the body is cut off.
    pub fn parse(body: &'a [u8], format: &FormatDescription) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let table_id = if format.post_header_len(event_type::TABLE_MAP) == 6 {
            u64::from(r.u32("table id")?)
        } else {
            r.u48("table id")?
        };
        let identity = r.rest();
        r.u16("flags")?;
        let schema_len = usize::from(r.u8("schema length")?);
        let schema = r.bytes(schema_len, "schema")?;
        r.u8("end of schema")?;
        let table_len = usize::from(r.u8("table length")?);
        let table = r.bytes(table_len, "table")?;
        r.u8("end of table")?;
        let count = r.lenenc_len("column count")?;
        let types = r.bytes(count, "column types")?;
        let type_metadata = r.lenenc_bytes("column metadata")?;
        let nullable = r.bytes(count.div_ceil(8), "nullable columns")?;
        let optional = r.take_rest();
        Ok(Self { table_id, identity, schema, table, types, type_metadata, nullable, optional })
    }

    /// The columns' kinds, in order.
    ///
    /// # Errors
    /// [`ParseError`] when the metadata does not fit the types.
    pub fn columns(&self) -> Result<Vec<ColumnKind>, ParseError> {
        let mut meta = Reader::new(self.type_metadata);
        self.types.iter().map(|&code| ColumnKind::read(code, &mut meta)).collect()
    }

    /// True when column `index` may be NULL.
    #[must_use]
    pub fn is_nullable(&self, index: usize) -> bool {
        self.nullable.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// The optional metadata. Fields that are not known are stepped over; where the bytes are no fields,
    /// as a fork may write them, nothing of them is trusted and it is as if none were sent.
    #[must_use]
    pub fn metadata(&self) -> Metadata<'a> {
        self.fields().unwrap_or_default()
    }

    fn fields(&self) -> Option<Metadata<'a>> {
        let mut r = Reader::new(self.optional);
        let mut metadata = Metadata::default();
        while !r.is_empty() {
            let field = r.u8("metadata field").ok()?;
            let value = r.lenenc_bytes("metadata value").ok()?;
            match field {
                1 => metadata.signedness = Some(value),
                2 => metadata.default_charset = Some(value),
                3 => metadata.column_charset = Some(value),
                4 => metadata.column_names = Some(value),
                5 => metadata.set_values = Some(value),
                6 => metadata.enum_values = Some(value),
                8 => metadata.simple_key = Some(value),
                9 => metadata.prefix_key = Some(value),
                10 => metadata.enum_set_default_charset = Some(value),
                11 => metadata.enum_set_column_charset = Some(value),
                12 => metadata.visibility = Some(value),
                _ => {}
            }
        }
        Some(metadata)
    }
}

/// Optional metadata, each field still in its encoded form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    signedness: Option<&'a [u8]>,
    default_charset: Option<&'a [u8]>,
    column_charset: Option<&'a [u8]>,
    column_names: Option<&'a [u8]>,
    set_values: Option<&'a [u8]>,
    enum_values: Option<&'a [u8]>,
    simple_key: Option<&'a [u8]>,
    prefix_key: Option<&'a [u8]>,
    enum_set_default_charset: Option<&'a [u8]>,
    enum_set_column_charset: Option<&'a [u8]>,
    visibility: Option<&'a [u8]>,
}

/// A column of the primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryKey {
    /// Column index, from 0.
    pub column: usize,
    /// Prefix length in characters; 0 for the whole column.
    pub prefix: u64,
}

impl<'a> Metadata<'a> {
    /// Column names in order, with `binlog_row_metadata=FULL`; empty without.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn column_names(&self) -> Result<Vec<&'a [u8]>, ParseError> {
        let mut r = Reader::new(self.column_names.unwrap_or_default());
        let mut names = Vec::new();
        while !r.is_empty() {
            names.push(r.lenenc_bytes("column name")?);
        }
        Ok(names)
    }

    /// One flag for each numeric column, in order: true for unsigned. `None` when not sent.
    #[must_use]
    pub fn signedness(&self) -> Option<impl Iterator<Item = bool> + 'a> {
        self.signedness.map(bits)
    }

    /// One flag for each column: true for visible. `None` when not sent.
    #[must_use]
    pub fn visibility(&self) -> Option<impl Iterator<Item = bool> + 'a> {
        self.visibility.map(bits)
    }

    /// The collation of each of `count` character columns, if sent for that many: who counts other columns
    /// too means other ones.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn collations(&self, count: usize) -> Result<Option<Vec<u64>>, ParseError> {
        charsets(self.default_charset, self.column_charset, count)
    }

    /// The collation of each of `count` ENUM and SET columns, if sent.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn enum_set_collations(&self, count: usize) -> Result<Option<Vec<u64>>, ParseError> {
        charsets(self.enum_set_default_charset, self.enum_set_column_charset, count)
    }

    /// Labels of each ENUM column, in order; empty when not sent.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn enum_values(&self) -> Result<Vec<Vec<&'a [u8]>>, ParseError> {
        labels(self.enum_values.unwrap_or_default())
    }

    /// Labels of each SET column, in order; empty when not sent.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn set_values(&self) -> Result<Vec<Vec<&'a [u8]>>, ParseError> {
        labels(self.set_values.unwrap_or_default())
    }

    /// The columns of the primary key; empty when there is none or it was not sent.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn primary_key(&self) -> Result<Vec<PrimaryKey>, ParseError> {
        let mut key = Vec::new();
        if let Some(simple) = self.simple_key {
            let mut r = Reader::new(simple);
            while !r.is_empty() {
                key.push(PrimaryKey { column: r.lenenc_len("key column")?, prefix: 0 });
            }
        }
        if let Some(with_prefix) = self.prefix_key {
            let mut r = Reader::new(with_prefix);
            while !r.is_empty() {
                let column = r.lenenc_len("key column")?;
                key.push(PrimaryKey { column, prefix: r.lenenc("key prefix")? });
            }
        }
        Ok(key)
    }
}

/// Most significant bit first.
fn bits(bytes: &[u8]) -> impl Iterator<Item = bool> + '_ {
    bytes.iter().flat_map(|&byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
}

fn charsets(
    default: Option<&[u8]>,
    each: Option<&[u8]>,
    count: usize,
) -> Result<Option<Vec<u64>>, ParseError> {
    const NAME: &str = "collation";
    if let Some(bytes) = each {
        let mut r = Reader::new(bytes);
        let mut out = Vec::new();
        while !r.is_empty() {
            out.push(r.lenenc(NAME)?);
        }
        return Ok(Some(out).filter(|out| out.len() == count));
    }
    let Some(bytes) = default else { return Ok(None) };
    let mut r = Reader::new(bytes);
    let mut out = vec![r.lenenc(NAME)?; count];
    while !r.is_empty() {
        let index = r.lenenc_len("column index")?;
        let collation = r.lenenc(NAME)?;
        let Some(slot) = out.get_mut(index) else { return Ok(None) };
        *slot = collation;
    }
    Ok(Some(out))
}

fn labels(bytes: &[u8]) -> Result<Vec<Vec<&[u8]>>, ParseError> {
    let mut r = Reader::new(bytes);
    let mut out = Vec::new();
    while !r.is_empty() {
        let count = r.lenenc("count of labels")?;
        let mut column = Vec::new();
        for _ in 0..count {
            column.push(r.lenenc_bytes("label")?);
        }
        out.push(column);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_metadata_is_read() {
        let hex = "6c0000000000 0100 02643100 017400 05 030d030ffe 04 5000f701 1e \
                   0101c0 0203fcff00 040b 026964 0179 016e 0176 0165 0605 02 0178 0179 080100 0a03fcff00 0c01f8";
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
            .collect();
        let map = TableMap::parse(&bytes, &FormatDescription::default()).unwrap();
        assert_eq!((map.schema, map.table, map.table_id), (&b"d1"[..], &b"t"[..], 108));
        let columns = map.columns().unwrap();
        assert_eq!(columns[3], ColumnKind::VarChar { max_len: 80 });
        assert_eq!(columns[4], ColumnKind::Enum { bytes: 1 });
        let metadata = map.metadata();
        assert_eq!(metadata.column_names().unwrap(), [&b"id"[..], b"y", b"n", b"v", b"e"]);
        assert_eq!(metadata.signedness().unwrap().take(3).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(metadata.enum_values().unwrap(), [[b"x", b"y"]]);
        assert_eq!(metadata.primary_key().unwrap(), [PrimaryKey { column: 0, prefix: 0 }]);
        assert_eq!(metadata.collations(1).unwrap(), Some(vec![255]));
    }
}
