//! Each reason to refuse a file, reached once, with its message.

use super::{ARENA_BYTES, Records, load_and_run};
use crate::host::{Flash, arena, plan};
use crate::suite::{self, Case};
use resmcu_int8_runtime::{Executor, LoadError};
use resmcu_model_format::write::seal;
use resmcu_model_format::{Dtype, Op};
use std::collections::BTreeSet;

/// The reasons that were reached, by number.
#[derive(Default)]
struct Reached(BTreeSet<u16>);

impl Reached {
    #[track_caller]
    fn expect(&mut self, result: Result<(), LoadError>, message: &str) {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(message), "`{error}` does not say `{message}`");
        self.0.insert(error.code());
    }

    /// The records of `case` altered by `alter`.
    #[track_caller]
    fn records(&mut self, case: &Case, message: &str, alter: impl FnOnce(&mut Records<'_>)) {
        let file = case.lower().file;
        let mut records = Records::read(&file);
        alter(&mut records);
        self.expect(load_and_run(&records.write(), 0), message);
    }

    /// A field of the prefix replaced.
    #[track_caller]
    fn prefix(&mut self, case: &Case, message: &str, at: usize, bytes: &[u8]) {
        let mut file = case.lower().file;
        file[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut file);
        self.expect(load_and_run(&file, 0), message);
    }
}

/// A case of the random ones by the beginning of its name.
#[track_caller]
fn case(name: &str) -> Case {
    (1..200).flat_map(suite::random).find(|case| case.name.starts_with(name)).unwrap()
}

fn prefix(reached: &mut Reached) {
    let conv = case("Native conv");
    let file = conv.lower().file;
    reached.expect(load_and_run(&file[..20], 0), "byte 0x14: the file is cut short: 20 bytes");
    reached.prefix(&conv, "byte 0x0: not a model file", 0, b"ELF");
    reached.prefix(&conv, "byte 0x4: format version 4 is not known here", 4, &[4]);
    reached.prefix(&conv, "byte 0x6: the layout field is 33, and has to be 32", 6, &[33]);
    reached.prefix(&conv, "byte 0x18: the layout field", 28, &[9]);
    reached.prefix(&conv, "byte 0x1c: the layout field", 28, &[0xFF; 4]);
    let mut file = super::annotated(&conv);
    file[4] = 1;
    seal(&mut file);
    reached.expect(load_and_run(&file, 0), "byte 0x1c: the layout field is 11, and has to be 0");
    let mut file = super::annotated(&conv);
    let notes = file.len() - 11;
    file[notes + 2] = 1; // one known answer less than there are
    seal(&mut file);
    reached.expect(load_and_run(&file, 0), "2 bytes follow the last record");
    reached.prefix(&conv, "byte 0x14: the layout field", 16, &[0xFF; 4]);
    reached.prefix(&conv, "byte 0x14: the layout field", 20, &[0xF0, 0xFF, 0xFF, 0xFF]);
    reached.prefix(&conv, "byte 0x18: the layout field", 24, &[0xFF; 4]);
    reached.prefix(&conv, "the file is cut short", 8, &[0xFF; 4]);
    let mut file = conv.lower().file;
    file[40] ^= 1;
    reached.expect(load_and_run(&file, 0), "byte 0xc: CRC-32");
    let mut file = conv.lower().file;
    file[32] = 0xFF; // the name's length
    file[33] = 0xFF;
    seal(&mut file);
    reached.expect(load_and_run(&file, 0), "byte 0x20: no valid record begins here");
}

/// A step too few in the header leaves bytes; records that are counted wrong are refused.
fn counts(reached: &mut Reached) {
    let network = case("Native network");
    let file = network.lower().file;
    let records = Records::read(&file);
    // The header ends with the two counts, each one byte in postcard.
    let after_macs = {
        let mut longer = Records::read(&file);
        longer.tensors.pop();
        let shorter = longer.write();
        file.iter().zip(&shorter).skip(32).position(|(a, b)| a != b).unwrap() + 32
    };
    assert_eq!(usize::from(file[after_macs]), records.tensors.len());
    let with_counts = |tensors: u8, steps: u8| {
        let mut file = file.clone();
        file[after_macs..after_macs + 2].copy_from_slice(&[tensors, steps]);
        seal(&mut file);
        load_and_run(&file, 0)
    };
    reached.expect(with_counts(0, 0), "0 tensors do not go with 0 steps");
    reached.expect(with_counts(3, 3), "3 tensors do not go with 3 steps");
    let mut more = Records::read(&file);
    let last = more.steps[more.steps.len() - 1];
    more.steps.push(last);
    let mut file = more.write();
    let steps = u8::try_from(records.steps.len()).unwrap();
    file[after_macs..after_macs + 2].copy_from_slice(&[steps + 1, steps]);
    seal(&mut file);
    reached.expect(load_and_run(&file, 0), "bytes follow the last record");
}

