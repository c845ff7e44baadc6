//! What is known about a table before its rows come: one plan for each table map.
//!
//! A plan holds, for each column, how its values are read and the bytes of its `Column` message
//! that never change, already encoded.

use towpath_binlog::event::TableMap;
use towpath_binlog::{ColumnKind, FormatDescription};
use towpath_schema::{Column, HiddenKey, Table};

use crate::error::DecodeError;
use crate::filter::FieldRule;
use crate::message::encode_names;
use crate::rows::QuickColumn;
use crate::text::Charset;
use towpath_protocol::piece::Piece;
use towpath_protocol::protobuf;

/// See [`ColumnPlan::head`].
pub(crate) const UPDATED_FROM_END: usize = 4;

/// `java.sql.Types` numbers (entry-format 3.2).
mod sql_type {
    pub(super) const BIT: i32 = -7;
    pub(super) const TINYINT: i32 = -6;
    pub(super) const BIGINT: i32 = -5;
    pub(super) const CHAR: i32 = 1;
    pub(super) const DECIMAL: i32 = 3;
    pub(super) const INTEGER: i32 = 4;
    pub(super) const SMALLINT: i32 = 5;
    pub(super) const REAL: i32 = 7;
    pub(super) const DOUBLE: i32 = 8;
    pub(super) const VARCHAR: i32 = 12;
    pub(super) const DATE: i32 = 91;
    pub(super) const TIME: i32 = 92;
    pub(super) const TIMESTAMP: i32 = 93;
    pub(super) const OTHER: i32 = 1111;
    pub(super) const BLOB: i32 = 2004;
    pub(super) const CLOB: i32 = 2005;
}

/// How the bytes of a string column become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// UTF-8, malformed sequences replaced.
    Utf8,
    /// ISO-8859-1.
    Latin1,
    /// Another character set.
    Other(Charset),
    /// MariaDB's UUID: 16 bytes, in their stored order.
    Uuid,
    /// MariaDB's INET4.
    Inet4,
    /// MariaDB's INET6.
    Inet6,
}

/// An integer column's range, for values that the binlog stores as negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Signed,
    /// Add this to a negative reading (2^bits); 0 stands for 2^64.
    Unsigned(u64),
}

/// Whether entries tell that a column was updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Updates {
    Told,
    /// Those of a hidden key are not.
    NotTold,
}

/// What a column is that the after image of an update lacks, while the before image has all columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// Left out, as Canal does.
    LeftOut,
    /// The same as before: `binlog_row_image=FULL_NODUP`.
    Unchanged,
}

/// The first MariaDB that has `FULL_NODUP`.
const FULL_NODUP_SINCE: (u32, u32, u32) = (11, 4, 0);

/// One column.
#[derive(Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) kind: ColumnKind,
    pub(crate) bytes: Bytes,
    pub(crate) sign: Sign,
    pub(crate) name: Box<[u8]>,
    /// What stands before the length of a value: fields 1 to 6 with the usual sqlType, and the tag of
    /// field 8. `updated` is [`UPDATED_FROM_END`] bytes before its end.
    pub(crate) head: Piece,
    /// The same with the sqlType of a value that only the unsigned range holds, or of a JSON diff.
    pub(crate) head_wide: Piece,
    /// Field 10: what stands behind a value.
    pub(crate) tail: Piece,
    /// Everything of a NULL.
    pub(crate) null: Piece,
    /// Where `updated` is in `null`.
    pub(crate) null_updated_at: usize,
    /// Index among the columns of type JSON.
    pub(crate) nth_json: usize,
    /// The field filter does not want it, or it is one of the server's own.
    pub(crate) is_left_out: bool,
    pub(crate) updates: Updates,
}

