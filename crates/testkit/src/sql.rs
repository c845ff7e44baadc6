//! A connection to a server that stays: its default database, settings and temporary tables with it.

use std::fs::File;
use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::server::Server;

/// What the client writes to its standard output when all before it has been answered.
const MARK: &str = "#statements ended";

/// Time for statements to be answered.
const DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks at what has been answered.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A connection of its own: a client program that waits for statements. Dropping it closes the
/// connection.
#[derive(Debug)]
#[must_use]
pub struct SqlSession {
    child: Child,
    input: Option<ChildStdin>,
    folder: TempDir,
    /// Bytes of its standard output that were read.
    answered: usize,
    /// Bytes of its standard error that were read.
    read: usize,
}

impl SqlSession {
    /// Connects as root, without a default database.
    ///
    /// # Panics
    /// When the client does not run.
    pub fn open(server: &Server) -> Self {
        let folder = match TempDir::with_prefix("towpath-session-") {
            Ok(folder) => folder,
            Err(error) => panic!("no folder for the output of a session: {error}"),
        };
        let file = |name: &str| match File::create(folder.path().join(name)) {
            Ok(file) => file,
            Err(error) => panic!("{}: {error}", folder.path().join(name).display()),
        };
        let spawned = server
            .client()
            .args(["--force", "--comments", "--skip-column-names", "--raw", "--unbuffered"])
            .stdin(Stdio::piped())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => panic!("mariadb: {error}: run scripts/servers/fetch"),
        };
        let input = child.stdin.take();
        Self { child, input, folder, answered: 0, read: 0 }
    }

    /// Runs statements; goes on after those that fail. What the client says of those.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn try_run(&mut self, sql: &str) -> String {
        self.answered(sql).1
    }

    /// The lines that statements answer with, fields by tabs.
    ///
    /// # Panics
    /// When one fails.
    pub fn ask(&mut self, sql: &str) -> Vec<String> {
        let (lines, said) = self.answered(sql);
        assert!(said.is_empty(), "{sql}: {said}");
        lines
    }

    fn answered(&mut self, sql: &str) -> (Vec<String>, String) {
        let Some(input) = &mut self.input else { panic!("the session is closed") };
        let sent = writeln!(input, "{sql}\nSELECT '{MARK}';").and_then(|()| input.flush());
        let end = Instant::now() + DEADLINE;
        loop {
            let all = self.file("stdout");
            let new = String::from_utf8_lossy(all.get(self.answered..).unwrap_or_default());
            if let Some(lines) = new.strip_suffix(&format!("{MARK}\n")) {
                let lines = lines.lines().map(ToOwned::to_owned).collect();
                self.answered = all.len();
                return (lines, self.said());
            }
            let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            assert!(
                !has_ended && Instant::now() < end,
                "no answer to {sql}: {sent:?} {new} {}",
                self.said()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        let path = self.folder.path().join(name);
        match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// Runs statements.
    ///
    /// # Panics
    /// When one fails.
    pub fn run(&mut self, sql: &str) {
        let said = self.try_run(sql);
        assert!(said.is_empty(), "{sql}: {said}");
    }

    /// What has come on its standard error since the last call.
    fn said(&mut self) -> String {
        let all = self.file("stderr");
        let new = all.get(self.read..).unwrap_or_default();
        self.read = all.len();
        String::from_utf8_lossy(new).into_owned()
    }
}

impl Drop for SqlSession {
    fn drop(&mut self) {
        // The client ends at the end of its input, so that the server learns of the end.
        drop(self.input.take());
        let _ended: bool = self.child.wait().is_ok();
    }
}
