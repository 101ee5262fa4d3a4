//! What the vector units' passes compute, in plain Rust: for cores without such a unit, and for
//! the tests, where each instruction of the assembly is seen as what it does to its lanes. `steps`
//! are those of all cores, by their special instructions.

#[cfg(not(any(
    all(feature = "helium", target_arch = "arm", target_os = "none"),
    all(feature = "rvv", target_arch = "riscv32", target_os = "none")
)))]
#[cfg_attr(
    resmcu_passes = "armv7em",
    expect(dead_code, reason = "computes in assembly with the same constants")
)]
pub(crate) mod add;
pub(crate) mod dot4;
#[cfg(not(all(feature = "helium", target_arch = "arm", target_os = "none")))]
pub(crate) mod dot8;
#[cfg(resmcu_passes = "portable")]
pub(crate) mod fully_connected;
#[cfg(not(target_os = "none"))]
pub(crate) mod host;
#[cfg(not(all(feature = "rvv", target_arch = "riscv32", target_os = "none")))]
pub(crate) mod lanes8;
#[cfg(test)]
mod steps;
