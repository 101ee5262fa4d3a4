//! One binary for all integration tests.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

mod golden;
mod host;
mod oracle;
mod rng;
mod suite;
