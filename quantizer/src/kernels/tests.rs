//! The choice by cycles, and by waiting for flash.

use super::*;
use crate::quantized::{Dtype, PadValue, Profile, QuantizedNode, QuantizedTensor, Sliding};
use resmcu_int8_kernels::requantize::NativeChannel;

/// Constants that every kernel takes.
const CHANNEL: NativeChannel =
    NativeChannel { bias: 0, skip_multiplier: 1, multiplier: 1, pre_shift: 6, post_shift: 8 };

/// One convolution with a padding of half its window, `[side, inputs, outputs, size, stride]`.
fn layer([side, inputs, outputs, size, stride]: [usize; 5]) -> QuantizedGraph {
    let tensor = |name: &str, shape| QuantizedTensor {
        name: name.to_owned(),
        shape,
        dtype: Dtype::I8,
        scale: 1.0,
        zero_point: 0,
    };
    let op = QuantizedOp::Conv2d {
        input: TensorId(0),
        sliding: Sliding { size: [size; 2], stride: [stride; 2], padding: [size / 2; 4] },
        pad_value: PadValue::Uniform(0),
        weights: vec![100; outputs * size * size * inputs],
        channels: Channels::Native(vec![CHANNEL; outputs]),
        clamp: [-128, 127],
        skip: None,
    };
    let made = (side + 2 * (size / 2) - size) / stride + 1;
    QuantizedGraph {
        name: "layer".to_owned(),
        class_names: vec![],
        profile: Profile::Native,
        tensors: vec![tensor("x", [side, side, inputs]), tensor("y", [made, made, outputs])],
        nodes: vec![QuantizedNode { name: "conv".to_owned(), op }],
    }
}

/// The kernel of least cost on a Cortex-M4 that waits so many cycles for a word from flash.
#[track_caller]
fn check(sizes: [usize; 5], waits: u32, expected: Kernel) {
    let limits = Limits { flash_wait_states: waits, ..Limits::none(Isa::Armv7em) };
    let graph = layer(sizes);
    let all = candidates(&graph, 0, &limits);
    assert_eq!(all[0].kernel, Some(expected), "{sizes:?}, {waits} wait states: {all:#?}");
    let packed = choose(&graph, Packing::Fastest(limits), usize::MAX);
    assert_eq!(packed[0].0, Some(expected), "{sizes:?}, {waits} wait states");
}

#[test]
fn flash_that_waits_wants_kernels_that_read_less() {
    // Stored, 64 * 64 weights of 72 bytes come by for each of two pairs of tiles, 147,456 words;
    // on the fly 9,216 for each output of a pair. The transform costs some 566,000 cycles of a
    // Cortex-M4 (by `resmcu bench`), which is four wait states.
    check([8, 64, 64, 3, 1], 0, Kernel::Winograd4);
    check([8, 64, 64, 3, 1], 2, Kernel::Winograd4);
    check([8, 64, 64, 3, 1], 8, Kernel::Winograd4OnTheFly);
    // Thirty-two pairs of tiles, and a transform of a sixteenth of the weights: one is enough.
    check([32, 16, 16, 3, 1], 0, Kernel::Winograd4);
    check([32, 16, 16, 3, 1], 2, Kernel::Winograd4OnTheFly);
    check([32, 16, 32, 3, 2], 0, Kernel::Polyphase2);
    check([32, 16, 32, 3, 2], 2, Kernel::Polyphase2OnTheFly);
    // In int8 half as many words come by, for twice as many pixels.
    check([16, 32, 64, 1, 1], 0, Kernel::Direct16);
    check([16, 32, 64, 1, 1], 8, Kernel::PixelPairs);
}

