//! The residual add of the profile `tflite`: both inputs are brought to a common scale, added, and
//! brought to the output's. (The profile `native` has none: its convolutions join the residual.)

use crate::requantize::{clamp, multiply_high_31};
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
}

/// One rescaling as one product and one floor.
///
/// As in `packed/constants.rs`, both roundings are floors of something with a half added: with
/// `h = floor(4 v m / 2^32)`, the upper half of one product, the rescaled `v` is
/// `floor((h + 1 + 2^e - 2 [v < 0]) / 2^(e+1))` for `e >= 1`, and `floor((h + 1) / 2)` for `e = 0`.
/// `|v| < 2^29` for both inputs and their sum: `v` is at most 255 or 510 times `2^20`, and
/// multipliers are below 1. From `e = 30` on the result is 0 whatever `e` is, and that of 30 does for
/// 31.
#[derive(Clone, Copy)]
struct Rescale {
    multiplier: i32,
    /// `1 + 2^e`, or 1.
    addend: i32,
    /// 2 where negative values are to have it subtracted.
    below_zero: i32,
    /// `e + 1`.
    shift: u32,
}

/// The shift of what is multiplied.
const HEADROOM: u32 = 2;

impl Rescale {
    fn new(multiplier: i32, shift: i32) -> Self {
        let e = shift.min(0).unsigned_abs().min(30);
        let (addend, below_zero) = if e == 0 { (1, 0) } else { (1 + (1 << e), 2) };
        Self { multiplier, addend, below_zero, shift: e + 1 }
    }

    /// Of `v`, shifted by [`HEADROOM`].
    #[inline]
    fn apply(self, shifted: i32) -> i32 {
        let rounded = self.addend.wrapping_sub((shifted >> 31) & self.below_zero);
        let high = multiply_high_31(shifted, self.multiplier);
        high.wrapping_add(rounded).wrapping_shr(self.shift)
    }

    /// The same where `below_zero` is 2.
    #[inline]
    fn apply_usual(self, shifted: i32) -> i32 {
        let rounded = self.addend.wrapping_add((shifted >> 31).wrapping_mul(2));
        multiply_high_31(shifted, self.multiplier).wrapping_add(rounded).wrapping_shr(self.shift)
    }
}

/// Any add that is ready to run.
struct Sum {
    inputs: [Input; 2],
    output: Rescale,
    zero: i32,
    bounds: [i8; 2],
}

/// How an input is rescaled.
#[derive(Clone, Copy)]
struct Input {
    /// What is added to it, shifted.
    offset: i32,
    rescale: Rescale,
}

impl Input {
    #[inline]
    fn rescale(self, x: i8) -> i32 {
        let shifted = i32::from(x) << (LEFT_SHIFT + HEADROOM);
        self.rescale.apply(shifted.wrapping_add(self.offset))
    }
}

impl Sum {
    fn new(constants: &AddConstants, bounds: [i8; 2]) -> Self {
        let input = |input: usize| Input {
            offset: constants.input_offsets[input].wrapping_shl(LEFT_SHIFT + HEADROOM),
            rescale: Rescale::new(
                constants.input_multipliers[input],
                constants.input_shifts[input],
            ),
        };
        Self {
            inputs: [input(0), input(1)],
            output: Rescale::new(constants.output_multiplier, constants.output_shift),
            zero: constants.output_offset,
            bounds,
        }
    }

    #[inline]
    fn of(&self, a: i8, b: i8) -> i8 {
        let sum = self.inputs[0].rescale(a).wrapping_add(self.inputs[1].rescale(b));
        clamp(self.output.apply(sum << HEADROOM).wrapping_add(self.zero), self.bounds)
    }
}

/// The usual add, with fewer constants and instructions: TensorFlow Lite makes the larger of the two
/// scales one half, which needs no rounding; the other input and the sum have right shifts, so
/// that negative values always have one subtracted before they are rounded; and all of int8 is
/// wanted, or a ReLU at its lower end.
#[derive(Clone, Copy)]
struct UsualSum {
    /// Of the input that is halved: what is added to the sum, with [`HEADROOM`].
    halved_offset: i32,
    other: Input,
    output: Rescale,
}

/// What the larger of two scales is rescaled by.
const HALF: i32 = 1 << 30;

