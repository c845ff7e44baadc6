//! A structure from the table map alone, with `binlog_row_metadata=FULL`.

use towpath_binlog::event::{Metadata, TableMap};
use towpath_binlog::{ColumnKind as K, FormatDescription};
use towpath_schema::{Column, Table};

use super::fit::type_fits;
use crate::error::DecodeError;
use crate::text::Charset;

/// Facts that the metadata lists for some of the columns only, in order.
struct Lists<'a> {
    unsigned: Vec<bool>,
    collations: Vec<u64>,
    enums: std::vec::IntoIter<Vec<&'a [u8]>>,
    sets: std::vec::IntoIter<Vec<&'a [u8]>>,
    numeric: usize,
    character: usize,
}

/// YEAR counts as numeric, but not before MySQL 8.0.22.
fn counts_year(format: &FormatDescription) -> bool {
    format.is_mariadb() || format.version_number() >= (8, 0, 22)
}

/// For each column whether it is unsigned, where the table map tells it.
pub(super) fn unsigned(
    kinds: &[K],
    metadata: &Metadata<'_>,
    format: &FormatDescription,
) -> Vec<Option<bool>> {
    // Which of the releases before 8.0.22 was the first to count YEAR is not known.
    let unsure =
        !format.is_mariadb() && ((8, 0, 16)..(8, 0, 22)).contains(&format.version_number());
    if unsure && kinds.contains(&K::Year) {
        return Vec::new();
    }
    let Some(mut signs) = metadata.signedness() else { return Vec::new() };
    let sign = |kind: &K| {
        let counts = kind.is_numeric() || *kind == K::Year && counts_year(format);
        let sign = if counts { signs.next() } else { None };
        sign.filter(|_| *kind != K::Year)
    };
    kinds.iter().map(sign).collect()
}

/// Gives the columns whose type is not known the one that the table map shows; where the map does
/// not show enough, the later one, if it fits. `Err` names a column for which nothing is known.
pub(super) fn complete(
    mut table: Table,
    map: &TableMap<'_>,
    format: &FormatDescription,
) -> Result<Result<Table, String>, DecodeError> {
    let kinds = map.columns()?;
    let is_sure = table.columns.iter().all(|column| column.later_type().is_none());
    if is_sure || table.columns.len() > kinds.len() {
        return Ok(Ok(table));
    }
    let metadata = map.metadata();
    let signs = unsigned(&kinds, &metadata, format);
    let mut lists = Lists::new(&kinds, &metadata, format)?;
    for (index, (column, kind)) in table.columns.iter_mut().zip(&kinds).enumerate() {
        let shown = lists.next_type(*kind, format);
        let Some(later) = column.later_type() else { continue };
        let sign = signs.get(index).copied().flatten();
        let is_same =
            sign.is_none_or(|sign| later.to_ascii_lowercase().contains("unsigned") == sign);
        let is_known = if is_character(*kind, format) {
            !lists.collations.is_empty()
        } else {
            !kind.is_numeric() || sign.is_some()
        };
        if kind.is_old_time() && format.is_mariadb() {
            return Ok(Err(untold_fraction(&column.name)));
        }
        let fits = !later.is_empty() && type_fits(later, *kind) && is_same;
        column.type_text = if fits && !(is_character(*kind, format) && is_known) {
            later.to_owned()
        } else if is_known {
            shown
        } else {
            return Ok(Err(format!(
                "the type that column `{}` had is not written in the binlog",
                column.name
            )));
        };
    }
    Ok(Ok(table))
}

/// Tells the sizes of types that statements do not tell: `CONVERT TO CHARACTER SET` makes a text larger
/// when its characters become longer, and bytes of characters.
pub(super) fn sized(mut table: Table, kinds: &[K]) -> Table {
    for (column, kind) in table.columns.iter_mut().zip(kinds) {
        if let Some(type_text) = sized_type(&column.type_text.to_ascii_lowercase(), *kind) {
            column.type_text = type_text;
        }
    }
    table
}

/// Nothing where it is as it was.
fn sized_type(lower: &str, kind: K) -> Option<String> {
    let sized = if let K::Blob { len_bytes } = kind {
        let sizes = ["tiny", "medium", "long"];
        let sort = sizes.iter().find_map(|size| lower.strip_prefix(size)).unwrap_or(lower);
        // With a length it is as it was written.
        matches!(sort, "text" | "blob").then(|| format!("{}{sort}", blob_size(len_bytes)))?
    } else if let (K::Char { max_len }, true) = (kind, is_sized(lower, "binary")) {
        format!("binary({max_len})")
    } else if let (K::VarChar { max_len }, true) = (kind, is_sized(lower, "varbinary")) {
        format!("varbinary({max_len})")
    } else {
        return None;
    };
    (sized != lower).then_some(sized)
}

