//! Passes of Winograd's F(4x4, 3x3) on vectors, behind the signatures of `portable`: of channels in
//! sixteens, and those of a core without vectors where they are not.

use crate::arch::armv7em::winograd4 as scalar;
use crate::arch::inputs::winograd4_of_16 as vectors;
use crate::packed::tiles::{Method, Products};
use crate::packed::winograd4::{POINTS, ROWS};
pub(crate) use scalar::weights;

const METHOD: Method = Method::Winograd4;

/// Channels at once.
const STEP: usize = 16;

/// What `resmcu_mve_winograd4_products` reads.
#[repr(C)]
struct Pairs {
    v: *const u32,
    steps: usize,
    y: *mut i8,
    weights: *const u32,
    weights_end: *const u32,
    pixel: usize,
    next_row: usize,
    form: usize,
    pair_bytes: usize,
}

#[expect(unsafe_code, reason = "declares the assembly of this kernel")]
// SAFETY: the signature is that which its file of assembly states.
unsafe extern "C" {
    fn resmcu_mve_winograd4_products(context: *const Pairs);
}

/// As `portable::rows`.
pub(crate) fn rows(rows: [&[i8]; ROWS], channels: usize, first: usize, u: &mut [u32]) {
    if channels.is_multiple_of(STEP) {
        vectors::rows(rows, channels, first, u);
    } else {
        scalar::rows(rows, channels, first, u);
    }
}

/// As `portable::columns`.
pub(crate) fn columns(u: &[u32], channels: usize, v: &mut [u32]) {
    if channels.is_multiple_of(STEP) {
        vectors::columns(u, channels, v);
    } else {
        scalar::columns(u, channels, v);
    }
}

/// As `portable::products`.
pub(crate) fn products(p: &Products<'_>, y: &mut [i8]) {
    if !p.channels.is_multiple_of(STEP) {
        return scalar::products(p, y);
    }
    let pairs = p.weights.len() / METHOD.pair_words(p.channels).max(1);
    let last = 3 * p.row + 7 * p.pixel + 2 * pairs;
    let whole = pairs * METHOD.pair_words(p.channels) == p.weights.len() && pairs != 0;
    let steps = p.channels / STEP;
    if !whole || steps == 0 || y.len() < last || p.v.len() < STEP * POINTS * steps {
        return;
    }
    let context = Pairs {
        v: p.v.as_ptr(),
        steps,
        y: y.as_mut_ptr(),
        weights: p.weights.as_ptr(),
        weights_end: p.weights.as_ptr_range().end,
        pixel: p.pixel,
        next_row: p.row.wrapping_sub(4 * p.pixel),
        form: p.form as usize,
        pair_bytes: 4 * METHOD.pair_words(p.channels),
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: weights are whole pairs, `v` holds all points, and the last output of the last pair
    // lies inside of `y`.
    unsafe {
        resmcu_mve_winograd4_products(&raw const context);
    }
}
