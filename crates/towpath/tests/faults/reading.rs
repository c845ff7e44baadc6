//! Ways to read what a server wrote.

use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use towpath_client::{Session, SessionOptions};
use towpath_protocol::entry::{Column, Entry, EntryType, EventType, RowChange};
use towpath_testkit::{Server, Towpath};

use crate::binary;

/// Time for everything to come.
const ARRIVAL: Duration = Duration::from_secs(20);

/// Time in which what is read again would come.
const AGAIN: Duration = Duration::from_secs(1);

/// A state directory, as it was at some time.
#[derive(Debug, Clone)]
pub(super) struct Kept(std::rc::Rc<TempDir>, History);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum History {
    There,
    Lost,
}

impl Kept {
    pub(super) fn none() -> Self {
        Self(std::rc::Rc::new(TempDir::new().unwrap()), History::There)
    }

    pub(super) fn without_history(&self) -> Self {
        Self(std::rc::Rc::clone(&self.0), History::Lost)
    }

    fn copy(from: &TempDir) -> TempDir {
        let to = TempDir::new().unwrap();
        let all = format!("{}/.", from.path().display());
        let copied = Command::new("cp").args(["-r", &all]).arg(to.path()).status().unwrap();
        assert!(copied.success());
        to
    }
}

/// `towpath serve` of a server, and what a client got of it.
#[derive(Debug)]
pub(super) struct Reading {
    towpath: Option<Towpath>,
    url: String,
    state: TempDir,
    came: Vec<String>,
    failed: Option<String>,
}

impl Reading {
    pub(super) fn start(server: &Server, kept: &Kept) -> Self {
        let state = Kept::copy(&kept.0);
        let history = state.path().join("example/schema.history");
        if kept.1 == History::Lost && history.exists() {
            std::fs::remove_file(history).unwrap();
        }
        let mut reading =
            Self { towpath: None, url: server.url(), state, came: Vec::new(), failed: None };
        reading.serve();
        reading
    }

    fn serve(&mut self) {
        let state = self.state.path().to_str().unwrap().to_owned();
        let arguments = ["--source", &self.url, "--state", &state, "--from", "earliest"];
        self.towpath = Some(Towpath::serve(binary(), &arguments));
    }

    /// Reads what has happened up to now, and keeps the state as it is then.
    pub(super) fn kept_after(&mut self, server: &Server, mark: u32) -> Kept {
        server.run(&format!("INSERT INTO done.mark VALUES ({mark})"));
        self.read_until(mark);
        let ended = self.towpath.take().unwrap().terminate();
        if !ended.status.success() {
            self.failed.get_or_insert(ended.stderr);
        }
        let kept = Kept(std::rc::Rc::new(Kept::copy(&self.state)), History::There);
        self.serve();
        kept
    }

    /// All that came up to the last mark.
    pub(super) fn rows(mut self) -> Result<Vec<String>, String> {
        self.read_until(2);
        match self.failed {
            Some(failed) => Err(format!("  ! {failed}")),
            None => Ok(in_order(self.came)),
        }
    }

    /// Acknowledges all up to a line, ends in order and starts again: what then comes, though nothing
    /// has happened.
    pub(super) fn again_after(&mut self, last: &str) -> Vec<String> {
        self.read_until_line(last);
        let ended = self.towpath.take().unwrap().terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
        self.came.clear();
        self.serve();
        let address = self.towpath.as_ref().unwrap().address();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let came = runtime.block_on(async {
            let mut client = Session::connect(&address, SessionOptions::default()).await?;
            client.subscribe("").await?;
            let (mut came, end) = (Vec::new(), Instant::now() + AGAIN);
            while Instant::now() < end {
                let batch = client.get(1000, AGAIN).await?;
                came.extend(batch.entries.iter().flat_map(|entry| shown(entry)));
            }
            client.close(Duration::from_secs(1)).await;
            Ok::<_, towpath_client::ClientError>(came)
        });
        came.unwrap()
    }

    fn read_until(&mut self, mark: u32) {
        self.read_until_line(&format!("INSERT done.mark id={mark}"));
    }

