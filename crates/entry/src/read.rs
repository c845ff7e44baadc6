//! Reads `Entry` messages without copying (entry-format 1.2).

use thiserror::Error;
use towpath_binlog::Reader;

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

/// One field of a message.
pub(crate) enum Field<'a> {
    Int(u32, u64),
    Bytes(u32, &'a [u8]),
}

pub(crate) struct Fields<'a> {
    reader: Reader<'a>,
    message: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8], message: &'static str) -> Self {
        Self { reader: Reader::new(bytes), message }
    }

    const fn fail(&self, reason: &'static str) -> ReadError {
        ReadError { message: self.message, offset: self.reader.offset(), reason }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, ReadError> {
        let first = self.reader.u8("varint").map_err(|_| self.fail("cut off"))?;
        if first < 0x80 { Ok(u64::from(first)) } else { self.long_varint(first) }
    }

    fn long_varint(&mut self, first: u8) -> Result<u64, ReadError> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.reader.u8("varint").map_err(|_| self.fail("cut off"))?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.fail("a varint of more than ten bytes"))
    }

    /// Bytes of the message that were read.
    pub(crate) const fn offset(&self) -> usize {
        self.reader.offset()
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, ReadError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| self.fail("a field number too large"))?;
        match key & 7 {
            0 => Ok(Some(Field::Int(number, self.varint()?))),
            2 => {
                let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let bytes = self.reader.bytes(len, "field").map_err(|_| self.fail("cut off"))?;
                Ok(Some(Field::Bytes(number, bytes)))
            }
            _ => Err(self.fail("a wire type that entries do not have")),
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
    /// `EventType` number; absent on transaction bounds.
    pub event_type: Option<u64>,
    /// Key and value of each property.
    pub props: Vec<(&'a str, &'a str)>,
    /// GTID set.
    pub gtid: Option<&'a str>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The header.
    pub header: Header<'a>,
    /// `EntryType` number: 1 begin, 2 row data, 3 end, 4 heartbeat.
    pub entry_type: u64,
    /// The message inside.
    pub store_value: &'a [u8],
}

fn pair(bytes: &[u8]) -> Result<(&str, &str), ReadError> {
    let mut fields = Fields::new(bytes, "Pair");
    let (mut key, mut value) = ("", "");
    while let Some(field) = fields.next()? {
        match field {
            Field::Bytes(1, bytes) => key = text(bytes, &fields)?,
            Field::Bytes(2, bytes) => value = text(bytes, &fields)?,
            Field::Int(..) | Field::Bytes(..) => {}
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
        let mut entry = Self { header: Header::default(), entry_type: 2, store_value: &[] };
        while let Some(field) = fields.next()? {
            match field {
                Field::Bytes(1, header) => entry.header = Header::parse(header)?,
                Field::Int(2, number) => entry.entry_type = number,
                Field::Bytes(3, store) => entry.store_value = store,
                Field::Int(..) | Field::Bytes(..) => {}
            }
        }
        Ok(entry)
    }

    /// The row change inside, for entries of row data.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn row_change(&self) -> Result<Option<RowChange<'a>>, ReadError> {
        if self.entry_type == 2 { RowChange::parse(self.store_value).map(Some) } else { Ok(None) }
    }

    /// What the end of a transaction is called, for entries that are one.
    #[must_use]
    pub fn transaction_id(&self) -> Option<&'a str> {
        let mut fields = Fields::new(self.store_value, "TransactionEnd");
        while let Some(field) = fields.next().ok().flatten().filter(|_| self.entry_type == 3) {
            if let Field::Bytes(2, id) = field {
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
                Field::Bytes(2, name) => header.logfile_name = text(name, &fields)?,
                Field::Int(3, offset) => header.logfile_offset = offset.cast_signed(),
                Field::Int(4, id) => header.server_id = id.cast_signed(),
                Field::Int(6, time) => header.execute_time = time.cast_signed(),
                Field::Bytes(8, name) => header.schema_name = Some(text(name, &fields)?),
                Field::Bytes(9, name) => header.table_name = Some(text(name, &fields)?),
                Field::Int(10, len) => header.event_length = len.cast_signed(),
                Field::Int(11, number) => header.event_type = Some(number),
                Field::Bytes(12, prop) => header.props.push(pair(prop)?),
                Field::Bytes(13, set) => header.gtid = Some(text(set, &fields)?),
                Field::Int(..) | Field::Bytes(..) => {}
            }
        }
        Ok(header)
    }
}

/// `RowChange`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowChange<'a> {
    /// `EventType` number.
    pub event_type: u64,
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
        let mut change = Self { event_type: 2, ..Self::default() };
        while let Some(field) = fields.next()? {
            match field {
                Field::Int(2, number) => change.event_type = number,
                Field::Int(10, flag) => change.is_ddl = Some(flag != 0),
                Field::Bytes(11, sql) => change.sql = text(sql, &fields)?,
                Field::Bytes(12, row) => change.rows.push(RowData::parse(row)?),
                Field::Bytes(14, name) => change.ddl_schema = Some(text(name, &fields)?),
                Field::Int(..) | Field::Bytes(..) => {}
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
                Field::Bytes(1, column) => row.before.push(Column::parse(column)?),
                Field::Bytes(2, column) => row.after.push(Column::parse(column)?),
                Field::Int(..) | Field::Bytes(..) => {}
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
                Field::Int(1, index) => column.index = index,
                Field::Int(2, number) => column.sql_type = number.cast_signed(),
                Field::Bytes(3, name) => column.name = text(name, &fields)?,
                Field::Int(4, flag) => column.is_key = flag != 0,
                Field::Int(5, flag) => column.updated = flag != 0,
                Field::Int(6, 1) => column.value = None,
                Field::Bytes(8, value) => column.value = Some(text(value, &fields)?),
                Field::Bytes(10, name) => column.mysql_type = text(name, &fields)?,
                Field::Int(..) | Field::Bytes(..) => {}
            }
        }
        Ok(column)
    }
}

/// The name of an `EventType` number.
#[must_use]
pub const fn event_type_name(number: u64) -> &'static str {
    match number {
        1 => "INSERT",
        2 => "UPDATE",
        3 => "DELETE",
        4 => "CREATE",
        5 => "ALTER",
        6 => "ERASE",
        7 => "QUERY",
        8 => "TRUNCATE",
        9 => "RENAME",
        10 => "CINDEX",
        11 => "DINDEX",
        12 => "GTID",
        13 => "XACOMMIT",
        14 => "XAROLLBACK",
        15 => "MHEARTBEAT",
        _ => "UNKNOWN",
    }
}
