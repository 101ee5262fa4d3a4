//! From inputs to outputs in a core's assembly.
//!
//! Owns what the assembly reads, and the proof that it stays inside of it. Each core has one
//! function `resmcu_pixel_pairs`, its own layout of inputs, and as many words of them as it says.

use crate::arch::passes::pixel_pairs::WORDS;
use crate::packed::pixel_pairs::Stream;

/// What the assembly reads.
#[repr(C)]
struct Context {
    x: *const u32,
    x_end: *const u32,
    /// The first pixel's outputs, and their end.
    y: *mut i8,
    y_end: *const i8,
    /// Bytes from a pixel's outputs to those of the next.
    next_pixel: usize,
    /// Smallest and largest result, less the zero point.
    low: i32,
    high: i32,
    /// Of the profile `tflite`, else zero.
    zero_point: i32,
    form: usize,
    /// Bytes of a pair of outputs before its weights.
    header_bytes: usize,
    packed: *const u32,
    words_but_two: i32,
}

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signature is that which the assembly states.
unsafe extern "C" {
    fn resmcu_pixel_pairs(context: *const Context);
}

/// All outputs of `2 * words` pixels: `x` are `words` words for each weight of an output, filled up
/// to a multiple of eight, in the core's layout; `y` the pixels.
pub(crate) fn outputs(stream: &Stream<'_>, words: usize, x: &[u32], y: &mut [i8]) {
    let [fewest, most] = WORDS;
    if !(fewest..=most).contains(&words) || !stream.fits(words, x, y) {
        return;
    }
    let zero_point = i32::from(stream.zero_point());
    let [low, high] = stream.clamp().map(|end| i32::from(end) - zero_point);
    let x = x.as_ptr_range();
    let context = Context {
        x: x.start,
        x_end: x.end,
        y: y.as_mut_ptr(),
        y_end: y.as_ptr().wrapping_add(stream.outputs()),
        next_pixel: stream.outputs(),
        low,
        high,
        zero_point,
        form: stream.form() as usize,
        header_bytes: 4 * stream.header_words(),
        packed: stream.packed().as_ptr(),
        words_but_two: words as i32 - 2,
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs are `words` for each weight of an output, a multiple of eight that is not
    // zero; there is at least one output, and the packed pairs and the pixels of `y` have all of
    // them.
    unsafe {
        resmcu_pixel_pairs(&raw const context);
    }
}
