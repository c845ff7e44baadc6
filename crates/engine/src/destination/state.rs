//! The life of an instance.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::InstanceError;

/// What an instance is doing.
#[derive(Debug, Clone)]
pub enum InstanceState {
    /// It opens its source. Clients may subscribe already.
    Starting,
    /// It reads.
    Running,
    /// Its source has no more, and never will. What was read is still served.
    Ended,
    /// It reads no more because of an error. What was read before is still served, until clients have
    /// acknowledged it.
    Failing(Arc<InstanceError>),
    /// It stopped at an error that somebody has to look at.
    Failed(Arc<InstanceError>),
    /// It was told to stop.
    Stopped,
}

impl InstanceState {
    /// One word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Failing(_) => "failing",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// The error because of which nothing is read any more.
    #[must_use]
    pub const fn error(&self) -> Option<&Arc<InstanceError>> {
        match self {
            Self::Failing(error) | Self::Failed(error) => Some(error),
            Self::Starting | Self::Running | Self::Ended | Self::Stopped => None,
        }
    }
}

/// A state, and since when.
#[derive(Debug, Clone)]
pub struct InstanceStatus {
    /// What the instance is doing.
    pub state: InstanceState,
    /// Since when.
    pub since: SystemTime,
}

impl InstanceStatus {
    pub(crate) fn now(state: InstanceState) -> Self {
        Self { state, since: SystemTime::now() }
    }
}
