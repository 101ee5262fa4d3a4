//! Every unit of this host against the generic kernel.

extern crate std;

use super::{HostChannels, HostConv2d, host_conv2d_by, pack, packed_words, scratch_words};
use crate::arch::host::Unit;
use crate::cases::{Case, SHAPES};
use std::vec;

#[track_caller]
fn check(case: &Case, unit: Unit) {
    let mut packed = vec![0; packed_words(&case.window)];
    pack(&case.window, &case.weights, &mut packed);
    let mut scratch = vec![0x5555_5555; scratch_words(&case.window)];
    let mut run = |channels| {
        let layer = HostConv2d {
            window: case.window,
            pad: case.pad(),
            packed: &packed,
            channels,
            clamp: case.clamp,
        };
        let mut y = case.skip.clone();
        host_conv2d_by(unit, &layer, &case.x, &mut y, &mut scratch);
        y
    };
    for join in [false, true] {
        let got = run(HostChannels::Native { channels: &case.native, join });
        assert_eq!(got, case.native(join), "{unit:?}, {}, join {join}", case.name());
    }
    let zero_point = case.zero_point;
    let got = run(HostChannels::Tflite { channels: &case.tflite, zero_point });
    assert_eq!(got, case.tflite(), "{unit:?}, {}, tflite", case.name());
}

#[test]
fn every_unit_computes_what_the_generic_kernel_does() {
    for unit in Unit::all() {
        for (index, (input, outputs, sliding)) in SHAPES.into_iter().enumerate() {
            (0..8).for_each(|seed| {
                check(&Case::new(100 * seed + index as u64, input, outputs, sliding), unit);
            });
        }
    }
}

#[test]
fn slices_of_other_lengths_are_left_alone() {
    let case = Case::new(1, [4, 4, 16], 16, [3, 1, 1]);
    let mut packed = vec![0; packed_words(&case.window)];
    pack(&case.window, &case.weights, &mut packed);
    let mut scratch = vec![0; scratch_words(&case.window)];
    for unit in Unit::all() {
        let layer = |packed| HostConv2d {
            window: case.window,
            pad: case.pad(),
            packed,
            channels: HostChannels::Native { channels: &case.native, join: false },
            clamp: case.clamp,
        };
        let mut y = case.skip.clone();
        host_conv2d_by(unit, &layer(&packed[1..]), &case.x, &mut y, &mut scratch);
        host_conv2d_by(unit, &layer(&packed), &case.x, &mut y[1..], &mut scratch);
        host_conv2d_by(unit, &layer(&packed), &case.x, &mut y, &mut scratch[1..]);
        assert_eq!(y, case.skip, "{unit:?}");
    }
}
