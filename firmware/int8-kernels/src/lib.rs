//! Integer operators of residual networks, on slices.
//!
//! One operator a file in `ops`; generic Rust, which every other back end must equal to the byte.
//! All rounding is in [`requantize`]. Knows no file, no arena and no float; needs no heap.
//! Slices have the lengths that a shape says (a debug assertion); with others an operator computes
//! less, but never panics or reads elsewhere in a release build. Specified in `README.md`.
#![no_std]

// Which asks the system what the processor has.
#[cfg(all(target_arch = "aarch64", not(target_os = "none")))]
extern crate std;

mod arch;
#[cfg(test)]
mod cases;
#[cfg(not(target_os = "none"))]
pub mod host;
pub mod ops;
pub mod packed;
pub mod requantize;
pub mod shape;

// Records and int16 tensors are read in place from little-endian flash.
#[cfg(target_endian = "big")]
compile_error!("the model file is little-endian and read in place");
