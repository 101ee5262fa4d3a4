//! Both algorithms and all three passes against the definition.

use super::super::numeric::{check_gradient, noise};
use super::*;
use resmcu_engine_kernels::pad_lanes;

/// One case: its shapes, unpadded, and a convolution of the padded ones.
struct Case {
    input: [usize; 3],
    output: [usize; 3],
    kernel: [usize; 2],
    stride: usize,
    padding: Padding,
    convolution: Convolution,
}

const IMAGES: usize = 2;

impl Case {
    fn new(
        input: [usize; 3],
        outputs: usize,
        kernel: [usize; 2],
        stride: usize,
        [top, left, bottom, right]: [usize; 4],
    ) -> Self {
        let axis = |size, kernel| (size - kernel) / stride + 1;
        let rows = axis(input[0] + top + bottom, kernel[0]);
        let output = [rows, axis(input[1] + left + right, kernel[1]), outputs];
        let padding = Padding { top, left, bottom, right };
        let pad = |[h, w, c]: [usize; 3]| [h, w, pad_lanes(c)];
        let geometry = Geometry { input: pad(input), output: pad(output), kernel, stride, padding };
        let convolution = Convolution::new(geometry, [input[2], outputs]);
        Self { input, output, kernel, stride, padding, convolution }
    }

    fn naive(&self, weights: &[f32], x: &[f32]) -> Vec<f32> {
        let Self {
            input: [h, w, i], output: [oh, ow, o], kernel: [kh, kw], stride, padding, ..
        } = *self;
        let mut y = Vec::new();
        for (x, oy) in x.chunks_exact(h * w * i).flat_map(|x| (0..oh).map(move |oy| (x, oy))) {
            for (ox, o) in (0..ow).flat_map(|ox| (0..o).map(move |o| (ox, o))) {
                let mut sum = 0.0;
                for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                    let row = (oy * stride + ky).checked_sub(padding.top).filter(|&y| y < h);
                    let column = (ox * stride + kx).checked_sub(padding.left).filter(|&x| x < w);
                    let (Some(row), Some(column)) = (row, column) else { continue };
                    for c in 0..i {
                        let weight = weights[((o * kh + ky) * kw + kx) * i + c];
                        sum += f64::from(weight) * f64::from(x[(row * w + column) * i + c]);
                    }
                }
                y.push(sum as f32);
            }
        }
        y
    }

    /// Forward against the definition; both gradients against differences of the definition.
    fn check(&self, name: &str) {
        let Self { input, output, kernel: [kh, kw], convolution, .. } = self;
        let [inputs, outputs] = [input, output].map(|shape| shape.iter().product::<usize>());
        let x = noise(1, IMAGES * inputs);
        let weights = noise(2, output[2] * kh * kw * input[2]);
        let dy = noise(4, IMAGES * outputs);
        let mut scratch = vec![f32::NAN; convolution.scratch_values()];
        let ahead = &mut Ahead::default();
        let mut packed = Packed::default();
        convolution.pack(&noise(7, weights.len()), true, &mut packed);
        convolution.pack(&weights, true, &mut packed);

        let x_padded = pad(&x, *input, convolution.input_border());
        let mut y = vec![f32::NAN; dy.len() / output[2] * pad_lanes(output[2])];
        convolution.forward(&x_padded, &packed, &mut y, &mut scratch, ahead);
        let expected = self.naive(&weights, &x);
        for (y, expected) in unpad(&y, output[2]).iter().zip(&expected) {
            // Some 3e-6 of the deviation of a sum of so many terms, in the worst of thousands.
            let bound = 1e-5 * ((kh * kw * input[2]) as f32).sqrt().max(1.0);
            assert!((y - expected).abs() < bound, "{name}: {y}, expected {expected}");
        }

        let dy_padded = pad(&dy, *output, convolution.gradient_border());
        for accumulate in [false, true] {
            let start = if accumulate { 1.0 } else { f32::NAN };
            let mut dx = vec![start; x.len() / input[2] * pad_lanes(input[2])];
            convolution.backward_data(
                &dy_padded,
                &packed,
                &mut dx,
                accumulate,
                &mut scratch,
                ahead,
            );
            let mut dx = unpad(&dx, input[2]);
            if accumulate {
                dx.iter_mut().for_each(|dx| *dx -= start);
            }
            check_gradient(&x, &dy, &dx, |x| self.naive(&weights, x));
        }

        let mut sums = vec![f32::NAN; convolution.sums()];
        for accumulate in [false, true] {
            let (x, dy, sums) = (&x_padded, &dy_padded, &mut sums);
            convolution.backward_weights(x, dy, sums, accumulate, &mut scratch, ahead);
        }
        let mut dw = vec![f32::NAN; weights.len()];
        convolution.weight_gradient(&[&sums, &sums], &mut dw);
        dw.iter_mut().for_each(|dw| *dw *= 0.25);
        check_gradient(&weights, &dy, &dw, |weights| self.naive(weights, &x));
    }
}

