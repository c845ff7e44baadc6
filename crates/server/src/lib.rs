//! Towpath: server.
