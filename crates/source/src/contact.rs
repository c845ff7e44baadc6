//! Whether a source can be read, for those who look from outside.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use crate::error::SourceError;

/// Whether the server that is followed can be read.
#[derive(Debug, Clone, Default)]
pub enum Contact {
    /// It can, as far as is known.
    #[default]
    Good,
    /// It cannot, and is tried again and again.
    Lost(Loss),
}

/// A server that cannot be read.
#[derive(Debug, Clone)]
pub struct Loss {
    /// Since when.
    pub since: SystemTime,
    /// How often it was tried since then.
    pub attempts: u32,
    /// Why the latest attempt failed.
    pub error: Arc<str>,
}

/// Tells that the source cannot be read.
pub fn lost(contact: &watch::Sender<Contact>, error: &SourceError) {
    contact.send_modify(|contact| {
        let (since, attempts) = match contact {
            Contact::Good => (SystemTime::now(), 0),
            Contact::Lost(loss) => (loss.since, loss.attempts),
        };
        let error = error.to_string().into();
        *contact = Contact::Lost(Loss { since, attempts: attempts + 1, error });
    });
}

/// Tells that it is read; the loss that is over, if there was one.
pub(crate) fn regained(contact: &watch::Sender<Contact>) -> Option<Loss> {
    if matches!(*contact.borrow(), Contact::Good) {
        return None;
    }
    match contact.send_replace(Contact::Good) {
        Contact::Good => None,
        Contact::Lost(loss) => Some(loss),
    }
}