fn is_sized(type_text: &str, name: &str) -> bool {
    type_text.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
}

/// What the name of a TEXT or BLOB begins with.
const fn blob_size(len_bytes: u8) -> &'static str {
    match len_bytes {
        1 => "tiny",
        2 => "",
        3 => "medium",
        _ => "long",
    }
}

/// Why the structure is not known of a table with a time whose fraction is not told.
pub(super) fn untold_fraction(column: &str) -> String {
    format!(
        "column `{column}` is in the format before MySQL 5.6, and the digits of its fraction are not \
         written in the binlog"
    )
}

/// `hidden`: how many columns at the end are the server's own.
pub(super) fn from_metadata(
    (map, format): (&TableMap<'_>, &FormatDescription),
    hidden: usize,
) -> Result<Table, DecodeError> {
    let metadata = map.metadata();
    let kinds = map.columns()?;
    let names = metadata.column_names()?;
    let key = metadata.primary_key()?;
    let mut lists = Lists::new(&kinds, &metadata, format)?;
    let mut table = Table::default();
    for (index, (kind, column_name)) in kinds.iter().zip(&names).enumerate() {
        let type_text = lists.next_type(*kind, format);
        let mut column = Column::new(&String::from_utf8_lossy(column_name), &type_text);
        column.is_key = key.iter().any(|part| part.column == index);
        column.nullable = map.is_nullable(index);
        table.columns.push(column);
    }
    table.columns.truncate(kinds.len().saturating_sub(hidden));
    // Columns of these names that were declared are rare, and may lie elsewhere.
    let last: Vec<&str> = table.columns.iter().rev().take(2).map(|c| c.name.as_str()).collect();
    table.has_implicit_versioning = format.is_mariadb() && last == ["row_end", "row_start"];
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
fn char_len(collation: u64) -> u16 {
    Charset::by_collation(collation).map_or(1, |charset| charset.char_len(collation))
}

/// For each column its collation, where the table map tells it.
pub(super) fn collations(
    map: &TableMap<'_>,
    format: &FormatDescription,
) -> Result<Vec<Option<u64>>, DecodeError> {
    let kinds = map.columns()?;
    let count = kinds.iter().filter(|kind| is_character(**kind, format)).count();
    let Some(listed) = map.metadata().collations(count)? else { return Ok(Vec::new()) };
    let mut listed = listed.into_iter();
    let of = |kind: &K| if is_character(*kind, format) { listed.next() } else { None };
    Ok(kinds.iter().map(of).collect())
}

impl<'a> Lists<'a> {
    fn new(
        kinds: &[K],
        metadata: &Metadata<'a>,
        format: &FormatDescription,
    ) -> Result<Self, DecodeError> {
        let character_count = kinds.iter().filter(|kind| is_character(**kind, format)).count();
        Ok(Self {
            unsigned: metadata.signedness().map(Iterator::collect).unwrap_or_default(),
            collations: metadata.collations(character_count)?.unwrap_or_default(),
            enums: metadata.enum_values()?.into_iter(),
            sets: metadata.set_values()?.into_iter(),
            numeric: 0,
            character: 0,
        })
    }

    /// The type of the next column.
    fn next_type(&mut self, kind: K, format: &FormatDescription) -> String {
        let collation = if is_character(kind, format) {
            self.character += 1;
            self.collations.get(self.character - 1).copied()
        } else {
            None
        };
        self.type_text(kind, collation, format)
    }

    fn type_text(&mut self, kind: K, collation: Option<u64>, format: &FormatDescription) -> String {
        let binary = collation == Some(BINARY);
        let chars = |bytes: u16| bytes / char_len(collation.unwrap_or(0));
        let fraction = |name: &str, digits: u8| match digits {
            0 => name.to_owned(),
            digits => format!("{name}({digits})"),
        };
        let unsigned = kind.is_numeric() || kind == K::Year && counts_year(format);
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
            K::OldTime { .. } => "time".to_owned(),
            K::OldDateTime { .. } => "datetime".to_owned(),
            K::OldTimestamp { .. } => "timestamp".to_owned(),
            K::Char { max_len } if binary => format!("binary({max_len})"),
            K::Char { max_len } => format!("char({})", chars(max_len)),
            K::VarChar { max_len } | K::CompressedVarChar { max_len } if binary => {
                format!("varbinary({max_len})")
            }
            K::VarChar { max_len } | K::CompressedVarChar { max_len } => {
                format!("varchar({})", chars(max_len))
            }
            K::Blob { len_bytes } | K::CompressedBlob { len_bytes } => {
                format!("{}{}", blob_size(len_bytes), if binary { "blob" } else { "text" })
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
