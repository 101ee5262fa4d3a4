//! One binary for all integration tests.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

mod boards;
mod cli;
mod datasets;
mod devices;
mod export;
mod families;
mod format;
mod golden;
mod host;
mod import;
mod import_float;
mod oracle;
mod profile;
mod rng;
mod slots;
mod suite;
mod tidy;
