//! Where the state directory lies when `--state` does not say it: in one place, whatever the current folder.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::report::Failure;

/// Where earlier versions kept it, in the current folder.
const EARLIER: &str = "towpath-state";

/// Where root keeps it.
const OF_ROOT: &str = "/var/lib/towpath";

/// A state directory, and why it is this one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StateFolder {
    pub(super) path: PathBuf,
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Given,
    Default,
    /// An earlier version made it. Cursors in it are not given up for a new place.
    Earlier,
}

/// What the default depends on.
struct Surroundings {
    is_root: bool,
    state_home: Option<OsString>,
    home: Option<OsString>,
    /// The current folder has what an earlier version made there.
    earlier: Option<PathBuf>,
}

impl Surroundings {
    fn look() -> Self {
        Self {
            is_root: std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0),
            state_home: std::env::var_os("XDG_STATE_HOME"),
            home: std::env::var_os("HOME"),
            earlier: Some(PathBuf::from(EARLIER)).filter(|folder| folder.is_dir()),
        }
    }

    fn default(self) -> Result<StateFolder, Failure> {
        let absolute = |folder: Option<OsString>| {
            folder.map(PathBuf::from).filter(|folder| folder.is_absolute())
        };
        if let Some(path) = self.earlier {
            return Ok(StateFolder { path, why: Why::Earlier });
        }
        let path = match (absolute(self.state_home), self.is_root, absolute(self.home)) {
            (Some(folder), ..) => folder.join("towpath"),
            (None, true, _) => PathBuf::from(OF_ROOT),
            (None, false, Some(home)) => home.join(".local/state/towpath"),
            (None, false, None) => {
                return Err(Failure::of(
                    "there is no place for the state directory, for neither HOME nor XDG_STATE_HOME is set: name a \
                     folder with --state",
                ));
            }
        };
        Ok(StateFolder { path, why: Why::Default })
    }
}

impl StateFolder {
    pub(super) fn find(given: Option<PathBuf>) -> Result<Self, Failure> {
        match given {
            Some(path) => Ok(Self { path, why: Why::Given }),
            None => Surroundings::look().default(),
        }
    }

    /// For the start.
    pub(super) fn describe(&self) -> String {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let path = path.display();
        match self.why {
            Why::Given | Why::Default => format!("state directory: {path}"),
            Why::Earlier => format!(
                "state directory: {path}, where an earlier version made it; name it with --state to keep it there, or \
                 move it to the default place while nothing serves from it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_lies_in_one_place_unless_an_earlier_version_left_it() {
        let folder = |is_root, state_home: Option<&str>, home: Option<&str>, has_earlier| {
            let (state_home, home) = (state_home.map(OsString::from), home.map(OsString::from));
            let earlier = Some(PathBuf::from(EARLIER)).filter(|_| has_earlier);
            let around = Surroundings { is_root, state_home, home, earlier };
            around.default().map(|state| state.path.display().to_string())
        };
        for (is_root, state_home, home, has_earlier, want) in [
            (false, None, Some("/home/me"), false, "/home/me/.local/state/towpath"),
            (false, Some("/s"), Some("/home/me"), false, "/s/towpath"),
            (false, Some("relative"), Some("/home/me"), false, "/home/me/.local/state/towpath"),
            (true, None, Some("/root"), false, "/var/lib/towpath"),
            (true, Some("/s"), Some("/root"), false, "/s/towpath"),
            (true, Some("/s"), None, true, "towpath-state"),
        ] {
            assert_eq!(folder(is_root, state_home, home, has_earlier).unwrap(), want);
        }
        assert!(folder(false, None, None, false).unwrap_err().to_string().contains("--state"));
    }
}
