//! One binary for all integration tests.

mod golden;
mod host;
mod rng;
