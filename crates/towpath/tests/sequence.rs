//! Numbers in a table, and what a client gets of them.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use towpath_client::{Session, SessionOptions};
use towpath_protocol::entry::{Entry, EntryType};
use towpath_testkit::{Proxy, Server, Towpath, wait_until};

use crate::binary;

/// Time for anything to happen on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Makes the table.
pub(crate) const TABLE: &str =
    "CREATE DATABASE d; CREATE TABLE d.n (id INT PRIMARY KEY) ENGINE=InnoDB;\n";

/// Writes numbers, each as a transaction.
pub(crate) fn write(server: &Server, numbers: std::ops::RangeInclusive<i64>) {
    let sql: String = numbers.map(|n| format!("INSERT INTO d.n VALUES ({n});\n")).collect();
    server.run(&sql);
}

/// Says that it is over, also when it fails.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// `towpath serve`, and its state.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) towpath: Towpath,
    state: TempDir,
}

/// The state of a `towpath serve` that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) state: TempDir,
}

impl Ended {
    /// Removes all of its state but the history of structures.
    pub(crate) fn forget_cursors(&self) {
        for entry in std::fs::read_dir(self.state.path().join("example")).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("schema.history") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    pub(crate) fn start(self, arguments: &[&str]) -> Serving {
        Serving::with_state(self.state, arguments)
    }
}

impl Serving {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::with_state(TempDir::new().unwrap(), arguments)
    }

    /// Starts it behind a proxy, from now on, and waits until it runs. The arguments come, too.
    pub(crate) fn behind_proxy(server: &Server, arguments: &[&str]) -> (Proxy, Self) {
        let proxy = Proxy::start(server.port());
        let source = format!("mysql://canal:canal@{}", proxy.address());
        let mut serving =
            Self::start(&[&["--source", &source, "--from", "now"], arguments].concat());
        serving.wait_until_running();
        (proxy, serving)
    }

    fn with_state(state: TempDir, arguments: &[&str]) -> Self {
        let mut all = arguments.to_vec();
        if !arguments.contains(&"--zk") {
            all.extend(["--state", state.path().to_str().unwrap()]);
        }
        Self { towpath: Towpath::serve(binary(), &all), state }
    }

    /// Ends it and starts it again with its state.
    pub(crate) fn restart(self, arguments: &[&str]) -> Self {
        let ended = self.towpath.terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
        Self::with_state(self.state, arguments)
    }

    /// Ends it; its state stays.
    pub(crate) fn end(self) -> Ended {
        let ended = self.towpath.terminate();
        assert!(ended.status.success(), "{}", ended.stderr);
        Ended { state: self.state }
    }

    /// Kills it (signal 9); its state stays.
    pub(crate) fn kill(self) -> Ended {
        let _said = self.towpath.kill();
        Ended { state: self.state }
    }

    /// Waits until it has ended by itself; its state stays.
    pub(crate) fn ended(mut self) -> Ended {
        wait_until("it to end", DEADLINE, || self.towpath.program().has_ended().then_some(()));
        Ended { state: self.state }
    }

    /// A file in its state directory; nothing while it is not there.
    pub(crate) fn state(&self, path: &str) -> String {
        std::fs::read_to_string(self.state_path(path)).unwrap_or_default()
    }

    pub(crate) fn state_path(&self, path: &str) -> PathBuf {
        self.state.path().join(path)
    }

    /// The same when the destination before may have failed.
    pub(crate) fn restart_failing(mut self, arguments: &[&str]) -> Self {
        if !self.towpath.program().has_ended() {
            let _ended = self.towpath.terminate();
        }
        Self::with_state(self.state, arguments)
    }

    /// Waits until it says that it reads.
    pub(crate) fn wait_until_running(&mut self) {
        self.says("to=\"running\"");
    }

    pub(crate) fn says(&mut self, needle: &str) -> String {
        self.towpath.program().wait_for_line(needle, DEADLINE)
    }

