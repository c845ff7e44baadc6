//! `towpath dump-event`: one event out of a binlog file, as a small file of its own that shows a fault
//! again without showing anybody's data (T-PARSE-6).

mod redact;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use towpath_binlog::event::{QueryEvent, RowsEvent, TableMap};
use towpath_binlog::{Checksum, EventHeader, EventStream, FormatDescription, event_type as t};

use crate::report::{Failure, say};

const MAGIC: &[u8; 4] = b"\xfebin";
/// Longest event that is read.
const EVENT_LEN_MAX: u32 = 1 << 30;
const CHECKSUM_LEN: usize = 4;

#[derive(Debug, Args)]
#[command(after_help = "Example:
  towpath dump-event mysql-bin.000007:123456 --out event.bin

The file has the format description, the table maps of the statement, the event, and a commit. Letters and digits
in texts become x and 0, numbers and times zero, JSON a text; lengths stay. Names of databases, tables
and columns stay as well, and so does a statement that is no change of rows, with its literals masked.")]
pub(crate) struct Arguments {
    /// FILE:OFFSET of the event, as an error names it.
    place: String,
    /// The file that is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Leave the values as they are.
    #[arg(long)]
    keep_values: bool,
}

/// Events of a file, one after the other.
struct Events {
    file: File,
    path: PathBuf,
    at: u64,
}

impl Events {
    fn open(path: &Path) -> Result<Self, Failure> {
        let mut events =
            File::open(path)
                .map(|file| Self { file, path: path.to_owned(), at: 0 })
                .map_err(|error| Failure::new(&format!("cannot read {}", path.display()), error))?;
        let mut magic = [0; MAGIC.len()];
        events.fill(&mut magic)?;
        if magic == *MAGIC { Ok(events) } else { Err(events.bad("this is no binlog file")) }
    }

    fn bad(&self, what: &str) -> Failure {
        Failure::of(&format!("{}:{}: {what}", self.path.display(), self.at))
    }

    fn fill(&mut self, to: &mut [u8]) -> Result<(), Failure> {
        self.file.read_exact(to).map_err(|error| {
            Failure::new(&format!("cannot read {}:{}", self.path.display(), self.at), error)
        })?;
        self.at += to.len() as u64;
        Ok(())
    }

    fn header(&mut self) -> Result<(EventHeader, [u8; EventHeader::LEN]), Failure> {
        let start = self.at;
        let mut raw = [0; EventHeader::LEN];
        self.fill(&mut raw)?;
        let header = EventHeader::parse(&raw)
            .map_err(|error| Failure::new(&format!("{}:{start}", self.path.display()), error))?;
        let least = u32::try_from(EventHeader::LEN).unwrap_or(u32::MAX);
        if (least..=EVENT_LEN_MAX).contains(&header.event_len) {
            return Ok((header, raw));
        }
        self.at = start;
        Err(self.bad(&format!("no event begins here: its length would be {}", header.event_len)))
    }

    /// The whole event behind its header.
    fn whole(
        &mut self,
        header: &EventHeader,
        head: [u8; EventHeader::LEN],
    ) -> Result<Vec<u8>, Failure> {
        let mut raw = head.to_vec();
        raw.resize(usize::try_from(header.event_len).unwrap_or_default(), 0);
        let mut rest = raw.split_off(EventHeader::LEN);
        self.fill(&mut rest)?;
        raw.append(&mut rest);
        Ok(raw)
    }

    fn skip(&mut self, header: &EventHeader) -> Result<(), Failure> {
        self.at += u64::from(header.event_len) - EventHeader::LEN as u64;
        let sought = self.file.seek(SeekFrom::Start(self.at));
        sought.map(|_| ()).map_err(|error| Failure::new("cannot read on", error))
    }
}

/// What stands before the event, and the event.
#[derive(Debug, Default)]
struct Found {
    format: Vec<u8>,
    maps: Vec<Vec<u8>>,
    event: Vec<u8>,
}

fn find(events: &mut Events, offset: u64) -> Result<Found, Failure> {
    let mut found = Found::default();
    loop {
        if events.at > offset {
            events.at = offset;
            return Err(events.bad("this lies inside an event"));
        }
        let is_it = events.at == offset;
        let (header, head) = events.header()?;
        if is_it {
            found.event = events.whole(&header, head)?;
            return Ok(found);
        }
        match header.event_type {
            t::FORMAT_DESCRIPTION => found.format = events.whole(&header, head)?,
            t::TABLE_MAP => found.maps.push(events.whole(&header, head)?),
            t::QUERY | t::XID | t::GTID | t::ANONYMOUS_GTID | t::MARIADB_GTID => {
                found.maps.clear();
                events.skip(&header)?;
            }
            _ => events.skip(&header)?,
        }
    }
}

