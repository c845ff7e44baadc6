//! What is remembered from attempt to attempt.

use std::time::{Duration, Instant};

#[cfg(feature = "cluster")]
use towpath_coordination::{LeaseLost, Servers};

use towpath_protocol::Backoff;

use crate::ClientError;
use crate::builder::{Config, Place};
use crate::connection::Shared;

/// Time after which the same failure is logged again.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Active time after which a failure is a new one.
const HEALTHY: Duration = Duration::from_secs(60);

/// See the module. Bounded: it does not grow with the number of attempts.
#[derive(Debug)]
pub(super) struct Tries {
    list: Vec<String>,
    /// The servers as the last attempt saw them.
    #[cfg(feature = "cluster")]
    view: Servers,
    /// Addresses tried since then.
    tried: usize,
    /// Which of the standbys comes first.
    #[cfg(feature = "cluster")]
    first: usize,
    backoff: Backoff,
    /// Since when there has been no active server.
    idle_since: Instant,
    active_since: Option<Instant>,
    /// An operator took the lock away.
    #[cfg(feature = "cluster")]
    pub(super) is_released: bool,
    log: Log,
}

/// The last failure that was logged.
#[derive(Debug, Default)]
struct Log {
    text: String,
    at: Option<Instant>,
    repeated: u64,
}

impl Tries {
    pub(super) fn new(config: &Config) -> Self {
        let list = match &config.place {
            Place::Servers(servers) => servers.clone(),
            Place::Cluster(_) => Vec::new(),
        };
        Self {
            list,
            #[cfg(feature = "cluster")]
            view: Servers::default(),
            tried: 0,
            #[cfg(feature = "cluster")]
            first: usize::try_from(random()).unwrap_or_default(),
            backoff: Backoff::new(config.pauses.0, config.pauses.1),
            idle_since: Instant::now(),
            active_since: None,
            #[cfg(feature = "cluster")]
            is_released: false,
            log: Log::default(),
        }
    }

    /// The address to try: of a list one after the other, beginning with the one that worked last.
    pub(super) fn next_listed(&mut self) -> String {
        let index = self.tried.checked_rem(self.list.len()).unwrap_or_default();
        self.tried = index + 1;
        self.list.get(index).cloned().unwrap_or_default()
    }

    /// The address to try: the active server first, then the others, beginning anywhere.
    #[cfg(feature = "cluster")]
    pub(super) fn next_of(&mut self, servers: &Servers) -> Option<String> {
        if self.view != *servers {
            self.view = servers.clone();
            self.tried = 0;
        }
        let running = self.view.running.as_ref();
        let others: Vec<&String> =
            self.view.cluster.iter().filter(|address| Some(*address) != running).collect();
        let count = others.len() + usize::from(running.is_some());
        let index = self.tried.checked_rem(count)?;
        self.tried = index + 1;
        match (running, index) {
            (Some(running), 0) => Some(running.clone()),
            (running, index) => {
                let place = self.first.wrapping_add(index - usize::from(running.is_some()));
                others.get(place.checked_rem(others.len())?).map(|address| (*address).clone())
            }
        }
    }

    /// Whether these are the servers that the last attempt saw.
    #[cfg(feature = "cluster")]
    pub(super) fn saw(&self, servers: &Servers) -> bool {
        self.view == *servers
    }

    /// The attempt succeeded.
    pub(super) fn opened(&mut self) {
        self.active_since = Some(Instant::now());
        #[cfg(feature = "cluster")]
        {
            self.is_released = false;
        }
        // The same address is the first to be tried again.
        self.tried = self.tried.saturating_sub(1);
    }

    /// It waits for another client, which is no failure.
    #[cfg(feature = "cluster")]
    pub(super) fn stands_by(&mut self) {
        self.idle_since = Instant::now();
    }

