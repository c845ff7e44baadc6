//! What is told of reading: to clients' cursors, to those who look from outside, to the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use towpath_entry::Boundary;

use super::Pump;
use crate::figures::now_ms;
use crate::instance::cursor::cursor_at;

/// Time between two moves of cursors to places of which clients are not told.
const PASS_INTERVAL: Duration = Duration::from_secs(1);

/// The boundary at which cursors were put last, and when.
pub(super) struct Passed {
    at: Option<(Arc<str>, u64)>,
    when: Instant,
}

impl Passed {
    pub(super) fn nothing() -> Self {
        Self { at: None, when: Instant::now() }
    }

    fn at(boundary: &Boundary) -> Self {
        Self { at: Some((Arc::clone(&boundary.file), boundary.offset)), when: Instant::now() }
    }

    /// A new file counts at once, other places now and then.
    fn is_due(&self, boundary: &Boundary) -> bool {
        match &self.at {
            Some((file, _)) if *file != boundary.file => true,
            Some((_, offset)) if *offset == boundary.offset => false,
            _ => self.when.elapsed() >= PASS_INTERVAL,
        }
    }
}

impl Pump<'_> {
    /// Notes how far the source was read.
    pub(super) fn moved(&mut self) {
        let position = self.source.position();
        if position.is_none() || position == self.read {
            return;
        }
        self.read.clone_from(&position);
        if let Some(position) = position
            && self.destination.health().moved(position)
        {
            let destination = self.destination.name();
            tracing::info!(destination, "reading goes on after it had stalled");
        }
    }

    /// Transactions of which nothing is delivered, and files without any, move cursors, too: else the
    /// source would purge what they name (F15).
    pub(super) fn pass(&mut self) {
        let Some(boundary) = self.decoder.boundary() else { return };
        let is_passed = self
            .last
            .as_ref()
            .is_none_or(|last| *last.file != *boundary.file || last.offset <= boundary.offset);
        if is_passed && self.passed.is_due(boundary) && self.destination.pass(&cursor_at(boundary))
        {
            self.passed = Passed::at(boundary);
        }
    }

    /// Tells those who look from outside how far reading is. What brought no entry, a heartbeat or a
    /// table that is left out, says that there is nothing to wait for.
    pub(super) fn note(&self, event_ms: Option<i64>) {
        let now = now_ms();
        let boundary = self.decoder.boundary();
        self.destination.note(|reading| {
            reading.from = self.source.kind();
            if let Some(address) = self.source.address()
                && *address != *reading.source
            {
                reading.source = address;
            }
            reading.bytes = self.read_bytes;
            reading.heard_ms = now;
            reading.event_ms = event_ms.unwrap_or(now);
            if let Some(boundary) = boundary {
                if reading.file.as_ref() != Some(&boundary.file) {
                    reading.file = Some(Arc::clone(&boundary.file));
                }
                reading.offset = boundary.offset;
                reading.gtid.clone_from(&boundary.gtid);
            }
        });
    }

    pub(super) fn report_doubts(&mut self) {
        let (tables, event_count) = self.decoder.take_unknown_tables();
        if event_count > 0 {
            self.destination.health().left_out(event_count);
        }
        for table in tables {
            tracing::warn!(
                destination = self.destination.name(),
                file = table.file.as_ref(),
                offset = table.offset,
                reason = table.reason,
                event_count,
                "a table cannot be read: its rows are left out from here on"
            );
        }
        let (latest, count) = self.decoder.take_doubts();
        for statement in latest {
            self.doubt_count += 1;
            tracing::warn!(
                destination = self.destination.name(),
                file = statement.file.as_ref(),
                offset = statement.offset,
                sql = statement.sql,
                count = self.doubt_count,
                "a statement is not understood: it is delivered, and the tables that it names are \
                 read again before their next rows"
            );
        }
        self.doubt_count = count;
    }
}
