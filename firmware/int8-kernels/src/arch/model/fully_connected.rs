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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Random;

    /// Two int16 in a word.
    fn pair(low: i32, high: i32) -> u32 {
        (low & 0xffff) as u32 | (high << 16) as u32
    }

    fn half(word: u32, at: u32) -> i32 {
        i32::from((word >> at) as i16)
    }

    /// `SXTB16` of a word that is rotated by `right`: bytes 0 and 2.
    fn sxtb16(word: u32, right: u32) -> u32 {
        let byte = |at: u32| i32::from((word.rotate_right(right) >> at) as i8);
        pair(byte(0), byte(16))
    }

    /// `SMLAD`.
    fn smlad(a: u32, b: u32, sum: i32) -> i32 {
        let products = half(a, 0) * half(b, 0) + half(a, 16) * half(b, 16);
        sum.wrapping_add(products)
    }

    /// Four inputs of the loop of `armv7em`: the halves of two words change places by `PKHBT` and
    /// `PKHTB`, so that they meet the weights as `SXTB16` widens them.
    fn quad(x: [i16; 4], w: [i8; 4], sum: i32) -> i32 {
        let x = x.map(i32::from);
        let (first, second) = (pair(x[0], x[1]), pair(x[2], x[3]));
        let even = (first & 0xffff) | (second << 16);
        let odd = (second & 0xffff_0000) | (first >> 16);
        let w = u32::from_le_bytes(w.map(|w| w as u8));
        smlad(sxtb16(w, 8), odd, smlad(sxtb16(w, 0), even, sum))
    }

    #[test]
    fn dual_multiplies_of_widened_weights_are_the_sums() {
        let random = &mut Random::new(4);
        let ends = [i16::MIN, -1, 0, 32_512].map(|x| [x; 4]);
        let random_inputs = (0..200).map(|_| [0; 4].map(|_| random.range(-32_768, 32_512) as i16));
        let inputs: std::vec::Vec<_> = ends.into_iter().chain(random_inputs).collect();
        for x in inputs {
            let w = [0; 4].map(|_: i8| random.range(-128, 127) as i8);
            for w in [w, [i8::MIN; 4], [i8::MAX; 4]] {
                assert_eq!(quad(x, w, -7), dot(&x, &w) - 7, "{x:?} times {w:?}");
            }
        }
    }

    extern crate std;
}
