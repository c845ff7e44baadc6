//! Rows events.

use towpath_binlog::event::{RowsEvent, RowsKind, decompress_mariadb};
use towpath_binlog::{FormatDescription, ParseError};

use super::options::Suppress;
use super::tables::TableAtHand;
use super::{Decoder, Origin};
use crate::block::EntryKind;
use crate::error::DecodeError;
use crate::message::{self, FrontParts};
use crate::plan::Plan;
use crate::rows::bit;
use towpath_protocol::entry::{EntryType, EventType};
use towpath_protocol::protobuf;

/// Bytes that the rows of a compressed event may inflate to.
const EVENT_LEN_MAX: u64 = 1 << 30;

/// What the entry says that happened, and the switch that turns the kind off.
const fn facts(kind: RowsKind) -> (EventType, Suppress) {
    match kind {
        RowsKind::Insert => (EventType::Insert, Suppress::INSERT),
        RowsKind::Update | RowsKind::PartialUpdate => (EventType::Update, Suppress::UPDATE),
        RowsKind::Delete => (EventType::Delete, Suppress::DELETE),
    }
}

impl Decoder {
    pub(super) fn rows_event(
        &mut self,
        event_type: u8,
        body: &[u8],
        format: &FormatDescription,
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        let (table_id, flags) = RowsEvent::peek_table_id(body, event_type, format)?;
        let result = match self.outcome.is_rolled_back(origin) {
            true => Ok(()),
            false => self.rows_of_table((event_type, table_id, flags), body, format, origin),
        };
        if result.is_ok() && flags & RowsEvent::STMT_END != 0 {
            self.tables.end_statement();
        }
        result
    }

    fn rows_of_table(
        &mut self,
        (event_type, table_id, flags): (u8, u64, u16),
        body: &[u8],
        format: &FormatDescription,
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        if matches!(self.tables.at_hand(table_id), Some(TableAtHand::Plan(_))) {
            self.write_held();
        }
        let plan = match self.tables.at_hand(table_id) {
            Some(TableAtHand::Plan(plan)) => plan,
            Some(TableAtHand::Skip) => return Ok(()),
            Some(TableAtHand::Unknown) => {
                self.unknown.events += 1;
                return Ok(());
            }
            // MySQL ends a statement whose table maps were not needed with an empty rows event.
            None if flags & RowsEvent::STMT_END != 0 && table_id == 0xff_ffff => return Ok(()),
            None => return Err(DecodeError::NoTableMap { table_id }),
        };
        let mut event = RowsEvent::parse(body, event_type, format)?;
        let (change_type, switch) = facts(event.kind);
        if self.options.suppress.has(switch) {
            return Ok(());
        }
        check_count(plan, &event)?;
        if let Err(error) = check_hidden(plan, &event) {
            return self.unknown_table(error, origin);
        }
        let mut inflated = std::mem::take(&mut self.inflated);
        inflated.clear();
        if event.compressed {
            decompress_mariadb(event.rows, &mut inflated, EVENT_LEN_MAX)?;
            event.rows = &inflated;
        }
        // The front comes before its content, whose length and row count it tells: those of the last
        // entry, which are nearly always as long, until they are known.
        let out = &mut self.output.bytes;
        let start = out.len();
        let about = (origin, &self.gtid);
        let (row_count, store_len) = self.rows_before;
        let parts = FrontParts::new(EntryType::RowData, Some(&plan.names), Some(change_type));
        let parts = FrontParts { row_count, store_len, ..parts };
        let mut front = self.fronts.write(out, about, &parts);
        let room = out.room(STORE_HEAD_MAX);
        let head_len = put_store_head(room, table_id, change_type).unwrap_or_else(message::no_room);
        out.advance(head_len);
        let row_count = match self.rows.write(plan, &event, &self.options.zone, out) {
            Ok(rows) => rows,
            Err(error) => {
                out.truncate(start);
                return Err(error.into());
            }
        };
        self.inflated = inflated;
        let store_len = out.len() - front.end;
        self.rows_before = (row_count, store_len);
        let parts = FrontParts { row_count, store_len, ..parts };
        self.fronts.correct(out, &mut front, about, &parts);
        self.add(origin, EntryKind::Rows, (front.entry_len, row_count));
        Ok(())
    }
}

fn check_count(plan: &Plan, event: &RowsEvent<'_>) -> Result<(), ParseError> {
    if event.column_count == plan.column_count {
        return Ok(());
    }
    Err(ParseError::Invalid {
        field: "column count of the rows",
        offset: 0,
        value: protobuf::len64(event.column_count),
        expected: "the count of the table map",
    })
}

/// Bytes that [`put_store_head`] may touch.
const STORE_HEAD_MAX: usize = 32;

/// Puts the fields of a `RowChange` that come before its rows: tableId, eventType, isDdl.
#[inline]
fn put_store_head(to: &mut [u8], table_id: u64, event_type: EventType) -> Option<usize> {
    let [type_number, ..] = event_type.code().to_le_bytes();
    *to.first_mut()? = 1 << 3;
    let at = 1 + protobuf::put_varint_loose(to.get_mut(1..)?, table_id)?;
    *to.get_mut(at..)?.first_chunk_mut::<4>()? = [2 << 3, type_number, 10 << 3, 0];
    Some(at + 4)
}

/// Columns of the table map behind those of the structure are hidden ones: no row has them.
fn check_hidden(plan: &Plan, event: &RowsEvent<'_>) -> Result<(), DecodeError> {
    let known = plan.columns.len();
    let is_hidden = |bits: &[u8]| (known..event.column_count).all(|index| !bit(bits, index));
    if is_hidden(event.present) && is_hidden(event.present_after) {
        return Ok(());
    }
    Err(DecodeError::Structure {
        schema: plan.schema.to_string(),
        table: plan.table.to_string(),
        in_binlog: event.column_count,
        known,
        detail: "the surplus columns are not hidden ones".to_owned(),
    })
}
