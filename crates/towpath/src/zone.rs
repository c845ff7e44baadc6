//! The zone in which TIMESTAMP columns are printed: one rule for all commands.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use clap::Args;
use towpath_entry::{Zone, ZoneError};

use crate::report::Failure;

/// Where a system keeps its own zone: a link to a file of the time zone database, or a copy of one.
const LOCAL: &str = "/etc/localtime";

/// Bytes of a file with the rules of a zone; the longest in the database has 3.5 KB.
const TZIF_LEN_MAX: u64 = 1 << 20;

/// See the module.
#[derive(Debug, Args)]
pub(crate) struct ZoneArguments {
    /// Time zone of TIMESTAMP columns: a name like Asia/Shanghai, an offset like +08:00, UTC, or local.
    /// local is the zone of this process as Canal takes it: the variable TZ, else /etc/localtime,
    /// else UTC.
    #[arg(long, value_name = "ZONE", default_value = "local", allow_hyphen_values = true)]
    time_zone: String,
}

impl ZoneArguments {
    pub(crate) fn zone(&self) -> Result<Zone, Failure> {
        if self.time_zone.eq_ignore_ascii_case("local") {
            return of_process(std::env::var_os("TZ").as_deref(), Path::new(LOCAL));
        }
        Zone::parse(&self.time_zone).map_err(|error| Failure::new("cannot use --time-zone", error))
    }
}

/// The zone of a process with this variable, on a system with this file.
fn of_process(variable: Option<&OsStr>, local: &Path) -> Result<Zone, Failure> {
    let failed = |error| {
        let hint = "name the zone with --time-zone, as --time-zone Asia/Shanghai or +08:00";
        Failure::new("cannot tell the time zone of this process", error).with_hint(hint)
    };
    match variable.filter(|text| !text.is_empty()) {
        Some(text) => {
            let text = text.to_string_lossy();
            let path = text.trim_start_matches(':');
            // A path of a file that is no part of the database.
            if path.starts_with('/') && !path.contains("zoneinfo/") {
                return of_file(Path::new(path)).map_err(failed);
            }
            Zone::of_variable(&text)
                .map_err(|error| ZoneError::new(&format!("TZ={text}"), error.reason))
        }
        None => of_local(local),
    }
    .map_err(failed)
}

/// A link names the zone, also on a machine that lacks the file it points to.
fn of_local(path: &Path) -> Result<Zone, ZoneError> {
    let target = std::fs::read_link(path).unwrap_or_default();
    let target = target.to_string_lossy();
    if target.contains("zoneinfo/")
        && let Ok(zone) = Zone::of_variable(&target)
    {
        return Ok(zone);
    }
    if std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(Zone::Utc);
    }
    of_file(path)
}

fn of_file(path: &Path) -> Result<Zone, ZoneError> {
    let name = path.to_string_lossy();
    let failed = |error: std::io::Error| ZoneError::new(&name, error.to_string());
    if std::fs::metadata(path).map_err(failed)?.len() > TZIF_LEN_MAX {
        return Err(ZoneError::new(&name, "the file is too long"));
    }
    Zone::of_tzif(&name, &std::fs::read(path).map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    const SUMMER: i64 = 1_719_792_000;

    /// `/etc/localtime` is a link, a copy, a link to what is not there, missing, or broken.
    #[test]
    fn the_systems_zone_is_a_link_or_a_file() {
        let folder = TempDir::new().unwrap();
        let local = folder.path().join("localtime");
        let offset = || of_process(None, &local).map(|zone| zone.offset_s(SUMMER) / 3600);
        assert_eq!(offset().unwrap(), 0);
        symlink("/usr/share/zoneinfo/Asia/Shanghai", &local).unwrap();
        assert_eq!(offset().unwrap(), 8);
        let set = |target: &str| {
            std::fs::remove_file(&local).unwrap();
            symlink(target, &local).unwrap();
        };
        set("../nothing/zoneinfo/Asia/Tokyo");
        assert_eq!(offset().unwrap(), 9);
        set("../nothing/at/all");
        assert!(offset().unwrap_err().to_string().contains("No such file"));
        std::fs::remove_file(&local).unwrap();
        std::fs::write(&local, b"nonsense").unwrap();
        let error = offset().unwrap_err().to_string();
        assert!(error.contains("localtime") && error.contains("--time-zone"), "{error}");
        std::fs::copy("/usr/share/zoneinfo/Europe/Berlin", &local).unwrap();
        assert_eq!(offset().unwrap(), 2);
    }

    #[test]
    fn the_variable_comes_first_unless_it_is_empty() {
        let folder = TempDir::new().unwrap();
        let local = folder.path().join("localtime");
        symlink("/usr/share/zoneinfo/Asia/Shanghai", &local).unwrap();
        let of = |text: &str| of_process(Some(OsStr::new(text)), &local);
        assert_eq!(of("").unwrap().to_string(), "Asia/Shanghai");
        assert_eq!(of(":Europe/Berlin").unwrap().to_string(), "Europe/Berlin");
        let error = of("Europe/Berlni").unwrap_err().to_string();
        assert!(error.contains("`TZ=Europe/Berlni`"), "{error}");
        assert!(error.contains("did you mean Europe/Berlin?"), "{error}");
        let copy = folder.path().join("copy");
        std::fs::copy("/usr/share/zoneinfo/Asia/Tokyo", &copy).unwrap();
        let path = format!(":{}", copy.display());
        assert_eq!(of(&path).unwrap().offset_s(SUMMER), 9 * 3600);
    }
}
