//! Programs that run beside a test, with what they say kept in files.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Pause between two looks at something that another process changes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until `look` gives something.
///
/// # Panics
/// When it does not within `deadline`; says `what` was waited for.
pub fn wait_until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {} s for {what}", deadline.as_secs());
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
#[must_use]
pub struct Program {
    name: String,
    child: Child,
    folder: TempDir,
}

/// What a program left when it ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Program {
    /// Starts a program. `hint` says what to do when it is not there.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command, hint: &str) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let folder = match TempDir::with_prefix("towpath-program-") {
            Ok(folder) => folder,
            Err(error) => panic!("no folder for the output of {name}: {error}"),
        };
        let output = |file: &str| match File::create(folder.path().join(file)) {
            Ok(file) => Stdio::from(file),
            Err(error) => panic!("{}: {error}", folder.path().join(file).display()),
        };
        // What a program keeps without being told where must not be the user's.
        command.env("XDG_STATE_HOME", folder.path());
        // Files and not pipes: nobody has to read for the program to go on.
        command.stdin(Stdio::piped()).stdout(output("stdout")).stderr(output("stderr"));
        match command.spawn() {
            Ok(child) => Self { name, child, folder },
            Err(error) => panic!("{command:?}: {error}: {hint}"),
        }
    }

    fn read(&self, file: &str) -> String {
        let path: PathBuf = self.folder.path().join(file);
        match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// Standard output up to now.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// Standard error up to now.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until one of its whole lines, on either output, has `needle` in it; that line.
    ///
    /// # Panics
    /// When the program ends without it, or does not say it within `deadline`.
    pub fn wait_for_line(&mut self, needle: &str, deadline: Duration) -> String {
        let end = Instant::now() + deadline;
        loop {
            let ended = self.ended();
            for mut text in [self.stdout(), self.stderr()] {
                text.truncate(text.rfind('\n').map_or(0, |last| last + 1));
                if let Some(line) = text.lines().find(|line| line.contains(needle)) {
                    return line.to_owned();
                }
            }
            let waits = if ended.is_some() { "ended" } else { "runs" };
            assert!(
                ended.is_none() && Instant::now() < end,
                "{} {waits} and does not say `{needle}`: {}",
                self.name,
                self.said()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Sends a line to its standard input.
    ///
    /// # Panics
    /// When it does not take it.
    pub fn send_line(&mut self, line: &str) {
        let Some(input) = &mut self.child.stdin else { panic!("{} takes no input", self.name) };
        if let Err(error) = writeln!(input, "{line}") {
            panic!("{} takes no input: {error}", self.name);
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        match self.child.try_wait() {
            Ok(status) => status,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    fn said(&self) -> String {
        // The end is where the reason stands.
        let tail = |text: String| {
            let skipped = text.lines().count().saturating_sub(30);
            text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
        };
        format!("\nstdout:\n{}\nstderr:\n{}", tail(self.stdout()), tail(self.stderr()))
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not within `deadline`.
    #[must_use]
    pub fn wait(mut self, deadline: Duration) -> Ended {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.ended() {
                let ended = Ended { status, stdout: self.stdout(), stderr: self.stderr() };
                // I-TASK, as our own programs see it when they end.
                let has_left = ended.stderr.contains("tasks outlived their owners");
                assert!(!has_left, "{}: {}", self.name, ended.stderr);
                return ended;
            }
            assert!(
                Instant::now() < end,
                "{} still runs after {} s: {}",
                self.name,
                deadline.as_secs(),
                self.said()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Kills it (signal 9); what it had said.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn kill(mut self) -> Ended {
        if let Err(error) = self.child.kill() {
            panic!("cannot kill {}: {error}", self.name);
        }
        self.wait(Duration::from_secs(10))
    }

    /// Asks it to end (signal 15).
    ///
    /// # Panics
    /// When there is no such process.
    pub fn terminate(&mut self) {
        self.signal("TERM");
    }

    /// Stops it where it is (signal `STOP`).
    ///
    /// # Panics
    /// When there is no such process.
    pub fn pause(&mut self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Panics
    /// When there is no such process.
    pub fn resume(&mut self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "no process {id}: {}", self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended: bool = self.child.kill().is_ok();
        let _reaped: bool = self.child.wait().is_ok();
    }
}
