//! The usual add in place, behind the signatures of `model`.

use crate::arch::model::add::Sum;
use crate::ops::add::Usual;

#[expect(unsafe_code, reason = "declares the assembly of this operator")]
// SAFETY: the signatures are those that its file of assembly states.
unsafe extern "C" {
    fn resmcu_add_to_halved(y: *mut i8, other: *const i8, end: *const i8, constants: *const Sum);
    fn resmcu_add_to_other(y: *mut i8, halved: *const i8, end: *const i8, constants: *const Sum);
}

/// As `model::to_halved`.
pub(crate) fn to_halved(usual: &Usual, other: &[i8], y: &mut [i8]) {
    let y = y.get_mut(..other.len()).unwrap_or_default();
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: `other` has at least as many bytes as `y`.
    unsafe {
        let end = y.as_ptr_range().end;
        resmcu_add_to_halved(y.as_mut_ptr(), other.as_ptr(), end, &Sum::new(usual));
    }
}

/// As `model::to_other`.
pub(crate) fn to_other(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    let y = y.get_mut(..halved.len()).unwrap_or_default();
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: `halved` has at least as many bytes as `y`.
    unsafe {
        let end = y.as_ptr_range().end;
        resmcu_add_to_other(y.as_mut_ptr(), halved.as_ptr(), end, &Sum::new(usual));
    }
}
