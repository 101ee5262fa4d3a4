//! Random convolutions for the tests of fast kernels, and what the generic kernel makes of them.
#![cfg(test)]

extern crate std;

use crate::ops::conv2d::{Conv2d, Pad, Weights, conv2d_s8, pack, packed_len, scratch_len};
use crate::packed::Channels;
use crate::requantize::{Native, NativeChannel, NativeJoin, Requantize, Tflite, TfliteChannel};
use crate::shape::Window;
use std::vec::Vec;
use std::{format, vec};

/// A small generator (xorshift64*), the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: i64, high: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16;
        low + (value % (high - low + 1) as u64) as i64
    }

    /// Any bytes, or only the ends of their range.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<i8> {
        let ends = self.range(0, 3) == 0;
        let byte = |random: &mut Self| match random.range(0, 1) {
            _ if !ends => random.range(-128, 127) as i8,
            0 => -128,
            _ => 127,
        };
        (0..count).map(|_| byte(self)).collect()
    }
}

/// Everything of a convolution but its kernel.
pub(crate) struct Case {
    pub(crate) window: Window,
    pub(crate) weights: Vec<i8>,
    pub(crate) x: Vec<i8>,
    /// What the output holds before.
    pub(crate) skip: Vec<i8>,
    pad: Vec<i8>,
    pub(crate) clamp: [i8; 2],
    pub(crate) native: Vec<NativeChannel>,
    pub(crate) tflite: Vec<TfliteChannel>,
    pub(crate) zero_point: i16,
}

impl Case {
    /// Of the input `[H,W,I]`, `outputs`, the window's side, its stride and padding (all around;
    /// at the end only for -1).
    pub(crate) fn new(
        seed: u64,
        input: [u16; 3],
        outputs: u16,
        [side, stride, padding]: [i8; 3],
    ) -> Self {
        let mut random = Random::new(seed);
        let before = padding.max(0) as u8;
        let both = if padding < 0 { 1 } else { 2 * u16::from(before) };
        let places = |length: u16| (length + both - side as u16) / stride as u16 + 1;
        let output = [places(input[0]), places(input[1]), outputs];
        let (side, stride) = (side as u8, stride as u8);
        let window =
            Window { input, output, size: [side; 2], stride: [stride; 2], padding: [before; 2] };
        let patch = window.patch_len();
        let (outputs, depth) = (usize::from(outputs), usize::from(input[2]));
        let bits = (patch as u64 * 128 * 128).ilog2();
        let per_channel = random.range(0, 2) == 0;
        Self {
            window,
            weights: random.bytes(patch * outputs),
            x: random.bytes(input.iter().map(|&n| usize::from(n)).product()),
            skip: random.bytes(window.positions() * outputs),
            pad: random.bytes(if per_channel { depth } else { 1 }),
            clamp: if random.range(0, 1) == 0 { [-128, 127] } else { [-30, 99] },
            native: (0..outputs).map(|_| native(&mut random, bits)).collect(),
            tflite: (0..outputs).map(|_| tflite(&mut random, bits)).collect(),
            zero_point: random.range(-128, 127) as i16,
        }
    }

    /// What lies outside of the input.
    pub(crate) fn pad(&self) -> Pad<'_> {
        if self.pad.len() == 1 { Pad::Uniform(self.pad[0]) } else { Pad::PerChannel(&self.pad) }
    }

    fn generic<R: Requantize>(&self, channels: &[R::Channel], requantize: R) -> Vec<i8> {
        let mut packed = vec![0; packed_len(&self.window)];
        pack(&self.weights, &self.window, &mut packed);
        let (window, pad) = (self.window, self.pad());
        let weights = Weights::Int8(&packed);
        let layer = Conv2d { window, pad, weights, channels, requantize };
        let (mut y, mut scratch) = (self.skip.clone(), vec![0; scratch_len(&self.window)]);
        conv2d_s8(&layer, &self.x, &mut y, &mut scratch);
        y
    }

    /// By the generic kernel, in the profile `native`.
    pub(crate) fn native(&self, join: bool) -> Vec<i8> {
        let clamp = self.clamp;
        if join {
            self.generic(&self.native, NativeJoin { clamp })
        } else {
            self.generic(&self.native, Native { clamp })
        }
    }

    /// By the generic kernel, in the profile `tflite`.
    pub(crate) fn tflite(&self) -> Vec<i8> {
        let (zero_point, clamp) = (self.zero_point, self.clamp);
        self.generic(&self.tflite, Tflite { zero_point, clamp })
    }

    /// The channels of the profile `tflite`.
    pub(crate) fn tflite_channels(&self) -> Channels<'_> {
        Channels::Tflite { channels: &self.tflite, zero_point: self.zero_point as i8 }
    }

    /// For messages.
    pub(crate) fn name(&self) -> std::string::String {
        format!("{:?}", self.window)
    }
}

