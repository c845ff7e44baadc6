//! The built `towpath` program.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::program::{Ended, Program};
use crate::server::free_port;

/// Time to start, and to end after a signal.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running `towpath serve`. Dropping it kills it.
#[derive(Debug)]
#[must_use]
pub struct Towpath {
    program: Program,
    port: u16,
}

/// Among the arguments of a server: a destination that fails is tried again, as by default.
pub const PATIENT: &str = "patient";

impl Towpath {
    /// Starts `binary serve` with these arguments, on a free port unless they say `--listen`.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn serve(binary: &Path, arguments: &[&str]) -> Self {
        Self::serve_with_log(binary, arguments, "warn,towpath=info")
    }

    /// The same with its log as `RUST_LOG` would choose it.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn serve_with_log(binary: &Path, arguments: &[&str], log: &str) -> Self {
        let mut program = Self::start(binary, arguments, log);
        let line = program.wait_for_line("listening on ", DEADLINE);
        let port = line.rsplit_once(':').and_then(|(_, port)| port.trim().parse().ok());
        let Some(port) = port else { panic!("no port in `{line}`") };
        Self { program, port }
    }

    /// Starts `binary serve` as part of a cluster, on a free port of 127.0.0.1 that it registers.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn serve_in_cluster(binary: &Path, zookeeper: &str, arguments: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut all = vec!["--zk", zookeeper, "--listen", &listen];
        all.extend(arguments);
        Self::serve(binary, &all)
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same without waiting: for starts that fail.
    pub fn try_serve(binary: &Path, arguments: &[&str]) -> Program {
        Self::start(binary, arguments, "warn,towpath=info")
    }

    fn start(binary: &Path, arguments: &[&str], log: &str) -> Program {
        let mut command = Command::new(binary);
        command.arg("serve").args(arguments.iter().filter(|a| **a != PATIENT)).env("RUST_LOG", log);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        // A destination that fails ends the process, so that a test sees it at once.
        if !arguments.contains(&"--zk") && !arguments.contains(&PATIENT) {
            command.arg("--fail-fast");
        }
        Program::start(&mut command, "build the towpath binary")
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The process.
    pub const fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// The most memory it ever had resident.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// The memory it has resident.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.program.id());
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        let Some(kib) = kib else { panic!("no {field} in {path}: {}", self.program.stderr()) };
        kib * 1024
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
