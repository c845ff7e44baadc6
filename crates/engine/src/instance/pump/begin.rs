//! Where reading begins, and what the structures are there.

use std::sync::Arc;

use towpath_binlog::event_type;
use towpath_coordination::{BinlogFile, RecordLog};
use towpath_schema::{Catalog, HistoryPosition};
use towpath_source::{Gap, Start};

use super::Pump;
use crate::error::InstanceError;
use crate::history::{Beginning, History, now_s};
use crate::instance::cursor::first_cursor;

/// The start that was asked for.
pub(in crate::instance) struct Asked {
    pub(in crate::instance) start: Start,
    /// Its GTID set.
    pub(in crate::instance) executed: Option<Arc<str>>,
    /// Where the history lies, until it is open.
    pub(in crate::instance) history: Option<RecordLog>,
    /// See [`Beginning::was_read`].
    pub(in crate::instance) was_read: bool,
    /// What is jumped over because the operator says so.
    pub(in crate::instance) gap: Option<Gap>,
}

/// Whether it is known where reading began.
pub(super) enum Begin {
    /// Not yet.
    Unknown(Asked),
    /// Reading goes on at another server, at an earlier place perhaps.
    Moved,
    Known,
}

impl Pump<'_> {
    /// Looks for the first event that tells where reading began, and finds out what the structures
    /// are there. It is to be called again when there is no event yet, or the source has gone away.
    pub(super) async fn begin(&mut self) -> Result<(), InstanceError> {
        // Behind a gap the source says what the place stands for.
        let behind_gap = self.gap.as_ref().and_then(|_| self.source.gtid_set().map(str::to_owned));
        let (at, cursor, begun_s, server_starts) = loop {
            let Some(event) = self.source.next_event()? else { return Ok(()) };
            if event.header.event_type == event_type::ROTATE {
                // It only announces the file.
                self.decoder.event(&event)?;
                continue;
            }
            let cursor = match &self.begin {
                Begin::Unknown(asked) => first_cursor(&asked.start, asked.executed.clone(), &event),
                Begin::Moved | Begin::Known => None,
            };
            let gtid = cursor.as_ref().map(|cursor| cursor.gtid.as_ref().to_owned());
            let gtid = gtid.or_else(|| behind_gap.clone());
            let at = HistoryPosition {
                file: event.file.as_ref().to_owned(),
                offset: event.start,
                gtid: gtid.unwrap_or_default(),
            };
            self.file = Some(Arc::clone(&event.file));
            // Nothing for the decoder, and not to be read twice.
            let is_used = event.header.event_type == event_type::FORMAT_DESCRIPTION;
            let server_starts = is_used && event.format.created_s > 0;
            break (at, cursor, is_used.then_some(event.header.timestamp_s), server_starts);
        };
        self.source.identity().clone_into(&mut self.identity);
        let case = self.source.name_case();
        let identity = self.identity.clone();
        // By GTID the file may have been read in part.
        self.starts = server_starts && at.gtid.is_empty();
        let mut begin = std::mem::replace(&mut self.begin, Begin::Known);
        let gives_up = matches!(&begin, Begin::Unknown(asked) if asked.gap.is_some());
        let was_read = matches!(&begin, Begin::Unknown(asked) if asked.was_read);
        let begun_at_s = begun_s.unwrap_or(0);
        let beginning = Beginning { identity, case, at, begun_s: begun_at_s, was_read };
        let Some(catalog) = self.structures(&mut begin, &beginning).await? else {
            self.begin = begin;
            return Ok(());
        };
        self.decoder.set_catalog(catalog);
        if server_starts && !self.starts {
            self.decoder.begin_file_of_start();
        }
        self.tell_file(begun_at_s);
        match cursor {
            Some(cursor) if gives_up => self.destination.set_origin_instead(cursor),
            Some(cursor) => self.destination.set_origin(cursor),
            None => {}
        }
        if let Some(mut gap) = self.gap.take() {
            if gap.resumed.is_empty() {
                gap.resumed = format!("{}:{}", beginning.at.file, beginning.at.offset);
            }
            self.announce(gap, &beginning.at);
        }
        if begun_s.is_none() {
            self.source.unread();
        }
        Ok(())
    }

    /// Cursors tell from here on which file they mean.
    pub(super) fn tell_file(&self, begun_s: u32) {
        if let Some(file) = &self.file {
            let (server, file) = (self.source.identity().to_owned(), Arc::clone(file));
            self.destination.read_from(BinlogFile { server, file, begun_s });
        }
    }

    /// Tells clients, and whoever looks at the instance, what is lost.
    fn announce(&mut self, gap: Gap, at: &HistoryPosition) {
        let mut facts = vec![("TOWPATH_GAP_WANTED", gap.wanted.as_str())];
        if !gap.kept.is_empty() {
            facts.push(("TOWPATH_GAP_KEPT", &gap.kept));
        }
        facts.push(("TOWPATH_GAP_RESUMED", &gap.resumed));
        self.decoder.announce_gap((&at.file.as_str().into(), at.offset), now_s(), &facts);
        let (destination, wanted) = (self.destination.name(), &gap.wanted);
        let (kept, resumed) = (&gap.kept, &gap.resumed);
        if kept.is_empty() {
            tracing::warn!(
                destination,
                wanted,
                resumed,
                "the cursor is given up: what lies between is left out, and clients are told of the gap"
            );
        } else {
            tracing::warn!(
                destination,
                wanted,
                kept,
                resumed,
                "transactions are lost: the source has purged them, and reading jumps over the gap"
            );
        }
        self.destination.health().gap(gap);
    }

    /// The structures at the place where reading begins. `None`: the source has gone away.
    async fn structures(
        &mut self,
        begin: &mut Begin,
        beginning: &Beginning,
    ) -> Result<Option<Catalog>, InstanceError> {
        let log = match begin {
            Begin::Unknown(asked) => asked.history.take(),
            Begin::Moved | Begin::Known => None,
        };
        let known = match log {
            Some(log) => self.open_history(log, beginning).await?,
            None => None,
        };
        let catalog = match known {
            Some(catalog) => Some(catalog),
            None => self.present(beginning).await?,
        };
        if let (Some(catalog), Some(_)) = (&catalog, &self.history) {
            tracing::info!(
                destination = self.destination.name(),
                file = beginning.at.file,
                offset = beginning.at.offset,
                table_count = catalog.tables().count(),
                "structures at the start are known"
            );
            self.decoder.keep_records();
        }
        Ok(catalog)
    }

    /// The structures of the history, if it tells those at the place where reading begins.
    async fn open_history(
        &mut self,
        log: RecordLog,
        beginning: &Beginning,
    ) -> Result<Option<Catalog>, InstanceError> {
        let opened = History::open(self.destination.name(), log, beginning.clone()).await;
        let (history, found) = opened.map_err(|error| InstanceError::State(Arc::new(error)))?;
        self.history = Some(history);
        // Statements in a gap are not in it.
        let mut found = found.filter(|_| self.gap.is_none());
        if let Some(catalog) = &mut found
            && self.starts
        {
            catalog.server_starts();
        }
        Ok(found)
    }

    /// The source's structures that hold at the event that came last; the history begins there. In a
    /// cluster there is none, and tables are looked up as they come. `None`: the source has gone away.
    async fn present(&mut self, beginning: &Beginning) -> Result<Option<Catalog>, InstanceError> {
        let mut catalog = Catalog::new(beginning.case);
        if self.history.is_some() {
            let Some(tables) = self.source.tables().await? else { return Ok(None) };
            for table in tables {
                catalog.learn(table);
            }
        }
        if self.starts {
            catalog.server_starts();
        }
        if let Some(history) = &mut self.history {
            let begun = history.begin(beginning, &catalog).await;
            begun.map_err(|error| InstanceError::State(Arc::new(error)))?;
        }
        Ok(Some(catalog))
    }
}
