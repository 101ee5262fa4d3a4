//! Passes of stride 2 by phases, behind the signatures of `portable`.

pub(crate) use crate::arch::inputs::polyphase2::{columns, rows};
use crate::packed::polyphase2::{CONSTANTS, POINTS};
use crate::packed::tiles::{Method, Products};

const METHOD: Method = Method::Polyphase2;

/// What `resmcu_polyphase2_products` reads.
#[repr(C)]
struct Pairs {
    v: *const u32,
    weights_end: *const u32,
    y: *mut i8,
    weights: *const u32,
    four_points: usize,
    v_end: *const u32,
    form: usize,
    pixel: usize,
    row: usize,
    steps: usize,
}

#[expect(unsafe_code, reason = "declares the assembly of this kernel")]
// SAFETY: the signatures are those that its file of assembly states.
unsafe extern "C" {
    fn resmcu_polyphase2_products(context: *const Pairs);
    fn resmcu_polyphase2_weights(
        packed: *const u32,
        transformed: *mut u32,
        quads: usize,
        point_bytes: usize,
    );
}

/// As `portable::products`.
pub(crate) fn products(p: &Products<'_>, y: &mut [i8]) {
    let pairs = p.weights.len() / METHOD.pair_words(p.channels).max(1);
    let last = p.row + 3 * p.pixel + 2 * pairs;
    let whole = pairs * METHOD.pair_words(p.channels) == p.weights.len() && pairs != 0;
    let quads = p.channels / 4;
    if !whole || quads == 0 || y.len() < last || p.v.len() < 4 * POINTS * quads {
        return;
    }
    let context = Pairs {
        v: p.v.as_ptr(),
        weights_end: p.weights.as_ptr_range().end,
        y: y.as_mut_ptr(),
        weights: p.weights.as_ptr(),
        four_points: 64 * quads,
        v_end: p.v.as_ptr().wrapping_add(4 * POINTS * quads),
        form: p.form as usize,
        pixel: p.pixel,
        row: p.row,
        steps: quads,
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: weights are whole pairs, `v` holds all points, and the last output of the last pair
    // lies inside of `y`.
    unsafe {
        resmcu_polyphase2_products(&raw const context);
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
    // SAFETY: `taps` holds eighteen words and `slots` 25 times four a quad.
    unsafe {
        resmcu_polyphase2_weights(taps.as_ptr(), slots.as_mut_ptr(), quads, 16 * quads);
    }
}
