//! A file of records that grows at its end (see `docs/schema-history.md`).

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::create_private;
use crate::StateError;

/// First bytes of the file: what it is, and the version of its form.
const HEAD: &[u8; 16] = b"towpath history1";
/// Before each record: its length, the same inverted, and the checksum.
const FRAME_LEN: usize = 12;
/// Bytes that a record can have.
const RECORD_LEN_MAX: usize = 64 << 20;
/// Bytes that the file can have: it is read as a whole.
const FILE_LEN_MAX: u64 = 4 << 30;

/// Records in one file: appended one by one, or replaced all at once. An append is on disk when it
/// returns; a crash leaves all records before it, and this one or not. Holds the lock of the state
/// directory.
#[derive(Debug)]
pub struct RecordLog {
    path: PathBuf,
    directory: PathBuf,
    file: Option<File>,
    len: u64,
    _lock: Arc<File>,
}

impl RecordLog {
    pub(super) const fn new(path: PathBuf, directory: PathBuf, lock: Arc<File>) -> Self {
        Self { path, directory, file: None, len: 0, _lock: lock }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.len
    }

    /// What `read` makes of each record; nothing when there is no file. What a crash left of an
    /// append is cut off.
    ///
    /// # Errors
    /// [`StateError::DamagedLog`] when the file is damaged elsewhere than at its end;
    /// [`StateError::Read`].
    pub fn load<T>(&mut self, read: impl FnMut(&[u8]) -> T) -> Result<Vec<T>, StateError> {
        let failed = |path: &Path, source| StateError::Read { path: path.to_owned(), source };
        let opened = File::options().read(true).write(true).open(&self.path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.path, error)),
        };
        let len = file.metadata().map_err(|e| failed(&self.path, e))?.len();
        if len > FILE_LEN_MAX {
            return Err(self.damaged(0, format!("{len} bytes are too many")));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| failed(&self.path, e))?;
        let (records, end) = split(&bytes, read).map_err(|(at, what)| self.damaged(at, what))?;
        if end < bytes.len() {
            tracing::warn!(
                file = %self.path.display(),
                cut_bytes = bytes.len() - end,
                "the last record is not whole: a crash interrupted its writing, it is cut off"
            );
            let write = |source| StateError::Write { path: self.path.clone(), source };
            file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(write)?;
        }
        file.seek(SeekFrom::End(0)).map_err(|e| failed(&self.path, e))?;
        self.len = end as u64;
        self.file = Some(file);
        Ok(records)
    }

    /// Adds records behind the others, one after the other.
    ///
    /// # Errors
    /// [`StateError::Write`]; the records are then not in the file.
    pub fn append(&mut self, records: impl IntoIterator<Item = Vec<u8>>) -> Result<(), StateError> {
        let write = |source| StateError::Write { path: self.path.clone(), source };
        let Some(file) = &mut self.file else {
            return self.replace(records);
        };
        let written = write_framed(file, records).and_then(|len| {
            file.sync_data()?;
            Ok(len)
        });
        if written.is_err() {
            // A part of it must not stand before what is written next.
            let undone = file.set_len(self.len).and_then(|()| file.seek(SeekFrom::End(0)));
            if undone.is_err() {
                self.file = None;
            }
        }
        self.len += written.map_err(write)?;
        Ok(())
    }

    /// Puts these records in the place of all others. After a crash at any moment either the old
    /// file or the new one is there.
    ///
    /// # Errors
    /// [`StateError::Write`]; the old records are then still there.
    pub fn replace(
        &mut self,
        records: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<(), StateError> {
        let temporary = self.path.with_extension("tmp");
        let failed = |path: &Path, source| StateError::Write { path: path.to_owned(), source };
        let mut file = create_private(&temporary).map_err(|e| failed(&temporary, e))?;
        let written = file.write_all(HEAD).and_then(|()| write_framed(&mut file, records));
        let len = written.map_err(|e| failed(&temporary, e))?;
        file.sync_all().map_err(|e| failed(&temporary, e))?;
        fs::rename(&temporary, &self.path).map_err(|e| failed(&self.path, e))?;
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|e| failed(&self.directory, e))?;
        self.len = HEAD.len() as u64 + len;
        self.file = Some(file);
        Ok(())
    }

    /// Moves a file that cannot be used out of the way; where it lies now.
    ///
    /// # Errors
    /// [`StateError::Write`]
    pub fn set_aside(&mut self) -> Result<PathBuf, StateError> {
        let aside = self.path.with_extension("damaged");
        self.file = None;
        fs::rename(&self.path, &aside)
            .map_err(|source| StateError::Write { path: self.path.clone(), source })?;
        Ok(aside)
    }

    fn damaged(&self, offset: usize, what: String) -> StateError {
        StateError::DamagedLog { path: self.path.clone(), offset, what }
    }
}

fn checksum(len: [u8; 4], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(record);
    hasher.finalize()
}

