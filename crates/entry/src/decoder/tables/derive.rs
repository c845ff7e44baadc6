//! A structure from the table map alone, with `binlog_row_metadata=FULL`.

use towpath_binlog::event::TableMap;
use towpath_binlog::{ColumnKind as K, FormatDescription};
use towpath_schema::{Column, Table};

use crate::error::DecodeError;

/// Facts that the metadata lists for some of the columns only, in order.
struct Lists<'a> {
    unsigned: Vec<bool>,
    collations: Vec<u64>,
    enums: std::vec::IntoIter<Vec<&'a [u8]>>,
    sets: std::vec::IntoIter<Vec<&'a [u8]>>,
    numeric: usize,
    character: usize,
}

pub(super) fn from_metadata(
    map: &TableMap<'_>,
    format: &FormatDescription,
    schema: &str,
    name: &str,
) -> Result<Table, DecodeError> {
    let metadata = map.metadata()?;
    let kinds = map.columns()?;
    let names = metadata.column_names()?;
    let key = metadata.primary_key()?;
    let is_character = |kind: &K| is_character(*kind, format);
    let character_count = kinds.iter().filter(|kind| is_character(kind)).count();
    let mut lists = Lists {
        unsigned: metadata.signedness().map(Iterator::collect).unwrap_or_default(),
        collations: metadata.collations(character_count)?.unwrap_or_default(),
        enums: metadata.enum_values()?.into_iter(),
        sets: metadata.set_values()?.into_iter(),
        numeric: 0,
        character: 0,
    };
    let mut table = Table { schema: schema.to_owned(), name: name.to_owned(), ..Table::default() };
    for (index, (kind, column_name)) in kinds.iter().zip(&names).enumerate() {
        let collation = if is_character(kind) {
            lists.character += 1;
            lists.collations.get(lists.character - 1).copied()
        } else {
            None
        };
        let type_text = lists.type_text(*kind, collation, format);
        let mut column = Column::new(&String::from_utf8_lossy(column_name), &type_text);
        column.is_key = key.iter().any(|part| part.column == index);
        column.nullable = map.is_nullable(index);
        table.columns.push(column);
    }
    Ok(table)
}

/// MySQL counts VECTOR among the character columns, MariaDB GEOMETRY (mysql-source 2.4).
fn is_character(kind: K, format: &FormatDescription) -> bool {
    matches!(
        kind,
        K::Char { .. }
            | K::VarChar { .. }
            | K::Blob { .. }
            | K::CompressedVarChar { .. }
            | K::CompressedBlob { .. }
    ) || matches!(kind, K::Vector { .. }) && !format.is_mariadb()
        || matches!(kind, K::Geometry { .. }) && format.is_mariadb()
}

/// Collation of binary strings.
const BINARY: u64 = 63;

/// Bytes of the longest character of a collation's character set.
const fn char_len(collation: u64) -> u16 {
    match collation {
        45 | 46 | 224..=247 | 255..=323 => 4,
        54..=56 | 60..=62 | 101..=124 | 160..=183 | 248..=250 => 4,
        33 | 83 | 76 | 192..=215 | 223 => 3,
        12 | 91 | 97 | 98 => 3,
        1 | 84 | 13 | 88 | 19 | 85 | 24 | 86 | 28 | 87 | 35 | 90 | 95 | 96 | 128..=151 => 2,
        _ => 1,
    }
}

impl Lists<'_> {
    fn type_text(&mut self, kind: K, collation: Option<u64>, format: &FormatDescription) -> String {
        let binary = collation == Some(BINARY);
        let chars = |bytes: u16| bytes / char_len(collation.unwrap_or(0));
        let fraction = |name: &str, digits: u8| match digits {
            0 => name.to_owned(),
            digits => format!("{name}({digits})"),
        };
        // YEAR counts as numeric, but not before MySQL 8.0.22.
        let counts_year = format.is_mariadb() || format.version_number() >= (8, 0, 22);
        let unsigned = kind.is_numeric() || kind == K::Year && counts_year;
        let sign = match (unsigned, self.unsigned.get(self.numeric)) {
            (true, Some(true)) if kind != K::Year => " unsigned",
            _ => "",
        };
        self.numeric += usize::from(unsigned);
        match kind {
            K::Tiny => format!("tinyint{sign}"),
            K::Short => format!("smallint{sign}"),
            K::Int24 => format!("mediumint{sign}"),
            K::Long => format!("int{sign}"),
            K::LongLong => format!("bigint{sign}"),
            K::Float => format!("float{sign}"),
            K::Double => format!("double{sign}"),
            K::Decimal { precision, scale } => format!("decimal({precision},{scale}){sign}"),
            K::Bit { bytes } => format!("bit({})", u16::from(bytes) * 8),
            K::Year => "year".to_owned(),
            K::Date => "date".to_owned(),
            K::Time { fraction: digits } => fraction("time", digits),
            K::DateTime { fraction: digits } => fraction("datetime", digits),
            K::Timestamp { fraction: digits } => fraction("timestamp", digits),
            K::OldTime => "time".to_owned(),
            K::OldDateTime => "datetime".to_owned(),
            K::OldTimestamp => "timestamp".to_owned(),
            K::Char { max_len } if binary => format!("binary({max_len})"),
            K::Char { max_len } => format!("char({})", chars(max_len)),
            K::VarChar { max_len } | K::CompressedVarChar { max_len } if binary => {
                format!("varbinary({max_len})")
            }
            K::VarChar { max_len } | K::CompressedVarChar { max_len } => {
                format!("varchar({})", chars(max_len))
            }
            K::Blob { len_bytes } | K::CompressedBlob { len_bytes } => {
                let size = match len_bytes {
                    1 => "tiny",
                    2 => "",
                    3 => "medium",
                    _ => "long",
                };
                format!("{size}{}", if binary { "blob" } else { "text" })
            }
            K::Json { .. } => "json".to_owned(),
            K::Geometry { .. } => "geometry".to_owned(),
            K::Vector { .. } => "vector".to_owned(),
            K::Enum { .. } => labels("enum", self.enums.next()),
            K::Set { .. } => labels("set", self.sets.next()),
            K::Other { code } => format!("type {code}"),
        }
    }
}

fn labels(name: &str, labels: Option<Vec<&[u8]>>) -> String {
    let quoted: Vec<String> = labels
        .unwrap_or_default()
        .iter()
        .map(|label| format!("'{}'", String::from_utf8_lossy(label).replace('\'', "''")))
        .collect();
    format!("{name}({})", quoted.join(","))
}
