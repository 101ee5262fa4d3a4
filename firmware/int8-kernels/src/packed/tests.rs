//! The kernels for vector units, by their models, against the generic kernel.

extern crate std;

use super::{Channels, Kernel, PackedConv2d, packed_conv2d_s8};
use crate::cases::{Case, SHAPES};
use crate::requantize::Form;
use std::vec;
use std::vec::Vec;

#[track_caller]
fn check(kernel: Kernel, case: &Case) {
    let (native, tflite) = (Channels::from(&case.native[..]), case.tflite_channels());
    for (form, channels) in
        [(Form::Native, native), (Form::NativeJoin, native), (Form::Tflite, tflite)]
    {
        let (window, pad, clamp) = (case.window, case.pad(), case.clamp);
        assert!(kernel.accepts(&window, clamp, channels), "{kernel:?}, {}", case.name());
        let mut packed = vec![0; kernel.packed_words(&window)];
        kernel.pack(&window, channels, &case.weights, &mut packed);
        let (packed, zero_point) = (&packed[..], case.zero_point as i8);
        let layer = PackedConv2d { kernel, window, pad, packed, form, zero_point, clamp };
        let mut y = case.skip.clone();
        let mut scratch = vec![0x5555_5555; kernel.scratch_words_min(&window)];
        packed_conv2d_s8(&layer, &case.x, &mut y, &mut scratch);
        let expected = match form {
            Form::Tflite => case.tflite(),
            _ => case.native(form == Form::NativeJoin),
        };
        assert_eq!(y, expected, "{kernel:?}, {}, {form:?}", case.name());
    }
}

#[test]
fn kernels_for_vector_units_compute_what_the_generic_kernel_does() {
    for kernel in [Kernel::Dot8, Kernel::Lanes8] {
        for (index, (input, outputs, sliding)) in SHAPES.into_iter().enumerate() {
            for seed in 0..8 {
                let mut case = Case::new(100 * seed + index as u64, input, outputs, sliding);
                case.clamp = [-128, 127];
                case.tflite.iter_mut().for_each(|c| c.shift = c.shift.clamp(-17, -1));
                check(kernel, &case);
            }
        }
    }
}

#[test]
fn unpacked_weights_are_those_that_were_packed() {
    let mut found = [0; Kernel::ALL.len()];
    for (index, (input, outputs, sliding)) in SHAPES.into_iter().enumerate() {
        for seed in 0..8 {
            let mut case = Case::new(100 * seed + index as u64, input, outputs, sliding);
            case.native.iter_mut().for_each(|c| c.pre_shift = 6 + (seed % 3) as u8);
            case.tflite.iter_mut().for_each(|c| c.shift = c.shift.clamp(-17, -1));
            let native = Channels::from(&case.native[..]);
            let channels = if seed % 2 == 0 { native } else { case.tflite_channels() };
            for (kernel, found) in Kernel::ALL.into_iter().zip(&mut found) {
                if !kernel.accepts(&case.window, [-128, 127], channels) {
                    continue;
                }
                let narrow = |&w: &i8| if kernel.weight_bits() == Some(4) { w >> 4 } else { w };
                let expected: Vec<i8> = case.weights.iter().map(narrow).collect();
                let mut packed = vec![0; kernel.packed_words(&case.window)];
                kernel.pack(&case.window, channels, &expected, &mut packed);
                let mut weights = vec![0; case.weights.len()];
                assert!(kernel.unpack(&case.window, channels, &packed, &mut weights));
                assert_eq!(weights, expected, "{kernel:?}, {}", case.name());
                let short = &packed[1..];
                assert!(!kernel.unpack(&case.window, channels, short, &mut weights));
                *found += 1;
            }
        }
    }
    assert!(found.iter().all(|&count| count >= 8), "{found:?}");
}
