//! The memory of the families of networks, by their shapes alone, against the figures to reach.

use super::*;
use crate::plan::plan_by;
use crate::quantized::{
    Channels, Dtype, PadValue, Profile, QuantizedOp, QuantizedTensor, Sliding, TensorId,
};
use crate::quantized::{QuantizedGraph, QuantizedNode};
use resmcu_int8_kernels::ops::add::AddConstants;
use resmcu_int8_kernels::requantize::NativeChannel;
use resmcu_model_format::Isa;

/// Constants that every kernel takes.
const CHANNEL: NativeChannel =
    NativeChannel { bias: 0, skip_multiplier: 1, multiplier: 1, pre_shift: 6, post_shift: 8 };

/// A graph without weights to speak of; its residuals are joined in convolutions, or added by steps
/// of their own.
struct Build(QuantizedGraph, bool);

impl Build {
    fn new(side: usize, adds: bool) -> Self {
        let graph = QuantizedGraph {
            name: "shapes".to_owned(),
            class_names: vec![],
            profile: Profile::Native,
            tensors: vec![],
            nodes: vec![],
        };
        let mut build = Self(graph, adds);
        build.tensor([side, side, 3], Dtype::I8);
        build
    }

    fn tensor(&mut self, shape: [usize; 3], dtype: Dtype) {
        let name = format!("t{}", self.0.tensors.len());
        self.0.tensors.push(QuantizedTensor { name, shape, dtype, scale: 1.0, zero_point: 0 });
    }

    fn push(&mut self, op: QuantizedOp, shape: [usize; 3], dtype: Dtype) -> TensorId {
        self.tensor(shape, dtype);
        let name = format!("n{}", self.0.nodes.len());
        self.0.nodes.push(QuantizedNode { name, op });
        TensorId(self.0.nodes.len())
    }

    fn shape(&self, tensor: TensorId) -> [usize; 3] {
        self.0.tensors[tensor.0].shape
    }

    /// Square windows with the padding of PyTorch's models.
    fn conv(
        &mut self,
        x: TensorId,
        outputs: usize,
        [size, stride]: [usize; 2],
        skip: Option<TensorId>,
    ) -> TensorId {
        let ([height, width, inputs], padding) = (self.shape(x), size / 2);
        let fit = |side: usize| (side + 2 * padding - size) / stride + 1;
        let op = QuantizedOp::Conv2d {
            input: x,
            sliding: Sliding { size: [size; 2], stride: [stride; 2], padding: [padding; 4] },
            pad_value: PadValue::Uniform(0),
            weights: vec![100; outputs * size * size * inputs],
            channels: Channels::Native(vec![CHANNEL; outputs]),
            clamp: [-128, 127],
            skip,
        };
        self.push(op, [fit(height), fit(width), outputs], Dtype::I8)
    }

    fn block(&mut self, x: TensorId, width: usize, stride: usize, bottleneck: bool) -> TensorId {
        let outputs = if bottleneck { 4 * width } else { width };
        let (last, size) = if bottleneck {
            let narrow = self.conv(x, width, [1, 1], None);
            (self.conv(narrow, width, [3, stride], None), 1)
        } else {
            (self.conv(x, width, [3, stride], None), 3)
        };
        let same = stride == 1 && self.shape(x)[2] == outputs;
        let skip = if same { x } else { self.conv(x, outputs, [1, stride], None) };
        if !self.1 {
            return self.conv(last, outputs, [size, 1], Some(skip));
        }
        let sum = self.conv(last, outputs, [size, 1], None);
        let constants = AddConstants {
            input_offsets: [0; 2],
            input_multipliers: [1; 2],
            input_shifts: [0; 2],
            output_offset: 0,
            output_multiplier: 1,
            output_shift: 0,
        };
        let op = QuantizedOp::Add { inputs: [skip, sum], constants, clamp: [-128, 127] };
        self.push(op, self.shape(sum), Dtype::I8)
    }

