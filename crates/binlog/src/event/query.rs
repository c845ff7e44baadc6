//! `QUERY` (2): a statement (mysql-source 2.3).

use crate::error::ParseError;
use crate::format::FormatDescription;
use crate::header::event_type;
use crate::reader::Reader;

/// MariaDB 10.8 and later, with `binlog_alter_two_phase`: which of the two events of an ALTER it is. Both have
/// its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterPhase {
    /// It begins: other statements may come before it is done.
    Start,
    /// It is done.
    Commit,
    /// It has failed, and changed nothing.
    Rollback,
}

impl AlterPhase {
    const fn of(flags: u8) -> Option<Self> {
        match flags {
            _ if flags & 0x08 != 0 => Some(Self::Rollback),
            _ if flags & 0x04 != 0 => Some(Self::Commit),
            _ if flags & 0x02 != 0 => Some(Self::Start),
            _ => None,
        }
    }

    /// Whether the statement has changed anything with this event.
    #[must_use]
    pub const fn is_done(self) -> bool {
        match self {
            Self::Commit => true,
            Self::Start | Self::Rollback => false,
        }
    }
}

/// A statement with its session's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryEvent<'a> {
    /// Id of the session.
    pub thread_id: u32,
    /// Error code with which the statement ended on the source.
    pub error_code: u16,
    /// Default database, in UTF-8; empty when there was none.
    pub schema: &'a [u8],
    /// Collation id of the client's character set (status variable 4), if sent.
    pub client_charset: Option<u16>,
    /// Collation id of the session's `character_set_server` (status variable 4), if sent: databases get it
    /// that are made without one.
    pub server_charset: Option<u16>,
    /// SQL mode (status variable 1), if sent.
    pub sql_mode: Option<u64>,
    /// MariaDB's status variable 130.
    pub alter_phase: Option<AlterPhase>,
    /// The statement; for a compressed event still compressed.
    pub sql: &'a [u8],
}

impl<'a> QueryEvent<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`] when the body is cut off.
    pub fn parse(body: &'a [u8], format: &FormatDescription) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let thread_id = r.u32("thread id")?;
        r.u32("execution time")?;
        let schema_len = usize::from(r.u8("schema length")?);
        let error_code = r.u16("error code")?;
        // Before MySQL 5.0 there were no status variables: the post-header had 11 bytes.
        let has_status = format.post_header_len(event_type::QUERY) != 11;
        let status_len = if has_status { usize::from(r.u16("status length")?) } else { 0 };
        let status = r.bytes(status_len, "status variables")?;
        let schema = r.bytes(schema_len, "schema")?;
        r.u8("end of schema")?;
        let mut query = Self {
            thread_id,
            error_code,
            schema,
            client_charset: None,
            server_charset: None,
            sql_mode: None,
            alter_phase: None,
            sql: r.take_rest(),
        };
        // The block has a length of its own, so a variable that is not known costs only the ones
        // behind it.
        let _known: Option<()> = query.read_status(Reader::new(status), format.is_mariadb());
        Ok(query)
    }

    /// The session's id when the statement is `BEGIN`, as before nearly all transactions; nothing else
    /// is read then.
    ///
    /// # Errors
    /// [`ParseError`] when the body is cut off.
    #[inline]
    pub fn begin_of(body: &[u8], format: &FormatDescription) -> Result<Option<u32>, ParseError> {
        const BEGIN: &[u8] = b"\0BEGIN";
        if !body.ends_with(BEGIN) {
            return Ok(None);
        }
        let mut r = Reader::new(body);
        let thread_id = r.u32("thread id")?;
        r.u32("execution time")?;
        let schema_len = usize::from(r.u8("schema length")?);
        r.u16("error code")?;
        let has_status = format.post_header_len(event_type::QUERY) != 11;
        let status_len = if has_status { usize::from(r.u16("status length")?) } else { 0 };
        Ok((r.rest().len() == status_len + schema_len + BEGIN.len()).then_some(thread_id))
    }

    fn read_status(&mut self, mut r: Reader<'_>, is_mariadb: bool) -> Option<()> {
        const NAME: &str = "status variable";
        while !r.is_empty() {
            let code = r.u8(NAME).ok()?;
            let skip = match code {
                1 => {
                    self.sql_mode = Some(r.u64(NAME).ok()?);
                    0
                }
                4 => {
                    self.client_charset = Some(r.u16(NAME).ok()?);
                    r.u16(NAME).ok()?;
                    self.server_charset = Some(r.u16(NAME).ok()?);
                    0
                }
                2 => usize::from(r.u8(NAME).ok()?) + 1,
                5 | 6 | 254 => usize::from(r.u8(NAME).ok()?),
                7 | 8 | 18 => 2,
                3 | 0 | 10 => 4,
                9 | 17 | 129 | 200 | 201 => 8,
                13 => 3,
                // Microseconds of MariaDB, a flag of Percona.
                128 if is_mariadb => 3,
                128 => 1,
                130 => {
                    self.alter_phase = AlterPhase::of(r.u8(NAME).ok()?);
                    match self.alter_phase {
                        Some(AlterPhase::Commit | AlterPhase::Rollback) => 8,
                        Some(AlterPhase::Start) | None => 0,
                    }
                }
                131 => 4 * usize::from(r.u8(NAME).ok()?),
                16 | 19..=22 | 252 | 253 | 255 => 1,
                11 => {
                    let user = usize::from(r.u8(NAME).ok()?);
                    r.bytes(user, NAME).ok()?;
                    usize::from(r.u8(NAME).ok()?)
                }
                12 => {
                    let count = r.u8(NAME).ok()?;
                    // 254 stands for "too many to name".
                    for _ in 0..if count > 16 { 0 } else { count } {
                        r.nul_terminated();
                    }
                    0
                }
                _ => return None,
            };
            r.bytes(skip, NAME).ok()?;
        }
        Some(())
    }
}
