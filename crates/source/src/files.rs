//! Binlog files as the source: one file, or a folder of them in the order of their numbers.

mod look;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_binlog::transaction::{FateScan, TransactionFate};
use towpath_binlog::{Checksum, EventHeader, EventStream, RawEvent, StreamError};
use towpath_schema::NameCase;
use tracing::warn;

use crate::Filled;
use crate::error::SourceError;
use crate::fate::{self, Behind};
use crate::start::Start;

const MAGIC: [u8; 4] = [0xfe, 0x62, 0x69, 0x6e];
const MAGIC_ENCRYPTED: [u8; 4] = [0xfd, 0x62, 0x69, 0x6e];
const BLOCK_LEN: usize = 256 << 10;

/// Reads files one behind the other.
#[derive(Debug)]
pub struct FileSource {
    /// All files, in their order.
    all: Vec<PathBuf>,
    waiting: VecDeque<PathBuf>,
    open: Option<OpenFile>,
    event_len_max: usize,
    news: News,
}

/// What [`FileSource::fill`] has to tell of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Nothing,
    /// It went back to the begin of a transaction.
    Rewound,
    /// A file does not go on where the one before it ends.
    Break,
}

/// A binlog file that is being read.
#[derive(Debug)]
pub(crate) struct OpenFile {
    path: PathBuf,
    file: File,
    stream: EventStream,
    /// Initialised in full: what lies behind `unread` may hold anything.
    buffer: Vec<u8>,
    unread: Range<usize>,
    /// Offset in this file of the next event. In a relay log the stream counts the master's offsets.
    at: u64,
    last: (usize, u64),
    /// Events before this offset are read (the format description is needed) and not handed out.
    from: u64,
    /// Its first event, once that is known.
    first: Option<look::First>,
}