    fn stages(&mut self, mut x: TensorId, blocks: &[usize], width: usize, bottleneck: bool) {
        for (stage, &count) in blocks.iter().enumerate() {
            for block in 0..count {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(x, width << stage, stride, bottleneck);
            }
        }
        let channels = self.shape(x)[2];
        self.push(QuantizedOp::GlobalSum { input: x }, [1, 1, channels], Dtype::I16);
    }
}

/// ResNet for 32x32 images.
fn small(blocks: usize, adds: bool) -> QuantizedGraph {
    let mut build = Build::new(32, adds);
    let stem = build.conv(TensorId(0), 16, [3, 1], None);
    build.stages(stem, &[blocks; 3], 16, false);
    build.0
}

/// ResNet for images of 224x224.
fn large(blocks: [usize; 4], bottleneck: bool) -> QuantizedGraph {
    let mut build = Build::new(224, false);
    let stem = build.conv(TensorId(0), 64, [7, 2], None);
    let sliding = Sliding { size: [3, 3], stride: [2, 2], padding: [1; 4] };
    let op = QuantizedOp::MaxPool2d { input: stem, sliding, clamp: [-128, 127] };
    let pooled = build.push(op, [56, 56, 64], Dtype::I8);
    build.stages(pooled, &blocks, 64, bottleneck);
    build.0
}

fn limits(isa: Isa) -> Limits {
    Limits { memory: Memory::Least, ..Limits::none(isa) }
}

/// The arena of the smallest plan, which keeps its limit, and is what the search counted.
#[track_caller]
fn check(graph: &QuantizedGraph, arena_max: usize) {
    let found = Search::new(graph, &limits(Isa::Generic)).find(Memory::Least, usize::MAX);
    let found = found.expect("a plan");
    let plan = plan_by(graph, found.schedule).expect("a plan");
    assert!(plan.arena_bytes <= arena_max, "{} of {arena_max} bytes", plan.arena_bytes);
    assert!(plan.lower_bound <= plan.arena_bytes && plan.lower_bound <= found.arena);
}

#[test]
fn networks_for_small_images_keep_their_arenas() {
    check(&small(1, false), 9_632); // rings of all tensors
    check(&small(3, false), 18 << 10); // 16 KiB in place, half a KiB behind it, a ring
    check(&small(9, false), 18 << 10);
    check(&small(18, false), 18 << 10);
}

#[test]
fn rows_that_wait_for_their_add_share_their_memory() {
    // One such row, which those of all three blocks have, and that of the last projection.
    check(&small(1, true), 9_632 + 512);
}

#[test]
fn networks_for_large_images_keep_their_arenas() {
    check(&large([2, 2, 2, 2], false), 192 << 10);
    check(&large([3, 4, 6, 3], true), 576 << 10);
    check(&large([3, 8, 36, 3], true), 640 << 10);
}

#[test]
fn a_curve_falls_in_memory_and_rises_in_time() {
    let graph = small(1, false);
    let curve = Search::new(&graph, &limits(Isa::Armv7em)).curve(usize::MAX, 64);
    assert!(curve.len() > 10, "{} points", curve.len());
    for pair in curve.windows(2) {
        let bytes = |found: &Found| found.arena + found.scratch;
        assert!(bytes(&pair[1]) < bytes(&pair[0]));
        assert!(pair[1].time.cost >= pair[0].time.cost);
    }
}

#[test]
fn a_price_for_flash_brings_weights_into_their_budget() {
    let graph = small(1, false);
    let mut search = Search::new(&graph, &limits(Isa::Armv7em));
    let mut find = |weights| search.find(Memory::AtMost(24 << 10), weights);
    let free = find(usize::MAX).expect("a plan");
    let tight = find(120_000).expect("a plan");
    assert!(free.weight_bytes > 120_000 && tight.weight_bytes <= 120_000);
    assert!(tight.time.cost > free.time.cost);
    assert_eq!(find(1000), None);
}
