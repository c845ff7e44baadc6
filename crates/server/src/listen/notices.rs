//! Bounds what the log says of peers: whoever reaches the port could fill the disk otherwise.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long lines are counted.
pub(crate) const PERIOD: Duration = Duration::from_secs(60);

/// Lines of each kind in a period; further ones are only counted.
const LINES_MAX: u32 = 5;

/// Kinds of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    AcceptFailed,
    NoRoom,
    MadeRoom,
    NoLogin,
    LoginRefused,
    OtherProtocol,
    Broken,
}

impl Notice {
    const ALL: [Self; 7] = [
        Self::AcceptFailed,
        Self::NoRoom,
        Self::MadeRoom,
        Self::NoLogin,
        Self::LoginRefused,
        Self::OtherProtocol,
        Self::Broken,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::AcceptFailed => "connections that could not be accepted",
            Self::NoRoom => "connections closed as there were too many",
            Self::MadeRoom => "connections without a login that made room for others",
            Self::NoLogin => "connections closed as no login came in time",
            Self::LoginRefused => "logins refused",
            Self::OtherProtocol => "connections of peers that do not speak Canal's protocol",
            Self::Broken => "connections closed for something a client did",
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    said: u32,
    unsaid: u64,
}

/// Counts the lines of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<[Count; Notice::ALL.len()]>);

impl Notices {
    /// Whether a line may be written. If not, it is counted.
    pub(crate) fn may_say(&self, notice: Notice) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = Notice::ALL.iter().position(|kind| *kind == notice);
        let Some(count) = index.and_then(|index| counts.get_mut(index)) else { return true };
        let may = count.said < LINES_MAX;
        if may {
            count.said += 1;
        } else {
            count.unsaid += 1;
        }
        may
    }

    /// Begins a new period, and takes the counts of the last one.
    fn take(&self) -> Vec<(Notice, u64)> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let pairs = Notice::ALL.into_iter().zip(counts);
        pairs.map(|(kind, count)| (kind, count.unsaid)).filter(|(_, count)| *count > 0).collect()
    }

    /// Says how many lines there were not.
    pub(crate) fn sum_up(&self) {
        for (kind, count) in self.take() {
            tracing::warn!(count, kind = kind.name(), "not logged one by one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_of_each_kind_are_said_and_the_others_counted() {
        let notices = Notices::default();
        let said = |kind| (0..10_000).filter(|_| notices.may_say(kind)).count();
        assert_eq!(said(Notice::LoginRefused), 5);
        assert!(notices.may_say(Notice::NoRoom));
        assert_eq!(notices.take(), [(Notice::LoginRefused, 9995)]);
        assert_eq!(notices.take(), []);
        assert_eq!(said(Notice::LoginRefused), 5);
    }
}