/// One table at one structure.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Columns in the table map.
    pub(crate) column_count: usize,
    pub(crate) columns: Vec<ColumnPlan>,
    /// The same, for runs of usual columns.
    pub(crate) quick: Vec<QuickColumn>,
    pub(crate) json_columns: usize,
    /// Whether a column is not written as others are: one that is left out, or a hidden key.
    pub(crate) has_exceptions: bool,
    pub(crate) lacking: Lacking,
    /// Header fields 8 and 9: schemaName and tableName.
    pub(crate) names: Piece,
    pub(crate) schema: Box<str>,
    pub(crate) table: Box<str>,
}

impl Plan {
    /// A plan for the columns of `map`, named by `table`. Columns of the map behind those of the
    /// structure are hidden ones: that they fit is the caller's concern. `collations`: of each column,
    /// where the map tells it.
    pub(crate) fn new(
        (map, format): (&TableMap<'_>, &FormatDescription),
        table: &Table,
        collations: &[Option<u64>],
        fields: Option<FieldRule<'_>>,
    ) -> Result<Self, DecodeError> {
        let kinds = map.columns()?;
        let mut json_columns = 0;
        let mut columns = Vec::with_capacity(kinds.len());
        let hidden_key = hidden_key(table, &kinds);
        // Behind all others MariaDB has hidden columns with hashes; those of MySQL are in no row.
        let hash = Column::new("", "bigint unsigned");
        let hash_count = if format.is_mariadb() { usize::MAX } else { 0 };
        let hashes = std::iter::repeat_n(&hash, hash_count);
        let all = table.columns.iter().chain(&hidden_key).chain(hashes);
        for (index, (&kind, column)) in kinds.iter().zip(all).enumerate() {
            let kind = kind.with_old_fraction(match format.is_mariadb() {
                true => old_fraction(&column.type_text),
                // `TIMESTAMP(14)` was a width there.
                false => 0,
            });
            let charset = match collations.get(index).copied().flatten() {
                Some(collation) => Charset::by_collation(collation),
                None => column.charset_in(table).and_then(Charset::by_name),
            };
            let charset = charset.unwrap_or(Charset::Utf8);
            let mut plan = ColumnPlan::new(index, kind, charset, (column, json_columns));
            plan.is_left_out = fields.is_some_and(|fields| fields.leaves_out(&column.name));
            if index >= table.columns.len() {
                plan.updates = Updates::NotTold;
                plan.is_left_out |= format.is_mariadb();
            }
            columns.push(plan);
            json_columns += usize::from(matches!(kind, ColumnKind::Json { .. }));
        }
        let schema = String::from_utf8_lossy(map.schema).into_owned();
        let name = String::from_utf8_lossy(map.table).into_owned();
        let has_full_nodup = format.is_mariadb() && format.version_number() >= FULL_NODUP_SINCE;
        Ok(Self {
            column_count: kinds.len(),
            has_exceptions: columns.iter().any(ColumnPlan::is_exception),
            quick: columns.iter().map(ColumnPlan::quick).collect(),
            columns,
            lacking: if has_full_nodup { Lacking::Unchanged } else { Lacking::LeftOut },
            json_columns,
            names: encode_names(Some(&schema), Some(&name)),
            schema: schema.into(),
            table: name.into(),
        })
    }
}

impl ColumnPlan {
    fn new(
        index: usize,
        kind: ColumnKind,
        charset: Charset,
        (column, nth_json): (&Column, usize),
    ) -> Self {
        let text = column.type_text.to_ascii_lowercase();
        let unsigned = text.contains("unsigned");
        let is_binary =
            is_binary_type(&text) || charset == Charset::Binary && column.is_character();
        let (sql_type, null_type, wide_type) = sql_types(kind, &text, (unsigned, is_binary));
        let prefix = |sql_type: i32| {
            let mut out = Vec::new();
            protobuf::int(&mut out, 1, protobuf::len64(index));
            protobuf::signed(&mut out, 2, i64::from(sql_type));
            protobuf::bytes(&mut out, 3, column.name.as_bytes());
            protobuf::int(&mut out, 4, u64::from(column.is_key));
            out
        };
        let head = |sql_type: i32| {
            let mut out = prefix(sql_type);
            // updated, isNull, and the tag of the value.
            out.extend_from_slice(&[5 << 3, 0, 6 << 3, 0, 8 << 3 | 2]);
            Piece::new(&out)
        };
        let mut tail = Vec::new();
        protobuf::bytes(&mut tail, 10, column.type_text.as_bytes());
        let mut null = prefix(null_type);
        let null_updated_at = null.len() + 1;
        null.extend_from_slice(&[5 << 3, 0, 6 << 3, 1]);
        null.extend_from_slice(&tail);
        Self {
            kind,
            bytes: bytes_of(kind, charset, &text),
            sign: if unsigned { sign_of(kind) } else { Sign::Signed },
            name: column.name.as_bytes().into(),
            head: head(sql_type),
            head_wide: head(wide_type),
            tail: Piece::new(&tail),
            null: Piece::new(&null),
            null_updated_at,
            nth_json,
            is_left_out: false,
            updates: Updates::Told,
        }
    }