    fn read_until_line(&mut self, last: &str) {
        if self.failed.is_some() {
            return;
        }
        let towpath = self.towpath.as_mut().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (address, end) = (towpath.address(), Instant::now() + ARRIVAL);
        let came = &mut self.came;
        let result = runtime.block_on(async {
            let mut client = Session::connect(&address, SessionOptions::default()).await?;
            client.subscribe("").await?;
            while came.last().is_none_or(|line| line != last) {
                let said = towpath.program().stderr();
                if Instant::now() > end || said.contains("ERROR") {
                    return Ok(Some(errors(&said)));
                }
                let batch = client.get(1000, Duration::from_millis(500)).await?;
                if batch.is_nothing() {
                    continue;
                }
                for entry in &batch.entries {
                    came.extend(shown(entry));
                }
                client.ack(batch.id).await?;
            }
            // An acknowledgement has no answer; what comes behind it has one.
            client.subscribe("").await?;
            client.close(Duration::from_secs(1)).await;
            Ok::<_, towpath_client::ClientError>(None)
        });
        self.failed = match result {
            Ok(failed) => failed,
            Err(error) => {
                let said = towpath.program().stderr();
                let is_told = said.contains("cause=");
                Some(if is_told { errors(&said) } else { format!("{error}: {said}") })
            }
        };
    }
}

/// Why nothing more comes.
fn errors(said: &str) -> String {
    let cause = said.rsplit_once("cause=\"").or_else(|| said.rsplit_once("error: "));
    cause.map_or(said, |(_, cause)| cause.trim_end()).to_owned()
}

/// What `towpath decode` reads in the file.
pub(super) fn decoded(server: &Server) -> Result<Vec<String>, String> {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("entries");
    let output = Command::new(binary())
        .args(["decode", "--entries"])
        .arg(&out)
        .arg(server.binlog_folder().join("mysql-bin.000001"))
        .output()
        .unwrap();
    let bytes = std::fs::read(&out).unwrap();
    let mut rest = bytes.as_slice();
    let mut came = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (entry, tail) = tail.split_at(usize::try_from(u32::from_be_bytes(*len)).unwrap());
        came.extend(shown(entry));
        rest = tail;
    }
    if !output.status.success() {
        return Err(format!("  ! {}", errors(&String::from_utf8_lossy(&output.stderr))));
    }
    Ok(in_order(came))
}

/// What `towpath decode` prints of the file.
pub(super) fn printed(server: &Server, format: &str) -> String {
    let file = server.binlog_folder().join("mysql-bin.000001");
    let output = Command::new(binary()).args(["decode", format]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What came of the databases of the fault, by table: engines without transactions write at once.
fn in_order(came: Vec<String>) -> Vec<String> {
    let table = |line: &String| line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut came: Vec<String> = came.into_iter().filter(|line| !line.contains(" done")).collect();
    came.sort_by_key(table);
    came
}

/// Each row, or structure that a statement changed: `KIND schema.table column=value ...`.
fn shown(entry: &[u8]) -> Vec<String> {
    let entry = Entry::parse(entry).unwrap();
    let change = entry.row_change().unwrap().unwrap_or_default();
    let header = &entry.header;
    let name = [header.schema_name, header.table_name].map(Option::unwrap_or_default).join(".");
    let kind = change.event_type.name();
    if change.rows.is_empty() {
        let is_shown = entry.entry_type == EntryType::RowData
            && !["QUERY", "XACOMMIT", "XAROLLBACK"].contains(&kind);
        let rows = if change.sql.is_empty() { " without a row" } else { "" };
        return is_shown.then(|| format!("{kind} {name}{rows}")).into_iter().collect();
    }
    let image = |columns: &[Column<'_>]| -> String {
        let shown = columns.iter().map(|c| format!(" {}={}", c.name, c.value.unwrap_or("NULL")));
        shown.collect()
    };
    let line = |change: &RowChange<'_>, row: &towpath_protocol::entry::RowData<'_>| {
        let (before, after) = (image(&row.before), image(&row.after));
        if change.event_type == EventType::Update {
            format!("{kind} {name}{before} ->{after}")
        } else if change.event_type == EventType::Delete {
            format!("{kind} {name}{before}")
        } else {
            format!("{kind} {name}{after}")
        }
    };
    change.rows.iter().map(|row| line(&change, row)).collect()
}
