//! Destinations that come, change and go while the others run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use towpath_coordination::{Cursor, StateDirectory, StateError};
use towpath_entry::filter_remarks;
use towpath_source::Source;

use crate::cluster::{Cluster, Outage, View};
use crate::config::{DestinationConfig, EngineConfig, FeedPlan, Plan};
use crate::destination::{ClientFilter, Destination, InstanceStatus, Reader};
use crate::error::{DestinationError, EngineError, InstanceError};
use crate::figures::now_ms;
use crate::instance::Feed;
use crate::life::{Failure, Life, Opened, Place};
use crate::look::{DestinationLook, look};
use crate::problem::{Problem, ProblemKind};
use crate::slot::{Role, Slot, Slots};
use crate::subscription::{Subscriber, Subscription, durable};

/// Time that each part has to end, however long the ones before it took.
const STOP_LEAST: Duration = Duration::from_millis(500);

/// Time between two tries of the state directory.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Everything between sources and those who consume their changes. Cheap to clone: when the last one is
/// dropped, everything ends at once, and cursors of the last 25 ms (in a cluster 250 ms) are lost, so that
/// their entries are delivered again. [`Engine::close`] loses none.
#[derive(Debug, Clone)]
#[must_use]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Slots,
    home: Home,
    lives: Mutex<Lives>,
    /// Held while a destination of a name is started, changed or stopped: its state is open once only.
    turns: Mutex<BTreeMap<String, Arc<Turn>>>,
    failed: watch::Sender<Option<Failure>>,
    /// Subscriptions, ever.
    subscriptions: AtomicU64,
    /// Held while a filter is compiled: memory does not depend on how many clients bring one.
    filters: Arc<Semaphore>,
    /// Cancelled when all of it ends.
    closing: CancellationToken,
}

/// Where the state of destinations lies.
#[derive(Debug)]
enum Home {
    Alone { directory: StateDirectory, unwritable: watch::Receiver<Unwritable> },
    Cluster { view: View, address: String },
}

type Turn = tokio::sync::Mutex<()>;

#[derive(Debug, Default)]
struct Lives {
    by_name: BTreeMap<String, Handle>,
    /// The session with ZooKeeper.
    cluster: Option<(JoinSet<()>, CancellationToken)>,
    /// Looks whether the state directory can be written.
    probe: JoinSet<()>,
    is_closed: bool,
}

/// Since when the state directory cannot be written, and why.
type Unwritable = Option<(SystemTime, Arc<StateError>)>;

/// How long ZooKeeper may be away: a session made anew is nothing wrong.
const OUTAGE_MAX: Duration = Duration::from_secs(1);

impl Home {
    /// What is wrong with it.
    fn problem(&self) -> Option<Problem> {
        match self {
            Self::Alone { unwritable, .. } => {
                let (since, error) = unwritable.borrow().clone()?;
                let why = error.to_string();
                Some(Problem { kind: ProblemKind::StateUnwritable, since, why })
            }
            Self::Cluster { view, .. } => {
                let Outage { since, why } = view.outage.borrow().clone()?;
                let is_long = since.elapsed().unwrap_or_default() >= OUTAGE_MAX;
                is_long.then_some(Problem { kind: ProblemKind::NoZooKeeper, since, why })
            }
        }
    }
}

/// Tries the state directory again and again: an idle destination writes nothing, and would find out late.
async fn probe(directory: StateDirectory, told: watch::Sender<Unwritable>) {
    loop {
        sleep(PROBE_INTERVAL).await;
        let directory = directory.clone();
        let result = spawn_blocking(move || directory.probe()).await;
        let Ok(result) = result else { return };
        let since = told.borrow().as_ref().map(|(since, _)| *since);
        match (result, since) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                tracing::info!("the state directory can be written again");
                told.send_replace(None);
            }
            (Err(error), since) => {
                if since.is_none() {
                    tracing::error!(%error, "the state directory cannot be written, trying again");
                }
                let since = since.unwrap_or_else(SystemTime::now);
                told.send_replace(Some((since, Arc::new(error))));
            }
        }
    }
}