/// Images inside a border of zeros, their channels padded.
fn pad(x: &[f32], [h, w, c]: [usize; 3], border: Border) -> Vec<f32> {
    let padded = pad_lanes(c);
    let mut out = vec![0.0; x.len() / (h * w * c) * border.pixels() * padded];
    let images = x.len() / (h * w * c);
    for (pixel, x) in x.chunks_exact(c).enumerate() {
        let (image, y, x_at) = (pixel / (h * w), pixel / w % h, pixel % w);
        let Place { start, row, panel } = border.place(image, images, padded);
        for (channel, x) in x.iter().enumerate() {
            let (width, panel) = panel.map_or((padded, 0), |panel| (PANEL, panel));
            let at = start + y * row + x_at * width;
            out[at + channel / width * panel + channel % width] = *x;
        }
    }
    out
}

fn unpad(values: &[f32], channels: usize) -> Vec<f32> {
    values.chunks_exact(pad_lanes(channels)).flat_map(|v| &v[..channels]).copied().collect()
}

/// The algorithm that suits, and the direct one where that is another.
#[track_caller]
fn check(input: [usize; 3], outputs: usize, kernel: [usize; 2], stride: usize, pad: [usize; 4]) {
    let mut case = Case::new(input, outputs, kernel, stride, pad);
    case.check("the algorithm that suits");
    if case.convolution.winograd {
        case.convolution.winograd = false;
        case.check("direct");
    }
}

#[test]
fn convolutions_are_the_definition_and_so_are_their_gradients() {
    check([1, 1, 1], 1, [1, 1], 1, [0; 4]);
    check([1, 1, 3], 2, [3, 3], 1, [1; 4]);
    check([4, 5, 2], 3, [1, 1], 1, [0; 4]);
    check([5, 7, 3], 2, [1, 1], 2, [0; 4]);
    check([6, 4, 1], 17, [3, 3], 1, [1; 4]);
    check([5, 7, 2], 16, [3, 3], 2, [1; 4]);
    check([6, 6, 2], 3, [3, 3], 2, [0, 0, 1, 1]); // TensorFlow's SAME
    check([6, 5, 2], 3, [3, 3], 2, [1, 0, 0, 2]);
    check([9, 8, 3], 2, [7, 7], 2, [3; 4]);
    check([7, 7, 2], 2, [2, 2], 3, [0; 4]); // positions that no window sees
    check([5, 6, 2], 2, [2, 3], 1, [0, 1, 1, 0]);
    check([4, 4, 2], 2, [3, 3], 4, [2, 3, 4, 1]); // padding wider than the kernel's half
    check([3, 4, 5], 3, [3, 4], 1, [0; 4]); // a fully connected layer
}