fn widen(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// The number behind the last dot.
fn number(path: &Path) -> Option<u64> {
    path.extension()?.to_str()?.parse().ok()
}

impl FileSource {
    /// Opens a binlog file, or the folder that holds them.
    ///
    /// # Errors
    /// [`SourceError::File`], [`SourceError::BadFile`] when there is nothing to read;
    /// [`SourceError::Start`] for a start that files do not have.
    pub fn open(path: &Path, start: &Start, event_len_max: usize) -> Result<Self, SourceError> {
        let failed = |source| SourceError::File { path: path.to_owned(), source };
        let mut files = Vec::new();
        if std::fs::metadata(path).map_err(failed)?.is_dir() {
            for entry in std::fs::read_dir(path).map_err(failed)? {
                let file = entry.map_err(failed)?.path();
                if number(&file).is_some() && file.is_file() {
                    files.push(file);
                }
            }
            files.sort_by_key(|file| (number(file), file.clone()));
        } else {
            files.push(path.to_owned());
        }
        Self::of(files, path, start, event_len_max)
    }

    /// Reads these files, one behind the other.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_all(files: &[PathBuf], event_len_max: usize) -> Result<Self, SourceError> {
        let first = files.first().map_or(Path::new("."), PathBuf::as_path);
        Self::of(files.to_vec(), first, &Start::Earliest, event_len_max)
    }

    fn of(
        files: Vec<PathBuf>,
        path: &Path,
        start: &Start,
        event_len_max: usize,
    ) -> Result<Self, SourceError> {
        if files.is_empty() {
            let reason = "no files named like mysql-bin.000001 in this folder".to_owned();
            return Err(SourceError::BadFile { path: path.to_owned(), offset: 0, reason });
        }
        let (all, waiting) = (files.clone(), files.into());
        let mut source = Self { all, waiting, open: None, event_len_max, news: News::Nothing };
        source.seek(start)?;
        Ok(source)
    }

    fn seek(&mut self, start: &Start) -> Result<(), SourceError> {
        let fail = |start: String, reason: &str| {
            Err(SourceError::Start { start, reason: reason.to_owned() })
        };
        match start {
            Start::Earliest => Ok(()),
            Start::Now => {
                self.waiting.clear();
                Ok(())
            }
            Start::At { file, offset } => {
                let wanted =
                    |path: &PathBuf| path.file_name().is_some_and(|name| name == file.as_str());
                let Some(index) = self.waiting.iter().position(wanted) else {
                    return fail(format!("{file}:{offset}"), "there is no such file");
                };
                self.waiting.drain(..index);
                self.next_file()?;
                if let Some(open) = &mut self.open {
                    open.from = *offset;
                }
                Ok(())
            }
            Start::Gtid(set) => fail(
                format!("gtid:{set}"),
                "files cannot be searched by GTID; take earliest or FILE:OFFSET",
            ),
            Start::Time { unix_s } => fail(
                format!("time:{unix_s}"),
                "files cannot be searched by time; take earliest or FILE:OFFSET",
            ),
        }
    }

    /// The place at which reading begins: the first file that is left.
    pub(crate) fn begin(&self) -> String {
        if let Some(open) = &self.open {
            return format!("{}:{}", look::name_of(&open.path), open.from.max(open.at));
        }
        self.waiting
            .front()
            .map_or_else(|| "their end".to_owned(), |path| format!("{}:4", look::name_of(path)))
    }

    /// Bytes of all files that are still to be read, for a progress bar.
    #[must_use]
    pub fn remaining_bytes(&self) -> u64 {
        let waiting: u64 = self
            .waiting
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|meta| meta.len())
            .sum();
        let open = self.open.as_ref().map_or(0, |open| {
            let len = open.file.metadata().map_or(0, |meta| meta.len());
            len.saturating_sub(open.stream.offset())
        });
        waiting + open
    }

    fn next_file(&mut self) -> Result<bool, SourceError> {
        let Some(path) = self.waiting.pop_front() else { return Ok(false) };
        self.open = Some(OpenFile::open(&path, &look::name_of(&path), 4)?);
        Ok(true)
    }

    /// Goes on behind a file that was read to its end.
    fn go_on(&mut self, before: &OpenFile) -> Result<bool, SourceError> {
        if !self.next_file()? {
            return Ok(false);
        }
        let Some(next) = &mut self.open else { return Ok(false) };
        let (was, is) = (before.first, look::first(next)?);
        next.first = is;
        let is_later = was
            .zip(is)
            .is_none_or(|((server, from), (other, begun))| server == other && begun >= from);
        if !is_later || !look::follows(&before.path, before.stream.file(), &next.path) {
            warn!(
                before = %before.path.display(),
                file = %next.path.display(),
                "this file does not go on where the one before it ends: what is known of tables is forgotten"
            );
            self.news = News::Break;
        }
        Ok(true)
    }

    pub(crate) fn fill(&mut self) -> Result<Filled, SourceError> {
        loop {
            match std::mem::replace(&mut self.news, News::Nothing) {
                News::Nothing => {}
                News::Rewound => return Ok(Filled::Reconnected),
                News::Break => return Ok(Filled::Anew),
            }
            let Some(open) = &mut self.open else {
                if self.next_file()? {
                    continue;
                }
                return Ok(Filled::End);
            };
            if open.first.is_none() {
                open.first = look::first(open)?;
                if open.first.is_some() {
                    return Ok(Filled::Events);
                }
            }
            if open.fill()? {
                return Ok(Filled::Events);
            }
            if let Some(before) = self.open.take()
                && self.go_on(&before)?
                && self.news == News::Nothing
            {
                return Ok(Filled::Events);
            }
        }
    }

    /// See [`crate::Source::rewind`].
    pub(crate) async fn rewind(&mut self) -> Result<bool, SourceError> {
        let Some(open) = &self.open else { return Ok(false) };
        let (path, offset) = (open.path.clone(), open.from);
        let Some(begin) = look::transaction_begin(&path, offset, self.event_len_max).await? else {
            return Ok(false);
        };
        warn!(
            file = %path.display(), offset, begin,
            "this lies inside a transaction: going back to its begin"
        );
        let mut open = OpenFile::open(&path, &look::name_of(&path), 4)?;
        open.from = begin;
        self.open = Some(open);
        self.news = News::Rewound;
        Ok(true)
    }

    /// Searches all files for how their server compares names.
    pub(crate) async fn find_name_case(&self) -> NameCase {
        look::name_case(self.all.iter().map(PathBuf::as_path), self.event_len_max).await
    }

    /// See [`crate::Source::try_fill`]. Goes on in the file that is open only.
    pub(crate) fn try_fill(&mut self) -> bool {
        // What failed fails again, and is told then.
        self.open.as_mut().is_some_and(|open| open.fill().is_ok_and(|has_more| has_more))
    }

    #[inline]
    pub(crate) fn next_event(&mut self) -> Result<Option<RawEvent<'_>>, SourceError> {
        let limit = self.event_len_max;
        match &mut self.open {
            Some(open) => open.next_event(limit),
            None => Ok(None),
        }
    }

    /// See [`crate::Source::fate`]. A transaction at the end of the last file is perhaps still being written.
    pub(crate) async fn fate(&self, scan: FateScan) -> Result<TransactionFate, SourceError> {
        let Some(open) = &self.open else { return Ok(TransactionFate::default()) };
        let behind = if self.waiting.is_empty() { Behind::Nothing } else { Behind::AnotherFile };
        fate::in_file(scan, open.again()?, behind, self.event_len_max).await
    }

    pub(crate) fn file(&self) -> Option<Arc<str>> {
        self.open.as_ref().map(|open| Arc::clone(open.stream.file()))
    }

    pub(crate) fn unread(&mut self) {
        if let Some(open) = &mut self.open {
            open.unread();
        }
    }
}

