//! Emulated boards under bad input: what the line, the slot and the emulator itself may do.
//!
//! Needs QEMU and the images that `cargo xtask boards` builds.

use crate::rng::Rng;
use resmcu_device_link::wire_protocol::{
    FRAME_BYTES_MAX, PROTOCOL_VERSION, Request, encode, tensor_crc,
};
use resmcu_device_link::{
    Client, Device, Emulator, Firmware, LinkError, Qemu, Target, Timeouts, find_target, targets,
};
use resmcu_model_format::write::{DataSection, encode as encode_model, seal};
use resmcu_model_format::{
    Dtype, Header, Isa, ModelFile, Op, Pool2d, Profile, Sizes, Step, Tensor,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The two boards, one an architecture, where one of each is enough.
const TWO: [&str; 2] = ["qemu-mps2-an386", "qemu-virt-rv32imac"];

/// The folder of what `cargo xtask boards` builds.
pub(crate) fn images() -> PathBuf {
    std::env::var_os("RESMCU_FIRMWARE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../firmware/boards/target/images"),
        PathBuf::from,
    )
}

pub(crate) fn firmware(target: &Target) -> Firmware {
    let path = images().join(format!("{}.elf", target.board()));
    Firmware::open(path).unwrap_or_else(|error| panic!("{error}; {}", error.help()))
}

pub(crate) fn start(target: &Target, model: Option<&[u8]>) -> Client<Qemu> {
    Qemu::start(target, &firmware(target), model, |_| {})
        .and_then(Client::connect)
        .unwrap_or_else(|error| panic!("{}: {error}", target.name))
}

/// `[4,4,3]`, twice the largest of each 2x2 window, to `[1,1,3]`.
pub(crate) fn two_pools() -> Vec<u8> {
    let tensor = |name, side, offset, first, last| Tensor {
        name,
        shape: [side, side, 3],
        dtype: Dtype::I8,
        scale: 0.5,
        zero_point: 0,
        offset,
        first,
        last,
        rows: side,
    };
    let step = |name, input| Step {
        name,
        kernel: 0,
        output: input + 1,
        macs: 0,
        op: Op::MaxPool2d(Pool2d {
            input,
            kernel_size: [2, 2],
            stride: [2, 2],
            padding: [0; 4],
            clamp: [-128, 127],
        }),
        rows: 9, // more than there are
        on_demand: false,
    };
    let header = Header {
        name: "two pools",
        producer: "test",
        profile: Profile::Native,
        isa: Isa::Generic,
        class_names: "",
        arena_bytes: 80,
        scratch_bytes: 0,
        arena_lower_bound: 60,
        macs: 0,
        tensors: 3,
        steps: 2,
    };
    let tensors =
        [tensor("input", 4, 0, 0, 0), tensor("middle", 2, 48, 0, 1), tensor("output", 1, 64, 1, 1)];
    let steps = [step("first", 0), step("second", 1)];
    encode_model(&header, &tensors, &steps, &DataSection::default()).expect("a small model")
}

/// The model of the runtime's example is this one: where the format changes, it is written anew by
/// `RESMCU_WRITE_EXAMPLE=1`.
#[test]
fn the_runtimes_example_is_up_to_date() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../firmware/int8-runtime/examples/tiny.rmcu");
    if std::env::var_os("RESMCU_WRITE_EXAMPLE").is_some() {
        std::fs::write(&path, two_pools()).unwrap();
    }
    let file = std::fs::read(&path).unwrap();
    assert_eq!(file, two_pools(), "{}", path.display());
    let parsed = ModelFile::parse(&file).unwrap();
    assert_eq!(Sizes::of(&file), Some(parsed.header().into()));
    for length in 0..file.len() {
        let sizes = Sizes::of(&file[..length]);
        assert!(sizes.is_none_or(|sizes| Some(sizes) == Sizes::of(&file)), "{length} bytes");
    }
    assert_eq!(Sizes::of(&[]), None);
}

/// The image 0, 1, 2, ... and what the model makes of it.
pub(crate) const IMAGE: [u8; 48] = {
    let mut image = [0; 48];
    let mut i = 0;
    while i < image.len() {
        image[i] = i as u8;
        i += 1;
    }
    image
};
pub(crate) const OUTPUT: [u8; 3] = [45, 46, 47];

