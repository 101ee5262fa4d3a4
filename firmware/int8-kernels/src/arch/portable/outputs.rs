//! From sums to outputs in plain Rust: the output transforms, and the requantization.

use crate::arch::block::{Outputs, Pixels};
use crate::arch::inner::{Lanes, PAIRS, Sums};
use crate::packed::winograd4::SHIFTS;
use crate::packed::{polyphase2, winograd4};
use crate::requantize::multiply_high_15;

/// What turns an accumulator into an int8: `(t * scale) >> 32`, floor, clamped.
///
/// Where a long multiply takes many instructions, as the two short ones that the profile is made
/// for: `scale = m * 2^s` with `m < 2^15`, so that it is `((t * m) >> 16) >> (16 - s)`.
#[derive(Clone, Copy)]
struct Scale {
    multiplier: i16,
    shift: u32,
}

impl Scale {
    #[inline]
    fn new(scale: u32) -> Self {
        let zeros = scale.trailing_zeros().min(16);
        Self { multiplier: (scale >> zeros) as i16, shift: 16 - zeros }
    }

    #[inline]
    fn apply(self, t: i32) -> i8 {
        let q = multiply_high_15(t, self.multiplier) >> self.shift;
        q.clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }
}

/// `A^T m` of F(4,3); row `i` is `3 * 2^(3,2,1,1)[i]` times too large.
fn transform(m: [i32; 6]) -> [i32; 4] {
    let [m0, m1, m2, m3, m4, m5] = m;
    let (sum, difference) = (m1.wrapping_add(m2), m1.wrapping_sub(m2));
    let (far_sum, far_difference) = (m3.wrapping_add(m4), m3.wrapping_sub(m4));
    let twice = |v: i32| v.wrapping_mul(2);
    [
        far_sum.wrapping_add(twice(m0)).wrapping_add(sum.wrapping_mul(4)),
        far_difference.wrapping_add(twice(difference)),
        sum.wrapping_add(far_sum),
        difference.wrapping_add(twice(far_difference)).wrapping_add(twice(m5)),
    ]
}

/// Outputs of a block, of which `y` begins at the first channel.
pub(crate) fn winograd4(p: &Outputs<'_>, sums: &mut Sums<{ winograd4::POINTS }>, y: &mut [i8]) {
    if !p.fit(winograd4::CONSTANTS, [4, 4], y) {
        return;
    }
    for pair in 0..p.pairs {
        let constants = p.constants.get(pair * p.stride..).unwrap_or_default();
        let constants = constants.as_chunks::<{ winograd4::CONSTANTS }>().0.iter().take(2);
        for (output, constants) in constants.enumerate() {
            for tile in [0, 1] {
                let lane = 4 * pair + 2 * output + tile;
                let at = 4 * tile * p.pixel + 2 * pair + output;
                winograd4_tile(
                    p,
                    &sums.lanes,
                    lane,
                    constants,
                    y.get_mut(at..).unwrap_or_default(),
                );
            }
        }
    }
}

/// The sixteen outputs of one tile and channel.
fn winograd4_tile(
    p: &Outputs<'_>,
    sums: &[Lanes; winograd4::POINTS],
    lane: usize,
    constants: &[u32; winograd4::CONSTANTS],
    y: &mut [i8],
) {
    if lane >= 4 * PAIRS {
        return;
    }
    let column = |j: usize| transform([0, 1, 2, 3, 4, 5].map(|i| sums[6 * i + j][lane]));
    let columns = [0, 1, 2, 3, 4, 5].map(column);
    let [.., multiplier, scale, residual] = *constants;
    let scale = Scale::new(scale);
    for i in 0..4 {
        let row = transform(columns.map(|column| column[i]));
        for (j, &sum) in row.iter().enumerate() {
            let multiplier = multiplier << (SHIFTS[i] + SHIFTS[j]);
            let mut t = sum.wrapping_mul(multiplier as i32);
            t = t.wrapping_add(constants[4 * i + j] as i32);
            let Some(y) = y.get_mut(i * p.row + j * p.pixel) else { continue };
            if p.join {
                t = t.wrapping_add((residual as i32).wrapping_mul(i32::from(*y)));
            }
            *y = scale.apply(t);
        }
    }
}

