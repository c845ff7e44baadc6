//! Transaction bounds and identities.

use std::sync::Arc;

use towpath_binlog::FormatDescription;
use towpath_binlog::event::{self, GtidEvent, MariadbGtidEvent};
use towpath_binlog::event_type as t;

use super::options::{GtidSet, Suppress};
use super::{Boundary, Decoder, Origin};
use crate::block::EntryKind;
use crate::error::DecodeError;
use towpath_protocol::protobuf;

/// A TRANSACTIONBEGIN that is not written yet. Its file is beside it.
#[derive(Debug)]
pub(super) struct HeldBegin {
    start: u64,
    end: u64,
    event_len: u32,
    timestamp_s: u32,
    server_id: u32,
    thread_id: u32,
}

impl HeldBegin {
    const fn origin<'a>(&self, file: &'a Arc<str>) -> Origin<'a> {
        let &Self { start, end, event_len, timestamp_s, server_id, .. } = self;
        Origin { file, start, end, event_len, timestamp_s, server_id }
    }
}

impl Decoder {
    /// TRANSACTIONBEGIN; `props` are XA's.
    pub(super) fn begin(&mut self, thread_id: u32, props: &[(&str, &str)], origin: &Origin<'_>) {
        self.cut_off(origin);
        self.output.end_group();
        self.in_transaction = true;
        self.hold_transaction(origin);
        if !self.bound_passes(EntryKind::Begin, origin) {
            return;
        }
        if props.is_empty() && !self.options.suppress.has(Suppress::TRANSACTION_ENTRIES) {
            self.hold_begin(thread_id, origin);
            return;
        }
        self.store.clear();
        for (key, value) in props {
            protobuf::pair(&mut self.store, 3, key.as_bytes(), value.as_bytes());
        }
        protobuf::int(&mut self.store, 4, u64::from(thread_id));
        self.push_bound(origin, EntryKind::Begin);
    }

    /// Most transactions have no rows that are wanted: a begin is written when something follows.
    #[inline]
    fn hold_begin(&mut self, thread_id: u32, origin: &Origin<'_>) {
        if !self.held_file.as_ref().is_some_and(|file| Arc::ptr_eq(file, origin.file)) {
            self.held_file = Some(Arc::clone(origin.file));
        }
        self.held = Some(HeldBegin {
            start: origin.start,
            end: origin.end,
            event_len: origin.event_len,
            timestamp_s: origin.timestamp_s,
            server_id: origin.server_id,
            thread_id,
        });
    }

    /// Writes a begin that was held: to be called before anything else is written, and before the
    /// transaction's identity changes.
    #[inline]
    pub(super) fn write_held(&mut self) {
        if let Some(held) = self.held.take() {
            self.write_begin(&held);
        }
    }

    fn write_begin(&mut self, held: &HeldBegin) {
        let Some(file) = self.held_file.take() else { return };
        self.store.clear();
        protobuf::int(&mut self.store, 4, u64::from(held.thread_id));
        self.push_bound(&held.origin(&file), EntryKind::Begin);
        self.held_file = Some(file);
    }

    /// Ends a group that has nothing but a begin. True when it is delivered: then the begin is
    /// written, and the group is still open.
    fn end_held(&mut self, held: &HeldBegin) -> bool {
        let is_wanted = self.output.wants_empty(i64::from(held.timestamp_s) * 1000);
        if is_wanted {
            self.write_begin(held);
        }
        is_wanted
    }

    /// TRANSACTIONEND.
    ///
    /// # Errors
    /// [`DecodeError::Grown`]
    pub(super) fn end(
        &mut self,
        id: &str,
        props: &[(&str, &str)],
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        if self.outcome.is_cut_off() {
            return Err(DecodeError::Grown);
        }
        let is_wanted = self.held.take().is_none_or(|held| self.end_held(&held));
        if !is_wanted {
            // Neither its begin nor its end is delivered.
        } else if self.bound_passes(EntryKind::End, origin) {
            self.store.clear();
            protobuf::bytes(&mut self.store, 2, id.as_bytes());
            for (key, value) in props {
                protobuf::pair(&mut self.store, 3, key.as_bytes(), value.as_bytes());
            }
            self.push_bound(origin, EntryKind::End);
        } else {
            self.output.close_without_end(origin, self.gtid.set.as_ref());
        }
        self.in_transaction = false;
        self.release_transaction();
        self.passed(origin);
        Ok(())
    }

