//! The engine's inner loops, compiled for each instruction set and chosen at run time.
//!
//! The engine's only unsafe code, for two reasons: calling functions that were compiled for
//! features that the processor was asked for, and reading without a bounds check inside operands
//! that were checked as a whole. What is offered here is safe: it checks (in `checks`), then calls.
//! Each loop is written once, over [`lanes::Lanes`].
#![expect(unsafe_code, reason = "see the module's header; each block names what makes it true")]

mod ahead;
mod checks;
mod contract;
mod elementwise;
mod lanes;
mod memory;
#[cfg(test)]
mod tests;
mod transpose;
mod winograd;

use std::sync::OnceLock;

pub use ahead::{Address, Ahead};
pub use checks::{Centred, NormCoefficients, Plane, PlaneMut, SumTerm};
pub use contract::{AStrides, BStrides, CStrides, Contraction, PANEL};
use contract::{Compiled, Tiles};
pub use elementwise::Region;
use elementwise::{Masked, Read, Term, Written};
pub use lanes::LANES;
use lanes::Portable;
pub use memory::Arena;
pub use transpose::Transposition;
pub use winograd::{FREQUENCIES, SPAN, TILE, TileRow, WeightShape};

/// `n` rounded up to whole [`LANES`].
pub const fn pad_lanes(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// The kernels of one instruction set. Called through the checked methods only.
#[derive(Debug)]
pub struct Kernels {
    /// The instruction set.
    pub name: &'static str,
    contract: unsafe fn(&Contraction, *const f32, *const f32, *mut f32, &mut Ahead),
    winograd_input: unsafe fn(&TileRow, *const f32, *mut f32),
    winograd_gradient: unsafe fn(&TileRow, *const f32, *mut f32),
    winograd_output: unsafe fn(&TileRow, *const f32, *mut f32),
    winograd_weights: unsafe fn(&WeightShape, *const f32, *mut f32),
    winograd_weight_gradient: unsafe fn(&WeightShape, *const f32, *mut f32),
    sum: unsafe fn(Region, Written, Term, Option<Term>, bool),
    norm_gradient: unsafe fn(Region, Written, [Read; 2], [*const f32; 4], bool),
    moments: unsafe fn(Region, Read, [*mut f64; 2]),
    mask: unsafe fn(Region, Written, Masked, [*mut f64; 3]),
    transpose: unsafe fn(&Transposition, &[&[f32]], *mut f32),
}

/// A table of kernels whose entry points are compiled for the features: for each function its
/// arguments and the generic function that it is.
macro_rules! kernels {
    ($table:ident, $module:ident, $name:literal, $lanes:ty, $rows:literal, $rows2:literal
     $(, $features:literal)?) => {
        mod $module {
            use super::*;

            pub(super) static TABLE: Kernels = Kernels {
                name: $name,
                contract,
                winograd_input,
                winograd_gradient,
                winograd_output,
                winograd_weights,
                winograd_weight_gradient,
                sum,
                norm_gradient,
                moments,
                mask,
                transpose,
            };

            impl Compiled for $lanes {
                $(#[target_feature(enable = $features)])?
                #[inline(never)]
                unsafe fn all<
                    const VECTORS: usize,
                    const ROWS: usize,
                    const A_ROW: usize,
                    const TERMS: usize,
                >(
                    shape: &Contraction,
                    tiles: &Tiles,
                    ahead: &mut Ahead,
                ) {
                    // SAFETY: the caller has the features, and keeps the contract.
                    unsafe {
                        super::contract::all::<$lanes, VECTORS, ROWS, A_ROW, TERMS>(
                            shape, tiles, ahead,
                        );
                    }
                }
            }

            kernels!(@entry $lanes, ($($features)?), [
                contract(shape: &Contraction, a: *const f32, b: *const f32, c: *mut f32,
                    ahead: &mut Ahead)
                    = super::contract::contract::<$lanes, $rows, $rows2>;
                winograd_input(row: &TileRow, x: *const f32, out: *mut f32)
                    = winograd::input::<$lanes>;
                winograd_gradient(row: &TileRow, x: *const f32, out: *mut f32)
                    = winograd::gradient::<$lanes>;
                winograd_output(row: &TileRow, m: *const f32, y: *mut f32)
                    = winograd::output::<$lanes>;
                winograd_weights(shape: &WeightShape, g: *const f32, u: *mut f32)
                    = winograd::weights::<$lanes>;
                winograd_weight_gradient(shape: &WeightShape, m: *const f32, dw: *mut f32)
                    = winograd::weight_gradient::<$lanes>;
                sum(region: Region, out: Written, first: Term, second: Option<Term>,
                    relu: bool) = elementwise::sum::<$lanes>;
                norm_gradient(region: Region, out: Written,
                    planes: [Read; 2], coefficients: [*const f32; 4],
                    accumulate: bool) = elementwise::norm_gradient::<$lanes>;
                moments(region: Region, x: Read, sums: [*mut f64; 2])
                    = elementwise::moments::<$lanes>;
                mask(region: Region, dz: Written, masked: Masked, sums: [*mut f64; 3])
                    = elementwise::mask::<$lanes>;
                transpose(shape: &Transposition, sources: &[&[f32]], out: *mut f32)
                    = super::transpose::transpose::<$lanes>;
            ]);
        }
        use $module::TABLE as $table;
    };
    (@entry $lanes:ty, $features:tt, [
        $($entry:ident($($argument:ident: $type:ty),*) = $function:expr;)*
    ]) => {
        $(kernels!(@one $features, $entry, ($($argument: $type),*), $function);)*
    };
    (@one ($($features:literal)?), $entry:ident, ($($argument:ident: $type:ty),*),
     $function:expr) => {
        $(#[target_feature(enable = $features)])?
        unsafe fn $entry($($argument: $type),*) {
            // SAFETY: the caller has the features, and keeps the generic function's contract.
            unsafe { $function($($argument),*) }
        }
    };
}

// 32 registers of 16 lanes: 16 by 1 or 12 by 2 of them hold sums.
#[cfg(target_arch = "x86_64")]
kernels!(AVX512, avx512, "AVX-512", lanes::Avx512, 16, 12, "avx512f");
// 16 registers of 8 lanes: 6 by 2 or 3 by 4 of them hold sums.
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, avx2, "AVX2", lanes::Avx2, 6, 3, "avx2,fma");
// 32 registers of 4 lanes: 6 by 4 of them hold sums.
#[cfg(target_arch = "aarch64")]
kernels!(BASELINE, baseline, "NEON", Portable<true>, 6, 0);
// Registers of 4 lanes, 16 of them as a rule: 3 by 4 hold sums.
#[cfg(not(target_arch = "aarch64"))]
kernels!(BASELINE, baseline, "baseline", Portable<false>, 3, 0);

/// The kernels that this processor can run, the fastest first.
fn available() -> impl Iterator<Item = &'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    let wide = {
        use std::arch::is_x86_feature_detected;
        let avx512 = is_x86_feature_detected!("avx512f");
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        [avx512.then_some(&AVX512), avx2.then_some(&AVX2)]
    };
    #[cfg(not(target_arch = "x86_64"))]
    let wide = [None; 2];
    wide.into_iter().flatten().chain([&BASELINE])
}

/// The environment variable that holds the engine to one instruction set, for comparisons.
const ISA_VARIABLE: &str = "RESMCU_ENGINE_ISA";

/// The kernels of this processor: the fastest, or those that the environment asks for by name.
pub fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<&Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let asked = std::env::var(ISA_VARIABLE).unwrap_or_default();
        let named = available().find(|kernels| kernels.name.eq_ignore_ascii_case(&asked));
        named.or_else(|| available().next()).unwrap_or(&BASELINE)
    })
}
