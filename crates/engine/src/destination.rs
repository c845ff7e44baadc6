//! What the instance, the sessions and the cursor of one destination share.
//!
//! Every request is one short critical section; nothing waits inside of it. Subscriptions and batches
//! belong to a client id, not to a connection. As in Canal all client ids of a destination share one
//! read pointer; so they share one cursor, too: behind it nothing is missing, whoever got it.

mod client;
mod health;
mod look;
mod state;

use std::cmp;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use towpath_binlog::{GtidSet, Position};
use towpath_coordination::{BinlogFile, Cursor, CursorStore, Fence, Written, stored_len};
use towpath_entry::{Block, TableFilter, shown_filter};
use towpath_source::Contact;

use crate::error::{DestinationError, InstanceError};
use crate::figures::{Amount, Figures, Reading, now_ms};
use crate::store::{Store, StoreOptions, Taken};
pub use client::Reader;
use client::{Client, Entrance, Hold, Outstanding};
pub(crate) use health::{Health, Progress};
pub use health::{InstanceHealth, Stage};
pub use look::{ClientLook, Look, StoreLook};
pub use state::{InstanceState, InstanceStatus};

/// Batches that a client may have without acknowledging one.
const OUTSTANDING_MAX: usize = 10_000;

/// Bytes that the filters of all clients may take in a state file: it is written as a whole.
const FILTERS_LEN_MAX: usize = 8 << 20;

/// How long a client may take to come for more, before nobody is waited for.
const COMING: Duration = Duration::from_secs(10);

/// How long a client may work on a batch.
const WORKING: Duration = Duration::from_secs(60);

/// How long a full store is normal.
const FULL_WARNING: Duration = Duration::from_secs(30);

/// A batch, ready to be sent.
#[derive(Debug)]
pub struct Batch {
    /// Its number, by which it is acknowledged.
    pub id: i64,
    /// Entries as they lie in a `Messages` packet.
    pub slices: Vec<Bytes>,
    /// Bytes of all slices.
    pub len: usize,
}

/// A client's filter, as text and as what became of it.
#[derive(Debug, Clone)]
pub(crate) struct ClientFilter {
    pub(crate) text: String,
    pub(crate) compiled: TableFilter,
    /// What is odd about it.
    pub(crate) remarks: Vec<String>,
}

