//! Cases as data: small graphs with an input, edges first, then seeds. [`check`] runs one on the
//! host and compares every tensor with the oracle's; the tests of boards run the same cases.

mod add;
mod average_pool2d;
mod conv2d;
mod fully_connected;
mod global_mean;
mod global_sum;
mod max_pool2d;
mod packed;
mod softmax;
pub(crate) mod streamed;
mod subsample_pad;
mod whole;

use crate::host::trace;
use crate::oracle::network::outputs;
use crate::oracle::positions;
use crate::rng::Rng;
use resmcu_int8_kernels::requantize::{NativeChannel, TfliteChannel};
use resmcu_quantizer::kernels::Packing;
use resmcu_quantizer::lower::{Lowered, lower_by, lower_for};
use resmcu_quantizer::pack_for_host::pack_for_host;
use resmcu_quantizer::plan::Schedule;
use resmcu_quantizer::quantized::{
    Channels, Dtype, Profile, QuantizedGraph, QuantizedNode, QuantizedOp, QuantizedTensor, Sliding,
    TensorId,
};

/// A graph, an input and what it is for.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) graph: QuantizedGraph,
    /// What its weights are packed for.
    pub(crate) packing: Packing,
    /// How its nodes run, if not by whole tensors.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) input: Vec<i8>,
}

impl Case {
    /// Its model file and its plan.
    #[track_caller]
    pub(crate) fn lower(&self) -> Lowered {
        let lowered = match &self.schedule {
            None => lower_for(&self.graph, self.packing),
            Some(schedule) => lower_by(&self.graph, self.packing, schedule.clone()),
        };
        match lowered {
            Ok(lowered) => lowered,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }
}

/// All edges of all operators: a few hundred small cases.
pub(crate) fn edges() -> Vec<Case> {
    let mut cases = operators();
    cases.extend(streamed::edges().into_iter().step_by(5));
    cases
}

/// Those that make whole tensors.
fn operators() -> Vec<Case> {
    let operators = [
        conv2d::edges(),
        fully_connected::edges(),
        add::edges(),
        average_pool2d::edges(),
        max_pool2d::edges(),
        packed::edges(),
        global_sum::edges(),
        global_mean::edges(),
        softmax::edges(),
        subsample_pad::edges(),
    ];
    operators.into_iter().flatten().collect()
}

/// One random case of each operator, and a random residual network of each profile, whole and by
/// rows.
pub(crate) fn random(seed: u64) -> Vec<Case> {
    let mut cases = whole::random(seed);
    cases.extend(random_operators(seed));
    cases.extend(streamed::random(seed));
    cases
}

/// One random case of each operator.
fn random_operators(seed: u64) -> Vec<Case> {
    vec![
        conv2d::random(seed),
        fully_connected::random(seed),
        add::random(seed),
        average_pool2d::random(seed),
        max_pool2d::random(seed),
        packed::random(seed),
        global_sum::random(seed),
        global_mean::random(seed),
        softmax::random(seed),
        subsample_pad::random(seed),
    ]
}

/// A few small cases of weights that are stored in four bits.
pub(crate) fn int4() -> Vec<Case> {
    let packed = packed::int4().into_iter().take(4);
    conv2d::int4_edges().into_iter().skip(6).take(4).chain(packed).collect()
}

/// The host's runtime and the oracle agree on every byte of every tensor, by the kernels that the
/// file names and by the host's own.
#[track_caller]
pub(crate) fn check(case: &Case) {
    let lowered = case.lower();
    check_file(case, &lowered, &lowered.file);
    match pack_for_host(&lowered.file) {
        Ok(file) => check_file(case, &lowered, &file),
        Err(error) => panic!("{}, packed for the host: {error}", case.name),
    }
}

#[track_caller]
fn check_file(case: &Case, lowered: &Lowered, file: &[u8]) {
    let got = match trace(file, &case.input) {
        Ok(got) => got,
        Err(error) => panic!("{}: {error}", case.name),
    };
    let expected = outputs(&lowered.plan.graph, &case.input);
    assert_eq!(got.len(), expected.len(), "{}: steps", case.name);
    for (step, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let layer = &lowered.plan.graph.nodes[step].name;
        let expected = expected.bytes();
        let differs = got.iter().zip(&expected).position(|(got, expected)| got != expected);
        let place = differs.map(|at| (at, got[at] as i8, expected[at] as i8));
        assert_eq!(place, None, "{}, {layer}: (byte, got, expected)", case.name);
        assert_eq!(got.len(), expected.len(), "{}, {layer}: length", case.name);
    }
}

/// Builds a graph node by node.
pub(crate) struct Build {
    graph: QuantizedGraph,
}

impl Build {
    pub(crate) fn new(profile: Profile, input: [usize; 3]) -> Self {
        let graph = QuantizedGraph {
            name: "case".to_owned(),
            class_names: vec![],
            profile,
            tensors: vec![],
            nodes: vec![],
        };
        let mut build = Self { graph };
        build.tensor("input", input, Dtype::I8, 0);
        build
    }