/// Writes records; the number of bytes.
fn write_framed(
    file: &mut File,
    records: impl IntoIterator<Item = Vec<u8>>,
) -> std::io::Result<u64> {
    let (mut out, mut written) = (BufWriter::new(file), 0);
    for record in records {
        let len = u32::try_from(record.len()).ok().filter(|_| record.len() <= RECORD_LEN_MAX);
        let Some(len) = len else {
            let what = format!("a record of {} bytes is too long", record.len());
            return Err(std::io::Error::other(what));
        };
        let len = len.to_le_bytes();
        out.write_all(&len)?;
        out.write_all(&len.map(|byte| !byte))?;
        out.write_all(&checksum(len, &record).to_le_bytes())?;
        out.write_all(&record)?;
        written += (FRAME_LEN + record.len()) as u64;
    }
    out.flush()?;
    Ok(written)
}

/// Records, and where the last whole one ends.
type Records<T> = (Vec<T>, usize);

/// The records; or where the damage is, and what.
fn split<T>(bytes: &[u8], mut read: impl FnMut(&[u8]) -> T) -> Result<Records<T>, (usize, String)> {
    if !bytes.starts_with(HEAD) {
        return Err((0, "it does not begin as a history of this version does".to_owned()));
    }
    let (mut records, mut at) = (Vec::new(), HEAD.len());
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        // What an interrupted append leaves: too few bytes, or a part that was never filled.
        let Some((head, tail)) = rest.split_first_chunk::<FRAME_LEN>() else { break };
        let [a, b, c, d, w, x, y, z, sum @ ..] = *head;
        let len = [a, b, c, d];
        if [!w, !x, !y, !z] != len {
            if rest.iter().all(|byte| *byte == 0) {
                break;
            }
            return Err((at, "the length of a record is wrong".to_owned()));
        }
        let record_len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
        let Some(record) = tail.get(..record_len) else { break };
        if checksum(len, record) != u32::from_le_bytes(sum) {
            if tail.len() == record_len || rest.iter().all(|byte| *byte == 0) {
                break;
            }
            return Err((at, "the checksum of a record is wrong".to_owned()));
        }
        records.push(read(record));
        at += FRAME_LEN + record_len;
    }
    Ok((records, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in(folder: &Path) -> RecordLog {
        let lock = Arc::new(File::create(folder.join("lock")).unwrap());
        RecordLog::new(folder.join("schema.history"), folder.to_owned(), lock)
    }

    fn record(number: u8) -> Vec<u8> {
        vec![number; usize::from(number) * 3 + 1]
    }

    fn filled(folder: &Path) -> Vec<u8> {
        let mut log = log_in(folder);
        assert_eq!(log.load(<[u8]>::to_vec).unwrap(), Vec::<Vec<u8>>::new());
        log.replace([record(0)]).unwrap();
        log.append([record(1), record(2)]).unwrap();
        log.append([record(3)]).unwrap();
        let bytes = fs::read(log.path()).unwrap();
        assert_eq!(log.len_bytes(), bytes.len() as u64);
        bytes
    }

    /// Every file that a crash can leave of an append gives all records before it, and takes more.
    #[test]
    fn a_crash_in_an_append_loses_that_record_only() {
        let folder = tempfile::tempdir().unwrap();
        let whole = filled(folder.path());
        let last = whole.len() - FRAME_LEN - record(3).len();
        for len in last..=whole.len() {
            for zeros in [0, 1, 40] {
                let torn = [&whole[..len], &vec![0; zeros]].concat();
                if zeros > 0 && (len != last && len + zeros > whole.len() || len == whole.len()) {
                    continue;
                }
                fs::write(folder.path().join("schema.history"), torn).unwrap();
                let mut log = log_in(folder.path());
                let expected = if len == whole.len() { 0..4 } else { 0..3 };
                let expected: Vec<Vec<u8>> = expected.map(record).collect();
                assert_eq!(
                    log.load(<[u8]>::to_vec).unwrap(),
                    expected,
                    "{len} bytes and {zeros} zeros"
                );
                log.append([record(9)]).unwrap();
                let again = log_in(folder.path()).load(<[u8]>::to_vec).unwrap();
                assert_eq!(again, [expected, vec![record(9)]].concat());
            }
        }
    }

    /// A crash while all is replaced leaves the old records: the new file takes their name last.
    #[test]
    fn a_crash_in_a_replacement_leaves_the_old_records() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path());
        fs::write(folder.path().join("schema.tmp"), b"half of it").unwrap();
        let mut log = log_in(folder.path());
        assert_eq!(log.load(<[u8]>::to_vec).unwrap().len(), 4);
        log.replace([record(7)]).unwrap();
        assert_eq!(log_in(folder.path()).load(<[u8]>::to_vec).unwrap(), [record(7)]);
    }

    #[test]
    fn damage_before_the_end_is_named_and_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let whole = filled(folder.path());
        let last = whole.len() - FRAME_LEN - record(3).len();
        for at in 0..last {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(folder.path().join("schema.history"), &bytes).unwrap();
            let mut log = log_in(folder.path());
            let error = log.load(<[u8]>::to_vec).unwrap_err().to_string();
            assert!(error.contains("schema.history is damaged at byte"), "byte {at}: {error}");
            let aside = log.set_aside().unwrap();
            assert_eq!(fs::read(aside).unwrap(), bytes);
            assert_eq!(log_in(folder.path()).load(<[u8]>::to_vec).unwrap().len(), 0);
        }
    }
}
