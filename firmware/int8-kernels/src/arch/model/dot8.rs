//! The pass over dot products of sixteen.

use crate::packed::constants::Rounding;
use crate::packed::dot8::{CONSTANTS, OUTPUTS, Run, STEP, STEP_WORDS, Stream};
use crate::requantize::Form;
use zerocopy::{FromBytes, IntoBytes};

/// All output channels of pairs of pixels, `y`: `[2 * pairs][O]`.
pub(crate) fn run(stream: &Stream<'_>, run: &Run, x: &[i8], y: &mut [i8]) {
    let outputs = stream.outputs();
    if x.len() < run.end(stream) || y.len() < 2 * run.pairs * outputs {
        return;
    }
    for (pixel, y) in y.chunks_exact_mut(outputs.max(1)).take(2 * run.pairs).enumerate() {
        let start = run.start + pixel * run.pixel;
        let words = STEP_WORDS * stream.rows() * stream.steps();
        let groups = stream.packed().chunks_exact((words + CONSTANTS).max(1));
        for (y, packed) in y.chunks_mut(OUTPUTS).zip(groups) {
            let Some((taps, constants)) = packed.split_at_checked(words) else { return };
            let [shifts, biases, scales, last] = *constants.as_chunks::<OUTPUTS>().0 else {
                return;
            };
            let mut sums = [0; OUTPUTS];
            let rows = taps.chunks_exact((STEP_WORDS * stream.steps()).max(1));
            for (row, taps) in rows.enumerate() {
                let x = x.get(start + row * run.pitch..).unwrap_or_default();
                row_sums(x, taps, &mut sums);
            }
            let constants = shifts.into_iter().zip(biases).zip(scales.into_iter().zip(last));
            for ((y, sum), ((shift, bias), (scale, last))) in y.iter_mut().zip(sums).zip(constants)
            {
                let mut t = sum.wrapping_shl(shift).wrapping_add(bias as i32); // VSHL.S32
                if stream.form() == Form::Tflite {
                    *y = Rounding::new(scale, last).apply(t);
                    continue;
                }
                if stream.form() == Form::NativeJoin {
                    t = t.wrapping_add((last as i32).wrapping_mul(i32::from(*y)));
                }
                let q = (i64::from(t) * i64::from(scale as i32)) >> 32; // VMULH.S32
                *y = q.clamp(i8::MIN.into(), i8::MAX.into()) as i8; // VQMOVN.S32, VQMOVN.S16
            }
        }
    }
}

/// Adds a row's products: `VMLADAVA.S8` once a step and an output.
fn row_sums(x: &[i8], taps: &[u32], sums: &mut [i32; OUTPUTS]) {
    let taps = <[i8]>::ref_from_bytes(taps.as_bytes()).unwrap_or_default();
    for (x, taps) in x.chunks_exact(STEP).zip(taps.chunks_exact(OUTPUTS * STEP)) {
        for (sum, taps) in sums.iter_mut().zip(taps.chunks_exact(STEP)) {
            let products = x.iter().zip(taps).map(|(&x, &w)| i32::from(x) * i32::from(w));
            *sum = products.fold(*sum, i32::wrapping_add);
        }
    }
}
