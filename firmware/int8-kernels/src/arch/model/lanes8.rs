//! The pass over vectors of output channels.

use crate::packed::constants::Rounding;
use crate::packed::lanes8::{CONSTANTS, PIXELS, Place, Stream, block, block_words};
use crate::requantize::Form;
use zerocopy::{FromBytes, IntoBytes};

/// All output channels of some pixels, `y`: `[pixels][O]`.
pub(crate) fn run(stream: &Stream<'_>, places: &[Place<'_>; PIXELS], y: &mut [i8], _: &mut [i8]) {
    let ([_, most], patch) = (block(stream.outputs()), stream.rows() * stream.row());
    for (place, y) in places.iter().zip(y.chunks_exact_mut(stream.outputs().max(1))) {
        let mut packed = stream.packed();
        for y in y.chunks_mut(most) {
            let Some((now, rest)) = packed.split_at_checked(block_words(y.len(), patch)) else {
                return;
            };
            let (constants, taps) = now.split_at(CONSTANTS * y.len());
            let taps = <[i8]>::ref_from_bytes(taps.as_bytes()).unwrap_or_default();
            outputs(stream, place, constants, taps, y);
            packed = rest;
        }
    }
}

/// One block of output channels of a pixel.
fn outputs(stream: &Stream<'_>, place: &Place<'_>, constants: &[u32], taps: &[i8], y: &mut [i8]) {
    let lanes = y.len();
    let mut sums = [0_i32; 32];
    let rows = taps.chunks_exact((stream.row() * lanes).max(1));
    for (row, taps) in rows.enumerate().take(stream.rows()) {
        let bytes = place.bytes.get(row * place.pitch..).unwrap_or_default();
        for (&x, weights) in bytes.iter().zip(taps.chunks_exact(lanes)) {
            for (sum, &w) in sums.iter_mut().zip(weights) {
                let product = i32::from(i16::from(w)) * i32::from(x); // VSEXT.VF2, VWMACC.VX
                *sum = sum.wrapping_add(product);
            }
        }
    }
    let constant = |index: usize, lane: usize| {
        constants.get(index * lanes + lane).copied().unwrap_or_default() as i32
    };
    for ((lane, y), sum) in y.iter_mut().enumerate().zip(sums) {
        let mut bias = constant(0, lane);
        if stream.form() == Form::NativeJoin {
            bias = bias.wrapping_add(constant(1, lane).wrapping_mul(i32::from(*y)));
        }
        let t = sum.wrapping_shl(constant(2, lane) as u32).wrapping_add(bias); // VSLL.VV
        if stream.form() == Form::Tflite {
            let [scale, last] = [3, 1].map(|index| constant(index, lane).cast_unsigned());
            *y = Rounding::new(scale, last).apply(t);
            continue;
        }
        let q = (i64::from(t) * i64::from(constant(3, lane))) >> 32; // VMULH.VV
        *y = q.clamp(i8::MIN.into(), i8::MAX.into()) as i8; // VNCLIP.WI, twice
    }
}