impl OpenFile {
    /// Opens the file at `path`, which is called `name` in the binlog. Its events come from offset
    /// `from` on.
    pub(crate) fn open(path: &Path, name: &str, from: u64) -> Result<Self, SourceError> {
        let failed = |source| SourceError::File { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut magic = [0; 4];
        let read = file.read(&mut magic).map_err(failed)?;
        let bad = |reason: &str| SourceError::BadFile {
            path: path.to_owned(),
            offset: 0,
            reason: reason.to_owned(),
        };
        if magic == MAGIC_ENCRYPTED {
            return Err(bad("the file is encrypted: read it through its server instead"));
        }
        if read < 4 || magic != MAGIC {
            return Err(bad(
                "not a binlog: it does not begin with fe 62 69 6e; the server lists its binlog files with SHOW BINARY LOGS",
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            stream: EventStream::new(name, 4, Checksum::None),
            buffer: Vec::new(),
            unread: 0..0,
            at: 4,
            last: (0, 0),
            from,
            first: None,
        })
    }

    /// The same file again from the event on that came last, to read ahead.
    pub(crate) fn again(&self) -> Result<Self, SourceError> {
        let failed = |source| SourceError::File { path: self.path.clone(), source };
        let (start, offset) = self.last;
        let at = self.at - widen(self.unread.start - start);
        let mut file = File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(at)).map_err(failed)?;
        let mut stream = self.stream.clone();
        stream.unread(offset);
        let path = self.path.clone();
        let (buffer, unread) = (Vec::new(), 0..0);
        Ok(Self { path, file, stream, buffer, unread, at, last: (0, 0), from: 0, first: None })
    }

    /// Reads the next block; false at the end of the file.
    pub(crate) fn fill(&mut self) -> Result<bool, SourceError> {
        if self.read_block()? > 0 {
            return Ok(true);
        }
        if self.unread.is_empty() { Ok(false) } else { Err(self.cut_off()) }
    }

    /// The event that came last comes again.
    pub(crate) fn unread(&mut self) {
        let (start, offset) = self.last;
        self.at -= widen(self.unread.start - start);
        self.unread.start = start;
        self.stream.unread(offset);
    }

    /// The binlog file, or the one that its last event announced.
    pub(crate) const fn name(&self) -> &Arc<str> {
        self.stream.file()
    }

    /// Offset at which the next event begins, in the binlog.
    pub(crate) const fn offset(&self) -> u64 {
        self.stream.offset()
    }

    /// Offset of the event that was handed out last.
    pub(crate) const fn last_offset(&self) -> u64 {
        self.last.1
    }

    fn read_block(&mut self) -> Result<usize, SourceError> {
        self.buffer.copy_within(self.unread.clone(), 0);
        let filled = self.unread.len();
        // An event longer than the buffer makes it grow; room for its beginning is enough otherwise.
        if self.buffer.len() < filled + BLOCK_LEN / 2 {
            self.buffer.resize(filled + BLOCK_LEN, 0);
        }
        let room = self.buffer.get_mut(filled..).unwrap_or_default();
        let count = self
            .file
            .read(room)
            .map_err(|source| SourceError::File { path: self.path.clone(), source })?;
        self.unread = 0..filled + count;
        Ok(count)
    }

    fn cut_off(&self) -> SourceError {
        let left = self.buffer.get(self.unread.clone()).unwrap_or_default();
        let claimed = EventHeader::parse(left).map_or(EventHeader::LEN, |header| {
            usize::try_from(header.event_len).unwrap_or(usize::MAX)
        });
        SourceError::BadFile {
            path: self.path.clone(),
            offset: self.at,
            reason: format!(
                "an event of {claimed} bytes is expected, {} are left: the file is cut off or still \
                 being written",
                left.len()
            ),
        }
    }

    /// The next event that is in the buffer; `limit` is the longest that is taken, in bytes.
    #[inline]
    pub(crate) fn next_event(&mut self, limit: usize) -> Result<Option<RawEvent<'_>>, SourceError> {
        if self.at < self.from {
            self.skip(limit)?;
        }
        let Some(raw) = self.next_raw(limit)? else { return Ok(None) };
        let before = self.stream.offset();
        let Some(bytes) = self.buffer.get(raw.clone()) else { return Ok(None) };
        match self.stream.accept(bytes) {
            Ok(event) => {
                self.last = (raw.start, before);
                self.at += widen(raw.len());
                self.unread.start = raw.end;
                Ok(Some(event))
            }
            Err(error) => Err(refused(&self.path, self.at, &error)),
        }
    }

