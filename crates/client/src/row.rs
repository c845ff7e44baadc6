//! Rows of a batch, typed.

use towpath_protocol::entry::{Column, Entry, EventType, ReadError};

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// It was inserted.
    Insert,
    /// It was updated.
    Update,
    /// It was deleted.
    Delete,
}

impl RowKind {
    /// `insert`, `update` or `delete`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    fn of(event_type: EventType) -> Option<Self> {
        let kinds = [
            (EventType::Insert, Self::Insert),
            (EventType::Update, Self::Update),
            (EventType::Delete, Self::Delete),
        ];
        kinds.into_iter().find_map(|(known, kind)| (known == event_type).then_some(kind))
    }
}

/// One changed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// What happened.
    pub kind: RowKind,
    /// Database.
    pub schema: &'a str,
    /// Table.
    pub table: &'a str,
    /// Time of the change at the source, milliseconds since 1970.
    pub time_ms: i64,
    /// The columns before an update or delete; those that the source wrote.
    pub before: Vec<Column<'a>>,
    /// The columns after an insert or update.
    pub after: Vec<Column<'a>>,
}

impl<'a> Row<'a> {
    /// A column by its name: after the change, for a delete before it. Its `value` is `None` for NULL.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column<'a>> {
        let columns = match self.kind {
            RowKind::Insert | RowKind::Update => &self.after,
            RowKind::Delete => &self.before,
        };
        columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Adds the rows of one entry.
    pub(crate) fn read(bytes: &'a [u8], rows: &mut Vec<Self>) -> Result<(), ReadError> {
        let entry = Entry::parse(bytes)?;
        let Some(change) = entry.row_change()? else { return Ok(()) };
        let Some(kind) = RowKind::of(change.event_type) else { return Ok(()) };
        rows.extend(change.rows.into_iter().map(|row| Self {
            kind,
            schema: entry.header.schema_name.unwrap_or_default(),
            table: entry.header.table_name.unwrap_or_default(),
            time_ms: entry.header.execute_time,
            before: row.before,
            after: row.after,
        }));
        Ok(())
    }
}
