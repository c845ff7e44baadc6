//! The engine as those use it who hold subscriptions, without a server.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails at what it does not expect"
)]

mod destinations;
mod fixture;
mod workers;
