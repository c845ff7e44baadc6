//! Programs of `tests` on published parts of Canal, as `scripts/servers/clients` leaves them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::cache;

/// What to do when a program is not there.
pub(crate) const HINT: &str = "run scripts/servers/clients";

/// Fails when there is nothing at `path`.
pub(crate) fn present(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: {HINT}", path.display());
    path
}

/// Where our programs for the clients lie.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}

/// A program of ours on the jars in a folder of the cache.
pub(crate) fn java(jars: &str, program: &str) -> Command {
    java_with(jars, program, &["-Xmx256m"])
}

/// The same with other options for the virtual machine.
pub(crate) fn java_with(jars: &str, program: &str, options: &[&str]) -> Command {
    let jars = cache().join("clients").join(jars);
    let classes = present(jars.join("classes"));
    let logging = sources().join("java/logback.xml");
    let mut command = Command::new("java");
    command
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .args(options)
        .arg(format!("-Dlogback.configurationFile={}", logging.display()))
        .arg("-cp")
        .arg(format!("{}:{}/*", classes.display(), jars.display()))
        .arg(program);
    command
}
