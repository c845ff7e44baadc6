//! The request for a batch.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use towpath_protocol::{Get, Text, reply};

use super::{DURABLE_DEADLINE, Ending, Session};
use crate::destination::{Batch, Destination};
use crate::error::RequestError;
use crate::figures::{Told, now_ms};

/// Longest wait that is told from one without limit.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How often a get looks whether its batch id is on disk.
const RESERVATION_POLL: Duration = Duration::from_millis(5);

/// How long a get waits when there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Not,
    UpTo(Duration),
    Unlimited,
}

impl Wait {
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
        let (destination, client_id) = match self.resolve(name, client_id) {
            Ok(resolved) => resolved,
            Err(error) => return self.failure(&error).await,
        };
        let fetch_size = get.fetch_size.unwrap_or(0);
        let found = self.batch(&destination, (client_id, fetch_size), Wait::of(get)).await?;
        let batch = match found {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                self.told = Told::Empty;
                return self.send(&reply::no_messages()).await;
            }
            Err(error) => return self.failure(&error).await,
        };
        // It may have waited, or the process been stopped, since the batch was taken.
        if let Err(error) = destination.check_started() {
            destination.take_back(client_id, batch.id);
            return self.failure(&error).await;
        }
        // Should the future be dropped here, the batch stays outstanding until the client's rollback.
        let sent = match reply::messages_head(batch.id, batch.len) {
            Ok(head) => tokio::select! {
                biased;
                // What is left of it must not go out: another server may be sending the same.
                () = destination.fenced() => Err(Ending::Fenced),
                sent = self.send_slices(&head, &batch.slices) => sent,
            },
            Err(error) => Err(error.into()),
        };
        // For the log, whose lines are written at any time later.
        let asked_ms = now_ms();
        // A process that is stopped between the question and the write sends it when it goes on: nobody
        // can acknowledge it here then, and the client must come to know.
        let sent = match sent {
            Ok(()) if destination.is_fenced() => Err(Ending::Fenced),
            sent => sent,
        };
        if sent.is_err() {
            destination.take_back(client_id, batch.id);
        } else {
            let (batch_id, epoch) = (batch.id, destination.epoch());
            let peer = self.peer;
            tracing::debug!(destination = name, client_id, batch_id, epoch, asked_ms, %peer, "batch sent");
        }
        sent
    }

    /// Takes a batch as soon as there is anything. No batch is taken for a peer that has gone.
    async fn batch(
        &mut self,
        destination: &Destination,
        (client_id, fetch_size): (i16, i32),
        wait: Wait,
    ) -> Result<Result<Option<Batch>, RequestError>, Ending> {
        let deadline = match wait {
            Wait::UpTo(wait) => Some(Instant::now() + wait),
            Wait::Not | Wait::Unlimited => None,
        };
        let patience = Instant::now() + DURABLE_DEADLINE;
        loop {
            let mut entries = pin!(destination.entries().notified());
            entries.as_mut().enable();
            match destination.get((client_id, self.reader), fetch_size) {
                Ok(None) if wait != Wait::Not => {}
                // Batch ids are being reserved on disk, as after a restart: gives that a moment.
                Err(RequestError::NotDurable { .. }) if Instant::now() < patience => {
                    sleep(RESERVATION_POLL).await;
                    continue;
                }
                result => return Ok(result),
            }
            tokio::select! {
                () = entries => {}
                () = expiry(deadline) => return Ok(Ok(None)),
                read = self.read_more() => read?,
            }
        }
    }
}

async fn expiry(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_canal_reads_them_but_for_absent_ones() {
        let ms = |ms| Wait::UpTo(Duration::from_millis(ms));
        for (timeout, unit, want) in [
            (None, None, Wait::Not),
            (Some(-1), Some(-1), Wait::Not),
            (Some(0), Some(2), Wait::Unlimited),
            (Some(-2), Some(2), Wait::Unlimited),
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
            (Some(i64::MAX), Some(6), Wait::Unlimited),
        ] {
            let get = Get { timeout, unit, ..Get::default() };
            assert_eq!(Wait::of(&get), want, "{timeout:?} {unit:?}");
        }
    }
}
