//! `XA_PREPARE` (38).

use crate::error::ParseError;
use crate::reader::Reader;

/// The end of the first phase of an XA transaction, or the whole of a one-phase commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XaPrepare<'a> {
    /// The transaction is committed with this event (`XA COMMIT ... ONE PHASE`).
    pub one_phase: bool,
    /// Format id of the XID.
    pub format_id: u32,
    /// Global transaction part of the XID.
    pub gtrid: &'a [u8],
    /// Branch qualifier of the XID.
    pub bqual: &'a [u8],
}

impl<'a> XaPrepare<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let one_phase = r.u8("one phase")? != 0;
        let format_id = r.u32("format id")?;
        let gtrid_len = usize::try_from(r.u32("gtrid length")?).unwrap_or(usize::MAX);
        let bqual_len = usize::try_from(r.u32("bqual length")?).unwrap_or(usize::MAX);
        let gtrid = r.bytes(gtrid_len, "gtrid")?;
        let bqual = r.bytes(bqual_len, "bqual")?;
        Ok(Self { one_phase, format_id, gtrid, bqual })
    }
}