#[derive(Debug)]
struct Core {
    store: Store,
    cursors: CursorStore,
    clients: BTreeMap<i16, Client>,
    /// Where a client without a cursor of its own begins: the store's ack pointer.
    resume: Option<Cursor>,
    /// Takes the place of all cursors at the next acknowledgement.
    instead: Option<Cursor>,
    /// Acknowledged positions that the ack pointer has not reached, by the sequence behind them.
    ahead: BTreeMap<u64, Cursor>,
    /// The filter in force, if a client set one.
    filter: Option<ClientFilter>,
    figures: Figures,
    /// When a client last took or acknowledged something.
    last_request: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Destination {
    name: String,
    base_filter: TableFilter,
    /// In a cluster: whether this server may still serve it.
    fence: Option<Fence>,
    /// No new batches are handed out.
    is_draining: AtomicBool,
    core: Mutex<Core>,
    entries: Notify,
    space: Notify,
    acked: Notify,
    status: watch::Sender<InstanceStatus>,
    filter: watch::Sender<Option<TableFilter>>,
    health: Health,
    reading: Mutex<Reading>,
    /// Whether the source can be read.
    contact: watch::Sender<Contact>,
}

impl Destination {
    /// Clients and cursors are those of the state directory, or of the cluster.
    pub(crate) fn new(
        name: &str,
        options: StoreOptions,
        base_filter: TableFilter,
        cursors: CursorStore,
        fence: Option<Fence>,
    ) -> Self {
        let clients: BTreeMap<i16, Client> = cursors
            .clients()
            .into_iter()
            .map(|known| {
                let reserving = cursors.reserve_batch_ids(known.id, known.batch_ids);
                (known.id, Client::known(&known, reserving))
            })
            .collect();
        let core = Core {
            store: Store::new(options),
            cursors,
            clients,
            resume: None,
            instead: None,
            ahead: BTreeMap::new(),
            filter: None,
            figures: Figures::default(),
            last_request: Instant::now(),
        };
        Self {
            name: name.to_owned(),
            base_filter,
            fence,
            is_draining: AtomicBool::new(false),
            core: Mutex::new(core),
            entries: Notify::new(),
            space: Notify::new(),
            acked: Notify::new(),
            status: watch::Sender::new(InstanceStatus::now(InstanceState::Starting)),
            filter: watch::Sender::new(None),
            health: Health::new(),
            reading: Mutex::default(),
            contact: watch::Sender::default(),
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reported whenever there is something new to take.
    pub(crate) const fn entries(&self) -> &Notify {
        &self.entries
    }

    pub(crate) const fn health(&self) -> &Health {
        &self.health
    }

    /// The state of its instance, to look at or to wait on.
    pub(crate) fn status(&self) -> watch::Receiver<InstanceStatus> {
        self.status.subscribe()
    }

    /// Where it is told whether the source can be read.
    pub(crate) const fn contact(&self) -> &watch::Sender<Contact> {
        &self.contact
    }

    /// How far the state directory is written.
    pub(crate) fn written(&self) -> watch::Receiver<Written> {
        self.core().cursors.written()
    }

    /// The filter that clients set, as it changes.
    pub(crate) fn filter_changes(&self) -> watch::Receiver<Option<TableFilter>> {
        self.filter.subscribe()
    }

    pub(crate) fn set_state(&self, state: InstanceState) {
        let cause = state.error().map(ToString::to_string);
        let (from, to) = (self.status.borrow().state.name(), state.name());
        if state.error().is_some() {
            tracing::error!(destination = self.name, from, to, cause, "instance changed state");
        } else {
            tracing::info!(destination = self.name, from, to, "instance changed state");
        }
        self.status.send_replace(InstanceStatus::now(state));
        self.entries.notify_waiters();
    }

    /// Where reading begins: the oldest cursor of all clients.
    pub(crate) fn oldest_cursor(&self) -> Option<Cursor> {
        let cursors = self.core().cursors.clients().into_iter().filter_map(|client| client.cursor);
        cursors.reduce(older)
    }

    /// The filters that clients stored, the last one in force.
    ///
    /// # Errors
    /// When it does not compile.
    pub(crate) fn stored_filter(&self) -> Result<TableFilter, InstanceError> {
        let mut core = self.core();
        let stored = core.cursors.clients().into_iter().rev().find_map(|client| {
            client.filter.filter(|text| !text.is_empty()).map(|text| (client.id, text))
        });
        let Some((client_id, text)) = stored else { return Ok(self.base_filter.clone()) };
        let filter = self
            .base_filter
            .with_stored_white(&text)
            .map_err(|source| InstanceError::StoredFilter { client_id, source })?;
        let (compiled, remarks) = (filter.clone(), Vec::new());
        core.filter = Some(ClientFilter { text, compiled, remarks });
        Ok(filter)
    }

    /// What is handed on from now on comes from this file.
    pub(crate) fn read_from(&self, of: BinlogFile) {
        self.core().store.read_from(Arc::new(of));
    }

    /// Reading has begun at `cursor`: clients without a cursor begin there.
    pub(crate) fn set_origin(&self, mut cursor: Cursor) {
        let mut core = self.core();
        core.tell_file(&mut cursor);
        core.cursors.set_first_cursor(&cursor);
        core.resume = Some(cursor);
    }

    /// The same when the cursors that clients have are given up: theirs is this one, once they were told of
    /// the gap. Until then a start tells them again.
    pub(crate) fn set_origin_instead(&self, mut cursor: Cursor) {
        let mut core = self.core();
        core.tell_file(&mut cursor);
        core.instead = Some(cursor.clone());
        core.resume = Some(cursor);
    }

    /// Everything up to `cursor` was read, and what of it is delivered was handed on before. If all of that is
    /// acknowledged, clients go on there, although nothing tells them of it. False when somebody has something
    /// to acknowledge yet.
    pub(crate) fn pass(&self, cursor: &Cursor) -> bool {
        let mut core = self.core();
        let is_idle = core.store.is_all_acknowledged() && core.has_no_batches();
        if !is_idle || self.is_fenced() {
            return false;
        }
        let place = |cursor: &Cursor| {
            cursor.resume.as_ref().map(|resume| (Arc::clone(&resume.file), resume.offset))
        };
        if core.resume.as_ref().is_some_and(|before| place(before) == place(cursor)) {
            // The cursor behind an acknowledgement says more.
            return true;
        }
        let mut cursor = cursor.clone();
        core.tell_file(&mut cursor);
        let is_gap_told = core.instead.is_none();
        if core.resume.replace(cursor.clone()).is_some() && is_gap_told {
            core.cursors.set_all_cursors(cursor);
        }
        true
    }

    /// Adds a block, waiting while the store is full. Cancelling it drops the block.
    pub(crate) async fn push(&self, mut block: Block) {
        loop {
            let mut space = pin!(self.space.notified());
            space.as_mut().enable();
            let pushed = {
                let mut core = self.core();
                let amount = Amount::of(&block.entries);
                let pushed = core.store.push(block);
                if pushed.is_ok() {
                    core.figures.put(amount);
                }
                pushed
            };
            match pushed {
                Ok(()) => return self.entries.notify_waiters(),
                Err(refused) => block = refused,
            }
            self.health.enter(Stage::Room);
            let _waiting = self.wait_for_space();
            if timeout(FULL_WARNING, space.as_mut()).await.is_err() {
                self.warn_full();
                space.await;
            }
        }
    }

    fn warn_full(&self) {
        let core = self.core();
        let oldest = core.oldest_holding();
        tracing::warn!(
            destination = self.name,
            held_bytes = core.store.held_bytes(),
            client_id = oldest.map(|(client_id, _)| client_id),
            batch_id = oldest.map(|(_, batch)| batch.id),
            "store is full, reading waits for the client to take or acknowledge"
        );
    }

    /// Hands out no new batches, and waits up to `patience` until those that are out are acknowledged.
    pub(crate) async fn drain(&self, patience: Duration) {
        self.is_draining.store(true, Ordering::Release);
        if timeout(patience, self.acknowledged(Core::has_no_batches)).await.is_err() {
            tracing::info!(
                destination = self.name,
                "batches are not acknowledged yet: their entries are delivered again"
            );
        }
    }

    /// Waits until clients have acknowledged all that was handed on, or nobody comes for it any more. Without
    /// a client there is nobody to wait for. Whether all is acknowledged.
    pub(crate) async fn delivered(&self) -> bool {
        let since = Instant::now();
        loop {
            let patience = {
                let core = self.core();
                let patience = if core.has_no_batches() { COMING } else { WORKING };
                patience.saturating_sub(core.last_request.max(since).elapsed())
            };
            if patience.is_zero() {
                return self.is_delivered();
            }
            if timeout(patience, self.acknowledged(Core::is_delivered)).await.is_ok() {
                return true;
            }
        }
    }

    /// See [`Self::delivered`].
    pub(crate) fn is_delivered(&self) -> bool {
        self.core().is_delivered()
    }

    async fn acknowledged(&self, is_enough: impl Fn(&Core) -> bool) {
        loop {
            let mut acked = pin!(self.acked.notified());
            acked.as_mut().enable();
            if is_enough(&self.core()) {
                return;
            }
            acked.await;
        }
    }

    /// Ends it: no request is served any more, and the cursors' writer writes what is left.
    pub(crate) fn close(&self) {
        // Why it failed is told to whoever still asks.
        let has_failed = matches!(self.status.borrow().state, InstanceState::Failed(_));
        if !has_failed {
            self.set_state(InstanceState::Stopped);
        }
        self.core().cursors.close();
    }

    /// Whether requests can be served: the instance lives and the lease, if there is one, holds.
    pub(crate) fn check_started(&self) -> Result<(), DestinationError> {
        let destination = self.name.clone();
        if self.is_fenced() {
            return Err(DestinationError::NotServed { destination });
        }
        match &self.status.borrow().state {
            InstanceState::Starting
            | InstanceState::Running
            | InstanceState::Ended
            | InstanceState::Failing(_) => Ok(()),
            InstanceState::Failed(error) => {
                Err(DestinationError::Failed { destination, cause: error.to_string() })
            }
            InstanceState::Stopped => Err(DestinationError::NotServed { destination }),
        }
    }

    /// Waits until it is not served here any more: its lease is over, or it is stopped. Never ends for
    /// one that has no lease.
    pub(crate) async fn fenced(&self) {
        let Some(fence) = &self.fence else { return std::future::pending().await };
        let mut status = self.status.subscribe();
        tokio::select! {
            biased;
            () = fence.expired() => {}
            // An error would mean that the destination is gone.
            _ = status.wait_for(|status| {
                matches!(status.state, InstanceState::Stopped | InstanceState::Failed(_))
            }) => {}
        }
    }

    /// Whether it has a lease that does not hold any more.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fence.as_ref().is_some_and(|fence| !fence.holds())
    }

    /// The epoch of its lease.
    pub(crate) fn epoch(&self) -> Option<i64> {
        self.fence.as_ref().map(Fence::epoch)
    }

    /// The filter in force, if it is this one.
    pub(crate) fn filter_in_force(&self, text: &str) -> Option<ClientFilter> {
        self.core().filter.clone().filter(|filter| filter.text == text)
    }

    /// What a client's filter is compiled with.
    pub(crate) const fn base_filter(&self) -> &TableFilter {
        &self.base_filter
    }

    /// Records a client and its filter, if it brings one; its batches go to `reader` from now on, and to no
    /// earlier one. The number is that of the change on disk.
    pub(crate) fn subscribe(
        &self,
        (client_id, reader): (i16, Reader),
        filter: Option<ClientFilter>,
    ) -> Result<u64, DestinationError> {
        self.check_started()?;
        let mut core = self.core();
        let text = filter.as_ref().map_or("", |filter| &filter.text);
        let generation = match core.clients.get(&client_id).and_then(|client| client.same(text)) {
            // Some clients subscribe before each request: that costs no write.
            Some(generation) => generation,
            None => {
                let before = core.clients.get(&client_id).map_or("", Client::filter);
                let grows = stored_len(text) > stored_len(before);
                let bytes = core.cursors.filter_bytes(client_id) + stored_len(text);
                // The state may hold more, as another server left it: that must not keep a client out.
                if grows && bytes > FILTERS_LEN_MAX {
                    return Err(DestinationError::TooManyFilters { bytes, max: FILTERS_LEN_MAX });
                }
                self.enter(&mut core, client_id, text)
            }
        };
        if let Some(client) = core.clients.get_mut(&client_id)
            && client.is_read_by(reader)
        {
            // Its get may be waiting for entries.
            self.entries.notify_waiters();
        }
        if let Some(filter) = filter
            && core.filter.as_ref().is_none_or(|known| known.text != filter.text)
        {
            self.filter.send_replace(Some(filter.compiled.clone()));
            self.tell_filter(client_id, &filter);
            core.filter = Some(filter);
        }
        Ok(generation)
    }

    fn tell_filter(&self, client_id: i16, filter: &ClientFilter) {
        let destination = self.name();
        tracing::info!(
            destination,
            client_id,
            filter = %shown_filter(&filter.text),
            "a client's filter replaces that of the destination"
        );
        for remark in &filter.remarks {
            tracing::warn!(destination, client_id, %remark, "a filter may match too little");
        }
    }

    /// Puts a client, or its new filter, into the state directory.
    fn enter(&self, core: &mut Core, client_id: i16, filter: &str) -> u64 {
        let last_id = core.clients.get(&client_id).map_or(0, |client| client.last_id);
        core.cursors.subscribe(client_id, Some(filter));
        if let Some(cursor) =
            core.resume.clone().filter(|_| core.cursors.cursor(client_id).is_none())
        {
            core.cursors.set_cursor(client_id, cursor);
        }
        let (reserved, generation) = core.cursors.reserve_batch_ids(client_id, last_id);
        let client = core.clients.entry(client_id).or_default();
        client.reserving = Some((reserved, generation));
        if client.subscribe(filter, generation) == Entrance::New {
            let client_count = core.clients.values().filter(|other| other.is_subscribed()).count();
            tracing::info!(destination = self.name, client_id, client_count, "client subscribed");
            if client_count > 1 {
                tracing::warn!(
                    destination = self.name,
                    client_id,
                    client_count,
                    "several client ids share this destination: each entry goes to one of them only"
                );
            }
        }
        generation
    }

    /// Forgets a client. The number is that of the change on disk.
    pub(crate) fn unsubscribe(&self, client_id: i16) -> Result<u64, DestinationError> {
        self.check_started()?;
        let mut core = self.core();
        let first = core.clients.get_mut(&client_id).and_then(Client::unsubscribe);
        if let Some(first) = first {
            core.rewind(first);
            self.entries.notify_waiters();
        }
        let generation = core.cursors.unsubscribe(client_id);
        // The last one may have been waited for.
        self.acked.notify_waiters();
        Ok(generation)
    }

    /// Whether another connection has subscribed for the client after `reader`.
    pub(crate) fn is_taken(&self, client_id: i16, reader: Option<&Reader>) -> bool {
        self.core().clients.get(&client_id).is_some_and(|client| client.newer(reader).is_some())
    }

    /// A new batch of what is there, or `None`. Two connections that got batches of one client by turns
    /// would each see what the other did not: the one that has subscribed before the other is refused. The
    /// other begins with what the first has not acknowledged: a client may ask before it rolls back.
    pub(crate) fn get(
        &self,
        (client_id, reader): (i16, Option<&Reader>),
        fetch_size: i32,
    ) -> Result<Option<Batch>, DestinationError> {
        self.check_started()?;
        let mut core = self.core();
        let core = &mut *core;
        core.last_request = Instant::now();
        let client = core.subscribed(&self.name, client_id)?;
        if let Some(Reader { subscriber, since_ms, .. }) = client.newer(reader) {
            let (subscriber, age_ms) = (subscriber.clone(), now_ms() - since_ms);
            return Err(DestinationError::Superseded { client_id, subscriber, age_ms });
        }
        let count = client.batches.len();
        if count >= OUTSTANDING_MAX {
            return Err(DestinationError::TooManyBatches { client_id, count });
        }
        if self.is_draining.load(Ordering::Acquire) {
            return Ok(None);
        }
        if client.has_batches_of_another(reader) {
            client.batches.clear();
            core.rewind(core.store.ack_sequence());
        }
        if !core.store.has_more() {
            return Ok(None);
        }
        let id = core.next_id(client_id)?;
        let Some(taken) = core.store.take(fetch_size) else { return Ok(None) };
        let Taken { slices, len, first, end, ack, amount } = taken;
        core.figures.get(amount);
        if let Some(client) = core.clients.get_mut(&client_id) {
            client.last_id = id;
            client.batches.push_back(Outstanding {
                id,
                first,
                end,
                ack,
                hold: Hold::Holds,
                amount,
                to: reader.map(|reader| reader.subscriber.clone()),
            });
        }
        Ok(Some(Batch { id, slices, len }))
    }

    /// The client has processed its oldest batch: frees what nobody holds, and moves the cursor up to there.
    pub(crate) fn ack(&self, client_id: i16, batch_id: i64) -> Result<(), DestinationError> {
        self.check_started()?;
        let mut core = self.core();
        core.last_request = Instant::now();
        let client = core.subscribed(&self.name, client_id)?;
        let unknown = DestinationError::AckUnknown { client_id, batch_id };
        let batch = client.take_oldest(batch_id, unknown)?;
        if batch.hold == Hold::Holds {
            core.figures.ack(batch.amount);
        }
        if let (Some(mut cursor), Hold::Holds) = (batch.ack, batch.hold) {
            if let Some(origin) = core.instead.take() {
                core.cursors.set_all_cursors(origin);
            }
            core.store.tell(batch.end, &mut cursor);
            core.ahead.insert(batch.end, cursor);
        }
        if core.advance() {
            self.space.notify_waiters();
        }
        self.acked.notify_waiters();
        Ok(())
    }

    /// Everything that is not acknowledged comes again. Never an error.
    pub(crate) fn rollback_all(&self, client_id: i16) {
        let mut core = self.core();
        let Some(client) = core.clients.get_mut(&client_id).filter(|client| client.is_subscribed())
        else {
            return;
        };
        client.batches.clear();
        let first = core.store.ack_sequence();
        core.rewind(first);
        self.entries.notify_waiters();
    }

    /// The oldest batch, and with it every younger one, comes again.
    pub(crate) fn rollback(&self, client_id: i16, batch_id: i64) -> Result<(), DestinationError> {
        self.check_started()?;
        {
            let mut core = self.core();
            let Some(client) = core.clients.get_mut(&client_id) else { return Ok(()) };
            if !client.is_subscribed() {
                return Ok(());
            }
            client
                .take_oldest(batch_id, DestinationError::RollbackUnknown { client_id, batch_id })?;
        }
        self.rollback_all(client_id);
        Ok(())
    }

    /// The batch could not be sent: its entries come again if nothing was taken since.
    pub(crate) fn take_back(&self, client_id: i16, batch_id: i64) {
        let mut core = self.core();
        let get = core.store.get_sequence();
        let Some(client) = core.clients.get_mut(&client_id) else { return };
        let newest = client.batches.back().filter(|batch| batch.id == batch_id && batch.end == get);
        if let Some(first) = newest.map(|batch| batch.first) {
            client.batches.pop_back();
            core.rewind(first);
            self.entries.notify_waiters();
        }
    }
}

impl Core {
    /// Adds to a cursor which file it means.
    fn tell_file(&self, cursor: &mut Cursor) {
        if let Some(resume) = &mut cursor.resume {
            resume.of = self.store.file_of(&resume.file);
        }
    }

