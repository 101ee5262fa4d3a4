//! The model file `.rmcu`: what the quantizer writes and the device reads in place from flash.
//!
//! Owns the bytes: the prefix, the CRC, the records (postcard) and the aligned data section, and
//! every check that the format alone can make. Guarantees that any bytes at all may be given to
//! [`ModelFile::parse`]: the answer is a model whose every reference is inside the file and the
//! arena, or an error that names the byte, never a panic. Does not know what a kernel computes,
//! how it packs its weights, or where the file lies. Specified in `README.md`.
#![no_std]

#[cfg(feature = "write")]
extern crate alloc;

mod check;
mod error;
mod file;
pub mod flow;
mod notes;
mod older;
mod records;
mod sizes;
#[cfg(feature = "write")]
pub mod write;

pub use error::{ParseError, Problem};
pub use file::{ModelFile, PREFIX_BYTES, file_length};
pub use notes::{KnownAnswer, Notes, margin};
pub use records::{
    Add, Conv2d, DataRef, Dtype, FullyConnected, GlobalMean, GlobalSum, Header, Isa, Op, PadValue,
    Pool2d, Profile, Softmax, Step, SubsamplePad, Tensor,
};
pub use sizes::Sizes;

/// The newest format version, which is the one that [`write`] makes.
pub const VERSION: u16 = 3;

/// Every offset in the data section and in the arena is a multiple of this many bytes.
pub const ALIGNMENT: u32 = 16;

/// The longest side of a tensor, and the most channels it may have.
pub const DIMENSION_MAX: u16 = 16_384;
