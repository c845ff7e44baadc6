//! `Entry` messages, which are what batches contain: reads them without copying.

mod kind;

use thiserror::Error;

pub use kind::{EntryType, EventType};

use crate::protobuf::{self, Malformed, Value};

/// Bytes that are no `Entry`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("byte {offset} of {message}: {reason}")]
pub struct ReadError {
    /// The message that is malformed.
    pub message: &'static str,
    /// Offset in that message.
    pub offset: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// The fields of a message of entries, whose name stands in errors.
pub(crate) struct Fields<'a> {
    fields: protobuf::Fields<'a>,
    message: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8], message: &'static str) -> Self {
        Self { fields: protobuf::Fields::new(bytes), message }
    }

    const fn fail(&self, reason: &'static str) -> ReadError {
        ReadError { message: self.message, offset: self.fields.offset(), reason }
    }

    #[cold]
    const fn malformed(&self, malformed: Malformed) -> ReadError {
        let (offset, reason) = match malformed {
            Malformed::CutOff { offset } => (offset, "cut off"),
            Malformed::Varint { offset } => (offset, "a varint of more than ten bytes"),
            Malformed::Number { offset } => (offset, "a field number out of range"),
            Malformed::WireType { offset } => (offset, "a wire type that entries do not have"),
        };
        ReadError { message: self.message, offset, reason }
    }

    /// Bytes of the message that were read.
    pub(crate) const fn offset(&self) -> usize {
        self.fields.offset()
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, ReadError> {
        match self.fields.next_field() {
            Ok(Some((_, Value::Fixed))) => Err(self.fail("a wire type that entries do not have")),
            Ok(field) => Ok(field),
            Err(malformed) => Err(self.malformed(malformed)),
        }
    }
}

pub(crate) fn text<'a>(bytes: &'a [u8], fields: &Fields<'_>) -> Result<&'a str, ReadError> {
    std::str::from_utf8(bytes).map_err(|_| fields.fail("text that is not UTF-8"))
}

/// The header of an entry; `None` is a field that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header<'a> {
    /// Binlog file.
    pub logfile_name: &'a str,
    /// Offset at which the event starts.
    pub logfile_offset: i64,
    /// Server id.
    pub server_id: i64,
    /// Milliseconds since 1970.
    pub execute_time: i64,
    /// Database.
    pub schema_name: Option<&'a str>,
    /// Table.
    pub table_name: Option<&'a str>,
    /// Length of the event in bytes.
    pub event_length: i64,
    /// Absent on transaction bounds.
    pub event_type: Option<EventType>,
    /// Key and value of each property.
    pub props: Vec<(&'a str, &'a str)>,
    /// GTID set.
    pub gtid: Option<&'a str>,
}

/// An entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The header.
    pub header: Header<'a>,
    /// What it is.
    pub entry_type: EntryType,
    /// The message inside.
    pub store_value: &'a [u8],
}

fn pair(bytes: &[u8]) -> Result<(&str, &str), ReadError> {
    let mut fields = Fields::new(bytes, "Pair");
    let (mut key, mut value) = ("", "");
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => key = text(bytes, &fields)?,
            (2, Value::Bytes(bytes)) => value = text(bytes, &fields)?,
            _ => {}
        }
    }
    Ok((key, value))
}

