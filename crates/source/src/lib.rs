//! Towpath: source.
