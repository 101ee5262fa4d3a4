//! The memory that tensors and scratch share.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Sixteen bytes of an arena. An arena is a slice of blocks, so that its alignment is in its type:
/// `static ARENA: [Block; 2304]` is 36 KiB.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
pub struct Block([u8; Block::BYTES]);

impl Block {
    /// Size in bytes.
    pub const BYTES: usize = 16;

    /// Sixteen zeros.
    pub const ZERO: Self = Self([0; Self::BYTES]);
}

/// The bytes of a tensor as elements of `T`, which the alignment of blocks and offsets makes
/// possible; empty otherwise.
pub(crate) fn elements<T: FromBytes + Immutable>(bytes: &[u8]) -> &[T] {
    <[T]>::ref_from_bytes(bytes).unwrap_or_default()
}

/// The same, to be written.
pub(crate) fn elements_mut<T: FromBytes + IntoBytes>(bytes: &mut [u8]) -> &mut [T] {
    <[T]>::mut_from_bytes(bytes).unwrap_or_default()
}
