//! From sums to outputs in plain Rust: the output transforms, and the requantization.

#[cfg(resmcu_passes = "portable")]
pub(crate) mod winograd4;

use crate::arch::block::{Outputs, Pixels};
use crate::arch::inner::{Lanes, PAIRS, Sums};
use crate::packed::constants::Rounding;
use crate::packed::polyphase2;
use crate::requantize::{Form, multiply_high_15};

/// What turns an accumulator into an int8, of the last two words of a channel's constants.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    Native(Scale),
    /// With the weight of the residual.
    Join(Scale, i32),
    Tflite(Rounding),
}

impl Stage {
    #[inline]
    pub(crate) fn new(form: Form, scale: u32, last: u32) -> Self {
        match form {
            Form::Native => Self::Native(Scale::new(scale)),
            Form::NativeJoin => Self::Join(Scale::new(scale), last.cast_signed()),
            Form::Tflite => Self::Tflite(Rounding::new(scale, last)),
        }
    }

    /// Makes an output of `t`; `y` holds the residual where one is joined.
    #[inline]
    pub(crate) fn apply(self, t: i32, y: &mut i8) {
        *y = match self {
            Self::Native(scale) => scale.apply(t),
            Self::Join(scale, weight) => {
                scale.apply(t.wrapping_add(weight.wrapping_mul(i32::from(*y))))
            }
            Self::Tflite(rounding) => rounding.apply(t),
        };
    }
}

/// `(t * scale) >> 32`, floor, clamped.
///
/// Where a long multiply takes many instructions, as the two short ones that the profile is made
/// for: `scale = m * 2^s` with `m < 2^15`, so that it is `((t * m) >> 16) >> (16 - s)`.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) multiplier: i16,
    pub(crate) shift: u32,
}

impl Scale {
    #[inline]
    pub(crate) fn new(scale: u32) -> Self {
        let zeros = scale.trailing_zeros().min(16);
        Self { multiplier: (scale >> zeros) as i16, shift: 16 - zeros }
    }

    #[inline]
    fn apply(self, t: i32) -> i8 {
        let q = multiply_high_15(t, self.multiplier) >> self.shift;
        q.clamp(i8::MIN.into(), i8::MAX.into()) as i8
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
    &[bias, multiplier, scale, last]: &[u32; polyphase2::CONSTANTS],
    y: &mut [i8],
) {
    if lane >= 4 * PAIRS {
        return;
    }
    let [bias, multiplier] = [bias, multiplier].map(u32::cast_signed);
    let stage = Stage::new(p.form, scale, last);
    let [aa, ac, ab, ca, cc, cb, ba, bc, bb] = sums.each_ref().map(|lanes| lanes[lane]);
    let sum = |terms: [i32; 4]| terms.into_iter().fold(0, i32::wrapping_add);
    let outputs = [[[aa, ab, ba, bb], [ac, ab, bc, bb]], [[ca, cb, ba, bb], [cc, cb, bc, bb]]];
    for (row, outputs) in outputs.into_iter().enumerate() {
        for (column, terms) in outputs.into_iter().enumerate() {
            let Some(y) = y.get_mut(row * p.row + column * p.pixel) else { continue };
            stage.apply(sum(terms).wrapping_mul(multiplier).wrapping_add(bias), y);
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
    let (Some(&[a, _, b, _]), Some(&[scale_a, scale_b, last_a, last_b])) =
        (packed.first_chunk(), packed.last_chunk())
    else {
        return;
    };
    let stages = [[scale_a, last_a], [scale_b, last_b]];
    let stages = stages.map(|[scale, last]| Stage::new(p.form, scale, last));
    let biases = [a, b].map(u32::cast_signed);
    for (tile, pixel) in pixels.into_iter().enumerate() {
        for (o, y) in pixel.iter_mut().enumerate() {
            stages[o].apply(sums[2 * o + tile].wrapping_add(biases[o]), y);
        }
    }
}