    fn quick(&self) -> QuickColumn {
        let is_unsigned = self.sign != Sign::Signed;
        // A run makes a NULL of the head: its sqlType must be that of values.
        let values_like = self.head.len() - UPDATED_FROM_END;
        let is_like_null =
            self.head.bytes().get(..values_like) == self.null.bytes().get(..values_like);
        let kind = is_like_null.then_some(self.kind);
        QuickColumn::new(kind, (self.bytes, is_unsigned), &self.head, &self.tail)
    }

    /// Whether updates may carry diffs of it.
    pub(crate) const fn is_json(&self) -> bool {
        matches!(self.kind, ColumnKind::Json { .. })
    }

    fn is_exception(&self) -> bool {
        self.is_left_out || self.updates == Updates::NotTold
    }
}

/// Digits of the fraction of a time, as it is declared.
fn old_fraction(type_text: &str) -> u8 {
    let inside = type_text.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    inside.and_then(|(digits, _)| digits.trim().parse().ok()).unwrap_or(0).min(6)
}

/// The key that the server has added to a table without one, if there is such a column behind the known
/// ones (entry-format 3.9).
pub(crate) fn hidden_key(table: &Table, kinds: &[ColumnKind]) -> Option<Column> {
    let is_there = kinds.len() == table.columns.len() + 1
        && kinds.last() == Some(&ColumnKind::LongLong)
        && !table.columns.iter().any(|column| column.is_key);
    table.hidden_key.filter(|_| is_there).map(HiddenKey::column)
}

const fn sign_of(kind: ColumnKind) -> Sign {
    if matches!(kind, ColumnKind::Tiny) {
        Sign::Unsigned(1 << 8)
    } else if matches!(kind, ColumnKind::Short) {
        Sign::Unsigned(1 << 16)
    } else if matches!(kind, ColumnKind::Int24) {
        Sign::Unsigned(1 << 24)
    } else if matches!(kind, ColumnKind::Long) {
        Sign::Unsigned(1 << 32)
    } else if matches!(kind, ColumnKind::LongLong) {
        Sign::Unsigned(0)
    } else {
        Sign::Signed
    }
}

fn is_text_type(text: &str) -> bool {
    let name = text.split(['(', ' ']).next().unwrap_or_default();
    // Servers that are not strict make a text of a VARCHAR that is too long.
    let is_text = name.ends_with("text")
        || name.contains("char")
        || matches!(name, "json" | "long" | "national" | "clob");
    is_text && !text.contains("binary")
}

/// A vector of MariaDB is stored as a VARCHAR.
fn is_binary_type(text: &str) -> bool {
    text.contains("binary") || text.starts_with("vector")
}

/// Whether a column's values are text in a character set.
pub(crate) fn is_text(kind: ColumnKind, column: &Column) -> bool {
    let text = column.type_text.to_ascii_lowercase();
    bytes_of(kind, Charset::Utf8, &text) == Bytes::Utf8
}

fn bytes_of(kind: ColumnKind, charset: Charset, text: &str) -> Bytes {
    let is_char = matches!(kind, ColumnKind::Char { .. });
    let is_varchar =
        matches!(kind, ColumnKind::VarChar { .. } | ColumnKind::CompressedVarChar { .. });
    let is_blob = matches!(kind, ColumnKind::Blob { .. } | ColumnKind::CompressedBlob { .. });
    if is_char && text.starts_with("uuid") {
        Bytes::Uuid
    } else if is_char && text.starts_with("inet4") {
        Bytes::Inet4
    } else if is_char && text.starts_with("inet6") {
        Bytes::Inet6
    } else if (is_char || is_varchar) && !is_binary_type(text) || is_blob && is_text_type(text) {
        match charset {
            Charset::Utf8 => Bytes::Utf8,
            Charset::Binary => Bytes::Latin1,
            Charset::Single(_)
            | Charset::Swe7
            | Charset::Utf16
            | Charset::Utf16le
            | Charset::Utf32
            | Charset::Multi(_) => Bytes::Other(charset),
        }
    } else {
        Bytes::Latin1
    }
}

/// The sqlType of a value, of NULL, and of a value beyond the signed range (entry-format 3.3).
/// `is_binary`: it has bytes, not characters.
fn sql_types(kind: ColumnKind, text: &str, (unsigned, is_binary): (bool, bool)) -> (i32, i32, i32) {
    use sql_type as t;
    let one = |sql_type| (sql_type, sql_type, sql_type);
    let wide = |sql_type, wide| (sql_type, sql_type, if unsigned { wide } else { sql_type });
    match kind {
        ColumnKind::Tiny => wide(t::TINYINT, t::SMALLINT),
        ColumnKind::Short => wide(t::SMALLINT, t::INTEGER),
        ColumnKind::Int24 => one(t::INTEGER),
        ColumnKind::Long => wide(t::INTEGER, t::BIGINT),
        ColumnKind::LongLong => wide(t::BIGINT, t::DECIMAL),
        ColumnKind::Float => one(t::REAL),
        ColumnKind::Double => one(t::DOUBLE),
        ColumnKind::Decimal { .. } => one(t::DECIMAL),
        ColumnKind::Bit { .. } => one(t::BIT),
        ColumnKind::Year => one(t::VARCHAR),
        ColumnKind::Date => one(t::DATE),
        ColumnKind::Time { .. } | ColumnKind::OldTime { .. } => one(t::TIME),
        ColumnKind::DateTime { .. }
        | ColumnKind::Timestamp { .. }
        | ColumnKind::OldDateTime { .. }
        | ColumnKind::OldTimestamp { .. } => one(t::TIMESTAMP),
        ColumnKind::Char { .. } if is_binary => one(t::BLOB),
        ColumnKind::Char { .. } => one(t::CHAR),
        ColumnKind::VarChar { .. } | ColumnKind::CompressedVarChar { .. } if is_binary => {
            one(t::BLOB)
        }
        ColumnKind::VarChar { .. } | ColumnKind::CompressedVarChar { .. } => one(t::VARCHAR),
        ColumnKind::Blob { .. } | ColumnKind::CompressedBlob { .. }
            if is_text_type(text) && !is_binary =>
        {
            one(t::CLOB)
        }
        ColumnKind::Blob { .. }
        | ColumnKind::CompressedBlob { .. }
        | ColumnKind::Geometry { .. }
        | ColumnKind::Vector { .. } => one(t::BLOB),
        ColumnKind::Json { .. } => (t::VARCHAR, t::OTHER, t::VARCHAR),
        ColumnKind::Enum { .. } => one(t::INTEGER),
        ColumnKind::Set { .. } => (t::BIT, t::BLOB, t::BIT),
        ColumnKind::Other { .. } => one(t::OTHER),
    }
}
