//! What an engine shows of itself: values, out of which others make JSON, metrics and pages.

use std::sync::Arc;
use std::time::SystemTime;

use crate::destination::{InstanceState, InstanceStatus, Look};
use crate::error::InstanceError;
use crate::problem::{Problem, problems};
use crate::slot::{Role, Slot, Trouble};

/// A destination at one moment.
#[derive(Debug)]
#[non_exhaustive]
pub struct DestinationLook {
    /// Its name.
    pub name: String,
    /// Its source as configured.
    pub source: String,
    /// What this engine is to it.
    pub role: RoleLook,
    /// Since when.
    pub role_since: SystemTime,
    /// What went wrong, until it has gone well again.
    pub trouble: Option<Trouble>,
    /// All that is wrong now.
    pub problems: Vec<Problem>,
}

/// What an engine is to a destination.
#[derive(Debug)]
#[non_exhaustive]
pub enum RoleLook {
    /// Another engine serves it, or will.
    Standby,
    /// It is served here.
    Active(Box<ActiveLook>),
    /// It should be served here, and cannot.
    Failed(Arc<InstanceError>),
}

/// A destination that is served.
#[derive(Debug)]
#[non_exhaustive]
pub struct ActiveLook {
    /// Whether another engine may serve it by now.
    pub is_fenced: bool,
    /// What its instance does.
    pub status: InstanceStatus,
    /// The rest.
    pub look: Look,
}

/// Whether clients should be sent here for a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// It is served here.
    Serves,
    /// Another server serves it, or will.
    StandsBy,
    /// It should be served here and is not.
    Fails,
}

impl Fitness {
    /// One word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serves => "serves",
            Self::StandsBy => "stands by",
            Self::Fails => "fails",
        }
    }
}

impl DestinationLook {
    /// Whether clients should be sent here.
    #[must_use]
    pub fn fitness(&self) -> Fitness {
        let active = match &self.role {
            RoleLook::Standby => return Fitness::StandsBy,
            RoleLook::Failed(_) => return Fitness::Fails,
            RoleLook::Active(active) if active.is_fenced => return Fitness::StandsBy,
            RoleLook::Active(active) => active,
        };
        match active.status.state {
            // It has failed before, and has not shown yet that it does not fail again.
            InstanceState::Starting | InstanceState::Running if self.trouble.is_some() => {
                Fitness::Fails
            }
            InstanceState::Starting | InstanceState::Running | InstanceState::Ended => {
                Fitness::Serves
            }
            InstanceState::Failing(_) | InstanceState::Failed(_) | InstanceState::Stopped => {
                Fitness::Fails
            }
        }
    }

    /// What is wrong with it, if anything is.
    #[must_use]
    pub fn error(&self) -> Option<&Arc<InstanceError>> {
        let now = match &self.role {
            RoleLook::Failed(cause) => Some(cause),
            RoleLook::Active(active) => active.status.state.error(),
            RoleLook::Standby => None,
        };
        now.or(self.trouble.as_ref().map(|trouble| &trouble.cause))
    }
}

/// `home` is what is wrong with the place where the state lies.
pub(crate) fn look(slot: &Slot, home: Option<Problem>) -> DestinationLook {
    let held = slot.held();
    let (role, role_since) = {
        let held = held.borrow();
        (held.role.clone(), held.since)
    };
    let role = match role {
        Role::Standby => RoleLook::Standby,
        Role::Failed(cause) => RoleLook::Failed(cause),
        Role::Active(destination) => RoleLook::Active(Box::new(ActiveLook {
            is_fenced: destination.is_fenced(),
            status: destination.status().borrow().clone(),
            look: destination.look(),
        })),
    };
    let trouble = slot.trouble();
    let active = match &role {
        RoleLook::Active(active) => Some((&active.status.state, &active.look)),
        RoleLook::Standby | RoleLook::Failed(_) => None,
    };
    let problems = problems(trouble.as_ref(), active, home);
    DestinationLook {
        name: slot.name().to_owned(),
        source: slot.source(),
        role,
        role_since,
        trouble,
        problems,
    }
}
