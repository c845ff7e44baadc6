//! The active time of a connection: gets, acks and rollbacks on one socket, while the lock holds.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Permit;
use tokio::time::{Instant, timeout};
use towpath_protocol::entry::Entry;

use super::open::{Link, Open};
use super::pace::Pace;
use super::{Fence, InCluster, Life, Outcome};
use crate::ledger::Action;
use crate::session::{RawBatch, Session};
use crate::state::State;
use crate::{Batch, ClientError};

/// Time for the last requests, and for giving the lock up.
const DRAIN_DEADLINE: Duration = Duration::from_millis(400);

/// A get that was sent.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    timeout: Duration,
    /// What it brings was given back before it came.
    is_void: bool,
}

impl Life {
    pub(super) async fn serve(&self, mut open: Open) -> Outcome {
        let address = open.link.session.address().to_owned();
        let local = open.link.session.local_addr();
        self.shared.enter(State::Active { address: address.clone(), local });
        let ended = {
            let place = open.place.as_ref();
            let fence = place.map(InCluster::fence);
            let exchange = pin!(self.exchange(&mut open.link.session, fence.as_ref()));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                lost = lost(place) => Some(lost),
                moved = self.moved(place, &address) => Some(moved),
                Err(error) = exchange => Some(error),
            }
        };
        match ended {
            Some(error) => Outcome::Failed(error),
            None => {
                self.shared.enter(State::Draining);
                self.drain(open).await;
                Outcome::Stopped
            }
        }
    }

    /// Sends the acks that are due, gives the rest back, closes the socket, releases the lock.
    async fn drain(&self, open: Open) {
        let Open { link: Link { mut session, .. }, place } = open;
        let telling = async {
            while let Action::Ack(id) = self.shared.ledger(|ledger| ledger.next()) {
                session.ack(id).await?;
                self.shared.ledger(crate::ledger::Ledger::acked);
            }
            let is_expecting = session.expects_entries();
            if is_expecting || self.shared.ledger(|ledger| ledger.count()) > 0 {
                session.rollback(None).await?;
            }
            if is_expecting {
                // A Canal server would take the batch for a connection that is gone, behind the back of
                // the next one.
                session.answer().await?;
            }
            Ok::<(), ClientError>(())
        };
        // A request that was cut off closes the session: nothing can be said in it then.
        let told = timeout(DRAIN_DEADLINE, telling).await;
        tracing::debug!(told = matches!(told, Ok(Ok(()))), "connection drained");
        self.shared.ledger(crate::ledger::Ledger::void);
        session.close(DRAIN_DEADLINE).await;
        if let Some(place) = place {
            place.release(DRAIN_DEADLINE).await;
        }
    }

    /// Talks to the server; ends only with an error.
    async fn exchange(
        &self,
        session: &mut Session,
        fence: Option<&Fence>,
    ) -> Result<Infallible, ClientError> {
        let config = &self.inner.config;
        let mut pace = Pace::new(config.poll, config.fetch_size);
        let mut permit: Option<Permit<'_, Batch>> = None;
        let mut asked: Option<Asked> = None;
        loop {
            // Nothing is sent, and nothing handed on, once the lock may be another's.
            fence.map_or(Ok(()), Fence::check)?;
            match self.shared.ledger(|ledger| ledger.next()) {
                Action::Nothing => {}
                Action::Ack(id) => {
                    session.ack(id).await?;
                    self.shared.ledger(crate::ledger::Ledger::acked);
                    continue;
                }
                Action::Rollback => {
                    session.rollback(None).await?;
                    self.shared.ledger(crate::ledger::Ledger::void);
                    // The server has answered it before it reads the rollback.
                    asked = asked.map(|asked| Asked { is_void: true, ..asked });
                    continue;
                }
            }
            let out = self.shared.ledger(|ledger| ledger.count());
            if asked.is_none() && permit.is_some() && out < config.unacked_max {
                let timeout = pace.timeout(out);
                session.ask(config.fetch_size, timeout).await?;
                asked = Some(Asked { at: Instant::now(), timeout, is_void: false });
            }
            tokio::select! {
                biased;
                () = self.shared.work.notified() => {}
                reserved = self.batches.reserve(), if permit.is_none() => match reserved {
                    Ok(reserved) => permit = Some(reserved),
                    // Nobody takes batches any more: the connection is being dropped.
                    Err(_) => std::future::pending().await,
                },
                came = session.answer() => {
                    let batch = came?;
                    fence.map_or(Ok(()), Fence::check)?;
                    if let Some(asked) = asked.take()
                        && !asked.is_void
                        && let Some(batch) = self.take(batch, &asked, &mut pace)
                        && let Some(permit) = permit.take()
                    {
                        permit.send(batch);
                    }
                }
            }
        }
    }

    fn take(&self, raw: RawBatch, asked: &Asked, pace: &mut Pace) -> Option<Batch> {
        if raw.is_nothing() {
            pace.got_nothing();
            return None;
        }
        let count = raw.entries.len();
        let bytes = raw.entries.iter().map(Bytes::len).sum();
        pace.got(asked.at.elapsed(), asked.timeout, count, bytes);
        let latest = raw.entries.last().and_then(|entry| Entry::parse(entry).ok());
        self.shared.came(count, latest.map(|entry| entry.header.execute_time));
        Some(Batch::new(&self.shared, raw))
    }
}

async fn lost(place: Option<&InCluster>) -> ClientError {
    match place {
        Some(place) => place.lost().await,
        None => std::future::pending().await,
    }
}
