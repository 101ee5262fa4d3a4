//! The passes of packed kernels, for the core that this is built for (chosen by `build.rs`).
//!
//! `armv7em` is all assembly. The other cores share the walk over blocks in `portable`, around
//! inner loops of their own; what a core has no assembly for is `portable`'s too. The kernels for
//! vector units are assembly where there is one, else `model`'s.

#[cfg(resmcu_passes = "armv7em")]
pub(crate) mod armv7em;

#[cfg(not(resmcu_passes = "armv7em"))]
pub(crate) mod block;
#[cfg(any(resmcu_passes = "armv7em", resmcu_passes = "armv7m", resmcu_passes = "rv32"))]
mod inputs;
pub(crate) mod pixel_pairs;
#[cfg(not(resmcu_passes = "armv7em"))]
#[cfg_attr(
    any(resmcu_passes = "armv7m", resmcu_passes = "rv32"),
    expect(dead_code, reason = "what these cores compute in assembly")
)]
pub(crate) mod portable;

#[cfg(resmcu_passes = "armv6m")]
pub(crate) mod armv6m;
#[cfg(resmcu_passes = "armv6m")]
pub(crate) use armv6m as inner;

#[cfg(resmcu_passes = "armv7m")]
pub(crate) mod armv7m;
#[cfg(resmcu_passes = "armv7m")]
pub(crate) use armv7m as inner;

#[cfg(resmcu_passes = "rv32")]
pub(crate) mod rv32;
#[cfg(resmcu_passes = "rv32")]
pub(crate) use rv32 as inner;

#[cfg(resmcu_passes = "portable")]
pub(crate) use portable::inner;

// Helium is not told by the target: boards whose core has it say so by the feature.
#[cfg(all(feature = "helium", target_arch = "arm", target_os = "none"))]
pub(crate) mod armv81m_mve;
pub(crate) mod model;
// The same of RISC-V's vector extension.
#[cfg(all(feature = "rvv", target_arch = "riscv32", target_os = "none"))]
pub(crate) mod rv32v;

/// The fastest of each.
pub(crate) mod passes {
    #[cfg(resmcu_passes = "armv6m")]
    pub(crate) use super::armv6m::*;
    #[cfg(resmcu_passes = "armv7em")]
    pub(crate) use super::armv7em::*;
    #[cfg(resmcu_passes = "armv7m")]
    pub(crate) use super::armv7m::*;
    #[cfg(resmcu_passes = "portable")]
    pub(crate) use super::portable::*;
    #[cfg(resmcu_passes = "rv32")]
    pub(crate) use super::rv32::*;

    #[cfg(all(feature = "helium", target_arch = "arm", target_os = "none"))]
    pub(crate) use super::armv81m_mve::*;
    // Before those of a core without vectors, which it takes where channels come in no sixteens.
    #[cfg(all(feature = "helium", target_arch = "arm", target_os = "none"))]
    pub(crate) use super::armv81m_mve::winograd4;
    #[cfg(not(all(feature = "helium", target_arch = "arm", target_os = "none")))]
    pub(crate) use super::model::dot8;

    #[cfg(not(any(
        resmcu_passes = "armv7em",
        all(feature = "helium", target_arch = "arm", target_os = "none"),
        all(feature = "rvv", target_arch = "riscv32", target_os = "none"),
        all(target_arch = "x86_64", not(target_os = "none"))
    )))]
    pub(crate) use super::model::add;
    #[cfg(not(resmcu_passes = "armv6m"))]
    pub(crate) use super::model::dot4;
    #[cfg(resmcu_passes = "portable")]
    pub(crate) use super::model::fully_connected;
    #[cfg(not(all(feature = "rvv", target_arch = "riscv32", target_os = "none")))]
    pub(crate) use super::model::lanes8;
    #[cfg(all(feature = "rvv", target_arch = "riscv32", target_os = "none"))]
    pub(crate) use super::rv32v::*;
    #[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
    pub(crate) use super::x86_64::add;
}

#[cfg(all(target_arch = "aarch64", not(target_os = "none")))]
mod aarch64;
#[cfg(all(target_arch = "x86_64", not(target_os = "none")))]
mod x86_64;

/// The vector unit of a host.
#[cfg(not(target_os = "none"))]
pub(crate) mod host {
    #[cfg(target_arch = "aarch64")]
    pub(crate) use super::aarch64::Unit;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(crate) use super::model::host::Unit;
    #[cfg(target_arch = "x86_64")]
    pub(crate) use super::x86_64::Unit;
}
