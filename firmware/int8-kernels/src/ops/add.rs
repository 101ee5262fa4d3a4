//! The residual add of the profile `tflite`: both inputs are brought to a common scale, added, and
//! brought to the output's. (The profile `native` has none: its convolutions join the residual.)

use crate::requantize::{clamp, multiply_by_quantized_multiplier};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How far inputs are shifted left before they are rescaled (TensorFlow Lite's `left_shift`).
pub const LEFT_SHIFT: u32 = 20;

/// Constants of an add. The shifts are 0 to -31: right shifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddConstants {
    /// Minus the zero points of the inputs, -127 to 128.
    pub input_offsets: [i32; 2],
    /// Q31 multipliers of the inputs, not negative.
    pub input_multipliers: [i32; 2],
    /// Shifts of the inputs.
    pub input_shifts: [i32; 2],
    /// Zero point of the output.
    pub output_offset: i32,
    /// Q31 multiplier of the output, not negative.
    pub output_multiplier: i32,
    /// Shift of the output.
    pub output_shift: i32,
}

impl AddConstants {
    /// Whether every constant is inside its limits.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let shifts = [self.input_shifts[0], self.input_shifts[1], self.output_shift];
        let multipliers =
            [self.input_multipliers[0], self.input_multipliers[1], self.output_multiplier];
        shifts.iter().all(|shift| (-31..=0).contains(shift))
            && multipliers.iter().all(|&multiplier| multiplier >= 0)
            && self.input_offsets.iter().all(|offset| (-127..=128).contains(offset))
            && (-128..=127).contains(&self.output_offset)
    }

    #[inline]
    fn rescale(&self, input: usize, x: i8) -> i32 {
        let x = (i32::from(x) + self.input_offsets[input]) << LEFT_SHIFT;
        let (multiplier, shift) = (self.input_multipliers[input], self.input_shifts[input]);
        multiply_by_quantized_multiplier(x, multiplier, shift)
    }

    #[inline]
    fn sum(&self, a: i32, b: i32, bounds: [i8; 2]) -> i8 {
        let sum = a.wrapping_add(b);
        let q = multiply_by_quantized_multiplier(sum, self.output_multiplier, self.output_shift);
        clamp(q.wrapping_add(self.output_offset), bounds)
    }
}

/// `y = a + b` (TensorFlow Lite's int8 `ADD`). All slices have the same length.
pub fn add_s8(a: &[i8], b: &[i8], constants: &AddConstants, bounds: [i8; 2], y: &mut [i8]) {
    debug_assert_eq!((a.len(), b.len()), (y.len(), y.len()));
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        let (a, b) = (constants.rescale(0, a), constants.rescale(1, b));
        *y = constants.sum(a, b, bounds);
    }
}

/// The same where `y` holds one input, number `own` (0 or 1), and `other` is the other one.
pub fn add_in_place_s8(
    own: usize,
    other: &[i8],
    constants: &AddConstants,
    bounds: [i8; 2],
    y: &mut [i8],
) {
    debug_assert!(own < 2 && other.len() == y.len());
    for (y, &other) in y.iter_mut().zip(other) {
        let (a, b) = (constants.rescale(own & 1, *y), constants.rescale(own & 1 ^ 1, other));
        *y = constants.sum(a, b, bounds);
    }
}
