//! Structures as they lie in a record, and in memory.

use std::fmt;
use std::sync::Arc;

use super::HistoryError;
use super::bytes::{Reader, count, string};
use crate::table::{Column, HiddenKey, KeyPart, Table, UniqueKey};

const IS_KEY: u8 = 1;
const NULLABLE: u8 = 2;
const HAS_CHARSET: u8 = 4;
const ASSUMED: u8 = 1;
const IMPLICIT_VERSIONING: u8 = 8;
const FUNCTIONAL_KEY: u8 = 16;
const RDS_KEY: u8 = 32;
const POLARDBX_KEY: u8 = 64;
const HAS_UNIQUE_KEYS: u8 = 128;

const USES_HASH: u8 = 1;
const HAS_PREFIX: u8 = 1;

/// A [`Table`] as the history has it: one piece of memory, a fifth of what the table takes, whose
/// clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedTable(Arc<[u8]>);

/// What lies before the columns.
struct Head<'a> {
    schema: &'a str,
    name: &'a str,
    flags: u8,
    charset: Option<&'a str>,
    column_count: u32,
}

struct PackedColumn<'a> {
    name: &'a str,
    type_text: &'a str,
    flags: u8,
    charset: Option<&'a str>,
}

impl PackedTable {
    /// Packs a structure.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let mut out = Vec::new();
        string(&mut out, &table.schema);
        string(&mut out, &table.name);
        let flags = if table.charset.is_some() { HAS_CHARSET } else { 0 };
        let flags = flags | if table.has_implicit_versioning { IMPLICIT_VERSIONING } else { 0 };
        let flags = flags | if table.has_functional_key { FUNCTIONAL_KEY } else { 0 };
        let flags = flags | if table.unique_keys.is_empty() { 0 } else { HAS_UNIQUE_KEYS };
        let flags = flags | if table.is_assumed { ASSUMED } else { 0 };
        out.push(match table.hidden_key {
            None => flags,
            Some(HiddenKey::Rds) => flags | RDS_KEY,
            Some(HiddenKey::PolarDbX) => flags | POLARDBX_KEY,
        });
        charset(&mut out, table.charset.as_deref());
        count(&mut out, table.columns.len());
        for column in &table.columns {
            string(&mut out, &column.name);
            string(&mut out, &column.type_text);
            let mut flags = if column.is_key { IS_KEY } else { 0 };
            flags |= if column.nullable { NULLABLE } else { 0 };
            flags |= if column.charset.is_some() { HAS_CHARSET } else { 0 };
            out.push(flags);
            charset(&mut out, column.charset.as_deref());
        }
        if !table.unique_keys.is_empty() {
            unique_keys(&mut out, &table.unique_keys);
        }
        Self(out.into())
    }

    /// Takes the bytes of a structure, if they are one.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, HistoryError> {
        let before = r.bytes;
        let head = head(r)?;
        for _ in 0..head.column_count {
            column(r)?;
        }
        read_unique_keys(r, head.flags)?;
        let len = before.len() - r.bytes.len();
        Ok(Self(before.get(..len).unwrap_or_default().into()))
    }

    /// The structure.
    #[must_use]
    pub fn unpack(&self) -> Table {
        let table = unpacked(&mut Reader::new(&self.0));
        debug_assert!(table.is_ok(), "{table:?}");
        table.unwrap_or_default()
    }

    /// Names of the database and the table.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        let head = head(&mut Reader::new(&self.0));
        head.map_or_else(|_| Default::default(), |head| (head.schema, head.name))
    }

    /// Its bytes in a record.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PackedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(f)
    }
}

fn charset(out: &mut Vec<u8>, charset: Option<&str>) {
    if let Some(charset) = charset {
        string(out, charset);
    }
}

fn read_charset<'a>(r: &mut Reader<'a>, flags: u8) -> Result<Option<&'a str>, HistoryError> {
    (flags & HAS_CHARSET != 0).then(|| r.text("character set")).transpose()
}

fn head<'a>(r: &mut Reader<'a>) -> Result<Head<'a>, HistoryError> {
    let (schema, name) = (r.text("database")?, r.text("table")?);
    let flags = r.u8("flags of the table")?;
    let charset = read_charset(r, flags)?;
    Ok(Head { schema, name, flags, charset, column_count: r.u32("count")? })
}

fn column<'a>(r: &mut Reader<'a>) -> Result<PackedColumn<'a>, HistoryError> {
    let (name, type_text) = (r.text("column")?, r.text("type")?);
    let flags = r.u8("flags of the column")?;
    Ok(PackedColumn { name, type_text, flags, charset: read_charset(r, flags)? })
}

fn unique_keys(out: &mut Vec<u8>, keys: &[UniqueKey]) {
    count(out, keys.len());
    for key in keys {
        string(out, &key.name);
        out.push(if key.uses_hash { USES_HASH } else { 0 });
        count(out, key.parts.len());
        for part in &key.parts {
            string(out, &part.column);
            out.push(if part.prefix.is_some() { HAS_PREFIX } else { 0 });
            out.extend(part.prefix.unwrap_or(0).to_le_bytes());
        }
    }
}

fn read_unique_keys(r: &mut Reader<'_>, flags: u8) -> Result<Vec<UniqueKey>, HistoryError> {
    if flags & HAS_UNIQUE_KEYS == 0 {
        return Ok(Vec::new());
    }
    r.list(|r| {
        let (name, flags) = (r.string("key")?, r.u8("flags of the key")?);
        let parts = r.list(|r| {
            let (column, flags) = (r.string("column of the key")?, r.u8("flags of the key")?);
            let prefix = r.u32("prefix")?;
            Ok(KeyPart { column, prefix: (flags & HAS_PREFIX != 0).then_some(prefix) })
        })?;
        Ok(UniqueKey { name, parts, uses_hash: flags & USES_HASH != 0 })
    })
}

fn unpacked(r: &mut Reader<'_>) -> Result<Table, HistoryError> {
    let head = head(r)?;
    let columns =
        (0..head.column_count).map(|_| column(r).map(Column::from)).collect::<Result<_, _>>()?;
    let unique_keys = read_unique_keys(r, head.flags)?;
    Ok(Table {
        unique_keys,
        schema: head.schema.to_owned(),
        name: head.name.to_owned(),
        columns,
        charset: head.charset.map(str::to_owned),
        is_assumed: head.flags & ASSUMED != 0,
        has_implicit_versioning: head.flags & IMPLICIT_VERSIONING != 0,
        has_functional_key: head.flags & FUNCTIONAL_KEY != 0,
        hidden_key: if head.flags & POLARDBX_KEY != 0 {
            Some(HiddenKey::PolarDbX)
        } else {
            (head.flags & RDS_KEY != 0).then_some(HiddenKey::Rds)
        },
    })
}

impl From<PackedColumn<'_>> for Column {
    fn from(packed: PackedColumn<'_>) -> Self {
        Self {
            name: packed.name.to_owned(),
            type_text: packed.type_text.to_owned(),
            is_key: packed.flags & IS_KEY != 0,
            nullable: packed.flags & NULLABLE != 0,
            charset: packed.charset.map(str::to_owned),
        }
    }
}
