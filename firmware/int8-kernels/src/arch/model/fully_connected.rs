//! The sums of a fully connected layer. Each is exact modulo 2^32 in whatever order its products
//! are added, so that every core's own order gives it.

use crate::ops::fully_connected::ROWS;

/// Of int8 inputs.
pub(crate) fn sums_s8(x: &[i8], rows: [&[i8]; ROWS]) -> [i32; ROWS] {
    rows.map(|row| dot(x, row))
}

/// Of int16 inputs.
pub(crate) fn sums_s16(x: &[i16], rows: [&[i8]; ROWS]) -> [i32; ROWS] {
    rows.map(|row| dot(x, row))
}

#[inline]
fn dot<T: Copy + Into<i32>>(x: &[T], row: &[i8]) -> i32 {
    let products = x.iter().zip(row).map(|(&x, &w)| x.into().wrapping_mul(w.into()));
    products.fold(0, i32::wrapping_add)
}