fn tensors(reached: &mut Reached) {
    let network = case("Native network");
    let mut tensor = |message: &str, alter: &dyn Fn(&mut Records<'_>)| {
        reached.records(&network, message, alter);
    };
    tensor("tensor 1 has a side of 0, outside of 1 to 16384", &|r| r.tensors[1].shape[0] = 0);
    tensor("tensor 0 has a side of 65535", &|r| r.tensors[0].shape[2] = u16::MAX);
    tensor("tensor 1 has a type, scale or zero point", &|r| r.tensors[1].scale = f32::NAN);
    tensor("tensor 1 has a type, scale or zero point", &|r| r.tensors[1].scale = 0.0);
    tensor("tensor 0 has a type, scale or zero point", &|r| r.tensors[0].zero_point = 128);
    tensor("tensor 1 begins at 17, which is no multiple of 16", &|r| r.tensors[1].offset = 17);
    tensor("tensor 1 ends at 4294967295, past the arena", &|r| r.tensors[1].offset = !15);
    tensor("tensor 0 ends at", &|r| r.header.arena_bytes = 0);
    tensor("live at the same time in the same memory", &|r| {
        r.tensors[1].offset = r.tensors[0].offset;
    });
    tensor("tensor 1 is declared to live in steps 9 to 9, not in step 0", &|r| {
        (r.tensors[1].first, r.tensors[1].last) = (9, 9);
    });
    tensor("tensor 1 is declared to live in steps 0 to 999", &|r| r.tensors[1].last = 999);
    tensor("tensor 1 has memory for 0 rows, outside of 1 to", &|r| r.tensors[1].rows = 0);
    tensor("tensor 1 has memory for 1 rows, and needs", &|r| r.tensors[1].rows = 1);
    // Tensors of 2^42 elements: sizes are counted in 64 bits.
    tensor("tensor 0 ends at 4294967295", &|r| {
        (r.tensors[0].shape, r.tensors[0].rows) = ([16_384; 3], 16_384);
    });
}

fn steps(reached: &mut Reached) {
    let network = case("Native network");
    reached.records(&network, "step 0 makes tensor 2, and has to make tensor 1", |r| {
        r.steps[0].output = 2;
    });
    reached.records(&network, "step 0 cannot make 0 rows at a time", |r| r.steps[0].rows = 0);
    reached.records(&network, "rows at a time, or on demand", |r| {
        let last = r.steps.len() - 1;
        r.steps[last].on_demand = true;
    });
    reached.records(&network, "step 0 names tensor 500 of", |r| {
        if let Op::Conv2d(conv) = &mut r.steps[0].op {
            conv.input = 500;
        }
    });
    reached.records(&network, "is declared to live in steps", |r| {
        if let Op::Conv2d(conv) = &mut r.steps[0].op {
            conv.input = 2; // made later
        }
    });
    reached.records(&case("Native conv"), "step 0: its tensors' shapes or types do not go", |r| {
        if let Op::Conv2d(conv) = &mut r.steps[0].op {
            conv.stride = [0, 0];
        }
    });
    reached.records(&case("average pool"), "step 0: its tensors' shapes or types", |r| {
        r.header.arena_bytes = 16_384;
        (r.tensors[1].dtype, r.tensors[1].offset) = (Dtype::I16, 8192);
    });
    let softmax = case("softmax");
    reached.records(&softmax, "step 0: shift is 200, limit 31", |r| {
        if let Op::Softmax(softmax) = &mut r.steps[0].op {
            softmax.shift = 200;
        }
    });
    reached.records(&softmax, "step 0: classes is 4096, limit 4095", |r| {
        r.header.arena_bytes = 8192;
        for (tensor, offset) in r.tensors.iter_mut().zip([0, 4096]) {
            (tensor.shape, tensor.offset) = ([1, 1, 4096], offset);
        }
    });
    reached.records(&case("global sum"), "step 0: positions is 257, limit 256", |r| {
        let channels = r.tensors[0].shape[2];
        (r.tensors[0].shape, r.tensors[0].rows) = ([1, 257, channels], 1);
        let bytes = 257 * u32::from(channels);
        r.tensors[1].offset = bytes.next_multiple_of(16);
        (r.tensors[0].offset, r.header.arena_bytes) = (0, 2 * bytes + 64);
    });
    reached.records(&softmax, "step 0: the model's profile does not have this operator", |r| {
        r.header.profile = resmcu_model_format::Profile::Native;
    });
}

