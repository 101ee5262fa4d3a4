//! From inputs to outputs around the sums that a core has.
//!
//! Owns the walk over pairs of output channels. Does not know how sums are computed.

use crate::packed::pixel_pairs::Stream;
use crate::requantize::{Form, Native, NativeJoin, Requantize, Tflite};
use zerocopy::{FromBytes, IntoBytes};

/// Sums of a pair of outputs, `[output][word][pixel]`.
pub(crate) type Sums<const W: usize> = [[[i32; 2]; W]; 2];

/// All outputs of `2 W` pixels: `x` are `W` words of pixels for each weight of an output, filled up
/// to a multiple of eight, `y` the pixels.
pub(crate) fn outputs<const W: usize>(
    stream: &Stream<'_>,
    x: &[u32],
    y: &mut [i8],
    sums_of: impl Fn(&[[u32; W]], &[[i8; 2]], &[u8], &mut Sums<W>),
) {
    if !stream.fits(W, x, y) {
        return;
    }
    let (x, outputs, clamp) = (x.as_chunks().0, stream.outputs(), stream.clamp());
    let mut sums = [[[0; 2]; W]; 2];
    for (index, pair) in stream.pairs().enumerate() {
        sums_of(x, pair.weights, pair.segments, &mut sums);
        for ((record, sums), output) in pair.constants.iter().zip(&sums).zip([0, 1]) {
            let output = 2 * index + output;
            if output >= outputs {
                break;
            }
            let y = y.get_mut(output..).unwrap_or_default();
            match stream.form() {
                Form::Native => requantize(Native { clamp }, record, sums, outputs, y),
                Form::NativeJoin => requantize(NativeJoin { clamp }, record, sums, outputs, y),
                Form::Tflite => {
                    let zero_point = stream.zero_point().into();
                    requantize(Tflite { zero_point, clamp }, record, sums, outputs, y);
                }
            }
        }
    }
}

/// Makes outputs of the sums of a channel, of which `record` are the constants: one every `outputs`
/// bytes.
#[inline]
fn requantize<R: Requantize, const W: usize>(
    requantize: R,
    record: &[u32],
    sums: &[[i32; 2]; W],
    outputs: usize,
    y: &mut [i8],
) {
    let Ok(channel) = R::Channel::ref_from_bytes(record.as_bytes()) else { return };
    let mut at = 0;
    for &sum in sums.as_flattened() {
        if let Some(y) = y.get_mut(at) {
            requantize.requantize(sum, channel, y);
        }
        at += outputs;
    }
}