    fn tensor(&mut self, name: &str, shape: [usize; 3], dtype: Dtype, zero_point: i16) {
        let name = name.to_owned();
        self.graph.tensors.push(QuantizedTensor { name, shape, dtype, scale: 1.0, zero_point });
    }

    pub(crate) fn push(
        &mut self,
        op: QuantizedOp,
        shape: [usize; 3],
        dtype: Dtype,
        zero_point: i16,
    ) -> TensorId {
        let name = format!("layer {}", self.graph.nodes.len());
        self.tensor(&name, shape, dtype, zero_point);
        self.graph.nodes.push(QuantizedNode { name, op });
        TensorId(self.graph.nodes.len())
    }

    /// An int8 operator with zero point 0.
    pub(crate) fn push_i8(&mut self, op: QuantizedOp, shape: [usize; 3]) -> TensorId {
        self.push(op, shape, Dtype::I8, 0)
    }

    /// A copy of a tensor, so that an operator has two inputs.
    pub(crate) fn copy(&mut self, input: TensorId) -> TensorId {
        let sliding = Sliding { size: [1, 1], stride: [1, 1], padding: [0; 4] };
        let clamp = [-128, 127];
        let shape = self.shape(input);
        self.push_i8(QuantizedOp::MaxPool2d { input, sliding, clamp }, shape)
    }

    pub(crate) fn shape(&self, tensor: TensorId) -> [usize; 3] {
        self.graph.tensors[tensor.0].shape
    }

    pub(crate) fn case(self, name: impl Into<String>, input: Vec<i8>) -> Case {
        assert_eq!(input.len(), self.graph.tensors[0].bytes());
        Case {
            name: name.into(),
            graph: self.graph,
            packing: Packing::Generic,
            schedule: None,
            input,
        }
    }

