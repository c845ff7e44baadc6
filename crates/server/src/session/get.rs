//! The request for a batch.

use std::time::Duration;

use tokio::time::Instant;
use towpath_engine::{Batch, DestinationError, Subscription, Wait};
use towpath_protocol::{Get, Text, reply};

use super::{Ending, Session};
use crate::figures::{Told, now_ms};

/// Longest wait that is told from one without limit.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a get asks to wait when there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Not,
    UpTo(Duration),
    Unlimited,
}

impl Asked {
    /// Absent means what the protocol's description says (-1 and milliseconds), not the 0 that
    /// Canal's servers read since 1.1.4: that would be "without limit".
    fn of(get: &Get<'_>) -> Self {
        let timeout = match get.timeout.unwrap_or(-1) {
            -1 => return Self::Not,
            timeout => u64::try_from(timeout).unwrap_or(0),
        };
        if timeout == 0 {
            return Self::Unlimited;
        }
        let seconds = |unit_s: u64| Duration::from_secs(timeout.saturating_mul(unit_s));
        let wait = match get.unit.unwrap_or(2) {
            0 => Duration::from_nanos(timeout),
            1 => Duration::from_micros(timeout),
            3 => seconds(1),
            4 => seconds(60),
            5 => seconds(3600),
            6 => seconds(24 * 3600),
            _ => Duration::from_millis(timeout),
        };
        if wait > WAIT_MAX { Self::Unlimited } else { Self::UpTo(wait) }
    }
}

impl Session {
    pub(super) async fn get(&mut self, get: &Get<'_>) -> Result<(), Ending> {
        let Some((name, client_id)) = self.identity(get.destination, get.client_id) else {
            return self.no_identity("Get", Text::Get(*get)).await;
        };
        let mut subscription = match self.attach(name, client_id) {
            Ok(subscription) => subscription,
            Err(error) => return self.failure(&error).await,
        };
        let wait = match Asked::of(get) {
            Asked::Not => Wait::Not,
            Asked::UpTo(wait) => Wait::Until(Instant::now() + wait),
            Asked::Unlimited => Wait::Unlimited,
        };
        let found = self.batch(&mut subscription, get.fetch_size.unwrap_or(0), wait).await?;
        let batch = match found {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                self.told = Told::Empty;
                return self.send(&reply::no_messages()).await;
            }
            Err(error) => return self.failure(&error.into()).await,
        };
        // It may have waited, or the process been stopped, since the batch was taken.
        if let Err(error) = subscription.check_served() {
            subscription.take_back(batch.id);
            return self.failure(&error.into()).await;
        }
        // Should the future be dropped here, the batch stays outstanding until the client's rollback.
        let sent = match reply::messages_head(batch.id, batch.len) {
            Ok(head) => tokio::select! {
                biased;
                // What is left of it must not go out: another server may be sending the same.
                () = subscription.fenced() => Err(Ending::Fenced),
                sent = self.send_slices(&head, &batch.slices) => sent,
            },
            Err(error) => Err(error.into()),
        };
        // For the log, whose lines are written at any time later.
        let asked_ms = now_ms();
        // A process that is stopped between the question and the write sends it when it goes on: nobody
        // can acknowledge it here then, and the client must come to know.
        let sent = match sent {
            Ok(()) if subscription.is_fenced() => Err(Ending::Fenced),
            sent => sent,
        };
        if sent.is_err() {
            subscription.take_back(batch.id);
        } else {
            let (batch_id, epoch, peer) = (batch.id, subscription.epoch(), self.peer);
            tracing::debug!(destination = name, client_id, batch_id, epoch, asked_ms, %peer, "batch sent");
        }
        sent
    }

    /// Takes a batch as soon as there is anything. No batch is taken for a peer that has gone.
    async fn batch(
        &mut self,
        subscription: &mut Subscription,
        fetch_size: i32,
        wait: Wait,
    ) -> Result<Result<Option<Batch>, DestinationError>, Ending> {
        loop {
            tokio::select! {
                biased;
                found = subscription.next(fetch_size, wait) => return Ok(found),
                read = self.read_more() => read?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_canal_reads_them_but_for_absent_ones() {
        let ms = |ms| Asked::UpTo(Duration::from_millis(ms));
        for (timeout, unit, want) in [
            (None, None, Asked::Not),
            (Some(-1), Some(-1), Asked::Not),
            (Some(0), Some(2), Asked::Unlimited),
            (Some(-2), Some(2), Asked::Unlimited),
            (Some(100), None, ms(100)),
            (Some(100), Some(2), ms(100)),
            (Some(100), Some(-1), ms(100)),
            (Some(100), Some(7), ms(100)),
            (Some(5_000_000), Some(0), ms(5)),
            (Some(5000), Some(1), ms(5)),
            (Some(5), Some(3), ms(5000)),
            (Some(2), Some(4), ms(120_000)),
            (Some(1), Some(5), ms(3_600_000)),
            (Some(1), Some(6), ms(86_400_000)),
            (Some(i64::MAX), Some(6), Asked::Unlimited),
        ] {
            let get = Get { timeout, unit, ..Get::default() };
            assert_eq!(Asked::of(&get), want, "{timeout:?} {unit:?}");
        }
    }
}
