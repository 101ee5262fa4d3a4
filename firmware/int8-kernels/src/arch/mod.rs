//! The passes of packed kernels, for the core that this is built for.

// A Cortex-M with an FPU has the DSP extension too: M4F, M7, M33F, M55.
#[cfg(all(target_arch = "arm", target_os = "none", target_abi = "eabihf"))]
pub(crate) mod armv7em;
#[cfg(all(target_arch = "arm", target_os = "none", target_abi = "eabihf"))]
pub(crate) use armv7em as passes;

#[cfg(not(all(target_arch = "arm", target_os = "none", target_abi = "eabihf")))]
pub(crate) mod portable;
#[cfg(not(all(target_arch = "arm", target_os = "none", target_abi = "eabihf")))]
pub(crate) use portable as passes;
