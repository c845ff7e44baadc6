//! Growing pauses between attempts.

use std::time::Duration;

/// Pauses that double up to a bound, each between half of its length and all of it, so that many that
/// failed together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses between `least` and `most`.
    #[must_use]
    pub const fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, next: least }
    }

    /// The next pause. `random` is any number, a new one for each call.
    pub fn next(&mut self, random: u32) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.most);
        full / 2 + (full / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Begins again with the shortest: what was tried works.
    pub const fn reset(&mut self) {
        self.next = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I-BACKOFF: delays grow to a bound, with jitter, and begin again after success.
    #[test]
    fn pauses_grow_to_their_bound_and_begin_again() {
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(5));
        for random in [0, u32::MAX / 2, u32::MAX] {
            let mut backoff = Backoff::new(least, most);
            let pauses: Vec<Duration> = (0..10).map(|_| backoff.next(random)).collect();
            assert!(pauses.is_sorted(), "{pauses:?}");
            assert!(pauses.iter().all(|pause| (least / 2..=most).contains(pause)), "{pauses:?}");
            let per_minute = pauses.iter().sum::<Duration>();
            assert!(per_minute > Duration::from_secs(10), "{pauses:?}");
            backoff.reset();
            assert_eq!(backoff.next(random), pauses[0]);
        }
        let mut one = Backoff::new(least, most);
        let mut other = one.clone();
        assert_ne!(one.next(1), other.next(u32::MAX));
    }
}
