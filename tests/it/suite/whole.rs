//! Small residual networks of both profiles, random in every constant.

use super::{Build, Case, check, random_channels, random_clamp, random_sliding, random_weights};
use crate::rng::Rng;
use resmcu_int8_kernels::ops::add::AddConstants;
use resmcu_int8_kernels::ops::softmax::SoftmaxScale;
use resmcu_quantizer::quantized::{Dtype, PadValue, Profile, QuantizedOp, Sliding, TensorId};

const SQUARE: Sliding = Sliding { size: [3, 3], stride: [1, 1], padding: [1; 4] };

/// A network as it grows.
struct Network<'r> {
    rng: &'r mut Rng,
    profile: Profile,
    build: Build,
}

impl Network<'_> {
    fn conv(
        &mut self,
        input: TensorId,
        outputs: usize,
        sliding: Sliding,
        skip: Option<TensorId>,
    ) -> TensorId {
        let shape = self.build.shape(input);
        let patch = sliding.size[0] * sliding.size[1] * shape[2];
        let [rows, columns] = crate::oracle::positions(shape, &sliding);
        let op = QuantizedOp::Conv2d {
            input,
            sliding,
            pad_value: PadValue::Uniform(self.rng.pick(&[-128, 0, 5])),
            weights: random_weights(self.rng, outputs * patch),
            channels: random_channels(self.rng, self.profile, outputs, 128 * 128 * patch as i64),
            clamp: random_clamp(self.rng),
            skip,
        };
        self.build.push_i8(op, [rows, columns, outputs])
    }

    /// A basic block: two convolutions and a shortcut, which is projected where it has to be.
    fn block(&mut self, x: TensorId) -> TensorId {
        let channels = self.build.shape(x)[2];
        let down = self.rng.one_in(2);
        let (outputs, stride) = if down { (self.rng.size(1, 9), 2) } else { (channels, 1) };
        let narrow = Sliding { size: [1, 1], stride: [stride; 2], padding: [0; 4] };
        let wide = Sliding { stride: [stride; 2], ..SQUARE };
        let shortcut = if !down {
            x
        } else if self.profile == Profile::Native && outputs >= channels && self.rng.one_in(2) {
            let before = (outputs - channels) / 2;
            let input = self.build.shape(x);
            let op = QuantizedOp::SubsamplePad { input: x, stride, channels_before: before };
            let shape = [input[0].div_ceil(stride), input[1].div_ceil(stride), outputs];
            self.build.push_i8(op, shape)
        } else {
            self.conv(x, outputs, narrow, None)
        };
        let a = self.conv(x, outputs, wide, None);
        match self.profile {
            Profile::Native => self.conv(a, outputs, SQUARE, Some(shortcut)),
            Profile::Tflite => {
                let b = self.conv(a, outputs, SQUARE, None);
                self.add([shortcut, b])
            }
        }
    }

    fn add(&mut self, inputs: [TensorId; 2]) -> TensorId {
        let mut multiplier = || self.rng.range(1 << 30, (1 << 31) - 1) as i32;
        let constants = AddConstants {
            input_multipliers: [multiplier(), multiplier()],
            output_multiplier: multiplier(),
            input_offsets: [self.rng.pick(&[128, 0]), self.rng.pick(&[-127, 3])],
            input_shifts: [0, self.rng.pick(&[0, -1, -3])],
            output_offset: 0,
            output_shift: -18,
        };
        let shape = self.build.shape(inputs[0]);
        let clamp = random_clamp(self.rng);
        self.build.push_i8(QuantizedOp::Add { inputs, constants, clamp }, shape)
    }

    fn head(&mut self, x: TensorId) {
        let [height, width, channels] = self.build.shape(x);
        let pooled = match self.profile {
            Profile::Native => {
                let op = QuantizedOp::GlobalSum { input: x };
                self.build.push(op, [1, 1, channels], Dtype::I16, 0)
            }
            Profile::Tflite => {
                let sliding = Sliding { size: [height, width], stride: [1, 1], padding: [0; 4] };
                let op = QuantizedOp::AveragePool2d { input: x, sliding, clamp: [-128, 127] };
                self.build.push_i8(op, [1, 1, channels])
            }
        };
        let classes = self.rng.size(2, 12);
        let sum_max = 128 * 128 * (channels * height * width) as i64;
        let op = QuantizedOp::FullyConnected {
            input: pooled,
            weights: random_weights(self.rng, classes * channels),
            channels: random_channels(self.rng, self.profile, classes, sum_max),
            clamp: [-128, 127],
        };
        let dtype = if self.profile == Profile::Native { Dtype::I32 } else { Dtype::I8 };
        let logits = self.build.push(op, [1, 1, classes], dtype, 0);
        if self.profile == Profile::Tflite {
            let scale = SoftmaxScale { multiplier: 1 << 30, shift: 23, difference_min: -(31 << 3) };
            let softmax = QuantizedOp::Softmax { input: logits, scale };
            self.build.push(softmax, [1, 1, classes], Dtype::I8, -128);
        }
    }
}

fn network(seed: u64, profile: Profile) -> Case {
    let mut rng = Rng::new(seed);
    let input = [rng.size(4, 11), rng.size(4, 11), rng.size(1, 4)];
    let build = Build::new(profile, input);
    let mut network = Network { rng: &mut rng, profile, build };
    let stem = network.rng.size(1, 9);
    let mut x = network.conv(TensorId(0), stem, SQUARE, None);
    if network.rng.one_in(2) {
        let shape = network.build.shape(x);
        let (sliding, [rows, columns]) = random_sliding(network.rng, shape, true);
        let op = QuantizedOp::MaxPool2d { input: x, sliding, clamp: [-128, 127] };
        x = network.build.push_i8(op, [rows, columns, stem]);
    }
    for _ in 0..network.rng.size(1, 4) {
        x = network.block(x);
    }
    network.head(x);
    let build = network.build;
    build.random_case(format!("{profile:?} network of seed {seed}"), &mut rng)
}

/// One network of each profile.
pub(super) fn random(seed: u64) -> Vec<Case> {
    [Profile::Native, Profile::Tflite].map(|profile| network(seed, profile)).into()
}

#[test]
fn every_tensor_of_whole_networks_is_the_oracles() {
    (1..=300).flat_map(random).for_each(|case| check(&case));
}