    fn is_delivered(&self) -> bool {
        let is_all = self.store.is_all_acknowledged() && self.has_no_batches();
        is_all || self.cursors.clients().is_empty()
    }

    fn has_no_batches(&self) -> bool {
        self.clients.values().all(|client| client.batches.is_empty())
    }

    fn subscribed(&mut self, name: &str, client_id: i16) -> Result<&mut Client, DestinationError> {
        self.clients.get_mut(&client_id).filter(|client| client.is_subscribed()).ok_or_else(|| {
            DestinationError::NotSubscribed { destination: name.to_owned(), client_id }
        })
    }

    /// The next batch id, reserved on disk; asks for more in time.
    fn next_id(&mut self, client_id: i16) -> Result<i64, DestinationError> {
        let written = self.cursors.written();
        let Some(client) = self.clients.get_mut(&client_id) else { return Ok(1) };
        if let Some((last, generation)) = client.reserving
            && written.borrow().generation >= generation
        {
            client.reserved = last;
            client.reserving = None;
        }
        let id = client.last_id.saturating_add(1);
        if client.reserving.is_none() && client.needs_ids() {
            client.reserving = Some(self.cursors.reserve_batch_ids(client_id, id));
        }
        if id <= client.reserved {
            return Ok(id);
        }
        let error = written.borrow().error.clone();
        let cause = error.map_or_else(|| "still writing".to_owned(), |error| error.to_string());
        Err(DestinationError::NotDurable { cause })
    }

