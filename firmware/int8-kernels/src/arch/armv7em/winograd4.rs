//! Passes of Winograd's F(4x4, 3x3), behind the signatures of `portable`.

pub(crate) use crate::arch::inputs::winograd4::{columns, rows};
use crate::packed::tiles::{Method, Products};
use crate::packed::winograd4::{CONSTANTS, POINTS};

const METHOD: Method = Method::Winograd4;

/// What `resmcu_winograd4_products` reads.
#[repr(C)]
struct Pairs {
    v: *const u32,
    weights_end: *const u32,
    y: *mut i8,
    computed: usize,
    point_bytes: usize,
    v_end: *const u32,
    entry: usize,
    weights: *const u32,
    form: usize,
    unused: usize,
    four_pixels: usize,
    next_column: usize,
    row: usize,
}

#[expect(unsafe_code, reason = "declares the assembly of this kernel")]
// SAFETY: the signatures are those that its file of assembly states.
unsafe extern "C" {
    fn resmcu_winograd4_products(context: *const Pairs);
    fn resmcu_winograd4_weights(
        packed: *const u32,
        transformed: *mut u32,
        quads: usize,
        point_bytes: usize,
    );
}

/// As `portable::products`.
pub(crate) fn products(p: &Products<'_>, y: &mut [i8]) {
    let pairs = p.weights.len() / METHOD.pair_words(p.channels).max(1);
    let last = 3 * p.row + 7 * p.pixel + 2 * pairs;
    let whole = pairs * METHOD.pair_words(p.channels) == p.weights.len() && pairs != 0;
    let quads = p.channels / 4;
    if !whole || quads == 0 || y.len() < last || p.v.len() < 4 * POINTS * quads {
        return;
    }
    let context = Pairs {
        v: p.v.as_ptr(),
        weights_end: p.weights.as_ptr_range().end,
        y: y.as_mut_ptr(),
        computed: 0,
        point_bytes: 16 * quads,
        v_end: p.v.as_ptr().wrapping_add(4 * POINTS * quads),
        entry: 0,
        weights: p.weights.as_ptr(),
        form: p.form as usize,
        unused: 0,
        four_pixels: 4 * p.pixel,
        next_column: p.pixel.wrapping_sub(3 * p.row),
        row: p.row,
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: weights are whole pairs, `v` holds all points, and the last output of the last pair
    // lies inside of `y`.
    unsafe {
        resmcu_winograd4_products(&raw const context);
    }
}

/// As `portable::weights`.
pub(crate) fn weights(packed: &[u32], channels: usize, transformed: &mut [u32]) {
    let quads = channels / 4;
    let constants = 2 * CONSTANTS;
    let fits =
        packed.len() == 18 * quads + constants && transformed.len() == METHOD.pair_words(channels);
    if !fits || quads == 0 {
        return;
    }
    let (taps, rest) = packed.split_at(18 * quads);
    let (slots, end) = transformed.split_at_mut(POINTS * channels);
    end.copy_from_slice(rest);
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: `taps` holds eighteen words and `slots` 36 times four a quad.
    unsafe {
        resmcu_winograd4_weights(taps.as_ptr(), slots.as_mut_ptr(), quads, 16 * quads);
    }
}
