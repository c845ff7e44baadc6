//! The history of structures of one destination: what was known at each place that was read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use towpath_binlog::{FileName, GtidSet, Position};
use towpath_coordination::{RecordLog, StateError};
use towpath_entry::StructureRecord;
use towpath_schema::{
    Catalog, HistoryPosition, HistoryRecord, NameCase, PackedTable, StructureChange,
};

/// How long records are kept that no client needs any more.
const KEEP: Duration = Duration::from_secs(360 * 3600);
/// Bytes of the file beyond which they are not kept that long.
const KEEP_BYTES: u64 = 256 << 20;
/// Bytes of changes that are replayed at a start, at least, before there is another snapshot.
const SNAPSHOT_AFTER: u64 = 1 << 20;
/// Bytes of one part of a snapshot, about.
const PART_BYTES: usize = 4 << 20;
/// Changes in one record.
const CHANGES_MAX: usize = 256;
/// Time between two attempts while the file cannot be written.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The history, open at the place where reading began.
#[derive(Debug)]
pub(crate) struct History {
    destination: String,
    log: Option<RecordLog>,
    /// Bytes of the last snapshot, and of what came after it.
    snapshot_bytes: u64,
    since_bytes: u64,
    /// The record of the file that is read.
    file: Option<HistoryRecord>,
}

/// Where reading begins, and at which source.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) identity: String,
    pub(crate) case: NameCase,
    pub(crate) at: HistoryPosition,
    /// When the file was begun, seconds since 1970; 0 when that is not known.
    pub(crate) begun_s: u32,
    /// A cursor of ours says that all before the place was read. Otherwise statements may lie between
    /// the end of the history and the place.
    pub(crate) was_read: bool,
}

impl Beginning {
    /// The file that is read.
    fn file(&self) -> HistoryRecord {
        HistoryRecord::File {
            identity: self.identity.clone(),
            file: self.at.file.clone(),
            begun_s: self.begun_s,
        }
    }
}

/// What the file says of a place.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The records up to the place, and what is known there.
    Covered(Vec<HistoryRecord>),
    /// Nothing of it: why.
    Not(&'static str),
}

impl History {
    /// Reads the file. The catalog as of the place where reading begins, if the history reaches
    /// there; what it knows of later places is taken out, since it will be read again.
    ///
    /// # Errors
    /// When the file cannot be read or written. One that is damaged is set aside.
    pub(crate) async fn open(
        destination: &str,
        log: RecordLog,
        beginning: Beginning,
    ) -> Result<(Self, Option<Catalog>), StateError> {
        let name = destination.to_owned();
        let file = Some(beginning.file());
        let opened = spawn_blocking(move || load(&name, log, &beginning)).await;
        let (log, catalog, bytes) = opened.unwrap_or_else(|error| Err(panicked(&error)))?;
        let destination = destination.to_owned();
        let (snapshot_bytes, since_bytes) = bytes;
        let history = Self { destination, log: Some(log), snapshot_bytes, since_bytes, file };
        Ok((history, catalog))
    }

