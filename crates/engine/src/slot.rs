//! The place of a destination in an engine: who serves it here, if anybody, and what is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::destination::Destination;
use crate::error::{DestinationError, InstanceError};

/// What this engine is to a destination.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// It has not been elected, or has not begun.
    Standby,
    /// It serves it.
    Active(Arc<Destination>),
    /// It could not serve it; it will try again.
    Failed(Arc<InstanceError>),
}

/// What went wrong with a destination, until it has gone well again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Trouble {
    /// The latest failure.
    pub cause: Arc<InstanceError>,
    /// Since when it fails.
    pub since: SystemTime,
    /// How often it has failed since then.
    pub failure_count: u64,
    /// When it is tried again; nothing while it is tried.
    pub next_attempt: Option<SystemTime>,
}

/// The destinations of an engine, by name.
#[derive(Debug, Default)]
pub(crate) struct Slots(RwLock<BTreeMap<String, Arc<Slot>>>);

impl Slots {
    pub(crate) fn add(&self, slot: Arc<Slot>) {
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        slots.insert(slot.name.clone(), slot);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Slot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// A role, and since when.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) role: Role,
    pub(crate) since: SystemTime,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Slot {
    name: String,
    held: watch::Sender<Held>,
    /// Its source as configured.
    source: Mutex<String>,
    trouble: Mutex<Option<Trouble>>,
}

impl Slot {
    pub(crate) fn new(name: &str, source: String) -> Self {
        let held = Held { role: Role::Standby, since: SystemTime::now() };
        Self {
            name: name.to_owned(),
            held: watch::Sender::new(held),
            source: Mutex::new(source),
            trouble: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its source as configured.
    pub(crate) fn source(&self) -> String {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_source(&self, source: String) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }

    /// The role as it changes.
    pub(crate) fn held(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    pub(crate) fn set(&self, role: Role) {
        self.held.send_replace(Held { role, since: SystemTime::now() });
    }

    fn trouble_now(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong, if anything is.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble_now().clone()
    }

    /// It has failed.
    pub(crate) fn fail(&self, cause: &Arc<InstanceError>) {
        let mut trouble = self.trouble_now();
        let (since, before) = trouble
            .as_ref()
            .map_or((SystemTime::now(), 0), |trouble| (trouble.since, trouble.failure_count));
        *trouble = Some(Trouble {
            cause: Arc::clone(cause),
            since,
            failure_count: before + 1,
            next_attempt: None,
        });
        drop(trouble);
        self.set(Role::Failed(Arc::clone(cause)));
    }

    /// It is tried again after this time.
    pub(crate) fn wait_for_attempt(&self, pause: Duration) {
        if let Some(trouble) = self.trouble_now().as_mut() {
            trouble.next_attempt = SystemTime::now().checked_add(pause);
        }
    }

    /// It is tried again.
    pub(crate) fn attempt(&self) {
        if let Some(trouble) = self.trouble_now().as_mut() {
            trouble.next_attempt = None;
        }
    }

    /// It goes well.
    pub(crate) fn recover(&self) {
        let Some(trouble) = self.trouble_now().take() else { return };
        let after_s = trouble.since.elapsed().unwrap_or_default().as_secs();
        let failure_count = trouble.failure_count;
        tracing::warn!(
            destination = self.name,
            failure_count,
            after_s,
            "it works again, after failures"
        );
    }

    /// The destination, if it is served here.
    pub(crate) fn current(&self) -> Option<Arc<Destination>> {
        match &self.held.borrow().role {
            Role::Active(destination) => Some(Arc::clone(destination)),
            Role::Standby | Role::Failed(_) => None,
        }
    }

    /// The destination for a request.
    pub(crate) fn resolve(&self) -> Result<Arc<Destination>, DestinationError> {
        let destination = || self.name.clone();
        match &self.held.borrow().role {
            Role::Active(active) => Ok(Arc::clone(active)),
            Role::Standby => Err(DestinationError::NotServed { destination: destination() }),
            Role::Failed(cause) => {
                let cause = cause.to_string();
                Err(DestinationError::Failed { destination: destination(), cause })
            }
        }
    }
}
