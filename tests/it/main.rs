//! One binary for all integration tests.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

mod boards;
mod cli;
mod datasets;
mod devices;
mod emulated_probe;
mod export;
mod families;
mod format;
mod fuzzed_line;
mod gdb;
mod golden;
mod host;
mod import;
mod import_float;
mod oracle;
mod power_cut_board;
mod probe_board;
mod profile;
mod protocol_page;
mod real_board;
mod rings_on_boards;
mod rng;
mod rtt_board;
mod serial_line;
mod slots;
mod suite;
mod tidy;