/// Outputs of a block, of which `y` begins at the first channel.
pub(crate) fn polyphase2(p: &Outputs<'_>, sums: &mut Sums<{ polyphase2::SUMS }>, y: &mut [i8]) {
    if !p.fit(polyphase2::CONSTANTS, [2, 2], y) {
        return;
    }
    for pair in 0..p.pairs {
        let constants = p.constants.get(pair * p.stride..).unwrap_or_default();
        let constants = constants.as_chunks::<{ polyphase2::CONSTANTS }>().0.iter().take(2);
        for (output, constants) in constants.enumerate() {
            for tile in [0, 1] {
                let lane = 4 * pair + 2 * output + tile;
                let at = 2 * tile * p.pixel + 2 * pair + output;
                polyphase2_tile(
                    p,
                    &sums.lanes,
                    lane,
                    constants,
                    y.get_mut(at..).unwrap_or_default(),
                );
            }
        }
    }
}

/// The four outputs of one tile and channel.
fn polyphase2_tile(
    p: &Outputs<'_>,
    sums: &[Lanes; polyphase2::SUMS],
    lane: usize,
    &[bias, multiplier, scale, residual]: &[u32; polyphase2::CONSTANTS],
    y: &mut [i8],
) {
    if lane >= 4 * PAIRS {
        return;
    }
    let [bias, multiplier, residual] = [bias, multiplier, residual].map(|word| word as i32);
    let scale = Scale::new(scale);
    let [aa, ac, ab, ca, cc, cb, ba, bc, bb] = sums.each_ref().map(|lanes| lanes[lane]);
    let sum = |terms: [i32; 4]| terms.into_iter().fold(0, i32::wrapping_add);
    let outputs = [[[aa, ab, ba, bb], [ac, ab, bc, bb]], [[ca, cb, ba, bb], [cc, cb, bc, bb]]];
    for (row, outputs) in outputs.into_iter().enumerate() {
        for (column, terms) in outputs.into_iter().enumerate() {
            let Some(y) = y.get_mut(row * p.row + column * p.pixel) else { continue };
            let mut t = sum(terms).wrapping_mul(multiplier).wrapping_add(bias);
            if p.join {
                t = t.wrapping_add(residual.wrapping_mul(i32::from(*y)));
            }
            *y = scale.apply(t);
        }
    }
}

/// Outputs of a block, of which `first` and `second` begin at the first channel.
pub(crate) fn direct16(p: &Pixels<'_>, sums: &mut Sums<1>, first: &mut [i8], second: &mut [i8]) {
    if !p.fit(first, second) {
        return;
    }
    let packed = p.packed.chunks_exact(p.stride).zip(sums.lanes[0].as_chunks().0);
    let outputs = first.as_chunks_mut().0.iter_mut().zip(second.as_chunks_mut().0);
    for ((packed, sums), (first, second)) in packed.zip(outputs).take(p.pairs) {
        direct16_pair(p, packed, *sums, [first, second]);
    }
}

/// A pair of output channels of two pixels.
fn direct16_pair(p: &Pixels<'_>, packed: &[u32], sums: [i32; 4], pixels: [&mut [i8; 2]; 2]) {
    let (Some(&[a, _, b, _]), Some(&[scale_a, scale_b, skip_a, skip_b])) =
        (packed.first_chunk(), packed.last_chunk())
    else {
        return;
    };
    let scales = [scale_a, scale_b].map(Scale::new);
    let [biases, skips] = [[a, b], [skip_a, skip_b]].map(|two| two.map(|word| word as i32));
    for (tile, pixel) in pixels.into_iter().enumerate() {
        for (o, y) in pixel.iter_mut().enumerate() {
            let mut t = sums[2 * o + tile].wrapping_add(biases[o]);
            if p.join {
                t = t.wrapping_add(skips[o].wrapping_mul(i32::from(*y)));
            }
            *y = scales[o].apply(t);
        }
    }
}
