//! Does a known structure fit a table map? Counts both ways, types, and names where they are sent.

use towpath_binlog::event::TableMap;
use towpath_binlog::{ColumnKind as K, FormatDescription};
use towpath_schema::Table;

use super::derive;
use crate::error::DecodeError;
use crate::plan::hidden_key;

/// What a table map says of its columns.
pub(super) struct Facts<'a> {
    kinds: Vec<K>,
    /// Empty where they are not sent.
    names: Vec<&'a [u8]>,
    /// For each column whether it is unsigned, where that is sent.
    unsigned: Vec<Option<bool>>,
    /// For each column whether it may be NULL.
    nullable: Vec<bool>,
    is_mariadb: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn new(map: &TableMap<'a>, format: &FormatDescription) -> Result<Self, DecodeError> {
        let kinds = map.columns()?;
        let metadata = map.metadata();
        let unsigned = derive::unsigned(&kinds, &metadata, format);
        let nullable = (0..kinds.len()).map(|index| map.is_nullable(index)).collect();
        let (names, is_mariadb) = (metadata.column_names()?, format.is_mariadb());
        Ok(Self { names, kinds, unsigned, nullable, is_mariadb })
    }

    pub(super) fn kinds(&self) -> &[K] {
        &self.kinds
    }

    /// Why the names alone are not enough: MariaDB's times in the old format have fractions, of which
    /// table maps do not tell.
    pub(super) fn untold(&self) -> Option<String> {
        let is_old = |(_, kind): &(&&[u8], &K)| kind.is_old_time();
        let column = self.names.iter().zip(&self.kinds).find(is_old).filter(|_| self.is_mariadb);
        column.map(|(name, _)| derive::untold_fraction(&String::from_utf8_lossy(name)))
    }

    /// Columns of MariaDB behind those of the structure are hashes, as many as there may be.
    fn fit_hashes(&self, table: &Table) -> Result<(), String> {
        let known = table.columns.len();
        let (least, most) = table.hidden_hashes();
        let surplus = self.kinds.len().checked_sub(known);
        let may_be = |count: &usize| {
            self.has_names() && *count <= self.named_hashes() || (least..=most).contains(count)
        };
        let count = surplus.filter(may_be).ok_or("the counts differ")?;
        match (known..known + count).all(|index| self.may_be_hash(index)) {
            true => Ok(()),
            false => Err("the surplus columns are not hidden ones".to_owned()),
        }
    }

    /// How many columns at the end are hashes by their names.
    pub(super) fn named_hashes(&self) -> usize {
        let indexes = (0..self.names.len()).rev();
        indexes.take_while(|index| self.is_mariadb && self.may_be_hash(*index)).count()
    }

    /// Whether a column is like one with the hash of a UNIQUE key: `BIGINT UNSIGNED`, may be NULL, and
    /// called `DB_ROW_HASH_` and a number, as far as that is told.
    fn may_be_hash(&self, index: usize) -> bool {
        let is_hash_name = |name: &&[u8]| {
            let number = name.strip_prefix(b"DB_ROW_HASH_");
            number.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
        };
        self.kinds.get(index) == Some(&K::LongLong)
            && self.unsigned.get(index).copied().flatten() != Some(false)
            && self.nullable.get(index) == Some(&true)
            && self.names.get(index).is_none_or(is_hash_name)
    }

    pub(super) const fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// `Err` says which column does not fit.
    pub(super) fn fit(&self, table: &Table) -> Result<(), String> {
        // Columns behind a functional key are hidden; `rows_event` looks that no row has them.
        let has_hidden = table.has_functional_key && self.kinds.len() > table.columns.len();
        let hidden_key = hidden_key(table, &self.kinds);
        if self.is_mariadb {
            self.fit_hashes(table)?;
        } else if table.columns.len() != self.kinds.len() && !has_hidden && hidden_key.is_none() {
            return Err("the counts differ".to_owned());
        }
        if let (Some(key), Some(name)) = (&hidden_key, self.names.get(table.columns.len()))
            && !name.eq_ignore_ascii_case(key.name.as_bytes())
        {
            let name = String::from_utf8_lossy(name);
            return Err(format!("the last column in the binlog is `{name}`"));
        }
        for (index, (column, kind)) in table.columns.iter().zip(&self.kinds).enumerate() {
            let number = index + 1;
            if !type_fits(&column.type_text, *kind) {
                return Err(format!(
                    "column {number} `{}` is {} in the structure and {kind:?} in the binlog",
                    column.name, column.type_text
                ));
            }
            if let Some(Some(unsigned)) = self.unsigned.get(index)
                && declared_unsigned(&column.type_text)
                    .is_some_and(|declared| declared != *unsigned)
            {
                let sign = if *unsigned { "unsigned" } else { "signed" };
                return Err(format!(
                    "column {number} `{}` is {} in the structure and {sign} in the binlog",
                    column.name, column.type_text
                ));
            }
            let Some(name) = self.names.get(index) else { continue };
            let name = String::from_utf8_lossy(name);
            if !name.eq_ignore_ascii_case(&column.name)
                && name.to_lowercase() != column.name.to_lowercase()
            {
                return Err(format!(
                    "column {number} is `{}` in the structure and `{name}` in the binlog",
                    column.name
                ));
            }
        }
        Ok(())
    }
}

/// Whether a declared type has no sign; nothing where its words do not say it.
fn declared_unsigned(type_text: &str) -> Option<bool> {
    let lower = type_text.to_ascii_lowercase();
    (lower != "serial").then(|| lower.contains("unsigned"))
}

/// True unless the declared type certainly is stored in another way.
pub(super) fn type_fits(type_text: &str, kind: K) -> bool {
    let lower = type_text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(lower.len());
    let name = lower.get(..end).unwrap_or_default();
    match name {
        "tinyint" | "bool" | "boolean" | "int1" => kind == K::Tiny,
        "smallint" | "int2" => kind == K::Short,
        "mediumint" | "int3" | "middleint" => kind == K::Int24,
        "int" | "integer" | "int4" => kind == K::Long,
        "bigint" | "int8" | "serial" => kind == K::LongLong,
        "float" | "float4" | "double" | "float8" => matches!(kind, K::Float | K::Double),
        "decimal" | "numeric" | "dec" | "fixed" => {
            matches!(kind, K::Decimal { .. } | K::Other { .. })
        }
        "bit" => matches!(kind, K::Bit { .. } | K::Tiny),
        "year" => kind == K::Year,
        "date" => kind == K::Date,
        "time" => matches!(kind, K::Time { .. } | K::OldTime { .. }),
        "datetime" => matches!(kind, K::DateTime { .. } | K::OldDateTime { .. }),
        "timestamp" => matches!(kind, K::Timestamp { .. } | K::OldTimestamp { .. }),
        "enum" => matches!(kind, K::Enum { .. }),
        "set" => matches!(kind, K::Set { .. }),
        "json" => matches!(kind, K::Json { .. } | K::Blob { .. } | K::CompressedBlob { .. }),
        "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob" | "mediumblob"
        | "longblob" => matches!(kind, K::Blob { .. } | K::CompressedBlob { .. }),
        "vector" => matches!(kind, K::Vector { .. } | K::VarChar { .. } | K::Blob { .. }),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => {
            matches!(kind, K::Geometry { .. } | K::Blob { .. })
        }
        "binary" => matches!(kind, K::Char { .. }),
        "varchar" | "varbinary" => matches!(
            kind,
            K::VarChar { .. } | K::CompressedVarChar { .. } | K::Char { .. } | K::Blob { .. }
        ),
        _ => true,
    }
}
