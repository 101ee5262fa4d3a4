//! The constants of an operator, from its scales: exactly as TensorFlow Lite Micro prepares them
//! (`quantization_util.cc`, `kernel_util.cc`, `padding.h` and the operators' `Prepare`).

use super::error::OperatorProblem;
use resmcu_int8_kernels::ops::add::{AddConstants, LEFT_SHIFT};
use resmcu_int8_kernels::ops::softmax::SoftmaxScale;
use resmcu_int8_kernels::requantize::TfliteChannel;

/// Scale and zero point of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantization {
    pub(crate) scale: f32,
    pub(crate) zero_point: i8,
}

impl Quantization {
    fn scale(self) -> f64 {
        self.scale.into()
    }
}

/// `QuantizeMultiplier`: a Q31 mantissa and a left shift.
pub(crate) fn quantize_multiplier(real: f64) -> Result<(i32, i32), OperatorProblem> {
    if real == 0.0 {
        return Ok((0, 0));
    }
    if !(real.is_finite() && real > 0.0) {
        return Err(OperatorProblem::Multiplier(real));
    }
    let (fraction, mut shift) = frexp(real);
    let mut fixed = (fraction * (1_u64 << 31) as f64).round() as i64;
    if fixed == 1 << 31 {
        fixed /= 2;
        shift += 1;
    }
    if shift < -31 {
        return Ok((0, 0));
    }
    let multiplier = i32::try_from(fixed).map_err(|_| OperatorProblem::Multiplier(real))?;
    if shift > 30 { Err(OperatorProblem::Multiplier(real)) } else { Ok((multiplier, shift)) }
}

/// C's `frexp` of a positive finite number: a fraction in `[1/2, 1)` and a power of two.
fn frexp(real: f64) -> (f64, i32) {
    const FRACTION_BITS: u32 = 52;
    const EXPONENT_OF_HALF: u64 = 1022;
    let subnormal = real < f64::MIN_POSITIVE;
    let (normal, below) = if subnormal { (real * 2_f64.powi(64), 64) } else { (real, 0) };
    let bits = normal.to_bits();
    let exponent = (bits >> FRACTION_BITS) as i32 - EXPONENT_OF_HALF as i32;
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    (f64::from_bits(fraction | (EXPONENT_OF_HALF << FRACTION_BITS)), exponent - below)
}

/// The multiplier of one output channel of a layer whose weights have a scale a channel.
pub(crate) fn channel_multiplier(
    x: Quantization,
    weights: f32,
    y: Quantization,
) -> Result<(i32, i32), OperatorProblem> {
    quantize_multiplier(x.scale() * f64::from(weights) / y.scale())
}

/// The multiplier of a fully connected layer with one scale for all weights: the product of both
/// scales is rounded to a float there.
pub(crate) fn tensor_multiplier(
    x: Quantization,
    weights: f32,
    y: Quantization,
) -> Result<(i32, i32), OperatorProblem> {
    quantize_multiplier(f64::from(x.scale * weights) / y.scale())
}

/// `QuantizedMeanOrSum`: the scales' quotient, and the division by the number of positions.
pub(crate) fn mean(
    x: Quantization,
    y: Quantization,
    positions: usize,
) -> Result<TfliteChannel, OperatorProblem> {
    let (multiplier, shift) = quantize_multiplier(x.scale() / y.scale())?;
    let count = positions.max(1) as i64;
    let bias = -i64::from(x.zero_point) * count;
    let folded = i32::try_from(bias).map_err(|_| OperatorProblem::Bias { channel: 0, bias })?;
    // As many bits are gained before the division as fit.
    let gained = (count.ilog2() as i32).min(32).min(31 + shift);
    let multiplier = (i64::from(multiplier) << gained) / count;
    let multiplier = i32::try_from(multiplier).map_err(|_| OperatorProblem::Options)?;
    Ok(TfliteChannel { bias: folded, multiplier, shift: shift - gained })
}

/// `CalculateOpDataAdd`.
pub(crate) fn add(
    inputs: [Quantization; 2],
    y: Quantization,
) -> Result<AddConstants, OperatorProblem> {
    let twice_max = 2.0 * f64::from(inputs[0].scale.max(inputs[1].scale));
    let input = |i: usize| smaller_than_one(inputs[i].scale() / twice_max);
    let (first, second) = (input(0)?, input(1)?);
    let output = smaller_than_one(twice_max / (f64::from(1 << LEFT_SHIFT) * y.scale()))?;
    Ok(AddConstants {
        input_offsets: inputs.map(|input| -i32::from(input.zero_point)),
        input_multipliers: [first.0, second.0],
        input_shifts: [first.1, second.1],
        output_offset: y.zero_point.into(),
        output_multiplier: output.0,
        output_shift: output.1,
    })
}

fn smaller_than_one(real: f64) -> Result<(i32, i32), OperatorProblem> {
    let (multiplier, shift) = quantize_multiplier(real)?;
    let fits = real > 0.0 && real < 1.0 && shift <= 0;
    if fits { Ok((multiplier, shift)) } else { Err(OperatorProblem::Multiplier(real)) }
}