impl<'a> Entry<'a> {
    /// Reads an `Entry` message.
    ///
    /// # Errors
    /// [`ReadError`] names the message and offset of the fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = Fields::new(bytes, "Entry");
        let mut entry = Self::default();
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(header)) => entry.header = Header::parse(header)?,
                (2, Value::Varint(number)) => entry.entry_type = EntryType::from_code(number),
                (3, Value::Bytes(store)) => entry.store_value = store,
                _ => {}
            }
        }
        Ok(entry)
    }

    /// The row change inside, for entries of row data.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn row_change(&self) -> Result<Option<RowChange<'a>>, ReadError> {
        if self.entry_type != EntryType::RowData {
            return Ok(None);
        }
        RowChange::parse(self.store_value).map(Some)
    }

    /// What the end of a transaction is called, for entries that are one.
    #[must_use]
    pub fn transaction_id(&self) -> Option<&'a str> {
        if self.entry_type != EntryType::TransactionEnd {
            return None;
        }
        let mut fields = Fields::new(self.store_value, "TransactionEnd");
        while let Some(field) = fields.next().ok().flatten() {
            if let (2, Value::Bytes(id)) = field {
                return std::str::from_utf8(id).ok();
            }
        }
        None
    }
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = Fields::new(bytes, "Header");
        let mut header = Self::default();
        while let Some(field) = fields.next()? {
            match field {
                (2, Value::Bytes(name)) => header.logfile_name = text(name, &fields)?,
                (3, Value::Varint(offset)) => header.logfile_offset = offset.cast_signed(),
                (4, Value::Varint(id)) => header.server_id = id.cast_signed(),
                (6, Value::Varint(time)) => header.execute_time = time.cast_signed(),
                (8, Value::Bytes(name)) => header.schema_name = Some(text(name, &fields)?),
                (9, Value::Bytes(name)) => header.table_name = Some(text(name, &fields)?),
                (10, Value::Varint(len)) => header.event_length = len.cast_signed(),
                (11, Value::Varint(number)) => {
                    header.event_type = Some(EventType::from_code(number));
                }
                (12, Value::Bytes(prop)) => header.props.push(pair(prop)?),
                (13, Value::Bytes(set)) => header.gtid = Some(text(set, &fields)?),
                _ => {}
            }
        }
        Ok(header)
    }
}

/// `RowChange`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowChange<'a> {
    /// What happened.
    pub event_type: EventType,
    /// `isDdl`; absent for some statements.
    pub is_ddl: Option<bool>,
    /// The statement; empty for rows.
    pub sql: &'a str,
    /// The rows.
    pub rows: Vec<RowData<'a>>,
    /// Default database of the statement.
    pub ddl_schema: Option<&'a str>,
}

impl<'a> RowChange<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = Fields::new(bytes, "RowChange");
        let mut change = Self::default();
        while let Some(field) = fields.next()? {
            match field {
                (2, Value::Varint(number)) => change.event_type = EventType::from_code(number),
                (10, Value::Varint(flag)) => change.is_ddl = Some(flag != 0),
                (11, Value::Bytes(sql)) => change.sql = text(sql, &fields)?,
                (12, Value::Bytes(row)) => change.rows.push(RowData::parse(row)?),
                (14, Value::Bytes(name)) => change.ddl_schema = Some(text(name, &fields)?),
                _ => {}
            }
        }
        Ok(change)
    }
}

/// One changed row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowData<'a> {
    /// The image before an update or delete.
    pub before: Vec<Column<'a>>,
    /// The image after an insert or update.
    pub after: Vec<Column<'a>>,
}

impl<'a> RowData<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = Fields::new(bytes, "RowData");
        let mut row = Self::default();
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(column)) => row.before.push(Column::parse(column)?),
                (2, Value::Bytes(column)) => row.after.push(Column::parse(column)?),
                _ => {}
            }
        }
        Ok(row)
    }
}

/// One column of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are those of the message")]
pub struct Column<'a> {
    /// Ordinal, from 0.
    pub index: u64,
    /// `java.sql.Types` number.
    pub sql_type: i64,
    /// Name.
    pub name: &'a str,
    /// Member of the primary key.
    pub is_key: bool,
    /// Changed by the update.
    pub updated: bool,
    /// The value; `None` for NULL.
    pub value: Option<&'a str>,
    /// Declared type.
    pub mysql_type: &'a str,
}

impl<'a> Column<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = Fields::new(bytes, "Column");
        let mut column = Self { value: Some(""), ..Self::default() };
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Varint(index)) => column.index = index,
                (2, Value::Varint(number)) => column.sql_type = number.cast_signed(),
                (3, Value::Bytes(name)) => column.name = text(name, &fields)?,
                (4, Value::Varint(flag)) => column.is_key = flag != 0,
                (5, Value::Varint(flag)) => column.updated = flag != 0,
                (6, Value::Varint(1)) => column.value = None,
                (8, Value::Bytes(value)) => column.value = Some(text(value, &fields)?),
                (10, Value::Bytes(name)) => column.mysql_type = text(name, &fields)?,
                _ => {}
            }
        }
        Ok(column)
    }
}