    /// Begins anew with what is known at the place where reading begins.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) async fn begin(
        &mut self,
        beginning: &Beginning,
        catalog: &Catalog,
    ) -> Result<(), StateError> {
        let Beginning { identity, case, at, .. } = beginning.clone();
        let mut records = vec![HistoryRecord::Source { identity, case }, beginning.file()];
        records.extend(snapshot(catalog, &at, now_s()));
        let replace = |log: &mut RecordLog, records: &[HistoryRecord]| {
            log.replace(records.iter().map(HistoryRecord::encode))
        };
        self.write(records.into(), replace).await?;
        self.snapshot_bytes = self.len_bytes();
        self.since_bytes = 0;
        self.file = Some(beginning.file());
        Ok(())
    }

    /// Keeps what events changed. Returns when it is on disk, so that no client can acknowledge what
    /// lies behind a change that is not. `catalog` is what is known after the last of them.
    ///
    /// # Errors
    /// Only when the writing task ends without a word; other failures are tried again.
    pub(crate) async fn append(
        &mut self,
        records: Vec<StructureRecord>,
        catalog: &Catalog,
    ) -> Result<(), StateError> {
        let Some(last) = records.last() else { return Ok(()) };
        let (at, timestamp_s) = (position(last), last.timestamp_s);
        let begin = self.len_bytes();
        self.write_patiently(records.iter().flat_map(changes).collect()).await?;
        let end = self.len_bytes();
        self.since_bytes += end - begin;
        if self.since_bytes > SNAPSHOT_AFTER.max(self.snapshot_bytes * 2) {
            self.write_patiently(snapshot(catalog, &at, timestamp_s)).await?;
            self.snapshot_bytes = self.len_bytes() - end;
            self.since_bytes = 0;
        }
        Ok(())
    }

    fn len_bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, RecordLog::len_bytes)
    }

    /// Notes that the stream was read up to here.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(crate) async fn mark(&mut self, at: HistoryPosition) -> Result<(), StateError> {
        self.write_patiently(vec![HistoryRecord::Mark { at }]).await
    }

    /// Notes when a file was begun that is read from here on.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(crate) async fn file_begins(
        &mut self,
        identity: &str,
        file: &str,
        begun_s: u32,
    ) -> Result<(), StateError> {
        let (identity, file) = (identity.to_owned(), file.to_owned());
        let record = HistoryRecord::File { identity, file, begun_s };
        if self.file.as_ref() == Some(&record) {
            // Told again after a lost connection.
            return Ok(());
        }
        self.write_patiently(vec![record.clone()]).await?;
        self.file = Some(record);
        Ok(())
    }

    async fn write_patiently(&mut self, records: Vec<HistoryRecord>) -> Result<(), StateError> {
        let append = |log: &mut RecordLog, records: &[HistoryRecord]| {
            log.append(records.iter().map(HistoryRecord::encode))
        };
        let (records, mut failing) = (Arc::from(records), false);
        while let Err(error) = self.write(Arc::clone(&records), append).await {
            if self.log.is_none() {
                return Err(error);
            }
            if !std::mem::replace(&mut failing, true) {
                let destination = &self.destination;
                tracing::error!(destination, %error, "history cannot be written, trying again");
            }
            sleep(RETRY_INTERVAL).await;
        }
        Ok(())
    }

    async fn write(
        &mut self,
        records: Arc<[HistoryRecord]>,
        write: fn(&mut RecordLog, &[HistoryRecord]) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let Some(mut log) = self.log.take() else { return Err(panicked(&"no file")) };
        let written = spawn_blocking(move || {
            let result = write(&mut log, &records);
            (log, result)
        });
        let (log, result) = written.await.map_err(|error| panicked(&error))?;
        self.log = Some(log);
        result
    }
}

fn panicked(error: &dyn std::fmt::Display) -> StateError {
    StateError::Write {
        path: "schema.history".into(),
        source: std::io::Error::other(error.to_string()),
    }
}

pub(crate) fn now_s() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

fn position(record: &StructureRecord) -> HistoryPosition {
    HistoryPosition {
        file: record.file.as_ref().to_owned(),
        offset: record.offset,
        gtid: record.gtid.as_deref().unwrap_or_default().to_owned(),
    }
}

/// The changes of an event, in several records if there are many.
fn changes(record: &StructureRecord) -> Vec<HistoryRecord> {
    let parts = record.changes.chunks(CHANGES_MAX).map(|changes| HistoryRecord::Changes {
        at: position(record),
        timestamp_s: record.timestamp_s,
        changes: changes.to_vec(),
    });
    parts.collect()
}

/// All structures of a catalog, in parts, and behind them what is known of databases.
fn snapshot(catalog: &Catalog, at: &HistoryPosition, timestamp_s: u32) -> Vec<HistoryRecord> {
    let (mut parts, mut tables, mut bytes) = (Vec::new(), Vec::new(), 0);
    let part = |tables: Vec<PackedTable>, is_last| HistoryRecord::Snapshot {
        at: at.clone(),
        timestamp_s,
        tables,
        is_last,
    };
    for table in catalog.tables() {
        bytes += table.bytes().len();
        tables.push(table.clone());
        if bytes >= PART_BYTES {
            parts.push(part(std::mem::take(&mut tables), false));
            bytes = 0;
        }
    }
    parts.push(part(tables, true));
    let changes: Vec<StructureChange> =
        catalog.temporary_tables().into_iter().chain(catalog.databases()).collect();
    parts.extend(changes.chunks(CHANGES_MAX).map(|changes| HistoryRecord::Changes {
        at: at.clone(),
        timestamp_s,
        changes: changes.to_vec(),
    }));
    parts
}

