//! Kernels with a packing of their own against the generic one: every shape at the borders of their
//! loops, and the extremes of their range proofs.

use resmcu_int8_kernels::ops::conv2d::{self, Conv2d, Pad, Weights, conv2d_s8};
use resmcu_int8_kernels::packed::{Channels, Kernel, PackedConv2d, packed_conv2d_s8};
use resmcu_int8_kernels::requantize::{
    Form, Native, NativeChannel, NativeJoin, Tflite, TfliteChannel,
};
use resmcu_int8_kernels::shape::Window;

/// A linear congruential generator (Knuth's MMIX), of which the upper bits are used.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn below(&mut self, end: u32) -> u32 {
        self.next() % end
    }
}

/// What values a tensor or the weights hold.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// All equal.
    Constant(i8),
    /// The ends of int8, at random.
    Ends,
    /// Anything.
    Random,
    /// The end of each place's sign, which is that of its row times that of its column: of these
    /// the signs come again every four.
    Signs([[i8; 4]; 2]),
}

impl Values {
    fn fill(self, rng: &mut Rng, [rows, columns, depth]: [usize; 3]) -> Vec<i8> {
        let mut value = |row: usize, column: usize| match self {
            Self::Constant(value) => value,
            Self::Ends => [i8::MIN, i8::MAX][rng.below(2) as usize],
            Self::Random => rng.next() as i8,
            Self::Signs([of_row, of_column]) => {
                [i8::MIN, i8::MAX][usize::from(of_row[row % 4] * of_column[column % 4] > 0)]
            }
        };
        let positions = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let all = positions.flat_map(|at| (0..depth).map(move |_| at));
        all.map(|(row, column)| value(row, column)).collect()
    }
}

/// A layer of 3x3 (or another `size`) with padding of half its size.
fn window(input: [u16; 3], outputs: u16, size: u8, stride: u8) -> Window {
    let padding = size / 2;
    let along = |n: u16| (n + 2 * u16::from(padding) - u16::from(size)) / u16::from(stride) + 1;
    Window {
        input,
        output: [along(input[0]), along(input[1]), outputs],
        size: [size; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    }
}

/// Constants of both profiles.
struct Constants {
    native: Vec<NativeChannel>,
    tflite: Vec<TfliteChannel>,
    zero_point: i8,
}

impl Constants {
    fn new(rng: &mut Rng, outputs: usize) -> Self {
        let native = |rng: &mut Rng| {
            // The least that are computed with, and doubled: sums of extremes then stay below the
            // profile's bound. Doubled, a large bias brings them near the end of int32.
            let pre_shift = [5, 6][rng.below(2) as usize];
            let large = [5 << 27, -5 << 27][rng.below(2) as usize];
            NativeChannel {
                bias: if pre_shift == 5 { large } else { (rng.next() as i32) >> 4 },
                skip_multiplier: rng.below(1 << 20) as i32,
                multiplier: [0, 1, 20_000, 32_767][rng.below(4) as usize],
                pre_shift,
                post_shift: rng.below(16) as u8,
            }
        };
        let tflite = |rng: &mut Rng| TfliteChannel {
            bias: (rng.next() as i32 - (1 << 30)) >> 8,
            multiplier: [0, 1, 1 << 30, rng.next() as i32, i32::MAX][rng.below(5) as usize],
            shift: -1 - rng.below(17) as i32,
        };
        Self {
            native: (0..outputs).map(|_| native(rng)).collect(),
            tflite: (0..outputs).map(|_| tflite(rng)).collect(),
            zero_point: [i8::MIN, rng.next() as i8, i8::MAX][rng.below(3) as usize],
        }
    }

    fn of(&self, form: Form) -> Channels<'_> {
        match form {
            Form::Native | Form::NativeJoin => Channels::Native(&self.native),
            Form::Tflite => {
                Channels::Tflite { channels: &self.tflite, zero_point: self.zero_point }
            }
        }
    }
}

/// A layer of the generic kernel.
struct Generic<'a> {
    window: Window,
    pad: Pad<'a>,
    weights: &'a [i8],
    constants: &'a Constants,
    clamp: [i8; 2],
}

impl Generic<'_> {
    /// What it makes of `x`, and of `y` where a residual is joined.
    fn run(&self, form: Form, x: &[i8], y: &mut [i8]) {
        let Self { window, pad, weights, constants, clamp } = *self;
        let mut packed = vec![0; conv2d::packed_len(&window)];
        conv2d::pack(weights, &window, &mut packed);
        let (weights, mut patch) = (Weights::Int8(&packed), vec![0; conv2d::scratch_len(&window)]);
        let channels = &constants.native[..];
        match form {
            Form::Native => {
                let requantize = Native { clamp };
                let layer = Conv2d { window, pad, weights, channels, requantize };
                conv2d_s8(&layer, x, y, &mut patch);
            }
            Form::NativeJoin => {
                let requantize = NativeJoin { clamp };
                let layer = Conv2d { window, pad, weights, channels, requantize };
                conv2d_s8(&layer, x, y, &mut patch);
            }
            Form::Tflite => {
                let requantize = Tflite { zero_point: constants.zero_point.into(), clamp };
                let channels = &constants.tflite[..];
                let layer = Conv2d { window, pad, weights, channels, requantize };
                conv2d_s8(&layer, x, y, &mut patch);
            }
        }
    }
}