    /// The attempt, or the active time after it, ended.
    pub(super) fn failed(&mut self, shared: &Shared, error: &ClientError) {
        #[cfg(feature = "cluster")]
        {
            self.is_released = matches!(error, ClientError::Lock(LeaseLost::Released { .. }));
        }
        if let Some(since) = self.active_since.take() {
            self.idle_since = Instant::now();
            if since.elapsed() >= HEALTHY {
                self.backoff.reset();
            }
        }
        self.log.failed(shared, error);
    }

    /// When it is enough of waiting for a server, if ever.
    pub(super) fn end(&self, give_up: Option<Duration>) -> Option<Instant> {
        give_up.and_then(|limit| self.idle_since.checked_add(limit))
    }

    pub(super) fn pause(&mut self) -> Duration {
        self.backoff.next(random())
    }
}

/// Without randomness there is no jitter: attempts go on.
fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

impl Log {
    fn failed(&mut self, shared: &Shared, error: &ClientError) {
        let text = error.to_string();
        if let Some(repeated) = self.is_due(&text, Instant::now()) {
            let Shared { destination, client_id, .. } = shared;
            let error = text;
            tracing::warn!(destination, client_id, error, repeated, "connection failed");
        }
    }

    /// The same failure again is counted, and said now and then: how often it was not.
    fn is_due(&mut self, text: &str, now: Instant) -> Option<u64> {
        let is_due = self.at.is_none_or(|at| now.duration_since(at) >= LOG_INTERVAL);
        if text == self.text && !is_due {
            self.repeated += 1;
            return None;
        }
        let repeated = if text == self.text { self.repeated } else { 0 };
        *self = Self { text: text.to_owned(), at: Some(now), repeated: 0 };
        Some(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    fn tries(servers: &[&str]) -> Tries {
        let builder = servers.iter().fold(Client::builder(), |b, server| b.server(server));
        Tries::new(&builder.check().unwrap())
    }

    #[test]
    fn a_list_is_gone_through_and_what_worked_is_tried_first() {
        let mut tries = tries(&["a", "b", "c"]);
        let mut next = || tries.next_listed();
        assert_eq!([next(), next(), next(), next()], ["a:11111", "b:11111", "c:11111", "a:11111"]);
        tries.next_listed();
        tries.opened();
        assert_eq!(tries.next_listed(), "b:11111");
    }

    /// I-CAUSE: the same failure is logged once in a while, with how often it happened.
    #[test]
    fn the_same_failure_again_is_counted_and_another_is_said_at_once() {
        let mut log = Log::default();
        let now = Instant::now();
        assert_eq!(log.is_due("a", now), Some(0));
        for _ in 0..7 {
            assert_eq!(log.is_due("a", now), None);
        }
        assert_eq!(log.is_due("a", now + LOG_INTERVAL), Some(7));
        assert_eq!(log.is_due("b", now + LOG_INTERVAL), Some(0));
        assert_eq!(log.is_due("a", now + LOG_INTERVAL), Some(0));
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn the_active_server_comes_first_and_every_other_has_its_turn() {
        let mut tries = tries(&["x"]);
        let mut servers = Servers {
            running: Some("b:1".to_owned()),
            cluster: vec!["a:1".to_owned(), "b:1".to_owned(), "c:1".to_owned()],
            ..Servers::default()
        };
        let mut round: Vec<String> = (0..3).filter_map(|_| tries.next_of(&servers)).collect();
        assert_eq!(round[0], "b:1");
        round.sort();
        assert_eq!(round, ["a:1", "b:1", "c:1"]);
        assert_eq!(tries.next_of(&servers).unwrap(), "b:1");
        // News: the new active server at once.
        servers.running = Some("c:1".to_owned());
        assert!(!tries.saw(&servers));
        assert_eq!(tries.next_of(&servers).unwrap(), "c:1");
        // A stale address that is not in the list any more is still a candidate.
        servers = Servers { running: Some("d:1".to_owned()), ..Servers::default() };
        assert_eq!(tries.next_of(&servers).unwrap(), "d:1");
        assert_eq!(tries.next_of(&servers).unwrap(), "d:1");
        assert_eq!(tries.next_of(&Servers::default()), None);
    }
}