#[test]
fn counters_are_exact_and_inference_answers_on_every_board() {
    for target in targets() {
        let mut client = start(target, Some(&two_pools()));
        let summary = client.summary().clone();
        assert_eq!(summary.board, target.board());
        assert_eq!(u64::from(summary.slot_capacity), target.slot_bytes, "{}", target.name);
        for rounds in [0, 1, 2, 3, 10, 1000, 123_457, 20_000_000] {
            let (count, expected) = client.calibrate(rounds).expect("it can be calibrated");
            assert_eq!(count, expected, "{}, {rounds} rounds", target.name);
        }
        let inference = client.infer(&IMAGE).expect("an inference");
        assert_eq!(inference.output, OUTPUT, "{}", target.name);
        assert_eq!(inference.top.iter().map(|top| top.class).collect::<Vec<_>>(), [2, 1, 0]);
        let again = client.infer(&IMAGE).expect("another");
        assert_eq!(again.count, inference.count, "{}: a count is repeatable", target.name);
        let trace = client.trace(&IMAGE).expect("a trace");
        let crcs: Vec<u32> = trace.iter().map(|tensor| tensor.crc).collect();
        assert_eq!((crcs[0], crcs[2]), (tensor_crc(&IMAGE), tensor_crc(&OUTPUT)));
        assert_eq!(client.bench(&IMAGE).expect("a bench").steps.len(), 2);
        let memory = client.memory().expect("its memory");
        assert_eq!((memory.arena, memory.scratch), (80, 0));
        assert!(memory.stack > 256 && memory.stack + memory.plan < memory.stack_capacity);
        assert_eq!(client.stop(), Ok(Some(0)), "{}", target.name);
    }
}

#[test]
fn garbage_on_the_line_is_refused_and_the_next_good_frame_answered() {
    for name in TWO {
        let mut client = start(find_target(name).expect("it is listed"), Some(&two_pools()));
        let mut rng = Rng::new(7);
        let mut buffer = [0; FRAME_BYTES_MAX];
        let request = Request::WriteInput { offset: 0, bytes: &IMAGE };
        let good = encode(7, &request, &mut buffer).expect("it fits").to_vec();
        for round in 0..40 {
            let mut bytes = match round % 4 {
                0 => {
                    let count = rng.size(1, 1500);
                    rng.bytes(count)
                }
                1 => good[..rng.size(1, good.len() - 2)].to_vec(), // truncated
                2 => {
                    let (mut flipped, at) = (good.clone(), rng.size(0, good.len() - 2));
                    flipped[at] ^= 1 << rng.size(0, 7);
                    flipped
                }
                _ => vec![0x55; 3000], // too long
            };
            bytes.push(0);
            client.device_mut().send(&bytes).expect("it lives");
            let inference = client.infer(&IMAGE).expect("the next good frame is answered");
            assert_eq!(inference.output, OUTPUT, "{name}, round {round}");
        }
    }
}

