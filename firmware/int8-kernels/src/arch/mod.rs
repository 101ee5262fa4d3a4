//! The passes of packed kernels, for the core that this is built for (chosen by `build.rs`).
//!
//! `armv7em` is all assembly. The other cores share the walk over blocks in `portable`, around inner
//! loops of their own; what a core has no assembly for is `portable`'s too.

#[cfg(resmcu_passes = "armv7em")]
pub(crate) mod armv7em;
#[cfg(resmcu_passes = "armv7em")]
pub(crate) use armv7em as passes;

#[cfg(not(resmcu_passes = "armv7em"))]
pub(crate) mod block;
#[cfg(not(resmcu_passes = "armv7em"))]
#[cfg_attr(
    any(resmcu_passes = "armv7m", resmcu_passes = "rv32"),
    expect(dead_code, reason = "what these cores compute in assembly")
)]
pub(crate) mod portable;

#[cfg(resmcu_passes = "armv6m")]
pub(crate) mod armv6m;
#[cfg(resmcu_passes = "armv6m")]
pub(crate) use {armv6m as inner, armv6m as passes};

#[cfg(resmcu_passes = "armv7m")]
pub(crate) mod armv7m;
#[cfg(resmcu_passes = "armv7m")]
pub(crate) use {armv7m as inner, armv7m as passes};

#[cfg(resmcu_passes = "rv32")]
pub(crate) mod rv32;
#[cfg(resmcu_passes = "rv32")]
pub(crate) use {rv32 as inner, rv32 as passes};

#[cfg(resmcu_passes = "portable")]
pub(crate) use {portable as passes, portable::inner};
