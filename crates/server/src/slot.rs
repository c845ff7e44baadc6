//! The place of a destination in a server: who serves it here, if anybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use towpath_coordination::SourceAddress;

use crate::destination::Destination;
use crate::error::{InstanceError, RequestError, ServerError};
use crate::figures::{ClientFigures, now_ms};

/// What this server is to a destination.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// It has not been elected.
    Standby,
    /// It serves it.
    Active(Arc<Destination>),
    /// It was elected and could not serve it; it will try again.
    Failed(Arc<InstanceError>),
}

/// The destinations of a server, by name.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    by_name: BTreeMap<String, Arc<Slot>>,
}

impl Slots {
    /// Each destination once.
    pub(crate) fn check_new(&self, name: &str) -> Result<(), ServerError> {
        if self.by_name.contains_key(name) {
            return Err(ServerError::Twice { destination: name.to_owned() });
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, slot: Arc<Slot>) {
        self.by_name.insert(slot.name.clone(), slot);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Slot> {
        self.by_name.get(name).map(Arc::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.by_name.values().map(Arc::as_ref)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Slot {
    name: String,
    role: Mutex<Role>,
    /// Its source as configured.
    source: String,
    figures: ClientFigures,
    /// Since when the role is what it is.
    since_ms: AtomicI64,
}

impl Slot {
    pub(crate) fn new(name: &str, source: &SourceAddress, role: Role) -> Self {
        let port = if source.port == 0 { String::new() } else { format!(":{}", source.port) };
        Self {
            name: name.to_owned(),
            role: Mutex::new(role),
            source: format!("{}{port}", source.host),
            figures: ClientFigures::default(),
            since_ms: AtomicI64::new(now_ms()),
        }
    }

    /// Its source as configured.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) const fn figures(&self) -> &ClientFigures {
        &self.figures
    }

    /// Since when the role is what it is, in milliseconds since 1970.
    pub(crate) fn since_ms(&self) -> i64 {
        self.since_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn set(&self, role: Role) {
        self.since_ms.store(now_ms(), Ordering::Relaxed);
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
    }

    pub(crate) fn role(&self) -> Role {
        self.role.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The destination, if it is served here.
    pub(crate) fn current(&self) -> Option<Arc<Destination>> {
        match self.role() {
            Role::Active(destination) => Some(destination),
            Role::Standby | Role::Failed(_) => None,
        }
    }

    /// The destination for a request.
    pub(crate) fn resolve(&self) -> Result<Arc<Destination>, RequestError> {
        let destination = || self.name.clone();
        match self.role() {
            Role::Active(active) => Ok(active),
            Role::Standby => Err(RequestError::NotStarted { destination: destination() }),
            Role::Failed(cause) => {
                let cause = cause.to_string();
                Err(RequestError::Failed { destination: destination(), cause })
            }
        }
    }
}
