//! The place of a destination in a server: who serves it here, if anybody.

use std::sync::{Arc, Mutex, PoisonError};

use crate::destination::Destination;
use crate::error::{InstanceError, RequestError};

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

/// See the module.
#[derive(Debug)]
pub(crate) struct Slot {
    name: String,
    role: Mutex<Role>,
}

impl Slot {
    pub(crate) fn new(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), role: Mutex::new(role) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn set(&self, role: Role) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
    }

    fn role(&self) -> Role {
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
