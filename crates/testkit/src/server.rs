//! MySQL and MariaDB servers.

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::wait_until;

use crate::version::{Layout, Version};

/// Time for a server to come up, or for a statement file to run.
const DEADLINE: Duration = Duration::from_secs(120);

/// A running server. Dropping it ends the process and removes its data.
#[derive(Debug)]
pub struct Server {
    version: Version,
    command: Command,
    process: Child,
    port: u16,
    data: PathBuf,
    socket: PathBuf,
    /// What it says while it runs.
    said: PathBuf,
    _folder: TempDir,
}

/// Where the scripts in `scripts/servers` keep what they fetch.
#[must_use]
pub fn cache() -> PathBuf {
    let named = std::env::var_os("TOWPATH_SERVERS").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/servers"))
}

fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            panic!("{shown} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr))
        }
        Err(error) => panic!("{shown}: {error}: run scripts/servers/fetch"),
    }
}

/// Ports to give to servers: below those that the system gives to outgoing connections, which could
/// take one between this look and the server's own.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Where the search for the next port begins.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that nobody listens on.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    // Anywhere to begin with: other test programs may run beside this one.
    let random = RandomState::new().build_hasher().finish() % u64::from(PORTS.end - PORTS.start);
    let random = u16::try_from(random).unwrap_or_default();
    let _was: Result<u16, u16> =
        NEXT_PORT.compare_exchange(0, PORTS.start + random, Ordering::Relaxed, Ordering::Relaxed);
    for _ in PORTS {
        let mut port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        if !PORTS.contains(&port) {
            port = PORTS.start;
            NEXT_PORT.store(port + 1, Ordering::Relaxed);
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on loopback in {PORTS:?}");
}

/// A listener on a free port of loopback that does not block, and its port.
pub(crate) fn listener() -> (u16, TcpListener) {
    let bound = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
    match bound {
        Ok(bound) => bound,
        Err(error) => panic!("cannot listen on 127.0.0.1: {error}"),
    }
}

fn spawn(command: &mut Command) -> Child {
    match command.spawn() {
        Ok(process) => process,
        Err(error) => panic!("{command:?}: {error}: run scripts/servers/fetch"),
    }
}

/// A new data folder: a copy of one that is made once and kept with the servers.
fn make_data(version: Version, layout: &Layout, data: &Path) {
    let template = version.template(layout);
    if !template.exists() {
        run(&mut version.install(layout, data));
        // Each server makes a UUID of its own.
        let _removed: bool = std::fs::remove_file(data.join("auto.cnf")).is_ok();
        copy(data, &template);
        return;
    }
    copy(&template, data);
}

/// Copies a folder so that it is there whole or not at all: another test may do the same.
fn copy(from: &Path, to: &Path) {
    let Some(parent) = to.parent() else { panic!("{} has no parent", to.display()) };
    let made =
        std::fs::create_dir_all(parent).and_then(|()| TempDir::with_prefix_in("new-", parent));
    let work = match made {
        Ok(work) => work,
        Err(error) => panic!("{}: {error}", parent.display()),
    };
    let copied = work.path().join("data");
    run(Command::new("cp").args(["-r", "--sparse=always"]).arg(from).arg(&copied));
    if let Err(error) = std::fs::rename(&copied, to) {
        assert!(to.exists(), "{}: {error}", to.display());
    }
}

impl Server {
    /// Starts a server with its binlog on, and a user `canal` with password `canal` that may
    /// replicate. `root` has no password.
    ///
    /// # Panics
    /// When the server is not there or does not come up.
    #[must_use]
    pub fn start(version: Version, arguments: &[&str]) -> Self {
        let layout = version.layout();
        let folder = match TempDir::with_prefix_in("towpath-", &layout.home) {
            Ok(folder) => folder,
            Err(error) => {
                panic!("{}: {error}: run scripts/servers/fetch", layout.home.display())
            }
        };
        let data = folder.path().join("data");
        make_data(version, &layout, &data);
        let port = free_port();
        let socket = folder.path().join("s");
        let mut command = layout.command();
        command
            .arg(format!("--datadir={}", layout.inside(&data).display()))
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", layout.inside(&socket).display()))
            .arg(format!("--tmpdir={}", layout.inside(folder.path()).display()))
            .args(["--bind-address=127.0.0.1", "--log-bin=mysql-bin", "--server-id=1"])
            .args(["--binlog-format=ROW", "--skip-name-resolve"])
            // Its data need not survive a power cut.
            .args(["--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0"])
            .args(version.arguments())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let said = folder.path().join("said");
        match File::create(&said) {
            Ok(file) => command.stderr(file),
            Err(error) => panic!("{}: {error}", said.display()),
        };
        let process = spawn(&mut command);
        let server = Self { version, command, process, port, data, socket, said, _folder: folder };
        server.wait_until_up();
        server.run_with_faults(version.cleaning_sql());
        server.run(
            "CREATE USER canal@'%' IDENTIFIED BY 'canal'; \
             GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO canal@'%';",
        );
        server
    }

    /// Starts a server of the same version that replicates `source`, and waits until it has all of it.
    ///
    /// # Panics
    /// When it does not come up, or does not catch up.
    #[must_use]
    pub fn start_replica_of(source: &Self, arguments: &[&str]) -> Self {
        let arguments =
            [&["--server-id=2", "--log-bin=other-bin", "--log-slave-updates"], arguments];
        let replica = Self::start(source.version, &arguments.concat());
        // Its user comes from the source.
        replica.run("SET sql_log_bin = 0; DROP USER canal@'%';");
        replica.run(&format!("{};", source.version.reset_sql()));
        replica.run(&source.version.follow_sql(source.port));
        replica.wait_until_it_has_all_of(source);
        replica
    }

    /// Waits until a row that is written to `source` now is here.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_until_it_has_all_of(&self, source: &Self) {
        source.run(
            "CREATE DATABASE IF NOT EXISTS sync; CREATE TABLE IF NOT EXISTS sync.t (n INT); \
             INSERT INTO sync.t VALUES (1);",
        );
        let count = |server: &Self| {
            let output = server.client().args(["-N", "-e", "SELECT COUNT(*) FROM sync.t"]).output();
            output.map(|output| output.stdout).unwrap_or_default()
        };
        let all = count(source);
        wait_until("the replica to catch up", DEADLINE, || (count(self) == all).then_some(()));
    }

    /// Makes a replica a server of its own.
    ///
    /// # Panics
    /// When it is none.
    pub fn promote(&self) {
        self.run(self.version.promote_sql());
    }

    /// Which one it is.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Kills it (signal 9); its data stays.
    pub fn halt(&mut self) {
        let _ended: bool = self.process.kill().is_ok();
        let _reaped: bool = self.process.wait().is_ok();
    }

    /// Starts it again after [`Self::halt`], with its data and on its port.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn go_on(&mut self) {
        self.process = spawn(&mut self.command);
        self.wait_until_up();
    }

    /// File and offset of the binlog's end.
    ///
    /// # Panics
    /// When the server has no binlog.
    #[must_use]
    pub fn binlog_end(&self) -> (String, u64) {
        let rows = self.query(self.version.status_sql());
        let field = |index: usize| rows.first().and_then(|row| row.get(index));
        match (field(0), field(1).and_then(|offset| offset.parse().ok())) {
            (Some(file), Some(offset)) => (file.clone(), offset),
            _ => panic!("the server on port {} has no binlog", self.port),
        }
    }

    fn wait_until_up(&self) {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            let tried = self.client().args(["-e", "SELECT 1"]).output();
            if tried.is_ok_and(|output| output.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = std::fs::read_to_string(&self.said).unwrap_or_default();
        panic!("the server on port {} does not come up. It said:\n{said}", self.port);
    }

    pub(crate) fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "-uroot", "--protocol=socket", "--batch"])
            .args(["--default-character-set=utf8mb4", "--binary-mode"])
            .arg(format!("-S{}", self.socket.display()));
        command
    }

    /// TCP port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the replicating user.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://canal:canal@127.0.0.1:{}", self.port)
    }

    /// The folder with the binlog files.
    #[must_use]
    pub fn binlog_folder(&self) -> &Path {
        &self.data
    }

    /// Runs statements.
    ///
    /// # Panics
    /// When one fails.
    pub fn run(&self, sql: &str) {
        let (succeeded, said) = self.feed(sql, &[]);
        assert!(succeeded, "{sql}: {said}");
    }

    /// Purges the binlog files before `first`. The server ignores it without a word while a thread of its
    /// own, or a dump that is ending, still reads one of them: so it is asked again and again.
    ///
    /// # Panics
    /// When they stay.
    pub fn purge_to(&self, first: &str) {
        wait_until(&format!("the files before {first} to go"), DEADLINE, || {
            self.run(&format!("PURGE BINARY LOGS TO '{first}'"));
            let files = self.query("SHOW BINARY LOGS");
            files
                .first()
                .and_then(|row| row.first())
                .is_some_and(|file| file == first)
                .then_some(())
        });
    }

    /// Runs statements; goes on after those that fail.
    pub fn run_with_faults(&self, sql: &str) {
        if !sql.is_empty() {
            self.feed(sql, &["--force"]);
        }
    }

    /// Loads time zones of this machine, as the vendor's program prints them, into the server.
    ///
    /// # Panics
    /// When one of them, or the program, is not there.
    pub fn load_time_zones(&self, names: &[&str]) {
        let root = cache().join("mysql-9.7");
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
        let libraries = libraries.map(|folder| root.join(folder).display().to_string()).join(":");
        let mut sql = "SET sql_log_bin = 0; USE mysql;\n".to_owned();
        for name in names {
            let output = Command::new(root.join("lib64/ld-linux-x86-64.so.2"))
                .args(["--library-path", &libraries])
                .arg(root.join("usr/bin/mysql_tzinfo_to_sql"))
                .args([&format!("/usr/share/zoneinfo/{name}"), *name])
                .output();
            match output {
                Ok(output) if output.status.success() => {
                    // A reserved word of MariaDB.
                    let printed = String::from_utf8_lossy(&output.stdout);
                    sql += &printed.replace(" Offset,", " `Offset`,");
                }
                failed => panic!("mysql_tzinfo_to_sql {name}: {failed:?}"),
            }
        }
        self.run(&sql);
    }

    /// The rows of a query, each value as text.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let output = self.client().args(["--skip-column-names", "-e", sql]).output();
        match output {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(|line| line.split('\t').map(ToOwned::to_owned).collect())
                .collect(),
            Ok(output) => panic!("{sql}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("mariadb: {error}: run scripts/servers/fetch"),
        }
    }

    /// Runs statements; goes on after those that fail. What they answer: a row a line, its fields by
    /// tabs.
    ///
    /// # Panics
    /// When the client does not run.
    #[must_use]
    pub fn answers(&self, sql: &str) -> String {
        let file = self.socket.with_file_name("answers");
        let answers = match File::create(&file) {
            Ok(answers) => answers,
            Err(error) => panic!("{}: {error}", file.display()),
        };
        let mut command = self.client();
        command.args(["--force", "--comments", "--skip-column-names", "--raw"]);
        let spawned = command.stdin(Stdio::piped()).stdout(answers).stderr(Stdio::null()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => panic!("mariadb: {error}: run scripts/servers/fetch"),
        };
        if let Some(mut input) = child.stdin.take()
            && let Err(error) = input.write_all(sql.as_bytes())
        {
            panic!("cannot send statements: {error}");
        }
        let ended = child.wait();
        assert!(ended.is_ok(), "mariadb: {ended:?}");
        match std::fs::read(&file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => panic!("{}: {error}", file.display()),
        }
    }

    fn feed(&self, sql: &str, arguments: &[&str]) -> (bool, String) {
        let spawned = self
            .client()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => panic!("mariadb: {error}: run scripts/servers/fetch"),
        };
        if let Some(mut input) = child.stdin.take()
            && let Err(error) = input.write_all(sql.as_bytes())
        {
            panic!("cannot send statements: {error}");
        }
        match child.wait_with_output() {
            Ok(output) => {
                (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
            }
            Err(error) => panic!("mariadb: {error}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data is removed next: there is nothing to save.
        let _ended: bool = self.process.kill().is_ok();
        let _reaped: bool = self.process.wait().is_ok();
    }
}
