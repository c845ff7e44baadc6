//! Canal's published server, unchanged, under the small program of `tests/servers`.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::java::{HINT, java};
use crate::program::{Ended, Program};
use crate::server::{Server, free_port};

/// Time to start, and to end after a signal.
const DEADLINE: Duration = Duration::from_secs(60);

/// Time until ZooKeeper gives up a silent server, in milliseconds.
const SESSION_MS: u32 = 8000;

/// Of the password `canal`, as MySQL's `PASSWORD` makes it, without the star.
const CANAL_HASH: &str = "E3619321C1A937C46A0D8BD1DAC39F93B27D4458";

/// A running Canal server 1.1.7 with one destination, which begins with the source's first binlog
/// file. It knows MySQL up to 8.0 and MariaDB. Dropping it kills it.
#[derive(Debug)]
#[must_use]
pub struct CanalServer {
    program: Program,
    port: u16,
    _data: TempDir,
}

impl CanalServer {
    /// Starts a server that stands alone, and waits until it serves the destination. Its cursors are
    /// gone with it.
    ///
    /// # Panics
    /// When it is not there or does not come up.
    pub fn start(source: &Server, destination: &str) -> Self {
        let mut server = Self::launch(source, destination, &[]);
        server.wait_until_serving();
        server
    }

    /// The same, for clients that log in as `canal` with password `canal` only.
    ///
    /// # Panics
    /// When it is not there or does not come up.
    pub fn start_with_login(source: &Server, destination: &str) -> Self {
        let login = ["login=canal".to_owned(), format!("hash={CANAL_HASH}")];
        let mut server = Self::launch(source, destination, &login);
        server.wait_until_serving();
        server
    }

    /// Starts one of a cluster, and waits until it listens, whether or not the destination is its own.
    /// ZooKeeper is named as `host:port`; the cursors lie there.
    ///
    /// # Panics
    /// When it is not there or does not come up.
    pub fn start_in_cluster(zookeeper: &str, source: &Server, destination: &str) -> Self {
        Self::launch(source, destination, &in_cluster(zookeeper))
    }

    /// The same, in GTID mode: it goes on by the GTID set of the cursor, if that has one.
    ///
    /// # Panics
    /// When it is not there or does not come up.
    pub fn start_in_cluster_by_gtid(zookeeper: &str, source: &Server, destination: &str) -> Self {
        let mut more = in_cluster(zookeeper);
        more.push("gtid=true".to_owned());
        Self::launch(source, destination, &more)
    }

    fn launch(source: &Server, destination: &str, more: &[String]) -> Self {
        let data = match TempDir::with_prefix("towpath-canal-") {
            Ok(data) => data,
            Err(error) => panic!("no folder for a Canal server: {error}"),
        };
        let files = source.query("SHOW BINARY LOGS");
        let Some(file) = files.first().and_then(|row| row.first()) else {
            panic!("the source on port {} has no binlog", source.port());
        };
        let port = free_port();
        let mut command: Command = java("server-1.1.7", "CanalServerMain");
        command
            .arg(format!("port={port}"))
            .arg(format!("destination={destination}"))
            .arg(format!("source=127.0.0.1:{}", source.port()))
            .args(["user=canal", "password=canal"])
            .arg(format!("file={file}"))
            .arg(format!("data={}", data.path().display()))
            .args(more);
        let mut program = Program::start(&mut command, HINT);
        program.wait_for_line("listening on ", DEADLINE);
        Self { program, port, _data: data }
    }

    /// Waits until the destination is its own.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn wait_until_serving(&mut self) {
        self.program.wait_for_line("serving ", DEADLINE);
    }

    /// Whether the destination is, or was, its own.
    #[must_use]
    pub fn has_served(&self) -> bool {
        self.program.stdout().contains("serving ")
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The process.
    pub const fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Kills it (signal 9).
    pub fn kill(self) -> Ended {
        self.program.kill()
    }

    /// Asks it to end (signal 15) and waits until it has.
    #[must_use]
    pub fn terminate(mut self) -> Ended {
        self.program.terminate();
        self.program.wait(DEADLINE)
    }
}

fn in_cluster(zookeeper: &str) -> Vec<String> {
    vec![format!("zookeeper={zookeeper}"), format!("session={SESSION_MS}")]
}
