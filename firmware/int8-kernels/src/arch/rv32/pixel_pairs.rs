//! The kernel of two pixels a product, by MUL.

use crate::packed::pixel_pairs::Stream;

/// Words of two pixels that are computed at once: the fewest and the most.
pub(crate) const WORDS: [usize; 2] = [1, 3];

/// What the assembly reads.
#[repr(C)]
struct Context {
    x: *const u32,
    x_end: *const u32,
    words_but_two: i32,
    outputs: usize,
    low: i32,
    high: i32,
    zero_point: i32,
    form: usize,
    header_bytes: usize,
    y: *mut i8,
    packed: *const u32,
}

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signatures are those that the assembly states.
unsafe extern "C" {
    fn resmcu_rv32_pixel_pairs(context: *const Context);
    fn resmcu_rv32_widen_first_1(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_first_2(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_first_3(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_second_1(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_second_2(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_second_3(row: *const i8, slots: *mut u32, count: usize);
}

/// As `arch::pixel_pairs::outputs`, of `words` words.
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
        words_but_two: words as i32 - 2,
        outputs: stream.outputs(),
        low,
        high,
        zero_point,
        form: stream.form() as usize,
        header_bytes: 4 * stream.header_words(),
        y: y.as_mut_ptr(),
        packed: stream.packed().as_ptr(),
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs are `words` for each weight of an output, a multiple of eight that is not
    // zero; there is at least one output, and the packed pairs and the pixels of `y` have all of
    // them.
    unsafe {
        resmcu_rv32_pixel_pairs(&raw const context);
    }
}

/// As `arch::pixel_pairs::widen`.
pub(crate) fn widen(row: &[i8], words: usize, slots: &mut [u32], is_second: bool) {
    if row.is_empty() || slots.len() <= words * (row.len() - 1) {
        return;
    }
    let (row, slots, count) = (row.as_ptr(), slots.as_mut_ptr(), row.len());
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: there are so many bytes, at least one, and a slot for each, `words` apart.
    unsafe {
        match (words, is_second) {
            (1, false) => resmcu_rv32_widen_first_1(row, slots, count),
            (2, false) => resmcu_rv32_widen_first_2(row, slots, count),
            (3, false) => resmcu_rv32_widen_first_3(row, slots, count),
            (1, true) => resmcu_rv32_widen_second_1(row, slots, count),
            (2, true) => resmcu_rv32_widen_second_2(row, slots, count),
            (3, true) => resmcu_rv32_widen_second_3(row, slots, count),
            _ => {}
        }
    }
}
