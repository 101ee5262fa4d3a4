//! The command `resmcu`.
fn main() {}
