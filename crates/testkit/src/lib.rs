//! Towpath: testkit.
