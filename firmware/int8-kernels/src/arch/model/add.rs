//! The usual add of the profile `tflite`, in place.

use crate::ops::add::{LEFT_SHIFT, Usual};
use crate::requantize::multiply_high_31;

/// The shift of what is multiplied.
pub(crate) const HEADROOM: u32 = 2;

/// The shifts of the input that is rescaled and of that which is halved.
pub(crate) const OTHER_SHIFT: u32 = LEFT_SHIFT + HEADROOM;
pub(crate) const HALVED_SHIFT: u32 = OTHER_SHIFT - 1;

/// One rescaling with a right shift of `e >= 1` as one floor, which `ops::add` explains.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Rescale {
    pub(crate) multiplier: i32,
    /// `1 + 2^e + zero * 2^(e+1)`.
    pub(crate) addend: i32,
    /// `e + 1`.
    pub(crate) shift: u32,
}

impl Rescale {
    /// `zero` is added to the result.
    fn new(multiplier: i32, shift: i32, zero: i32) -> Self {
        let e = shift.unsigned_abs();
        let half = 1_i32.wrapping_shl(e).wrapping_add(1);
        Self { multiplier, addend: half.wrapping_add(zero.wrapping_shl(e + 1)), shift: e + 1 }
    }

    /// Of a value that is shifted by [`HEADROOM`].
    #[inline]
    fn apply(self, shifted: i32) -> i32 {
        let rounded = self.addend.wrapping_add((shifted >> 31).wrapping_mul(2));
        multiply_high_31(shifted, self.multiplier).wrapping_add(rounded).wrapping_shr(self.shift)
    }
}

/// The constants as one floor a rescaling wants them.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Sum {
    /// Shifted, with what makes it a half.
    pub(crate) halved_offset: i32,
    pub(crate) other_offset: i32,
    pub(crate) other: Rescale,
    pub(crate) output: Rescale,
}

impl Sum {
    pub(crate) fn new(usual: &Usual) -> Self {
        let Usual { output_multiplier, output_shift, output_offset, .. } = *usual;
        Self {
            halved_offset: usual.halved_offset.wrapping_shl(HALVED_SHIFT),
            other_offset: usual.other_offset.wrapping_shl(OTHER_SHIFT),
            other: Rescale::new(usual.other_multiplier, usual.other_shift, 0),
            output: Rescale::new(output_multiplier, output_shift, output_offset),
        }
    }

    #[inline]
    pub(crate) fn of(self, halved: i8, other: i8) -> i8 {
        let other = i32::from(other) << OTHER_SHIFT;
        let other = other.wrapping_add(self.other_offset);
        let sum = (self.other.apply(other) << HEADROOM).wrapping_add(self.halved_offset);
        let sum = sum.wrapping_add(i32::from(halved) << HALVED_SHIFT);
        self.output.apply(sum).clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }
}

/// Adds `other` to `y`, which is the input that is halved.
pub(crate) fn to_halved(usual: &Usual, other: &[i8], y: &mut [i8]) {
    let sum = Sum::new(usual);
    y.iter_mut().zip(other).for_each(|(y, &other)| *y = sum.of(*y, other));
}

/// Adds `halved`, the input that is halved, to `y`.
pub(crate) fn to_other(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    let sum = Sum::new(usual);
    y.iter_mut().zip(halved).for_each(|(y, &halved)| *y = sum.of(halved, *y));
}
