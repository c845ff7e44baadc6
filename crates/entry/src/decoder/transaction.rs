//! Transaction bounds and identities.

use std::sync::Arc;

use towpath_binlog::event::{self, GtidEvent, MariadbGtidEvent};
use towpath_binlog::event_type as t;

use super::options::{GtidSet, Suppress};
use super::{Boundary, Decoder, Origin};
use crate::block::EntryKind;
use crate::error::DecodeError;
use crate::proto;

impl Decoder {
    /// TRANSACTIONBEGIN; `props` are XA's.
    pub(super) fn begin(&mut self, thread_id: u32, props: &[(&str, &str)], origin: &Origin<'_>) {
        self.output.close_group();
        self.in_transaction = true;
        if !self.bound_passes(EntryKind::Begin, origin) {
            return;
        }
        self.store.clear();
        for (key, value) in props {
            proto::pair(&mut self.store, 3, key.as_bytes(), value.as_bytes());
        }
        proto::int(&mut self.store, 4, u64::from(thread_id));
        self.push_bound(origin, EntryKind::Begin);
    }

    /// TRANSACTIONEND.
    pub(super) fn end(&mut self, id: &str, props: &[(&str, &str)], origin: &Origin<'_>) {
        if self.bound_passes(EntryKind::End, origin) {
            self.store.clear();
            proto::bytes(&mut self.store, 2, id.as_bytes());
            for (key, value) in props {
                proto::pair(&mut self.store, 3, key.as_bytes(), value.as_bytes());
            }
            self.push_bound(origin, EntryKind::End);
        } else {
            self.output.close_without_end(origin, self.gtid.set.as_ref());
        }
        self.in_transaction = false;
        self.passed(origin);
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
        self.output.abandon_group();
        self.gtid.current.clear();
        self.gtid.set = self.options.gtid.as_ref().map(|set| Arc::from(set.to_string()));
        self.store.clear();
        for (key, value) in facts {
            proto::pair(&mut self.store, 3, key.as_bytes(), value.as_bytes());
        }
        proto::int(&mut self.store, 4, 0);
        self.push_bound_told(&told, &origin, EntryKind::Begin);
        self.output.keep_group();
        self.store.clear();
        proto::bytes(&mut self.store, 2, b"0");
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
        self.end(itoa::Buffer::new().format(xid), &[], origin);
        Ok(())
    }

    pub(super) fn mysql_gtid(&mut self, event_type: u8, body: &[u8]) -> Result<(), DecodeError> {
        let event = if event_type == t::GTID_TAGGED {
            GtidEvent::parse_tagged(body)?
        } else {
            GtidEvent::parse(body)?
        };
        self.in_transaction = false;
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

    pub(super) fn mariadb_gtid(&mut self, server_id: u32, body: &[u8]) -> Result<(), DecodeError> {
        let event = MariadbGtidEvent::parse(body)?;
        self.in_transaction = event.opens_transaction();
        if let Some(GtidSet::Mariadb(set)) = &mut self.options.gtid {
            set.update(event.domain, server_id, event.sequence);
            self.gtid.set = Some(Arc::from(set.to_string()));
        }
        Ok(())
    }
}
