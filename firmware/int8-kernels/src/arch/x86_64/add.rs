//! The usual add of the profile `tflite` by the processor's vectors: `model`'s arithmetic, in
//! loops that are compiled for AVX-512 and for AVX2.

use super::{has_avx2, has_avx512};
use crate::arch::model::add::{self as model, Sum};
use crate::ops::add::Usual;

/// As `model::to_halved`.
pub(crate) fn to_halved(usual: &Usual, other: &[i8], y: &mut [i8]) {
    #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
    // SAFETY: this processor has them.
    unsafe {
        if has_avx512::get() {
            to_halved_avx512(usual, other, y);
        } else if has_avx2::get() {
            to_halved_avx2(usual, other, y);
        } else {
            model::to_halved(usual, other, y);
        }
    }
}

/// As `model::to_other`.
pub(crate) fn to_other(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
    // SAFETY: this processor has them.
    unsafe {
        if has_avx512::get() {
            to_other_avx512(usual, halved, y);
        } else if has_avx2::get() {
            to_other_avx2(usual, halved, y);
        } else {
            model::to_other(usual, halved, y);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn to_halved_avx512(usual: &Usual, other: &[i8], y: &mut [i8]) {
    let sum = Sum::new(usual);
    y.iter_mut().zip(other).for_each(|(y, &other)| *y = sum.of(*y, other));
}

#[target_feature(enable = "avx2")]
fn to_halved_avx2(usual: &Usual, other: &[i8], y: &mut [i8]) {
    let sum = Sum::new(usual);
    y.iter_mut().zip(other).for_each(|(y, &other)| *y = sum.of(*y, other));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn to_other_avx512(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    let sum = Sum::new(usual);
    y.iter_mut().zip(halved).for_each(|(y, &halved)| *y = sum.of(halved, *y));
}

#[target_feature(enable = "avx2")]
fn to_other_avx2(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    let sum = Sum::new(usual);
    y.iter_mut().zip(halved).for_each(|(y, &halved)| *y = sum.of(halved, *y));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pairs of bytes by each unit that is there.
    #[test]
    fn each_unit_adds_as_the_model_does() {
        let usual = Usual {
            halved_offset: 128,
            other_offset: -127,
            other_multiplier: 0x5a5a_5a5a,
            other_shift: -2,
            output_multiplier: 0x6789_abcd,
            output_shift: -19,
            output_offset: -128,
        };
        let others: [i8; 256] = core::array::from_fn(|other| other as u8 as i8);
        for own in i8::MIN..=i8::MAX {
            let (mut halved, mut other) = ([own; 256], [own; 256]);
            model::to_halved(&usual, &others, &mut halved);
            model::to_other(&usual, &others, &mut other);
            let check = |unit, by: &dyn Fn(&mut [i8], &mut [i8])| {
                let (mut first, mut second) = ([own; 256], [own; 256]);
                by(&mut first, &mut second);
                assert_eq!((first, second), (halved, other), "{unit}, {own}");
            };
            check("any", &|first, second| {
                to_halved(&usual, &others, first);
                to_other(&usual, &others, second);
            });
            #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
            // SAFETY: asked before.
            unsafe {
                if has_avx2::get() {
                    check("AVX2", &|first, second| {
                        to_halved_avx2(&usual, &others, first);
                        to_other_avx2(&usual, &others, second);
                    });
                }
            }
        }
    }
}
