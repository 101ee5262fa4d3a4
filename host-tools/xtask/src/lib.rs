//! What jobs need of a machine, and how to get it: shared by `cargo xtask` and `resmcu doctor`.
//!
//! The commands themselves are in the binary beside this library, which compiles before anything
//! else of the repository: dependencies are few.

pub mod doctor;
pub mod toolchain;
