//! The line, the counter, the light and the model of the service's tests.

use embedded_io::{ErrorType, Read, Write};
use resmcu_device_app::{Calibration, Counter, Panel};
use resmcu_model_format::write::{DataSection, encode as encode_model};
use resmcu_model_format::{Dtype, Header, Isa, Op, Pool2d, Profile, Step, Tensor};
use resmcu_wire_protocol::{CounterUnit, FRAME_BYTES_MAX, Refusal, Request, Response, encode};
use std::convert::Infallible;
use std::{cell::Cell, collections::VecDeque, rc::Rc};

/// A line whose one end was written beforehand and whose other end is read afterwards.
pub(crate) struct Line<'t> {
    pub(crate) received: VecDeque<u8>,
    pub(crate) sent: &'t mut Vec<u8>,
}

impl ErrorType for Line<'_> {
    type Error = Infallible;
}

impl Read for Line<'_> {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let bytes = chunk.len().min(self.received.len());
        chunk.iter_mut().zip(self.received.drain(..bytes)).for_each(|(to, from)| *to = from);
        Ok(bytes)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.sent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Counts its own reads: an empty span is 1 of overhead, so a step costs 0.
pub(crate) struct Reads(pub(crate) u64);

impl Counter for Reads {
    const UNIT: CounterUnit = CounterUnit::Cycles;

    fn now(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn between(&self, begin: u64, end: u64) -> u64 {
        end - begin
    }

    fn calibrate(&mut self, rounds: u32) -> Option<Calibration> {
        let expected = 2 * u64::from(rounds);
        (rounds != 13).then_some(Calibration { count: expected, expected })
    }
}

/// How often the light went on.
#[derive(Clone, Default)]
pub(crate) struct Light(pub(crate) Rc<Cell<u32>>);

impl Panel for Light {
    fn busy(&mut self, is_busy: bool) {
        self.0.set(self.0.get() + u32::from(is_busy));
    }
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
        rows: u16::MAX,
        on_demand: false,
    };
    let header = Header {
        name: "two pools, and a name that is far longer than what a small frame can carry",
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

/// The image 0, 1, 2, ... and what the model makes of it.
pub(crate) fn image() -> [u8; 48] {
    core::array::from_fn(|i| i as u8)
}
pub(crate) const MIDDLE: [u8; 12] = [15, 16, 17, 21, 22, 23, 39, 40, 41, 45, 46, 47];
pub(crate) const OUTPUT: [u8; 3] = [45, 46, 47];

pub(crate) fn stream(requests: &[Request]) -> Vec<u8> {
    let mut frames = Vec::new();
    for (sequence, request) in (1..).zip(requests) {
        let mut out = [0; FRAME_BYTES_MAX];
        frames.extend_from_slice(encode(sequence, request, &mut out).expect("it fits"));
    }
    frames
}

pub(crate) fn refused(sequence: u16, refusal: Refusal) -> (u16, Response<'static>) {
    (sequence, Response::Error(refusal))
}