    /// Reads over the events before `from`.
    #[cold]
    fn skip(&mut self, limit: usize) -> Result<(), SourceError> {
        while self.at < self.from {
            let Some(raw) = self.next_raw(limit)? else { return Ok(()) };
            let bytes = self.buffer.get(raw.clone()).unwrap_or_default();
            self.stream.accept(bytes).map_err(|e| refused(&self.path, self.at, &e))?;
            self.unread.start = raw.end;
            self.at += widen(raw.len());
        }
        if self.at > self.from {
            let reason = format!("offset {} lies inside the event before it", self.from);
            return Err(self.bad(reason));
        }
        Ok(())
    }

    /// Where in the buffer the next event lies; `None` when it is not there in full.
    #[inline]
    fn next_raw(&self, limit: usize) -> Result<Option<Range<usize>>, SourceError> {
        let start = self.unread.start;
        let rest = self.buffer.get(start..self.unread.end).unwrap_or_default();
        if rest.len() < EventHeader::LEN {
            return Ok(None);
        }
        let len = EventHeader::peek_len(rest).unwrap_or_default();
        if len < EventHeader::LEN || len > limit {
            return Err(self.bad_len(rest, limit));
        }
        Ok((len <= rest.len()).then_some(start..start + len))
    }

    #[cold]
    fn bad_len(&self, rest: &[u8], limit: usize) -> SourceError {
        self.bad(match EventHeader::parse(rest) {
            Err(error) => error.to_string(),
            Ok(header) => {
                let len = header.event_len;
                format!("the event claims {len} bytes, the limit is {limit} (--event-len-max)")
            }
        })
    }

    fn bad(&self, reason: String) -> SourceError {
        SourceError::BadFile { path: self.path.clone(), offset: self.at, reason }
    }
}

/// An event that cannot follow the one before it.
#[cold]
fn refused(path: &Path, at: u64, error: &StreamError) -> SourceError {
    SourceError::BadFile {
        path: path.to_owned(),
        offset: at,
        reason: format!("event type {}: {}", error.event_type, error.source),
    }
}
