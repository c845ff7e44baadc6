//! How long a get may wait in the server.
//!
//! A Canal server holds a batch that is not full back until the get's time is over; a Towpath server
//! answers as soon as there is anything. So what is there is taken first, without waiting; then a get
//! waits, a short time, or a long one once the server has shown that it answers early.

use std::time::Duration;

/// How long a get waits in a server that answers early.
const LONG: Duration = Duration::from_secs(2);

/// A batch of less than this part of what was asked for is not full, however it is counted.
const PART: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    poll: Duration,
    fetch_size: usize,
    has_more: bool,
    manners: Manners,
}

/// What the server does with a batch that is not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    /// It holds it back, or that is not known yet.
    Holds,
    /// It answers early.
    Answers,
}

impl Pace {
    pub(super) fn new(poll: Duration, fetch_size: i32) -> Self {
        let fetch_size = usize::try_from(fetch_size).unwrap_or(1);
        Self { poll, fetch_size, has_more: true, manners: Manners::Holds }
    }

    /// For the next get. While batches are out it is short, since acks wait behind it.
    pub(super) fn timeout(&self, batches_out: usize) -> Duration {
        match (self.has_more, self.manners, batches_out) {
            (true, ..) => Duration::ZERO,
            (false, Manners::Answers, 0) => LONG,
            (false, Manners::Answers | Manners::Holds, _) => self.poll,
        }
    }

    pub(super) const fn got_nothing(&mut self) {
        self.has_more = false;
    }

    /// A batch came, `waited` after a get with this timeout.
    pub(super) fn got(&mut self, waited: Duration, timeout: Duration, count: usize, bytes: usize) {
        self.has_more = true;
        let is_full =
            count >= self.fetch_size || bytes >= self.fetch_size.saturating_mul(1024) / PART;
        if !timeout.is_zero() && !is_full {
            let is_early = waited < timeout / 2;
            self.manners = if is_early { Manners::Answers } else { Manners::Holds };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_waits_only_where_nothing_is_held_back() {
        let poll = Duration::from_millis(100);
        let mut pace = Pace::new(poll, 1000);
        assert_eq!(pace.timeout(0), Duration::ZERO);
        pace.got_nothing();
        assert_eq!(pace.timeout(0), poll);
        // Canal: the batch came when the time was over.
        pace.got(poll, poll, 1, 300);
        assert_eq!(pace.timeout(1), Duration::ZERO);
        pace.got_nothing();
        assert_eq!(pace.timeout(0), poll);
        // A full batch says nothing.
        pace.got(Duration::ZERO, poll, 1000, 300);
        pace.got_nothing();
        assert_eq!(pace.timeout(0), poll);
        // Towpath.
        pace.got(Duration::from_millis(1), poll, 1, 300);
        pace.got_nothing();
        assert_eq!(pace.timeout(0), LONG);
        assert_eq!(pace.timeout(1), poll);
    }
}