/// What refers to the data section, and what only a kernel can judge.
fn constants(reached: &mut Reached) {
    let conv = case("Native conv");
    let mut altered = |message: &str, alter: &dyn Fn(&mut resmcu_model_format::Conv2d)| {
        reached.records(&conv, message, |r| {
            if let Op::Conv2d(conv) = &mut r.steps[0].op {
                alter(conv);
            }
        });
    };
    altered("step 0: its data ends at 4294967295, past", &|c| c.weights.bytes = u32::MAX);
    altered("step 0: its data ends at", &|c| c.channels.offset = u32::MAX - 15);
    altered("step 0: its data begin at 8, which is no", &|c| c.weights.offset = 8);
    altered("step 0: its data have 0 bytes, and its kernel reads", &|c| c.weights.bytes = 0);
    altered(
        "step 0: its accumulator may reach 4294967295, and its kernel holds 1073741823",
        &|c| {
            c.accumulator_bound = u32::MAX;
        },
    );
    reached.records(&conv, "step 0 asks for kernel 77, which this build does not", |r| {
        r.steps[0].kernel = 77;
    });
    reached.records(&conv, "step 0 asks for kernel 7, which does not compute such", |r| {
        r.steps[0].kernel = 7;
    });
    reached.records(&conv, "step 0: the requantization of channel 0 is outside", |r| {
        if let Op::Conv2d(conv) = r.steps[0].op {
            let multiplier = conv.channels.offset as usize + 8;
            r.data[multiplier..multiplier + 2].fill(0xFF);
        }
    });
    let padded = (1..).flat_map(suite::random).find(|case| {
        case.name.starts_with("Native conv") && !case.name.contains("padding: [0, 0, 0, 0]")
    });
    reached.records(&padded.unwrap(), "bytes of scratch, and the header declares 0", |r| {
        r.header.scratch_bytes = 0;
    });
}

/// What depends on the build and its RAM.
fn surroundings(reached: &mut Reached) {
    let network = case("Native network");
    let file = network.lower().file;
    let flash = Flash::new(&file);
    let need = Records::read(&file).header.arena_bytes;
    let refused = Executor::new(flash.bytes(), &mut [], &mut plan()).map(|_| ());
    reached.expect(refused, "the model needs an arena of");
    reached.records(&network, "the model needs an arena of", |r| {
        r.header.scratch_bytes = u32::MAX;
    });
    reached.records(&network, "the model needs an arena of", |r| {
        r.header.arena_bytes = u32::MAX;
    });
    assert!((need as usize) < ARENA_BYTES);
    let mut arena = arena(ARENA_BYTES);
    let refused = Executor::new(flash.bytes(), &mut arena, &mut plan()[..3]).map(|_| ());
    reached.expect(refused, "steps, and this build decodes at most 2");
}

#[test]
fn every_reason_has_a_file_and_a_message() {
    let mut reached = Reached::default();
    prefix(&mut reached);
    counts(&mut reached);
    tensors(&mut reached);
    steps(&mut reached);
    constants(&mut reached);
    surroundings(&mut reached);
    let all: BTreeSet<u16> = (1..=24).chain(100..=107).collect();
    let missing: Vec<&u16> = all.difference(&reached.0).collect();
    assert!(missing.is_empty(), "reasons that no file reaches: {missing:?}");
}
