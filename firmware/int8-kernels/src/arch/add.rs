//! The usual add in place by a vector unit, whose folder defines the function: as `model::add`.

use crate::ops::add::Usual;

#[expect(unsafe_code, reason = "declares the assembly of this operator")]
// SAFETY: the signature is that which its file of assembly states.
unsafe extern "C" {
    fn resmcu_add(
        halved: *const i8,
        other: *const i8,
        y: *mut i8,
        count: usize,
        constants: *const Usual,
    );
}

/// As `model::to_halved`.
pub(crate) fn to_halved(usual: &Usual, other: &[i8], y: &mut [i8]) {
    let (count, y) = (y.len().min(other.len()), y.as_mut_ptr());
    if count != 0 {
        #[expect(unsafe_code, reason = "calls the assembly")]
        // SAFETY: both inputs have at least `count` bytes, and `y` is read before it is written.
        unsafe {
            resmcu_add(y, other.as_ptr(), y, count, usual);
        }
    }
}

/// As `model::to_other`.
pub(crate) fn to_other(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    let (count, y) = (y.len().min(halved.len()), y.as_mut_ptr());
    if count != 0 {
        #[expect(unsafe_code, reason = "calls the assembly")]
        // SAFETY: both inputs have at least `count` bytes, and `y` is read before it is written.
        unsafe {
            resmcu_add(halved.as_ptr(), y, y, count, usual);
        }
    }
}
