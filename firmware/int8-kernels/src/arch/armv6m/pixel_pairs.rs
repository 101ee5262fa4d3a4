//! The kernel of two pixels a product, by MUL.

use crate::arch::pixel_pairs::{Sums, requantize};
use crate::packed::pixel_pairs::{CONSTANTS, Stream};
use crate::requantize::{Form, Tflite};

/// Words of two pixels that are computed at once: the fewest and the most.
pub(crate) const WORDS: [usize; 2] = [2, 2];

/// What the assembly reads.
#[repr(C)]
struct Context {
    x: *const u32,
    x_end: *const u32,
    /// Or the sums, in the form [`Form::Tflite`].
    y: *mut i8,
    next_pixel: usize,
    outputs: usize,
    low: i32,
    high: i32,
    form: usize,
    header_bytes: usize,
    packed: *const u32,
}

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines functions, which keep the procedure call standard.
    core::arch::global_asm!(include_str!("pixel_pairs.s"), options(raw));
}

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signatures are those that the assembly states.
unsafe extern "C" {
    fn resmcu_armv6m_pixel_pairs(context: *const Context);
    fn resmcu_armv6m_widen_first(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_armv6m_widen_second(row: *const i8, slots: *mut u32, count: usize);
}

/// As `arch::pixel_pairs::outputs`, of two words.
pub(crate) fn outputs(stream: &Stream<'_>, _words: usize, x: &[u32], y: &mut [i8]) {
    if !stream.fits(2, x, y) {
        return;
    }
    if stream.form() == Form::Tflite {
        return tflite_outputs(stream, x, y);
    }
    let [low, high] = stream.clamp().map(i32::from);
    let x = x.as_ptr_range();
    let context = Context {
        x: x.start,
        x_end: x.end,
        y: y.as_mut_ptr(),
        next_pixel: stream.outputs(),
        outputs: stream.outputs(),
        low,
        high,
        form: stream.form() as usize,
        header_bytes: 4 * stream.header_words(),
        packed: stream.packed().as_ptr(),
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs are two words for each weight of an output, a multiple of eight that is not
    // zero; there is at least one output, and the packed pairs and the four pixels of `y` have all
    // of them.
    unsafe {
        resmcu_armv6m_pixel_pairs(&raw const context);
    }
}

/// The profile `tflite`, whose rounding is in Rust.
fn tflite_outputs(stream: &Stream<'_>, x: &[u32], y: &mut [i8]) {
    let rounding = Tflite { zero_point: stream.zero_point().into(), clamp: stream.clamp() };
    let (outputs, mut packed) = (stream.outputs(), stream.packed());
    let mut sums: Sums<2> = [[[0; 2]; 2]; 2];
    let mut output = 0;
    while let Some((pair, rest)) = packed.split_at_checked(stream.pair_words()) {
        sums_of(stream, x, pair, &mut sums);
        let (records, _) = pair.as_chunks::<{ CONSTANTS / 2 }>();
        for (record, sums) in records.iter().zip(&sums) {
            if output == outputs {
                return;
            }
            requantize(rounding, record, sums, outputs, y.get_mut(output..).unwrap_or_default());
            output += 1;
        }
        packed = rest;
    }
}

/// The sums of a pair of outputs.
fn sums_of(stream: &Stream<'_>, x: &[u32], pair: &[u32], sums: &mut Sums<2>) {
    let x = x.as_ptr_range();
    let context = Context {
        x: x.start,
        x_end: x.end,
        y: (&raw mut *sums).cast(),
        next_pixel: 0,
        outputs: 2,
        low: 0,
        high: 0,
        form: Form::Tflite as usize,
        header_bytes: 4 * stream.header_words(),
        packed: pair.as_ptr(),
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs are two words for each weight of an output, a multiple of eight that is not
    // zero; the pair is whole, and there are four sums for each of its outputs.
    unsafe {
        resmcu_armv6m_pixel_pairs(&raw const context);
    }
}

/// As `arch::pixel_pairs::widen`, of two words.
pub(crate) fn widen(row: &[i8], _words: usize, slots: &mut [u32], is_second: bool) {
    if row.is_empty() || slots.len() <= 2 * (row.len() - 1) {
        return;
    }
    let (row, slots, count) = (row.as_ptr(), slots.as_mut_ptr(), row.len());
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: there are so many bytes, at least one, and every second word for each.
    unsafe {
        if is_second {
            resmcu_armv6m_widen_second(row, slots, count);
        } else {
            resmcu_armv6m_widen_first(row, slots, count);
        }
    }
}