/// A destination's life, from outside. Dropping it ends that at once.
#[derive(Debug)]
struct Handle {
    plans: watch::Sender<Arc<Plan>>,
    leave: CancellationToken,
    /// One task.
    task: JoinSet<Result<(), Arc<StateError>>>,
}

impl Engine {
    /// Takes the state directory. A cluster may be away: it is looked for while the engine runs.
    ///
    /// # Errors
    /// [`EngineError::State`]
    pub fn open(config: EngineConfig) -> Result<Self, EngineError> {
        let closing = CancellationToken::new();
        let mut lives = Lives::default();
        let home = match config {
            EngineConfig::Alone(path) => {
                let directory = StateDirectory::open(&path)?;
                let (told, unwritable) = watch::channel(None);
                lives.probe.spawn(probe(directory.clone(), told));
                Home::Alone { directory, unwritable }
            }
            EngineConfig::Cluster(config) => {
                let address = config.address.clone();
                let (cluster, view) = Cluster::new(config);
                let leave = CancellationToken::new();
                let mut task = JoinSet::new();
                task.spawn(cluster.run(leave.clone()));
                lives.cluster = Some((task, leave));
                Home::Cluster { view, address }
            }
        };
        Ok(Self(Arc::new(Inner {
            slots: Slots::default(),
            home,
            lives: Mutex::new(lives),
            turns: Mutex::default(),
            failed: watch::Sender::new(None),
            subscriptions: AtomicU64::new(0),
            filters: Arc::new(Semaphore::new(1)),
            closing,
        })))
    }

    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.0.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose turn it is to change a destination.
    fn turn(&self, name: &str) -> Arc<Turn> {
        let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(name.to_owned()).or_default())
    }

    /// Starts a destination, or gives one that is there new settings: it goes on as it was until they are
    /// tried, and then behind what its clients have acknowledged. Where the engine is alone a new one is served
    /// when the call returns, though its source may not be read yet.
    ///
    /// # Errors
    /// [`EngineError`]; a destination that was there is as before.
    pub async fn start(&self, config: DestinationConfig) -> Result<(), EngineError> {
        let name = config.destination.clone();
        let turn = self.turn(&name);
        let _turn = turn.lock().await;
        let is_by_hand = matches!(config.feed, Feed::Blocks(_));
        let is_there = self.lives().by_name.contains_key(&name);
        if is_by_hand && (is_there || matches!(self.0.home, Home::Cluster { .. })) {
            return Err(EngineError::FedByHand { destination: name });
        }
        let plan = Plan::of(config);
        if is_there {
            check(&name, &plan).await?;
        }
        self.put(&name, plan)?;
        if matches!(self.0.home, Home::Alone { .. })
            && let Some(slot) = self.0.slots.get(&name)
        {
            let mut held = slot.held();
            let begun = held.wait_for(|held| !matches!(held.role, Role::Standby));
            // An error would mean that it is stopped by now.
            let _begun: bool = begun.await.is_ok();
        }
        Ok(())
    }

    /// Begins a destination's life, or changes its settings.
    fn put(&self, name: &str, plan: Plan) -> Result<(), EngineError> {
        let mut lives = self.lives();
        if lives.is_closed {
            return Err(EngineError::Closed { destination: name.to_owned() });
        }
        if let Some(handle) = lives.by_name.get(name) {
            handle.plans.send_replace(Arc::new(plan));
            return Ok(());
        }
        let handle = self.begin(name, plan)?;
        lives.by_name.insert(name.to_owned(), handle);
        Ok(())
    }

    fn begin(&self, name: &str, plan: Plan) -> Result<Handle, EngineError> {
        let place = match &self.0.home {
            Home::Alone { directory, .. } => Place::Alone {
                opened: Some(Opened::first(directory, name, &plan.address)?),
                directory: directory.clone(),
                closing: self.0.closing.clone(),
            },
            Home::Cluster { view, address } => {
                Place::Cluster { joined: view.joined.clone(), address: address.clone() }
            }
        };
        let slot = Arc::new(Slot::new(name, plan.source()));
        let (plans, planned) = watch::channel(Arc::new(plan));
        let life = Life::new(Arc::clone(&slot), planned, place, self.0.failed.clone());
        let leave = CancellationToken::new();
        self.0.slots.add(slot);
        let mut task = JoinSet::new();
        task.spawn(life.run(leave.clone()));
        Ok(Handle { plans, leave, task })
    }

    /// Ends a destination: clients have a moment to acknowledge what they have, then its cursors are written.
    /// One that is not there is ended already.
    ///
    /// # Errors
    /// [`EngineError::State`] when the last cursors are not written.
    pub async fn stop(&self, name: &str, deadline: Duration) -> Result<(), EngineError> {
        let turn = self.turn(name);
        let _turn = turn.lock().await;
        let handle = self.lives().by_name.remove(name);
        let Some(handle) = handle else { return Ok(()) };
        let written = end(handle, name, Instant::now() + deadline.max(STOP_LEAST)).await;
        self.0.slots.remove(name);
        written.map_err(EngineError::Cursors)
    }

    /// Ends all of it, in order: destinations hand over, then the cluster is left.
    ///
    /// # Errors
    /// [`EngineError::Cursors`] when the last cursors of a destination are not written.
    pub async fn close(&self, deadline: Duration) -> Result<(), EngineError> {
        self.0.closing.cancel();
        let (by_name, cluster) = {
            let mut lives = self.lives();
            lives.is_closed = true;
            lives.probe.abort_all();
            (std::mem::take(&mut lives.by_name), lives.cluster.take())
        };
        let deadline = Instant::now() + deadline.max(STOP_LEAST);
        by_name.values().for_each(|handle| handle.leave.cancel());
        let mut result = Ok(());
        for (name, handle) in by_name {
            result = result.and(end(handle, &name, deadline).await);
        }
        if let Some((mut task, leave)) = cluster {
            leave.cancel();
            let deadline = deadline.max(Instant::now() + STOP_LEAST);
            if timeout_at(deadline, task.join_next()).await.is_err() {
                tracing::warn!("the session with ZooKeeper was not ended in time");
            }
        }
        result.map_err(EngineError::Cursors)
    }

    /// Ends everything at once, as a kill of the process would: see [`Engine`].
    pub fn abandon(&self) {
        let mut lives = self.lives();
        lives.probe.abort_all();
        let ended = (std::mem::take(&mut lives.by_name), lives.cluster.take());
        lives.is_closed = true;
        drop(lives);
        drop(ended);
    }

    /// Waits for the next failure of a destination: its name, and why.
    pub async fn failed(&self) -> (String, Arc<InstanceError>) {
        let mut failed = self.0.failed.subscribe();
        let found = failed.wait_for(Option::is_some).await.map(|failure| failure.clone());
        match found {
            Ok(Some(failure)) => failure,
            // The sender is ours.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Waits until a destination is served here. Never ends for one that does not exist.
    pub async fn served(&self, name: &str) {
        let Some(slot) = self.0.slots.get(name) else { return std::future::pending().await };
        let mut held = slot.held();
        let found = held.wait_for(|held| matches!(held.role, Role::Active(_))).await.is_ok();
        if !found {
            std::future::pending::<()>().await;
        }
    }

    /// Records a client id with its filter; its batches go to this subscription from now on, and to no
    /// earlier one. It is on disk when the call returns. Without a filter the one in force stays.
    ///
    /// # Errors
    /// [`DestinationError`]
    pub async fn subscribe(
        &self,
        name: &str,
        (client_id, subscriber): (i16, Subscriber),
        filter: Option<&str>,
    ) -> Result<Subscription, DestinationError> {
        let destination = self.destination(name)?;
        destination.check_started()?;
        let filter = self.compile(&destination, filter.unwrap_or_default()).await?;
        let number = self.0.subscriptions.fetch_add(1, Ordering::Relaxed);
        let is_worker = matches!(subscriber, Subscriber::Worker(_));
        let reader = Reader { number, subscriber, since_ms: now_ms() };
        let change = destination.subscribe((client_id, reader.clone()), filter)?;
        if is_worker {
            // What an earlier one has left comes to this one.
            destination.rollback_all(client_id);
        }
        durable(&destination, change).await?;
        Ok(Subscription::new(destination, client_id, Some(reader)))
    }

    /// The place of a client id that has subscribed over another connection, or as this `reader`.
    ///
    /// # Errors
    /// [`DestinationError::NotServed`], [`DestinationError::Failed`]
    pub fn attach(
        &self,
        name: &str,
        client_id: i16,
        reader: Option<&Reader>,
    ) -> Result<Subscription, DestinationError> {
        let reader = reader.filter(|reader| matches!(reader.subscriber, Subscriber::Connection(_)));
        Ok(Subscription::new(self.destination(name)?, client_id, reader.cloned()))
    }

    /// What all of it is and does now.
    #[must_use]
    pub fn look(&self) -> Vec<DestinationLook> {
        let problem = self.0.home.problem();
        self.0.slots.all().iter().map(|slot| look(slot, problem.clone())).collect()
    }

    /// What a destination is and does now.
    #[must_use]
    pub fn look_at(&self, name: &str) -> Option<DestinationLook> {
        self.0.slots.get(name).map(|slot| look(&slot, self.0.home.problem()))
    }

    /// Whether there is a destination of this name, served here or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.slots.get(name).is_some()
    }

    /// The state of a destination's instance, to look at or to wait on; it ends with the term. Nothing while
    /// the destination is not served here.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<watch::Receiver<InstanceStatus>> {
        Some(self.0.slots.get(name)?.current()?.status())
    }

    /// The oldest cursor of a destination's clients: where its entries begin. Nothing while it is not served
    /// here.
    #[must_use]
    pub fn cursor(&self, name: &str) -> Option<Cursor> {
        self.0.slots.get(name)?.current()?.oldest_cursor()
    }

    fn destination(&self, name: &str) -> Result<Arc<Destination>, DestinationError> {
        match self.0.slots.get(name) {
            Some(slot) => slot.resolve(),
            None => Err(DestinationError::NotServed { destination: name.to_owned() }),
        }
    }

    /// Compiles a filter that is new, away from the tasks of others, and one after the other.
    async fn compile(
        &self,
        destination: &Destination,
        text: &str,
    ) -> Result<Option<ClientFilter>, DestinationError> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(known) = destination.filter_in_force(text) {
            return Ok(Some(known));
        }
        let stopping = || DestinationError::Uncompiled;
        let permits = Arc::clone(&self.0.filters);
        let permit = permits.acquire_owned().await.map_err(|_| stopping())?;
        let (base, text) = (destination.base_filter().clone(), text.to_owned());
        let compiling = spawn_blocking(move || {
            // Until it is done, also if nobody waits for it any more.
            let _permit = permit;
            let compiled = base.with_white(&text)?;
            let remarks = filter_remarks(&text);
            Ok(ClientFilter { text, compiled, remarks })
        });
        let compiled = compiling.await.map_err(|_| stopping())?;
        compiled.map(Some).map_err(|error| DestinationError::Filter(Arc::new(error)))
    }
}

/// Tries new settings without touching what runs.
async fn check(name: &str, plan: &Plan) -> Result<(), EngineError> {
    let FeedPlan::Source(feed) = &plan.feed else { return Ok(()) };
    let invalid = |source| EngineError::Invalid {
        destination: name.to_owned(),
        source: Arc::new(InstanceError::Source(source)),
    };
    Source::check(&feed.place, &feed.config).await.map_err(invalid)
}

/// Waits for a life to end, and ends it if it does not.
async fn end(handle: Handle, name: &str, deadline: Instant) -> Result<(), Arc<StateError>> {
    let Handle { plans, leave, mut task } = handle;
    leave.cancel();
    let ended = timeout_at(deadline, task.join_next()).await;
    drop(plans);
    match ended {
        Ok(Some(Ok(written))) => written,
        Ok(None) => Ok(()),
        Ok(Some(Err(error))) => {
            tracing::error!(destination = name, %error, "its task failed");
            Ok(())
        }
        Err(_) => {
            tracing::error!(
                destination = name,
                "did not end in time: cursors may not be written, entries are delivered again"
            );
            Ok(())
        }
    }
}