/// By kernel, how often the words of its weights and constants are loaded.
#[test]
fn every_load_from_flash_is_counted() {
    let graph = layer([8, 64, 64, 3, 1]);
    let all = candidates(&graph, 0, &Limits::none(Isa::Armv7em));
    let loads = |kernel| {
        let found = all.iter().find(|candidate| candidate.kernel == kernel).expect("a kernel");
        (found.time.flash_loads, found.weight_bytes)
    };
    // Nineteen words of constants an output; two pairs of tiles, or one pass.
    let words = 64 * (64 * 36 / 2 + 19);
    assert_eq!(loads(Some(Kernel::Winograd4)), (2 * words, 4 * words as usize));
    let [weights, constants] = [64 * 64 * 9 / 4, 64 * 19];
    let on_the_fly = (2 * weights + constants, 4 * (weights + constants) as usize);
    assert_eq!(loads(Some(Kernel::Winograd4OnTheFly)), on_the_fly);
    // Weights by words, constants once for four pixels.
    let words = 64 * (576 / 4 + 3);
    assert_eq!(loads(Some(Kernel::PixelPairs)).0, 64 / 4 * words);
    // Where int16 are loaded one by one, each word of two weights is two loads.
    let of_m3 = candidates(&graph, 0, &Limits::none(Isa::Armv7m));
    let stored = of_m3.iter().find(|candidate| candidate.kernel == Some(Kernel::Winograd4));
    let loads_of_m3 = stored.expect("a kernel").time.flash_loads;
    assert_eq!(loads_of_m3, 2 * 64 * (64 * 36 + 19));
    // A word of four weights, and three of constants an output, for each of 64 pixels.
    assert_eq!(loads(None), (64 * (576 * 64 / 4 + 3 * 64), 576 * 64));
}

/// Waiting adds to cycles what it says; where a core has no table of them, to its instructions.
#[test]
fn waits_cost_as_many_cycles_as_words_are_late() {
    for isa in [Isa::Armv7em, Isa::Armv7m, Isa::Armv6m, Isa::Rv32] {
        let graph = layer([16, 16, 16, 3, 1]);
        let of = |waits| {
            let limits = Limits { flash_wait_states: waits, ..Limits::none(isa) };
            let mut all = candidates(&graph, 0, &limits);
            all.sort_by_key(|candidate| candidate.kernel.map(Kernel::number));
            all
        };
        for (without, with) in of(0).into_iter().zip(of(7)) {
            let [a, b] = [without.time, with.time];
            assert_eq!(a.cycles.is_some(), isa != Isa::Rv32);
            assert_eq!(a.cost, a.cycles.unwrap_or(a.instructions));
            assert_eq!((b.instructions, b.flash_loads), (a.instructions, a.flash_loads));
            assert_eq!(b.cost, a.cost + 7 * a.flash_loads);
            assert_eq!(b.cycles.is_some_and(|cycles| cycles == b.cost), a.cycles.is_some());
        }
    }
}

/// On an E31, whose products take five cycles, and on a Hazard3 the choice is by their cycles; of
/// other cores with their instructions none are known.
#[test]
fn a_core_of_its_own_has_cycles_of_its_own() {
    let on = |core| Limits { core, ..Limits::none(Isa::Rv32) };
    let best = |sizes, limits: &Limits| candidates(&layer(sizes), 0, limits)[0];
    let stem = [32, 3, 16, 3, 1];
    assert_eq!(best(stem, &on(Core::E31)).kernel, Some(Kernel::Winograd4));
    for sizes in [stem, [32, 16, 16, 3, 1], [32, 16, 32, 3, 2], [16, 32, 64, 1, 1]] {
        let of = |core| best(sizes, &on(core)).time;
        let [e31, hazard3, other] = [Core::E31, Core::Hazard3, Core::Any].map(of);
        for time in [e31, hazard3] {
            assert!(time.cycles.is_some_and(|cycles| cycles > time.instructions), "{sizes:?}");
        }
        assert!(hazard3.cycles < e31.cycles, "{sizes:?}");
        assert_eq!(other.cycles, None, "{sizes:?}");
    }
}

/// Rows in groups read weights again for each of them.
#[test]
fn groups_of_rows_load_weights_again() {
    let (graph, limits) = (layer([32, 16, 16, 3, 1]), Limits::none(Isa::Armv7em));
    let loads = |rows| {
        let all = candidates_by_rows(&graph, 0, &limits, rows);
        let fly = all.iter().find(|c| c.kernel == Some(Kernel::Winograd4OnTheFly));
        fly.expect("a kernel").time.flash_loads
    };
    assert_eq!(loads(4), 8 * loads(usize::MAX) / 2); // whole, two passes share the scratch memory
}
