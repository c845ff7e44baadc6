//! Towpath: client.