/// An event for another place in another file.
fn moved(mut raw: Vec<u8>, at: usize, checksum: Checksum) -> Vec<u8> {
    let end = u32::try_from(at + raw.len()).unwrap_or_default();
    if let Some(log_pos) = raw.get_mut(13..17) {
        log_pos.copy_from_slice(&end.to_le_bytes());
    }
    if checksum == Checksum::Crc32
        && let Some((summed, sum)) = raw.split_last_chunk_mut::<CHECKSUM_LEN>()
    {
        *sum = crc32fast::hash(summed).to_le_bytes();
    }
    raw
}

/// The end of a transaction: without it rows are not shown.
fn commit(event: &[u8], checksum: Checksum) -> Vec<u8> {
    let sum = if checksum == Checksum::Crc32 { CHECKSUM_LEN } else { 0 };
    let mut raw = event.get(..EventHeader::LEN).unwrap_or_default().to_vec();
    raw.resize(EventHeader::LEN + 8 + sum, 0);
    let len = u32::try_from(raw.len()).unwrap_or_default();
    if let Some(event_type) = raw.get_mut(4) {
        *event_type = t::XID;
    }
    if let Some(event_len) = raw.get_mut(9..13) {
        event_len.copy_from_slice(&len.to_le_bytes());
    }
    raw
}

/// Masks the values of an event.
fn redact(found: &mut Found, format: &FormatDescription) -> Result<(), Failure> {
    let header = EventHeader::parse(&found.event).map_err(|e| Failure::new("bad header", e))?;
    let sum = if format.checksum == Checksum::Crc32 { CHECKSUM_LEN } else { 0 };
    let body_of = |raw: &[u8]| {
        let end = raw.len().saturating_sub(sum);
        raw.get(EventHeader::LEN..end).unwrap_or_default().to_vec()
    };
    let body = body_of(&found.event);
    let kept = match RowsEvent::parse(&body, header.event_type, format) {
        Ok(rows) => {
            let maps: Vec<Vec<u8>> = found.maps.iter().map(|map| body_of(map)).collect();
            let mut map = maps.iter().filter_map(|map| TableMap::parse(map, format).ok());
            let map = map.rfind(|map| map.table_id == rows.table_id);
            let kinds = map.and_then(|map| map.columns().ok()).unwrap_or_default();
            [
                body.get(..body.len() - rows.rows.len()).unwrap_or_default(),
                &redact::rows(&rows, &kinds),
            ]
            .concat()
        }
        Err(_) if header.event_type == t::QUERY => {
            let len = QueryEvent::parse(&body, format).map_or(body.len(), |query| query.sql.len());
            let (front, sql) = body.split_at(body.len() - len);
            [front, &redact::statement(sql)].concat()
        }
        // Neither rows nor text.
        Err(_) => return Ok(()),
    };
    if let Some(to) = found.event.get_mut(EventHeader::LEN..EventHeader::LEN + kept.len()) {
        to.copy_from_slice(&kept);
    }
    Ok(())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = arguments.place.rsplit_once(':');
    let place = place.and_then(|(file, offset)| Some((file, offset.parse().ok()?)));
    let Some((path, offset)) = place else {
        return Err(Failure::of(&format!("{} is not FILE:OFFSET", arguments.place)));
    };
    let mut events = Events::open(Path::new(path))?;
    let mut found = find(&mut events, offset)?;
    let mut stream = EventStream::new(path, MAGIC.len() as u64, Checksum::None);
    if !found.format.is_empty() {
        stream.accept(&found.format).map_err(|e| Failure::new("bad format description", e))?;
    }
    let format = stream.format().clone();
    if !arguments.keep_values {
        redact(&mut found, &format)?;
    }
    let mut out = MAGIC.to_vec();
    let Found { format: first, maps, event } = found;
    let end = commit(&event, format.checksum);
    for raw in [vec![first], maps, vec![event, end]].into_iter().flatten() {
        let at = out.len();
        out.extend(moved(raw, at, format.checksum));
    }
    let written = File::create(&arguments.out).and_then(|mut file| file.write_all(&out));
    written.map_err(|error: io::Error| {
        Failure::new(&format!("cannot write {}", arguments.out.display()), error)
    })?;
    let values = if arguments.keep_values { "values as they are" } else { "values masked" };
    say(&format!("{}: {} bytes, {values}", arguments.out.display(), out.len()));
    Ok(())
}
