//! Rows events.

use std::sync::atomic::Ordering;

use towpath_binlog::event::{RowsEvent, RowsKind, decompress_mariadb};
use towpath_binlog::{FormatDescription, ParseError};

use super::options::Suppress;
use super::tables::{PlanInUse, TableAtHand};
use super::{Decoder, Origin};
use crate::block::EntryKind;
use crate::error::DecodeError;
use crate::message::{self, HeaderParts};
use crate::proto;

/// Bytes that the rows of a compressed event may inflate to.
const EVENT_LEN_MAX: u64 = 1 << 30;

/// `EventType` number and the switch that turns the kind off.
const fn facts(kind: RowsKind) -> (u64, Suppress) {
    match kind {
        RowsKind::Insert => (1, Suppress::INSERT),
        RowsKind::Update | RowsKind::PartialUpdate => (2, Suppress::UPDATE),
        RowsKind::Delete => (3, Suppress::DELETE),
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
        let result = self.rows_of_table((event_type, table_id, flags), body, format, origin);
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
        let (type_number, switch) = facts(event.kind);
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
        // The front is written behind its content, whose length and row count it tells; the gap left
        // for it is the length of the last one for this table.
        let out = &mut self.output.bytes;
        let start = out.len();
        let guess = plan.front_len.load(Ordering::Relaxed);
        out.skip(guess);
        self.store.clear();
        proto::int(&mut self.store, 1, table_id);
        proto::int(&mut self.store, 2, type_number);
        proto::int(&mut self.store, 10, 0);
        out.extend(&self.store);
        let written = self.rows.write(plan, &event, &self.options.zone, out);
        let row_count = match written {
            Ok(rows) => rows,
            Err(error) => {
                out.truncate(start);
                return Err(error.into());
            }
        };
        self.inflated = inflated;
        let store_len = out.len() - start - guess;
        let parts = HeaderParts {
            names: &plan.names,
            event_type: Some(type_number),
            row_count: (row_count > 0).then_some(row_count),
        };
        self.header.write(origin, &self.gtid, parts);
        self.front.clear();
        let entry_type = message::entry_type::ROW_DATA;
        let entry_len =
            message::write_front(&mut self.front, self.header.bytes(), entry_type, store_len);
        out.resize_gap(start, guess, self.front.len());
        if let Some(gap) = out.written_mut().get_mut(start..start + self.front.len()) {
            gap.copy_from_slice(&self.front);
        }
        plan.front_len.store(self.front.len(), Ordering::Relaxed);
        let end = out.len();
        let lens = (end, entry_len, row_count);
        self.output.push(message::info(origin, &self.gtid, EntryKind::Rows, lens));
        Ok(())
    }
}

fn check_count(plan: &PlanInUse, event: &RowsEvent<'_>) -> Result<(), ParseError> {
    if event.column_count == plan.column_count {
        return Ok(());
    }
    Err(ParseError::Invalid {
        field: "column count of the rows",
        offset: 0,
        value: proto::len64(event.column_count),
        expected: "the count of the table map",
    })
}

/// Columns of the table map behind those of the structure are hidden ones: no row has them.
fn check_hidden(plan: &PlanInUse, event: &RowsEvent<'_>) -> Result<(), DecodeError> {
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

fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