    /// Transactions before this place are lost: says so by an empty transaction whose begin has
    /// `facts` as its properties. It is delivered at once, and its acknowledgement counts.
    ///
    /// With `gtid` set, that is what was executed before the place.
    pub fn announce_gap(&mut self, place: (&Arc<str>, u64), time_s: u32, facts: &[(&str, &str)]) {
        let (file, offset) = place;
        // No event stands there that could be looked for after a restart.
        let origin =
            Origin { file, start: offset, end: offset, event_len: 0, timestamp_s: 0, server_id: 0 };
        let told = Origin { timestamp_s: time_s, ..origin.clone() };
        self.held = None;
        self.output.abandon_group();
        self.outcome.forget();
        self.gtid.current.clear();
        self.gtid.set = self.options.gtid.as_ref().map(|set| Arc::from(set.to_string()));
        self.store.clear();
        for (key, value) in facts {
            protobuf::pair(&mut self.store, 3, key.as_bytes(), value.as_bytes());
        }
        protobuf::int(&mut self.store, 4, 0);
        self.push_bound_told(&told, &origin, EntryKind::Begin);
        self.output.keep_group();
        self.store.clear();
        protobuf::bytes(&mut self.store, 2, b"0");
        self.push_bound_told(&told, &origin, EntryKind::End);
        self.in_transaction = false;
        self.passed(&origin);
    }

    /// Replaces the executed set: reading goes on behind another one than before.
    pub fn set_gtid(&mut self, set: GtidSet) {
        self.options.gtid = Some(set);
    }

    /// The stream can go on behind this event.
    pub(super) fn passed(&mut self, origin: &Origin<'_>) {
        let gtid = &self.gtid.set;
        let boundary = match &mut self.boundary {
            Some(last) if gtid.is_none() && Arc::ptr_eq(&last.file, origin.file) => last,
            boundary => boundary.insert(Boundary {
                file: Arc::clone(origin.file),
                offset: 0,
                gtid: None,
                start: 0,
                timestamp_s: 0,
                server_id: 0,
            }),
        };
        boundary.offset = origin.end;
        boundary.gtid.clone_from(gtid);
        boundary.start = origin.start;
        boundary.timestamp_s = origin.timestamp_s;
        boundary.server_id = origin.server_id;
    }

    /// False for a bound that `filter.transaction.entry` holds back (server-runtime 6.1).
    fn bound_passes(&mut self, kind: EntryKind, origin: &Origin<'_>) -> bool {
        if !self.options.suppress.has(Suppress::TRANSACTION_ENTRIES) {
            return true;
        }
        let time_ms = origin.execute_time_ms();
        let due = self.bounds.is_due(time_ms);
        if due && kind == EntryKind::End {
            self.bounds.reset(time_ms);
        }
        due
    }

    pub(super) fn xid(&mut self, body: &[u8], origin: &Origin<'_>) -> Result<(), DecodeError> {
        // Canal prints the number as signed.
        let xid = event::parse_xid(body)?.cast_signed();
        self.end(itoa::Buffer::new().format(xid), &[], origin)
    }

    pub(super) fn mysql_gtid(
        &mut self,
        event_type: u8,
        body: &[u8],
        format: &FormatDescription,
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        self.cut_off(origin);
        let event = if event_type == t::GTID_TAGGED {
            GtidEvent::parse_tagged(body)?
        } else {
            GtidEvent::parse(body)?
        };
        self.outcome.identified(event.may_have_statements, format);
        if event_type == t::ANONYMOUS_GTID {
            self.gtid.current.clear();
            return Ok(());
        }
        if let Some(GtidSet::Mysql(set)) = &mut self.options.gtid {
            set.add(event.uuid, &event.tag, event.number);
            self.gtid.set = Some(Arc::from(set.to_string()));
            let tag = if event.tag.is_empty() { String::new() } else { format!("{}:", event.tag) };
            let current = format!("{}:{tag}{}", event.uuid, event.number);
            self.gtid.set_current(&current, event.sequence_number, event.last_committed);
        }
        Ok(())
    }

    pub(super) fn mariadb_gtid(
        &mut self,
        body: &[u8],
        origin: &Origin<'_>,
    ) -> Result<(), DecodeError> {
        let event = MariadbGtidEvent::parse(body)?;
        self.cut_off(origin);
        if event.opens_transaction() {
            self.output.end_group();
            self.in_transaction = true;
            self.hold_transaction(origin);
        }
        if let Some(GtidSet::Mariadb(set)) = &mut self.options.gtid {
            set.update(event.domain, origin.server_id, event.sequence);
            self.gtid.set = Some(Arc::from(set.to_string()));
        }
        Ok(())
    }
}
