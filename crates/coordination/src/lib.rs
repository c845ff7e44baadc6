//! Towpath: coordination.