    /// The oldest batch that keeps the ack pointer.
    fn oldest_holding(&self) -> Option<(i16, &Outstanding)> {
        let of =
            |(id, client): (&i16, &'_ Client)| client.oldest_holding().map(|first| (first, *id));
        let (_, client_id) = self.clients.iter().filter_map(of).min()?;
        let batch = self.clients.get(&client_id)?.batches.iter().find(|b| b.hold == Hold::Holds)?;
        Some((client_id, batch))
    }

    /// Moves the ack pointer up to the oldest batch that is held. True when space was freed.
    fn advance(&mut self) -> bool {
        let oldest = self.oldest_holding().map(|(_, batch)| batch.first);
        let freed = self.store.ack(oldest.unwrap_or_else(|| self.store.get_sequence()));
        let ack = self.store.ack_sequence();
        let later = self.ahead.split_off(&ack.saturating_add(1));
        if let Some((_, cursor)) = std::mem::replace(&mut self.ahead, later).pop_last() {
            self.resume = Some(cursor.clone());
            self.cursors.set_all_cursors(cursor);
        }
        freed
    }

    /// Everything from `sequence` on comes again, in new batches. Batches of other clients that reach
    /// into it can still be acknowledged, but hold nothing any more.
    fn rewind(&mut self, sequence: u64) {
        self.store.rewind(sequence);
        for client in self.clients.values_mut() {
            client.release(sequence);
        }
        self.ahead.split_off(&sequence.saturating_add(1));
    }
}

/// The one of two cursors behind which reading goes on earlier: by the sets of what was executed, where one has
/// the other, since a standby may count its files in another way; else by their positions. Of two that have
/// no order it is the one that was made first.
fn older(left: Cursor, right: Cursor) -> Cursor {
    let ((left_at, left_set), (right_at, right_set)) = (place(&left), place(&right));
    let by_set = left_set.zip(right_set).and_then(|(left, right)| left.order(&right));
    let order = by_set.or_else(|| left_at.partial_cmp(&right_at));
    let is_left = order.map_or(left.timestamp_ms <= right.timestamp_ms, cmp::Ordering::is_le);
    if is_left { left } else { right }
}

/// Where reading goes on behind a cursor, and what was executed up to there, if that is known.
fn place(cursor: &Cursor) -> (Position, Option<GtidSet>) {
    let (file, offset, set) = match &cursor.resume {
        Some(resume) => (&resume.file, resume.offset, resume.gtid.as_deref().unwrap_or_default()),
        None => (&cursor.file, cursor.offset, cursor.gtid.as_ref()),
    };
    let set = GtidSet::parse(set).ok().filter(|set| !set.is_empty());
    (Position { file: Arc::clone(file), offset }, set)
}

#[cfg(test)]
mod tests;
