//! Rows events (20-25, 30-32, 39, 166-171; mysql-source 2.5).

use crate::error::ParseError;
use crate::format::FormatDescription;
use crate::header::event_type as t;
use crate::reader::Reader;

/// What happened to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKind {
    /// After images.
    Insert,
    /// Pairs of before and after image.
    Update,
    /// Before images.
    Delete,
    /// Pairs, whose after images may hold JSON diffs.
    PartialUpdate,
}

impl RowsKind {
    /// The kind of a rows event, and if its rows are compressed as MariaDB does; `None` for other
    /// types.
    #[must_use]
    pub const fn of(event_type: u8) -> Option<(Self, bool)> {
        Some(match event_type {
            t::WRITE_ROWS_V1 | t::WRITE_ROWS => (Self::Insert, false),
            t::UPDATE_ROWS_V1 | t::UPDATE_ROWS => (Self::Update, false),
            t::DELETE_ROWS_V1 | t::DELETE_ROWS => (Self::Delete, false),
            t::PARTIAL_UPDATE_ROWS => (Self::PartialUpdate, false),
            t::MARIADB_WRITE_ROWS_COMPRESSED_V1 | t::MARIADB_WRITE_ROWS_COMPRESSED => {
                (Self::Insert, true)
            }
            t::MARIADB_UPDATE_ROWS_COMPRESSED_V1 | t::MARIADB_UPDATE_ROWS_COMPRESSED => {
                (Self::Update, true)
            }
            t::MARIADB_DELETE_ROWS_COMPRESSED_V1 | t::MARIADB_DELETE_ROWS_COMPRESSED => {
                (Self::Delete, true)
            }
            _ => return None,
        })
    }

    /// True when rows come in pairs.
    #[must_use]
    pub const fn is_update(self) -> bool {
        matches!(self, Self::Update | Self::PartialUpdate)
    }
}

/// A rows event before its images are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    /// What happened.
    pub kind: RowsKind,
    /// Id of the table map.
    pub table_id: u64,
    /// Flags; see [`Self::STMT_END`].
    pub flags: u16,
    /// Columns of the table, those absent from the images included.
    pub column_count: usize,
    /// Bit i set: column i is in the (before) image.
    pub present: &'a [u8],
    /// For updates: bit i set: column i is in the after image.
    pub present_after: &'a [u8],
    /// The images.
    pub rows: &'a [u8],
    /// `rows` is compressed ([`super::decompress_mariadb`]).
    pub compressed: bool,
}

impl<'a> RowsEvent<'a> {
    /// The last rows event of a statement: table maps end here.
    pub const STMT_END: u16 = 1;

    /// The table id alone: all that a filtered table costs.
    ///
    /// # Errors
    /// [`ParseError::Truncated`]
    #[inline]
    pub fn peek_table_id(
        body: &[u8],
        event_type: u8,
        format: &FormatDescription,
    ) -> Result<(u64, u16), ParseError> {
        let mut r = Reader::new(body);
        let id = if format.post_header_len(event_type) == 6 {
            u64::from(r.u32("table id")?)
        } else {
            r.u48("table id")?
        };
        Ok((id, r.u16("flags")?))
    }

    /// Reads everything before the images.
    ///
    /// # Errors
    /// [`ParseError`] when the body is cut off or the type is none of the rows events.
    #[inline]
    pub fn parse(
        body: &'a [u8],
        event_type: u8,
        format: &FormatDescription,
    ) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let Some((kind, compressed)) = RowsKind::of(event_type) else {
            return Err(r.invalid("event type", u64::from(event_type), "a rows event"));
        };
        let short_id = format.post_header_len(event_type) == 6;
        let table_id = if short_id { u64::from(r.u32("table id")?) } else { r.u48("table id")? };
        let flags = r.u16("flags")?;
        let version_2 = matches!(event_type, 30..=32 | 39 | 169..=171);
        if version_2 {
            let extra = usize::from(r.u16("extra data length")?);
            r.bytes(extra.saturating_sub(2), "extra data")?;
        }
        let column_count = r.lenenc_len("column count")?;
        let bitmap = column_count.div_ceil(8);
        let present = r.bytes(bitmap, "columns present")?;
        let present_after =
            if kind.is_update() { r.bytes(bitmap, "columns present after")? } else { present };
        let rows = r.take_rest();
        Ok(Self { kind, table_id, flags, column_count, present, present_after, rows, compressed })
    }
}
