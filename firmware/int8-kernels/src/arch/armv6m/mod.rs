//! The inner loops in assembly for Armv6-M and Armv8-M's baseline.

pub(crate) mod dot4;
#[path = "../fully_connected.rs"]
pub(crate) mod fully_connected;
pub(crate) mod pixel_pairs;

pub(crate) use super::portable::{direct16, polyphase2, winograd4};
use crate::arch::block::{Block, Counts, Outputs};
use crate::arch::portable::outputs::Scale;
use crate::packed::constants::Rounding;
use crate::packed::winograd4::CONSTANTS;
use crate::requantize::Form;

/// Pairs of output channels at once.
pub(crate) const PAIRS: usize = 1;

/// One sum for each `[pair][output][tile]` of a block.
pub(crate) type Lanes = [i32; 4 * PAIRS];

/// `N` sums of all lanes.
pub(crate) struct Sums<const N: usize> {
    pub(crate) lanes: [Lanes; N],
}

impl<const N: usize> Sums<N> {
    pub(crate) fn new() -> Self {
        Self { lanes: [[0; 4 * PAIRS]; N] }
    }
}

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines functions, which keep the procedure call standard.
    core::arch::global_asm!(
        include_str!("sums.s"),
        include_str!("outputs.s"),
        include_str!("dot4.s"),
        include_str!("fully_connected.s"),
        options(raw)
    );
}

/// What `resmcu_armv6m_sums_1` and its like for fewer pairs read.
#[repr(C)]
struct Context {
    v: *const u32,
    weights: *const u32,
    stride_bytes: usize,
    counts: *const u32,
    sums: *mut Lanes,
}

/// What `resmcu_armv6m_winograd4_outputs` reads.
#[repr(C)]
struct Transform {
    sums: *mut i32,
    y: *mut i8,
    constants: *const u32,
    pixel: usize,
    next_row: usize,
    next_tile: usize,
    scale: i32,
    shift: u32,
    residual: i32,
    multiplier: u32,
    high: i32,
    addend: i32,
}

/// What stands for the weight of a residual where none is joined.
const NATIVE: i32 = -1;
const TFLITE: i32 = -2;

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signatures are those that the assembly states.
unsafe extern "C" {
    fn resmcu_armv6m_sums_1(context: *const Context);
    fn resmcu_armv6m_winograd4_outputs(context: *const Transform);
}

/// As `portable::inner::sums`.
pub(crate) fn sums<const N: usize>(block: &Block<'_>, counts: &Counts<N>, sums: &mut Sums<N>) {
    let context = Context {
        v: block.v.as_ptr(),
        weights: block.weights.as_ptr(),
        stride_bytes: 4 * block.stride,
        counts: counts.as_ptr(),
        sums: sums.lanes.as_mut_ptr(),
    };
    if !counts.fit(block) {
        return;
    }
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs and the weights of all pairs have the steps that `counts` sums up, which are
    // `N` lengths of at least a step each, and a zero.
    unsafe {
        resmcu_armv6m_sums_1(&raw const context);
    }
}

pub(crate) use super::portable::outputs::direct16 as direct16_outputs;
pub(crate) use super::portable::outputs::polyphase2 as polyphase2_outputs;

/// As `portable::outputs::winograd4::outputs`; the sums are overwritten.
pub(crate) fn winograd4_outputs(
    p: &Outputs<'_>,
    sums: &mut Sums<{ crate::packed::winograd4::POINTS }>,
    y: &mut [i8],
) {
    if p.pairs > PAIRS || !p.fit(CONSTANTS, [4, 4], y) {
        return;
    }
    let channels = p.constants.as_chunks::<CONSTANTS>().0.iter().zip([0, 1]);
    for (constants, output) in channels {
        let [.., multiplier, scale, last] = *constants;
        let native = Scale::new(scale);
        let (scale, shift, residual, high, addend) = match p.form {
            Form::Native => (native.multiplier.into(), native.shift, NATIVE, 0, 0),
            Form::NativeJoin => (native.multiplier.into(), native.shift, last as i32, 0, 0),
            Form::Tflite => {
                let Rounding { multiplier, addend, shift } = Rounding::new(scale, last);
                (multiplier & 0xffff, shift, TFLITE, multiplier >> 16, addend)
            }
        };
        let context = Transform {
            sums: sums.lanes.as_mut_ptr().cast::<i32>().wrapping_add(2 * output),
            y: y.as_mut_ptr().wrapping_add(output),
            constants: constants.as_ptr(),
            pixel: p.pixel,
            next_row: p.row.wrapping_sub(4 * p.pixel),
            next_tile: 4 * p.pixel,
            scale,
            shift,
            residual,
            multiplier,
            high,
            addend,
        };
        #[expect(unsafe_code, reason = "calls the assembly")]
        // SAFETY: the sums have four lanes, of which these are two; the constants of a channel are
        // whole, and the last output of the last channel lies inside of `y`.
        unsafe {
            resmcu_armv6m_winograd4_outputs(&raw const context);
        }
    }
}
