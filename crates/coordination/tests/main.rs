//! The state directory, and Canal's tree in a real ZooKeeper.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod cluster;
mod local;

use towpath_coordination::{Cursor, Resume};

/// A cursor at an offset, which is gone on from 31 bytes behind it.
fn cursor(offset: u64) -> Cursor {
    Cursor {
        file: "mysql-bin.000001".into(),
        offset,
        gtid: "".into(),
        server_id: 1,
        timestamp_ms: 1_700_000_000_000,
        resume: Some(Resume {
            file: "mysql-bin.000001".into(),
            offset: offset + 31,
            gtid: None,
            of: None,
            xid: None,
        }),
    }
}
