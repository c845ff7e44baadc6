//! Towpath: binlog.