/// Bytes of the last snapshot, and of what came after it.
type Bytes = (u64, u64);

fn load(
    destination: &str,
    mut log: RecordLog,
    beginning: &Beginning,
) -> Result<(RecordLog, Option<Catalog>, Bytes), StateError> {
    let records = match log.load(HistoryRecord::decode) {
        Ok(records) => records,
        Err(error @ StateError::DamagedLog { .. }) => {
            let aside = log.set_aside()?;
            tracing::warn!(destination, %error, aside = %aside.display(),
                "history set aside, structures are read from the source");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    if records.is_empty() {
        return Ok((log, None, (0, 0)));
    }
    let found = match records.into_iter().collect() {
        Ok(records) => at_place(records, beginning),
        Err(error) => {
            tracing::warn!(destination, %error, "a record of the history cannot be read");
            Found::Not("a record of it cannot be read")
        }
    };
    let kept = match found {
        Found::Covered(kept) => kept,
        Found::Not(reason) => {
            tracing::warn!(
                destination,
                file = beginning.at.file,
                offset = beginning.at.offset,
                gtid = beginning.at.gtid,
                reason,
                "the history does not reach the start, structures are read from the source"
            );
            return Ok((log, None, (0, 0)));
        }
    };
    let catalog = replay(&kept, beginning.case);
    let kept = without_old(kept, log.len_bytes());
    let snapshot_at = last_snapshot(&kept).unwrap_or(0);
    let mut bytes = (0, 0);
    log.replace(kept.iter().enumerate().map(|(index, record)| {
        let encoded = record.encode();
        let is_snapshot = matches!(record, HistoryRecord::Snapshot { .. });
        if index >= snapshot_at {
            *(if is_snapshot { &mut bytes.0 } else { &mut bytes.1 }) += encoded.len() as u64;
        }
        encoded
    }))?;
    Ok((log, Some(catalog), bytes))
}

/// Whether a change holds at a place: by GTID sets where both have one, since files differ between
/// servers.
fn holds_at(change: &HistoryPosition, at: &HistoryPosition) -> bool {
    if !change.gtid.is_empty() && !at.gtid.is_empty() {
        return contains(&at.gtid, &change.gtid);
    }
    match Position::order((&change.file, change.offset), (&at.file, at.offset)) {
        Some(order) => order.is_le(),
        // In files of different servers: nothing was executed before.
        None => change.gtid.is_empty() && !at.gtid.is_empty(),
    }
}

/// Whether both are sets, and one has the other.
fn contains(set: &str, part: &str) -> bool {
    let sets = (GtidSet::parse(set), GtidSet::parse(part));
    matches!(sets, (Ok(set), Ok(part)) if set.contains(&part))
}

/// Index of the first part of the last whole snapshot.
fn last_snapshot(records: &[HistoryRecord]) -> Option<usize> {
    let is_end =
        |record: &HistoryRecord| matches!(record, HistoryRecord::Snapshot { is_last: true, .. });
    let is_part =
        |record: &HistoryRecord| matches!(record, HistoryRecord::Snapshot { is_last: false, .. });
    let mut first = records.iter().rposition(is_end)?;
    while first > 0 && records.get(first - 1).is_some_and(is_part) {
        first -= 1;
    }
    Some(first)
}

/// The records that hold at the place where reading begins.
fn at_place(mut records: Vec<HistoryRecord>, beginning: &Beginning) -> Found {
    let Beginning { identity, at, was_read, .. } = beginning;
    if is_begun_anew(&records, beginning) {
        return Found::Not("the source's binlog was begun anew since");
    }
    let Some(HistoryRecord::Source { identity: theirs, .. }) = records.first() else {
        return Found::Not("it does not say whose it is");
    };
    if at.gtid.is_empty() {
        if theirs != identity {
            return Found::Not("it is that of another server");
        }
        let mut places = records.iter().filter_map(HistoryRecord::position);
        if !places.any(|place| place.file == at.file || FileName::is_earlier(&at.file, &place.file))
        {
            return Found::Not("it ends in an earlier file");
        }
    }
    if !was_read && !records.iter().filter_map(HistoryRecord::position).any(|end| holds_at(at, end))
    {
        return Found::Not("it is not known to have been kept up to there");
    }
    let holds = |record: &HistoryRecord| record.position().is_none_or(|place| holds_at(place, at));
    let end = records.iter().position(|record| !holds(record)).unwrap_or(records.len());
    let later = records.split_off(end);
    if last_snapshot(&records).is_none() {
        return Found::Not("it begins behind the start");
    }
    let learned = learned_later(&later);
    if !learned.is_empty() {
        let (at, changes) = (at.clone(), learned);
        records.push(HistoryRecord::Changes { at, timestamp_s: now_s(), changes });
    }
    records.push(beginning.file());
    records.push(HistoryRecord::Mark { at: at.clone() });
    Found::Covered(records)
}

/// Whether the records are of files that are gone, though others of the server have their names now: it
/// was reset. They were begun at other times, or an earlier file holds what comes later.
fn is_begun_anew(records: &[HistoryRecord], beginning: &Beginning) -> bool {
    let Beginning { identity, at, begun_s, .. } = beginning;
    // Records behind a failover are of another server.
    let mut is_same_server = false;
    records.iter().any(|record| match record {
        HistoryRecord::File { identity: theirs, file, begun_s: before_s } => {
            is_same_server = theirs == identity;
            let is_known = *begun_s != 0 && *before_s != 0;
            is_same_server && *file == at.file && is_known && before_s != begun_s
        }
        HistoryRecord::Snapshot { at: place, .. }
        | HistoryRecord::Changes { at: place, .. }
        | HistoryRecord::Mark { at: place } => {
            is_same_server
                && !place.gtid.is_empty()
                && FileName::is_earlier(&at.file, &place.file)
                && contains(&at.gtid, &place.gtid)
        }
        HistoryRecord::Source { .. } => false,
    })
}

/// Structures that were found later, of tables that nothing had changed until then: they hold at
/// the end of the earlier records as well.
fn learned_later(later: &[HistoryRecord]) -> Vec<StructureChange> {
    let mut first: HashMap<(&str, &str), &StructureChange> = HashMap::new();
    let mut doubted: Vec<&StructureChange> = Vec::new();
    for record in later {
        if let HistoryRecord::Changes { changes, .. } = record {
            for change in changes {
                let Some((schema, table)) = change.name() else {
                    if matches!(change, StructureChange::Doubted { .. }) {
                        doubted.push(change);
                    }
                    continue;
                };
                if !doubted.iter().any(|doubt| doubt.doubts(schema, table)) {
                    first.entry((schema, table)).or_insert(change);
                }
            }
        }
    }
    let learned = |change: &&StructureChange| matches!(change, StructureChange::Learned(_));
    first.into_values().filter(learned).cloned().collect()
}

fn replay(records: &[HistoryRecord], case: NameCase) -> Catalog {
    let mut catalog = Catalog::new(case);
    let from = last_snapshot(records).unwrap_or(0);
    for record in records.iter().skip(from) {
        match record {
            HistoryRecord::Snapshot { tables, .. } => {
                for table in tables {
                    catalog.replay(StructureChange::Set(table.clone()));
                }
            }
            HistoryRecord::Changes { changes, .. } => {
                for change in changes {
                    catalog.replay(change.clone());
                }
            }
            HistoryRecord::Source { .. }
            | HistoryRecord::Mark { .. }
            | HistoryRecord::File { .. } => {}
        }
    }
    catalog
}

/// Without what lies before the newest snapshot that is old enough.
fn without_old(mut records: Vec<HistoryRecord>, file_bytes: u64) -> Vec<HistoryRecord> {
    let keep_s = u32::try_from(KEEP.as_secs()).unwrap_or(u32::MAX);
    let old_until = if file_bytes > KEEP_BYTES { u32::MAX } else { now_s().saturating_sub(keep_s) };
    let is_old_end = |record: &HistoryRecord| match record {
        HistoryRecord::Snapshot { timestamp_s, is_last, .. } => {
            *is_last && *timestamp_s <= old_until
        }
        HistoryRecord::Source { .. }
        | HistoryRecord::Changes { .. }
        | HistoryRecord::Mark { .. }
        | HistoryRecord::File { .. } => false,
    };
    let old = records.iter().rposition(is_old_end).and_then(|end| records.get(..=end));
    if let Some(from) = old.and_then(last_snapshot).filter(|from| *from > 1) {
        // The first record says whose history it is.
        records.drain(1..from);
    }
    records
}

#[cfg(test)]
mod tests;
