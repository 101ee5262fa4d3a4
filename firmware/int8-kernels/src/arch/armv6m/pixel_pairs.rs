//! The kernel of two pixels a product, by MUL.

use crate::packed::pixel_pairs::Stream;

/// Words of two pixels that are computed at once: the fewest and the most.
pub(crate) const WORDS: [usize; 2] = [2, 2];

/// What the assembly reads.
#[repr(C)]
struct Context {
    x: *const u32,
    x_end: *const u32,
    y: *mut i8,
    next_pixel: usize,
    outputs: usize,
    low: i32,
    high: i32,
    zero_point: i32,
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
    let zero_point = i32::from(stream.zero_point());
    let [low, high] = stream.clamp().map(|end| i32::from(end) - zero_point);
    let x = x.as_ptr_range();
    let context = Context {
        x: x.start,
        x_end: x.end,
        y: y.as_mut_ptr(),
        next_pixel: stream.outputs(),
        outputs: stream.outputs(),
        low,
        high,
        zero_point,
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