/// `PreprocessSoftmaxScaling` and `CalculateInputRadius`, with five integer bits.
pub(crate) fn softmax(beta: f32, x: Quantization) -> Result<SoftmaxScale, OperatorProblem> {
    const INTEGER_BITS: u32 = 5;
    const FRACTION_BITS: u32 = 31 - INTEGER_BITS;
    let largest = f64::from(i32::MAX);
    let real = f64::from(beta) * x.scale() * f64::from(1 << FRACTION_BITS);
    let real = if real < largest { real } else { largest };
    let refused = OperatorProblem::Multiplier(real);
    if !(real > 1.0 && beta.is_finite()) {
        return Err(refused);
    }
    // The largest is just below 2^31, so that it has a shift of 31.
    let (multiplier, shift) =
        if real == largest { (i32::MAX, 31) } else { quantize_multiplier(real)? };
    let shift = u8::try_from(shift).map_err(|_| refused)?;
    let widest = f64::from((1 << INTEGER_BITS) - 1) * f64::from(1 << FRACTION_BITS);
    let radius = (widest / (1_u64 << shift) as f64).floor();
    Ok(SoftmaxScale { multiplier, shift, difference_min: -(radius as i32) })
}

/// `CalculateActivationRangeQuantized`, for `ActivationFunctionType` number `activation`.
pub(crate) fn clamp(activation: i8, y: Quantization) -> Result<[i8; 2], OperatorProblem> {
    let quantize = |real: f32| {
        let steps = f64::from((real / y.scale).round());
        // Beyond int32 TensorFlow Lite gives up; beyond int8 nothing changes.
        (f64::from(y.zero_point) + steps).clamp(-128.0, 127.0) as i8
    };
    match activation {
        0 => Ok([i8::MIN, i8::MAX]),
        1 => Ok([y.zero_point, i8::MAX]),
        2 => Ok([quantize(-1.0), quantize(1.0)]),
        3 => Ok([y.zero_point, quantize(6.0)]),
        _ => Err(OperatorProblem::Parameter {
            parameter: "fused activation",
            found: activation.into(),
            expected: "0 (NONE), 1 (RELU), 2 (RELU_N1_TO_1) or 3 (RELU6)",
        }),
    }
}

/// Output side and padding before and after, by `Padding` number `padding` (0 SAME, 1 VALID).
pub(crate) fn window(
    side: usize,
    size: usize,
    stride: usize,
    padding: i8,
) -> Result<(usize, [usize; 2]), OperatorProblem> {
    let valid = match padding {
        0 => false,
        1 => true,
        _ => {
            let expected = "0 (SAME) or 1 (VALID)";
            let (parameter, found) = ("padding", padding.into());
            return Err(OperatorProblem::Parameter { parameter, found, expected });
        }
    };
    if valid {
        let outside = OperatorProblem::Input("its window is larger than its input");
        let steps = side.checked_sub(size).ok_or(outside)? / stride;
        return Ok((steps + 1, [0, 0]));
    }
    let output = side.div_ceil(stride);
    let total = ((output - 1) * stride + size).saturating_sub(side);
    Ok((output, [total / 2, total - total / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipliers_are_those_of_tensorflow() {
        // (real, multiplier, shift): frexp and round by hand.
        let cases = [
            (1.0, 1 << 30, 1),
            (0.5, 1 << 30, 0),
            (0.25, 1 << 30, -1),
            (0.75, 3 << 29, 0),
            (1.0 - 1e-12, 1 << 30, 1), // rounds up to 2^31, which is halved
            (2_f64.powi(-32), 1 << 30, -31),
            (2_f64.powi(-33), 0, 0), // flushed to zero
            (f64::from_bits(1), 0, 0),
            (0.0, 0, 0),
            (f64::from(1 << 29), 1 << 30, 30),
        ];
        for (real, multiplier, shift) in cases {
            assert_eq!(quantize_multiplier(real), Ok((multiplier, shift)), "real {real}");
        }
        for real in [f64::NAN, f64::INFINITY, -1.0, f64::from(1 << 30)] {
            assert!(quantize_multiplier(real).is_err(), "real {real}");
        }
    }

    #[test]
    fn same_padding_is_uneven_at_stride_two() {
        assert_eq!(window(32, 3, 2, 0), Ok((16, [0, 1])));
        assert_eq!(window(32, 3, 1, 0), Ok((32, [1, 1])));
        assert_eq!(window(7, 1, 2, 0), Ok((4, [0, 0])));
        assert_eq!(window(8, 8, 8, 1), Ok((1, [0, 0])));
        assert_eq!(window(5, 2, 2, 1), Ok((2, [0, 0])));
        assert!(window(2, 3, 1, 1).is_err());
        assert!(window(2, 2, 1, 2).is_err());
    }

    #[test]
    fn the_softmax_of_one_256th_has_five_integer_bits() {
        let scale = softmax(1.0, Quantization { scale: 1.0 / 256.0, zero_point: 0 });
        let expected = SoftmaxScale { multiplier: 1 << 30, shift: 19, difference_min: -3968 };
        assert_eq!(scale, Ok(expected));
        let widest = softmax(1.0, Quantization { scale: 1e9, zero_point: 0 });
        let expected = SoftmaxScale { multiplier: i32::MAX, shift: 31, difference_min: 0 };
        assert_eq!(widest, Ok(expected));
        assert!(softmax(1.0, Quantization { scale: 1e-9, zero_point: 0 }).is_err());
        assert!(softmax(-1.0, Quantization { scale: 1.0, zero_point: 0 }).is_err());
    }

    #[test]
    fn a_fused_activation_is_a_clamp() {
        let y = Quantization { scale: 0.05, zero_point: -100 };
        assert_eq!(clamp(0, y), Ok([-128, 127]));
        assert_eq!(clamp(1, y), Ok([-100, 127]));
        assert_eq!(clamp(2, y), Ok([-120, -80]));
        assert_eq!(clamp(3, y), Ok([-100, 20]));
        assert!(clamp(4, y).is_err());
        let tiny = Quantization { scale: f32::MIN_POSITIVE, zero_point: 3 };
        assert_eq!(clamp(3, tiny), Ok([3, 127]));
    }
}