/// Constants whose accumulator stays below 2^30 where sums have `bits` bits.
fn native(random: &mut Random, bits: u32) -> NativeChannel {
    let pre_shift = random.range(0, i64::from(28_u32.saturating_sub(bits)).min(15));
    let multiplier = random.range(0, 32_767);
    let all = (bits + pre_shift as u32 + 1 + (multiplier.max(1) as u64).ilog2()).saturating_sub(23);
    NativeChannel {
        bias: random.range(-(1 << 28), 1 << 28) as i32 >> random.range(0, 12),
        skip_multiplier: random.range(0, 1 << 21) as i32 >> random.range(0, 21),
        multiplier: multiplier as i16,
        pre_shift: pre_shift as u8,
        post_shift: random.range(0, i64::from(all.min(16))) as u8,
    }
}

fn tflite(random: &mut Random, bits: u32) -> TfliteChannel {
    let near = 7 - i64::from(bits);
    TfliteChannel {
        bias: random.range(-(1 << 20), 1 << 20) as i32,
        multiplier: random.range(0, i64::from(i32::MAX)) as i32,
        shift: (near + random.range(-3, 5)).clamp(-31, 30) as i32,
    }
}

/// Shapes at the borders of every kernel's blocks: input, outputs, and side, stride, padding.
pub(crate) const SHAPES: [([u16; 3], u16, [i8; 3]); 28] = [
    ([1, 1, 1], 1, [1, 1, 0]),
    ([1, 1, 3], 16, [3, 1, 1]),
    ([2, 3, 4], 17, [1, 1, 0]),
    ([3, 5, 5], 3, [3, 1, 1]),
    ([5, 4, 1], 4, [3, 1, 1]),
    ([4, 9, 3], 16, [3, 1, 1]),
    ([8, 8, 16], 32, [3, 1, 1]),
    ([6, 7, 16], 33, [3, 2, 1]),
    ([8, 8, 16], 31, [3, 2, -1]),
    ([7, 7, 17], 48, [1, 2, 0]),
    ([4, 4, 33], 5, [1, 1, 1]),
    ([9, 9, 3], 64, [7, 2, 3]),
    ([5, 5, 2], 2, [5, 1, 2]),
    ([6, 6, 8], 8, [2, 2, 2]),
    ([3, 17, 12], 20, [3, 1, 1]),
    ([4, 4, 64], 64, [3, 1, 1]),
    ([5, 3, 48], 9, [3, 1, 0]),
    ([2, 2, 130], 34, [3, 1, 1]),
    ([1, 9, 80], 1, [1, 1, 0]),
    ([10, 2, 7], 13, [2, 1, 0]),
    ([3, 3, 6], 65, [1, 3, 0]),
    ([2, 11, 32], 7, [1, 2, 0]),
    ([3, 4, 15], 16, [2, 1, 1]),
    ([7, 1, 16], 6, [3, 1, 1]),
    ([2, 2, 9], 40, [4, 1, 3]),
    ([12, 12, 1], 10, [4, 4, 0]),
    ([5, 9, 20], 6, [3, 2, 1]),
    ([4, 6, 3], 8, [3, 2, 1]),
];