#[test]
fn hostile_slots_are_refused_with_the_loaders_code() {
    let whole = two_pools();
    let truncated = whole[..whole.len() / 2].to_vec(); // the slot is zero after it
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    let mut endless = whole.clone(); // says that it is longer than any slot
    endless[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    seal(&mut endless);
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
    let slots = [None, Some(&truncated), Some(&flipped), Some(&endless), Some(&noise)];
    for name in TWO {
        let target = find_target(name).expect("it is listed");
        let codes = slots.map(|slot| {
            let mut client = start(target, slot.map(Vec::as_slice));
            let failure = client.summary().model.clone().expect_err("it has to be refused");
            let refused = client.infer(&IMAGE).expect_err("without a model");
            assert_eq!(refused, LinkError::NoModel { failure });
            assert!(client.memory().is_ok());
            failure.code
        });
        assert_eq!(codes[0], codes[4], "{name}: an empty slot and noise are no model files");
        assert!(codes[0] != codes[1] && codes[0] != codes[2], "{name}: {codes:?}");
    }
}

/// The guards of an image that does what no released one can: `cargo xtask test` builds them.
#[test]
fn a_panic_and_a_stack_overflow_end_the_board_in_words() {
    let overflow = ("stack-overflow", "102", "stack overflow");
    let cases = [
        (TWO[0], ("panic", "101", "panic at src/main.rs:")),
        (TWO[0], overflow),
        ("qemu-microbit", overflow),
        ("qemu-sifive-e", overflow),
    ];
    for (name, (what, code, words)) in cases {
        let target = find_target(name).expect("it is listed");
        let path = images().join(format!("{}-{what}.elf", target.board()));
        let image = Firmware::open(path).unwrap_or_else(|e| panic!("{e}; {}", e.help()));
        let end = Qemu::start(target, &image, None, |_| {}).and_then(Client::connect);
        let error = end.map(|_| ()).expect_err("it ends");
        let LinkError::Died { how, said } = &error else { panic!("{error}") };
        assert!(how.contains(code) && said.contains(words), "{name}, {what}: {how}, {said}");
    }
}

#[test]
fn refusals_of_the_client_need_no_round_trip() {
    let target = find_target(TWO[0]).expect("it is listed");
    let mut client = start(target, Some(&two_pools()));
    let size = LinkError::ImageSize { have: 47, need: 48 };
    assert_eq!(client.infer(&IMAGE[1..]), Err(size));
    let large = vec![0; target.slot_bytes as usize + 1];
    let error = Qemu::start(target, &firmware(target), Some(&large), |_| {}).map(|_| ());
    let (bytes, slot, target) = (target.slot_bytes + 1, target.slot_bytes, target.name);
    assert_eq!(error, Err(LinkError::ModelTooLarge { bytes, slot, target }));
}

#[test]
fn an_emulator_that_is_missing_dies_or_hangs_is_named() {
    let target = find_target(TWO[0]).expect("it is listed");
    let elf = firmware(target);
    let with = |emulator| Target { emulator, ..*target };
    let try_start = |target: &Target| Qemu::start(target, &elf, None, |_| {}).map(|_| ());

    let missing = Emulator { program: "qemu-system-none", ..target.emulator };
    let error = try_start(&with(missing)).expect_err("there is no such program");
    assert!(matches!(error, LinkError::ToolMissing { .. }), "{error}");
    assert!(error.help().contains(missing.package), "{}", error.help());

    let dies = Emulator { machine: "no-such-machine", ..target.emulator };
    let error = try_start(&with(dies)).expect_err("QEMU refuses the machine");
    assert!(matches!(&error, LinkError::Died { .. }), "{error}");

    let paused = Emulator { arguments: &["-S"], ..target.emulator };
    let device = Qemu::start(&with(paused), &elf, None, |_| {}).expect("it starts");
    let short = Duration::from_millis(300);
    let timeouts = Timeouts { boot: short, answer: short, run: short };
    let error = Client::connect_with(device, timeouts).map(|_| ()).expect_err("it is paused");
    assert!(matches!(error, LinkError::TimedOut { .. }), "{error}");

    let mut client = start(target, None);
    let version = Request::Hello { version: PROTOCOL_VERSION };
    let mut buffer = [0; FRAME_BYTES_MAX];
    let frame = encode(1, &version, &mut buffer).expect("it fits");
    client.device_mut().send(frame).expect("it lives");
    let mut rest = [0; 64];
    let deadline = Instant::now() + Duration::from_secs(10);
    assert!(client.device_mut().receive(&mut rest, deadline).expect("it lives") > 0);
    client.device_mut().kill();
    let error = client.memory().expect_err("it is gone");
    assert!(matches!(error, LinkError::Died { .. } | LinkError::Line { .. }), "{error}");
}

#[test]
fn firmware_of_another_board_or_none_is_refused() {
    let (an386, an500) = (find_target("qemu-mps2-an386"), find_target("qemu-mps2-an500"));
    let (an386, an500) = (an386.expect("it is listed"), an500.expect("it is listed"));
    let error = Qemu::start(an500, &firmware(an386), None, |_| {}).map(|_| ());
    assert!(matches!(error, Err(LinkError::Firmware { .. })), "{error:?}");
    for path in ["no/such/file.elf", env!("CARGO_MANIFEST_PATH")] {
        let error = Firmware::open(path).map(|_| ()).expect_err("it is no image");
        assert!(matches!(error, LinkError::Firmware { .. }), "{error}");
    }
}