#[test]
fn more_channels_than_a_panel() {
    check([2, 2, 49], 3, [3, 3], 2, [1; 4]);
    check([2, 3, 3], 50, [3, 3], 1, [1; 4]);
    check([3, 2, 33], 65, [1, 1], 1, [0; 4]);
}

#[test]
fn pixels_of_a_1x1_convolution_may_lie_in_panels() {
    assert!(Case::new([4, 4, 32], 64, [1, 1], 1, [0; 4]).convolution.takes_panels());
    check([4, 4, 32], 64, [1, 1], 1, [0; 4]);
    check([5, 3, 62], 31, [1, 1], 1, [0; 4]); // too few pixels
    check([5, 7, 62], 31, [1, 1], 1, [0; 4]); // channels filled up
    check([3, 43, 17], 17, [1, 1], 1, [0; 4]); // more pixels than a block of the weight gradient
    check([3, 43, 3], 2, [1, 1], 1, [0; 4]); // the same without panels
}

#[test]
fn winograd_is_the_definition_on_whole_and_cut_tiles() {
    assert!(Case::new([8, 8, 16], 16, [3, 3], 1, [1; 4]).convolution.winograd);
    check([4, 4, 3], 2, [3, 3], 1, [1; 4]);
    check([3, 4, 2], 1, [3, 3], 1, [1; 4]);
    check([8, 7, 2], 3, [3, 3], 1, [1; 4]);
    check([4, 4, 17], 34, [3, 3], 1, [1; 4]);
}

#[test]
fn sums_of_the_weight_gradient_in_blocks_are_the_direct_ones() {
    let (input, outputs) = ([4, 4, 33], 600);
    let [x, dy] = [noise(1, IMAGES * 16 * 33), noise(4, IMAGES * 16 * outputs)];
    let gradient = |winograd: bool| {
        let mut convolution = Case::new(input, outputs, [3, 3], 1, [1; 4]).convolution;
        convolution.winograd = winograd;
        let x = pad(&x, input, convolution.input_border());
        let dy = pad(&dy, [4, 4, outputs], convolution.gradient_border());
        let mut scratch = vec![f32::NAN; convolution.scratch_values()];
        let mut sums = vec![f32::NAN; convolution.sums()];
        let ahead = &mut Ahead::default();
        convolution.backward_weights(&x, &dy, &mut sums, false, &mut scratch, ahead);
        let mut dw = vec![f32::NAN; outputs * 9 * 33];
        convolution.weight_gradient(&[&sums], &mut dw);
        dw
    };
    for (found, expected) in gradient(true).iter().zip(&gradient(false)) {
        // Of a sum of 32 products.
        assert!((found - expected).abs() < 1e-4, "{found}, expected {expected}");
    }
}

#[test]
fn a_direct_input_may_have_any_channels() {
    // The batch itself is not padded.
    let mut case = Case::new([6, 5, 3], 4, [3, 3], 1, [1; 4]);
    case.convolution.geometry.input[2] = 3;
    case.convolution = Convolution::new(case.convolution.geometry, [3, 4]);
    let (x, weights) = (noise(1, IMAGES * 90), noise(2, 4 * 27));
    let border = case.convolution.input_border();
    let mut x_padded = vec![0.0; IMAGES * border.pixels() * 3];
    for (pixel, x) in x.chunks_exact(3).enumerate() {
        let at = pixel / 30 * border.pixels()
            + border.origin()
            + pixel / 5 % 6 * border.columns
            + pixel % 5;
        x_padded[at * 3..][..3].copy_from_slice(x);
    }
    let mut packed = Packed::default();
    case.convolution.pack(&weights, false, &mut packed);
    let mut y = vec![f32::NAN; IMAGES * 30 * LANES];
    case.convolution.forward(&x_padded, &packed, &mut y, &mut [], &mut Ahead::default());
    for (y, expected) in unpad(&y, 4).iter().zip(case.naive(&weights, &x)) {
        assert!((y - expected).abs() < 1e-5, "{y}, expected {expected}");
    }
}
