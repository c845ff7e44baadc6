//! The `towpath` command line.
fn main() {}