    /// The numbers that a client gets up to `last`, each batch acknowledged.
    pub(crate) fn numbers_until(&mut self, last: i64) -> Vec<i64> {
        self.numbers_in_batches(last, 1000)
    }

    /// The same by batches of about `fetch_size` KiB: what comes behind the last one is not
    /// acknowledged.
    pub(crate) fn numbers_in_batches(&mut self, last: i64, fetch_size: i32) -> Vec<i64> {
        let is_last = |got: &i64| *got == last;
        self.until(("d\\.n", fetch_size), inserted, is_last, &last)
    }

    /// The rows that a client gets up to one that has `last` in it, each batch acknowledged.
    pub(crate) fn rows_until(&mut self, filter: &str, last: &str) -> Vec<String> {
        self.until((filter, 1000), shown, |row: &String| row.contains(last), &last)
    }

    pub(crate) fn until<T: Debug>(
        &mut self,
        (filter, fetch_size): (&str, i32),
        read: impl Fn(&[u8]) -> Vec<T>,
        is_last: impl Fn(&T) -> bool,
        last: &dyn Debug,
    ) -> Vec<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (address, end) = (self.towpath.address(), Instant::now() + DEADLINE);
        let mut all = Vec::new();
        let result = runtime.block_on(async {
            let mut client = Session::connect(&address, SessionOptions::default()).await?;
            client.subscribe(filter).await?;
            while !all.iter().any(&is_last) && Instant::now() < end {
                let batch = client.get(fetch_size, Duration::from_secs(1)).await?;
                if batch.is_nothing() {
                    continue;
                }
                for entry in &batch.entries {
                    all.extend(read(entry));
                }
                client.ack(batch.id).await?;
            }
            // An acknowledgement has no answer; what comes behind it has one, unless the server ends with it.
            if client.subscribe(filter).await.is_err() {
                self.towpath.program().wait_for_line("to=\"failed\"", DEADLINE);
            }
            client.close(Duration::from_secs(1)).await;
            Ok::<(), towpath_client::ClientError>(())
        });
        let mut said = || self.towpath.program().stderr();
        assert!(result.is_ok(), "{result:?}: {}", said());
        assert!(all.iter().any(is_last), "{last:?} is not in {all:?}: {}", said());
        all
    }
}

/// The numbers in an entry.
pub(crate) fn inserted(entry: &[u8]) -> Vec<i64> {
    let entry = Entry::parse(entry).unwrap();
    let change = entry.row_change().unwrap().unwrap_or_default();
    change.rows.iter().map(|row| row.after[0].value.unwrap().parse().unwrap()).collect()
}

/// Each row as `KIND schema.table column=value ...`, as it is or was last; a gap as `GAP` and what is
/// told of it.
fn shown(entry: &[u8]) -> Vec<String> {
    let entry = Entry::parse(entry).unwrap();
    let text = String::from_utf8_lossy(entry.store_value);
    if entry.entry_type == EntryType::TransactionBegin && text.contains("TOWPATH_GAP_WANTED") {
        return vec![format!("GAP {text}")];
    }
    let change = entry.row_change().unwrap().unwrap_or_default();
    let header = &entry.header;
    let table = [header.schema_name, header.table_name].map(Option::unwrap_or_default).join(".");
    let kind = change.event_type.name();
    let rows = change.rows.iter().map(|row| {
        let columns = if row.after.is_empty() { &row.before } else { &row.after };
        let columns = columns.iter().map(|c| format!("{}={}", c.name, c.value.unwrap_or("NULL")));
        format!("{kind} {table} {}", columns.collect::<Vec<_>>().join(" "))
    });
    rows.collect()
}

/// All numbers of a range, once and in order.
pub(crate) fn exactly(numbers: std::ops::RangeInclusive<i64>) -> Vec<i64> {
    numbers.collect()
}
