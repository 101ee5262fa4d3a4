//! The sums of a fully connected layer in assembly, whose folder defines both functions: as
//! `model::fully_connected`.

use crate::ops::fully_connected::ROWS;

/// What the assembly reads.
#[repr(C)]
struct Context<T> {
    x: *const T,
    /// At least one.
    inputs: usize,
    rows: [*const i8; ROWS],
    sums: *mut [i32; ROWS],
}

#[expect(unsafe_code, reason = "declares the assembly of this operator")]
// SAFETY: the signatures are those that its file of assembly states.
unsafe extern "C" {
    fn resmcu_fully_connected_s8(context: *const Context<i8>);
    fn resmcu_fully_connected_s16(context: *const Context<i16>);
}

/// As `model::fully_connected::sums_s8`.
pub(crate) fn sums_s8(x: &[i8], rows: [&[i8]; ROWS]) -> [i32; ROWS] {
    sums(x, rows, resmcu_fully_connected_s8)
}

/// As `model::fully_connected::sums_s16`.
pub(crate) fn sums_s16(x: &[i16], rows: [&[i8]; ROWS]) -> [i32; ROWS] {
    sums(x, rows, resmcu_fully_connected_s16)
}

#[inline]
fn sums<T>(
    x: &[T],
    rows: [&[i8]; ROWS],
    body: unsafe extern "C" fn(*const Context<T>),
) -> [i32; ROWS] {
    let mut sums = [0; ROWS];
    if x.is_empty() || rows.iter().any(|row| row.len() != x.len()) {
        return sums;
    }
    let context = Context {
        x: x.as_ptr(),
        inputs: x.len(),
        rows: rows.map(<[i8]>::as_ptr),
        sums: &raw mut sums,
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: there is at least one input, and each row has a weight for each.
    unsafe {
        body(&raw const context);
    }
    sums
}
