//! The residual add of the profile `tflite`: both inputs are brought to a common scale, added, and
//! brought to the output's. (The profile `native` has none: its convolutions join the residual.)

use crate::arch::passes::add as passes;
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
/// multipliers are below 1. From `e = 30` on the result is 0 whatever `e` is, and that of 30 does
/// for 31.
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
}

/// The constants of the usual add. TensorFlow Lite makes the larger of the two scales one half,
/// which needs no rounding; the other input and the sum have right shifts, so that negative values
/// always have one subtracted before they are rounded; and all of int8 is wanted, or a ReLU at its
/// lower end.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Usual {
    /// Of the input that is halved.
    pub(crate) halved_offset: i32,
    pub(crate) other_offset: i32,
    pub(crate) other_multiplier: i32,
    /// -1 to -30.
    pub(crate) other_shift: i32,
    pub(crate) output_multiplier: i32,
    /// -1 to -21, so that the zero point can be added before it.
    pub(crate) output_shift: i32,
    pub(crate) output_offset: i32,
}

/// What the larger of two scales is rescaled by.
const HALF: i32 = 1 << 30;

impl Usual {
    /// Of an add whose input `halved` is the halved one, if it is of that kind.
    fn new(constants: &AddConstants, halved: usize, bounds: [i8; 2]) -> Option<Self> {
        let (halved, other) = (halved & 1, halved & 1 ^ 1);
        let usual = Self {
            halved_offset: constants.input_offsets[halved],
            other_offset: constants.input_offsets[other],
            other_multiplier: constants.input_multipliers[other],
            other_shift: constants.input_shifts[other],
            output_multiplier: constants.output_multiplier,
            output_shift: constants.output_shift,
            output_offset: constants.output_offset,
        };
        let is_usual = constants.input_multipliers[halved] == HALF
            && constants.input_shifts[halved] == 0
            && (-30..=-1).contains(&usual.other_shift)
            && (-21..=-1).contains(&usual.output_shift)
            && bounds == [i8::MIN, i8::MAX];
        is_usual.then_some(usual)
    }
}

/// Any add that is ready to run.
struct Sum {
    inputs: [(i32, Rescale); 2],
    output: Rescale,
    zero: i32,
    bounds: [i8; 2],
}

impl Sum {
    fn new(constants: &AddConstants, bounds: [i8; 2]) -> Self {
        let AddConstants { input_offsets, input_multipliers, input_shifts, .. } = constants;
        let rescale = |input: usize| Rescale::new(input_multipliers[input], input_shifts[input]);
        Self {
            inputs: [(input_offsets[0], rescale(0)), (input_offsets[1], rescale(1))],
            output: Rescale::new(constants.output_multiplier, constants.output_shift),
            zero: constants.output_offset,
            bounds,
        }
    }

    #[inline]
    fn rescale(&self, input: usize, x: i8) -> i32 {
        let (offset, rescale) = self.inputs[input];
        rescale.apply((i32::from(x).wrapping_add(offset)) << (LEFT_SHIFT + HEADROOM))
    }

    #[inline]
    fn of(&self, a: i8, b: i8) -> i8 {
        let sum = self.rescale(0, a).wrapping_add(self.rescale(1, b));
        clamp(self.output.apply(sum << HEADROOM).wrapping_add(self.zero), self.bounds)
    }
}

/// `y = a + b` (TensorFlow Lite's int8 `ADD`). All slices have the same length.
pub fn add_s8(a: &[i8], b: &[i8], constants: &AddConstants, bounds: [i8; 2], y: &mut [i8]) {
    debug_assert_eq!((a.len(), b.len()), (y.len(), y.len()));
    y.iter_mut().zip(a).for_each(|(y, &a)| *y = a);
    add_in_place_s8(0, b, constants, bounds, y);
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
    if let Some(usual) = Usual::new(constants, own, bounds) {
        passes::to_halved(&usual, other, y);
    } else if let Some(usual) = Usual::new(constants, own ^ 1, bounds) {
        passes::to_other(&usual, other, y);
    } else {
        let mut sum = Sum::new(constants, bounds);
        if own == 1 {
            sum.inputs.swap(0, 1); // which does not depend on the order
        }
        y.iter_mut().zip(other).for_each(|(y, &other)| *y = sum.of(*y, other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Random;
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

    /// The usual add by all pairs of bytes, against both roundings.
    #[test]
    fn usual_adds_are_what_any_add_is() {
        let mut random = Random::new(7);
        for (halved, seed) in (0..20).map(|seed| (seed % 2, seed)) {
            let mut pick = |low, high| random.range(low, high) as i32;
            let mut constants = AddConstants {
                input_offsets: [pick(-127, 128), pick(-127, 128)],
                input_multipliers: [pick(0, i32::MAX.into()), pick(1 << 30, i32::MAX.into())],
                input_shifts: [-pick(1, 4), -pick(1, 30)],
                output_offset: pick(-128, 127),
                output_multiplier: pick(1 << 30, i32::MAX.into()),
                output_shift: if seed < 15 { -pick(17, 20) } else { -pick(1, 21) },
            };
            constants.input_multipliers[halved] = HALF;
            constants.input_shifts[halved] = 0;
            let bounds = [i8::MIN, i8::MAX];
            assert!(Usual::new(&constants, halved, bounds).is_some());
            let sum = Sum::new(&constants, bounds);
            for a in i8::MIN..=i8::MAX {
                let b: [i8; 256] = core::array::from_fn(|b| b as u8 as i8);
                let expected = b.map(|b| sum.of(a, b));
                let (mut y, mut other) = ([a; 256], [0; 256]);
                add_in_place_s8(0, &b, &constants, bounds, &mut y);
                assert_eq!(y, expected, "{constants:?}");
                (y, other) = (b, other.map(|_: i8| a));
                add_in_place_s8(1, &other, &constants, bounds, &mut y);
                assert_eq!(y, expected, "{constants:?}, in place of the second");
            }
        }
    }
}