/// The largest right shift of the sum whose zero point is added before it.
const OUTPUT_SHIFT_MAX: u32 = 21;

impl UsualSum {
    /// Of an add whose input `halved` is the halved one, if it is of that kind.
    fn new(sum: &Sum, halved: usize) -> Option<Self> {
        let (own, other, mut output) =
            (sum.inputs[halved & 1], sum.inputs[halved & 1 ^ 1], sum.output);
        let is_usual = own.rescale.multiplier == HALF
            && own.rescale.below_zero == 0
            && other.rescale.below_zero != 0
            && output.below_zero != 0
            && output.shift <= OUTPUT_SHIFT_MAX + 1
            && sum.bounds == [i8::MIN, i8::MAX];
        output.addend = output.addend.wrapping_add(sum.zero.wrapping_shl(output.shift));
        is_usual.then_some(Self { halved_offset: own.offset >> 1, other, output })
    }

    #[inline]
    fn of(self, halved: i8, other: i8) -> i8 {
        let shifted = i32::from(other) << (LEFT_SHIFT + HEADROOM);
        let rescaled = self.other.rescale.apply_usual(shifted.wrapping_add(self.other.offset));
        let sum = (rescaled << HEADROOM).wrapping_add(self.halved_offset);
        let sum = sum.wrapping_add(i32::from(halved) << (LEFT_SHIFT + HEADROOM - 1));
        self.output.apply_usual(sum).clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }
}

/// `y = a + b` (TensorFlow Lite's int8 `ADD`). All slices have the same length.
pub fn add_s8(a: &[i8], b: &[i8], constants: &AddConstants, bounds: [i8; 2], y: &mut [i8]) {
    debug_assert_eq!((a.len(), b.len()), (y.len(), y.len()));
    let sum = Sum::new(constants, bounds);
    let usual = [(0, a, b), (1, b, a)].into_iter().find_map(|(input, halved, other)| {
        UsualSum::new(&sum, input).map(|usual| (usual, halved, other))
    });
    if let Some((usual, halved, other)) = usual {
        for ((y, &halved), &other) in y.iter_mut().zip(halved).zip(other) {
            *y = usual.of(halved, other);
        }
        return;
    }
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = sum.of(a, b);
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
    let mut sum = Sum::new(constants, bounds);
    if own == 1 {
        sum.inputs.swap(0, 1); // which does not depend on the order
    }
    let pairs = y.iter_mut().zip(other);
    if let Some(usual) = UsualSum::new(&sum, 0) {
        pairs.for_each(|(y, &other)| *y = usual.of(*y, other));
    } else if let Some(usual) = UsualSum::new(&sum, 1) {
        pairs.for_each(|(y, &other)| *y = usual.of(other, *y));
    } else {
        pairs.for_each(|(y, &other)| *y = sum.of(*y, other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requantize::multiply_by_quantized_multiplier;

    /// One rescaling against both roundings, around each tie and at the ends.
    #[test]
    fn one_floor_is_the_double_rounding() {
        const MAX: i64 = 510 << LEFT_SHIFT;
        let multipliers = [0, 1, 1 << 30, (1 << 30) + 1, 0x5555_5555, i32::MAX - 1, i32::MAX];
        let mut ties = 0;
        for (shift, multiplier) in (0..=31).flat_map(|e| multipliers.map(|m| (-e, m))) {
            let rescale = Rescale::new(multiplier, shift);
            let mut check = |v: i64| {
                let v = v.clamp(-MAX, MAX) as i32;
                let expected = multiply_by_quantized_multiplier(v, multiplier, shift);
                assert_eq!(rescale.apply(v << HEADROOM), expected, "{v}, {multiplier}, {shift}");
            };
            (-3..=3).for_each(&mut check);
            [-MAX, -MAX + 1, MAX - 1, MAX].into_iter().for_each(&mut check);
            for n in -600_i64..=600 {
                let numerator = i128::from(2 * n + 1) << (30 - shift);
                let tie = numerator.div_euclid(i128::from(multiplier).max(1));
                let tie = tie.clamp((-MAX).into(), MAX.into()) as i64;
                ties += usize::from(tie.abs() < MAX);
                (tie - 2..=tie + 2).for_each(&mut check);
            }
        }
        assert!(ties > 100_000, "{ties}");
    }
}