/// That `kernel` gives the generic kernel's bytes with these inputs and weights.
#[track_caller]
fn check(kernel: Kernel, window: &Window, [inputs, weights]: [Values; 2], seed: u64) {
    let rng = &mut Rng(seed);
    let (window, outputs) = (*window, usize::from(window.output[2]));
    let x = inputs.fill(rng, window.input.map(usize::from));
    let mut w = weights.fill(rng, [outputs, 1, window.patch_len()]);
    if kernel.weight_bits() == Some(4) {
        w.iter_mut().for_each(|w| *w = (*w).clamp(-8, 7));
    }
    let constants = &Constants::new(rng, outputs);
    let clamp = if kernel == Kernel::PixelPairs { [-100, 90] } else { [i8::MIN, i8::MAX] };
    let skip = Values::Random.fill(rng, [window.positions(), 1, outputs]);
    let pad = Pad::Uniform(rng.next() as i8);
    for form in [Form::Native, Form::NativeJoin, Form::Tflite] {
        let channels = constants.of(form);
        assert!(kernel.accepts(&window, clamp, channels), "{kernel:?}, {window:?}, {form:?}");
        let mut packed = vec![0; kernel.packed_words(&window)];
        kernel.pack(&window, channels, &w, &mut packed);
        let mut expected = skip.clone();
        Generic { window, pad, weights: &w, constants, clamp }.run(form, &x, &mut expected);
        let (packed, zero_point) = (&packed[..], constants.zero_point);
        let layer = PackedConv2d { kernel, window, pad, packed, clamp, form, zero_point };
        for words in [kernel.scratch_words_min(&window), kernel.scratch_words_max(&window)] {
            let (mut y, mut scratch) = (skip.clone(), vec![0xAAAA_AAAA; words]);
            packed_conv2d_s8(&layer, &x, &mut y, &mut scratch);
            assert!(y == expected, "{kernel:?}, {window:?}, {inputs:?}, {weights:?}, {form:?}");
        }
    }
}

const KINDS: [Values; 5] = [
    Values::Constant(i8::MIN),
    Values::Constant(i8::MAX),
    Values::Constant(0),
    Values::Ends,
    Values::Random,
];

/// Inputs that make a point of each tile as large as it can be, or as small, where the padding is
/// one: tiles begin every four rows and columns, one before them. Of the transforms of Winograd's
/// method the first row times itself, and times the second; of the phases twice `x0 - x2`.
const TILES: [Values; 4] = [
    Values::Signs([[-1, -1, 1, 1]; 2]),
    Values::Signs([[-1, 1, 1, -1], [-1, -1, 1, 1]]),
    Values::Signs([[1, -1, 1, 1]; 2]),
    Values::Signs([[-1, 1, -1, -1], [1, -1, 1, 1]]),
];

/// The windows of each kernel.
fn size_and_stride(kernel: Kernel) -> &'static [(u8, u8)] {
    match kernel {
        Kernel::Direct16 | Kernel::PixelPairs | Kernel::Dot8 | Kernel::Lanes8 => {
            &[(1, 1), (1, 2), (3, 1), (3, 2), (5, 1)]
        }
        Kernel::Winograd4 | Kernel::Winograd4OnTheFly | Kernel::Winograd4Int4 => &[(3, 1)],
        Kernel::Polyphase2 | Kernel::Polyphase2OnTheFly | Kernel::Polyphase2Int4 => &[(3, 2)],
    }
}

#[test]
fn extremes_of_inputs_and_weights_stay_in_range() {
    let mut seed = 0;
    for kernel in Kernel::ALL {
        for &(size, stride) in size_and_stride(kernel) {
            let inputs = KINDS.into_iter().chain(TILES);
            for values in inputs.flat_map(|x| KINDS.map(|w| [x, w])) {
                seed += 1;
                check(kernel, &window([8, 16, 12], 4, size, stride), values, seed);
            }
        }
    }
}

#[test]
fn blocks_of_any_number_of_outputs_and_channels_are_whole() {
    let mut seed = 1000;
    for kernel in Kernel::ALL {
        for &(size, stride) in size_and_stride(kernel) {
            for (outputs, inputs) in
                (1..=9).flat_map(|pairs| [1, 4, 13, 36].map(|i| (2 * pairs, i)))
            {
                seed += 1;
                let values = [Values::Ends, Values::Random];
                check(kernel, &window([5, 9, inputs], outputs, size, stride), values, seed);
            }
        }
    }
}