    /// The same with a random input, or now and then one of extremes only.
    pub(crate) fn random_case(self, name: impl Into<String>, rng: &mut Rng) -> Case {
        let count = self.graph.tensors[0].bytes();
        let input = match rng.size(0, 5) {
            0 => (0..count).map(|_| rng.pick(&[-128, 127])).collect(),
            1 => vec![rng.pick(&[-128, 127, 0, -1]); count],
            _ => rng.i8s(count),
        };
        self.case(name, input)
    }
}

/// Smallest and largest result.
pub(crate) fn random_clamp(rng: &mut Rng) -> [i8; 2] {
    let [a, b] = [rng.range(-128, 127) as i8, rng.range(-128, 127) as i8];
    rng.pick(&[[-128, 127], [-128, 127], [0, 127], [a.min(b), a.max(b)]])
}

/// A window that fits, and the output's rows and columns. Padding is narrower than the window if
/// `pool`.
pub(crate) fn random_sliding(
    rng: &mut Rng,
    input: [usize; 3],
    pool: bool,
) -> (Sliding, [usize; 2]) {
    loop {
        let size = [rng.size(1, 5), rng.size(1, 5)];
        let stride = [rng.size(1, 3), rng.size(1, 3)];
        let padding = [0, 1, 0, 1].map(|axis: usize| {
            let most = if pool { size[axis] - 1 } else { size[axis] };
            if rng.one_in(2) { 0 } else { rng.size(0, most) }
        });
        let sliding = Sliding { size, stride, padding };
        let fits = |axis: usize| input[axis] + padding[axis] + padding[axis + 2] >= size[axis];
        if fits(0) && fits(1) {
            return (sliding, positions(input, &sliding));
        }
    }
}

/// Constants of one channel whose accumulator stays below 2^30 where the sum of products stays
/// below `sum_max`.
pub(crate) fn random_native(rng: &mut Rng, sum_max: i64) -> NativeChannel {
    const HALF: i64 = 1 << 29;
    let mut pre_shift = rng.range(0, 15) as u8;
    while sum_max << pre_shift >= HALF {
        pre_shift -= 1;
    }
    let reach = (sum_max << pre_shift).max(1);
    let bias = rng.range(-(HALF - (1 << 23)).min(2 * reach), (HALF - (1 << 23)).min(2 * reach));
    // A shift that brings most results near the int8 range, or any.
    let multiplier = rng.range(0, 32_767);
    let bits = (reach.max(bias.abs()) * multiplier.max(1)).ilog2().saturating_sub(16 + 7);
    let near = i64::from(bits).min(31);
    let skip_max = (HALF - bias.abs()) / 128;
    let skip_max = if rng.one_in(4) { skip_max } else { 32_767 };
    let skip_multiplier = rng.range(0, skip_max);
    NativeChannel {
        bias: bias as i32,
        multiplier: multiplier as i16,
        skip_multiplier: skip_multiplier as i32,
        pre_shift,
        post_shift: if rng.one_in(8) { rng.range(0, 31) } else { near } as u8,
    }
}

/// The same in the profile `tflite`.
pub(crate) fn random_tflite(rng: &mut Rng, sum_max: i64) -> TfliteChannel {
    let bias = rng.range(-2 * sum_max, 2 * sum_max);
    let near = 7 - i64::from((3 * sum_max).ilog2());
    let any = rng.range(-31, 30);
    TfliteChannel {
        bias: bias as i32,
        multiplier: if rng.one_in(8) {
            rng.range(0, 1 << 30)
        } else {
            rng.range(1 << 30, (1 << 31) - 1)
        } as i32,
        shift: if rng.one_in(8) { any } else { near } as i32,
    }
}

/// Random constants for all channels.
pub(crate) fn random_channels(
    rng: &mut Rng,
    profile: Profile,
    count: usize,
    sum_max: i64,
) -> Channels {
    match profile {
        Profile::Native => {
            Channels::Native((0..count).map(|_| random_native(rng, sum_max)).collect())
        }
        Profile::Tflite => {
            Channels::Tflite((0..count).map(|_| random_tflite(rng, sum_max)).collect())
        }
    }
}

/// Weights, now and then only the extremes.
pub(crate) fn random_weights(rng: &mut Rng, count: usize) -> Vec<i8> {
    if rng.one_in(6) {
        return (0..count).map(|_| rng.pick(&[-127, 127, -128])).collect();
    }
    rng.i8s(count)
}

/// Runs all edges of one operator, and its random cases.
#[track_caller]
pub(crate) fn check_all(edges: &[Case], seeds: u64, random: impl Fn(u64) -> Case) {
    edges.iter().for_each(check);
    (1..=seeds).for_each(|seed| check(&random(seed)));
}

#[test]
fn the_lists_for_the_boards_are_there() {
    assert!(edges().len() > 100, "{} edges", edges().len());
    assert_eq!(random(1).len(), 14);
}
