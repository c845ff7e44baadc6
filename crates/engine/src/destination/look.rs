//! A look at a destination from outside.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use towpath_coordination::{Cursor, StateError};
use towpath_source::Contact;

use super::client::Reader;
use super::{Destination, InstanceHealth};
use crate::figures::{Figures, Reading, now_ms};
use crate::store::StoreOptions;

/// A destination at one moment.
#[derive(Debug)]
pub struct Look {
    /// Number of its lease, in a cluster.
    pub epoch: Option<i64>,
    /// Sums over its entries.
    pub figures: Figures,
    /// How far the source is read.
    pub reading: Reading,
    /// Its store.
    pub store: StoreLook,
    /// The client ids that have subscribed, by number.
    pub clients: Vec<ClientLook>,
    /// Whether its source can be read.
    pub contact: Contact,
    /// Since when its cursors cannot be written, and why.
    pub unwritten: Option<(SystemTime, Arc<StateError>)>,
    /// How long nobody has taken or acknowledged anything.
    pub idle: Duration,
    /// The client id and the batch that hold the oldest entries of its store.
    pub holder: Option<(i16, i64)>,
    /// What its instance waits for, and what has happened to it.
    pub health: InstanceHealth,
}

/// A store at one moment.
#[derive(Debug)]
pub struct StoreLook {
    /// Its settings.
    pub options: StoreOptions,
    /// Memory that its entries take, in bytes.
    pub held_bytes: usize,
    /// Entries put in, ever.
    pub put: u64,
    /// Entries taken, ever.
    pub get: u64,
    /// Entries acknowledged, ever.
    pub ack: u64,
}

/// A client id at one moment.
#[derive(Debug)]
pub struct ClientLook {
    /// The client id.
    pub id: i16,
    /// Batches that it has not acknowledged.
    pub batch_count: usize,
    /// Id of the oldest of them.
    pub oldest_batch: Option<i64>,
    /// What it acknowledged last.
    pub cursor: Option<Cursor>,
    /// Who gets its batches.
    pub reader: Option<Reader>,
}

/// Counts the time until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Waiting<'a>(&'a Destination);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut reading = self.0.reading();
        if let Some(since) = reading.full_since_ms.take() {
            reading.full_ms += u64::try_from(now_ms() - since).unwrap_or_default();
        }
    }
}

impl Destination {
    pub(super) fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store is full until the value is dropped.
    pub(super) fn wait_for_space(&self) -> Waiting<'_> {
        self.reading().full_since_ms = Some(now_ms());
        Waiting(self)
    }

    /// Takes down how far reading is.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Reading)) {
        change(&mut self.reading());
    }

    /// What it is and does now.
    pub(crate) fn look(&self) -> Look {
        let core = self.core();
        let store = StoreLook {
            options: core.store.options(),
            held_bytes: core.store.held_bytes(),
            put: core.store.put_sequence(),
            get: core.store.get_sequence(),
            ack: core.store.ack_sequence(),
        };
        let unwritten = {
            let written = core.cursors.written();
            let written = written.borrow();
            written.failing_since.zip(written.error.clone())
        };
        let mut cursors: HashMap<i16, Cursor> = core
            .cursors
            .clients()
            .into_iter()
            .filter_map(|client| Some((client.id, client.cursor?)))
            .collect();
        let subscribed = core.clients.iter().filter(|(_, client)| client.is_subscribed());
        let clients = subscribed.map(|(id, client)| ClientLook {
            id: *id,
            batch_count: client.batches.len(),
            oldest_batch: client.batches.front().map(|batch| batch.id),
            cursor: cursors.remove(id),
            reader: client.reader().cloned(),
        });
        Look {
            epoch: self.epoch(),
            figures: core.figures,
            reading: self.reading().clone(),
            store,
            clients: clients.collect(),
            contact: self.contact.borrow().clone(),
            unwritten,
            idle: core.last_request.elapsed(),
            holder: core.oldest_holding().map(|(client_id, batch)| (client_id, batch.id)),
            health: self.health.get(),
        }
    }
}
