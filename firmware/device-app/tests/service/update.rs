//! Updates over the line: a device with two slots, from power on to power on.

use super::harness::{Light, Line, Reads, image, refused, stream, two_pools};
use super::known;
use resmcu_device_app::embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use resmcu_device_app::model_slots::{SlotRange, Slots, Trust};
use resmcu_device_app::{App, End, Identity, Ram, SlotStore};
use resmcu_int8_runtime::{Block, Executor, Step};
use resmcu_model_format::write::{annotate, seal};
use resmcu_model_format::{KnownAnswer, Notes};
use resmcu_wire_protocol::{
    Decoder, FRAME_BYTES_MAX, LoadFailure, Refusal, Request, Response, SignatureFault, SlotInfo,
    SlotState, SlotsInfo, Standing, Watch, decode, rejection, tensor_crc,
};
use zerocopy::IntoBytes;

const SLOT_BYTES: usize = 2048;
const CAPACITY: u32 = SLOT_BYTES as u32 - 320;

/// Flash in memory, of words and blocks of 1024 bytes.
#[derive(Clone)]
struct Flash(Vec<u8>);

#[derive(Debug)]
struct Refused;

impl NorFlashError for Refused {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl ErrorType for Flash {
    type Error = Refused;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Refused> {
        let source = self.0.get(offset as usize..offset as usize + bytes.len());
        bytes.copy_from_slice(source.ok_or(Refused)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 1024;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Refused> {
        self.0.get_mut(from as usize..to as usize).ok_or(Refused)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Refused> {
        let target = self.0.get_mut(offset as usize..offset as usize + bytes.len());
        target.ok_or(Refused)?.iter_mut().zip(bytes).for_each(|(old, new)| *old &= new);
        Ok(())
    }
}

/// A device, switched off: its flash.
struct Device(Flash);

impl Device {
    fn new() -> Self {
        Self(Flash(vec![0xFF; 2 * SLOT_BYTES]))
    }

    /// Switches it on, gives it requests, and compares its answers until it is off again.
    #[track_caller]
    fn check(&mut self, requests: &[Request], expected: &[(u16, Response)]) {
        let flash = self.0.clone();
        let bytes = SLOT_BYTES as u32;
        let ranges = [0, bytes].map(|start| SlotRange { start, bytes });
        // The models as slices, which a board has in its memory map.
        let mut memory = [vec![Block::ZERO; 128], vec![Block::ZERO; 128]];
        for (memory, range) in memory.iter_mut().zip(ranges) {
            let model = &flash.0[range.model() as usize..][..CAPACITY as usize];
            memory.as_mut_bytes()[..model.len()].copy_from_slice(model);
        }
        let (mut arena, mut plan) = ([Block::ZERO; 6], [Step::VACANT; 4]);
        let slots = Slots::new(flash, ranges, Trust::Anyone);
        let model = |slot: usize, bytes: u32| &memory[slot].as_bytes()[..bytes as usize];
        let (store, chosen) = SlotStore::start(slots, &mut arena, &mut plan, |choice| {
            model(choice.slot as usize, choice.header.bytes)
        });
        let file = chosen.map_or(&[][..], |c| model(c.slot as usize, c.header.bytes));
        let mut executor = Executor::new(file, &mut arena, &mut plan);
        let mut sent = Vec::new();
        let line = Line { received: stream(requests).into(), sent: &mut sent };
        let identity = Identity { firmware: "1", board: "b", isa: "h", slot_capacity: CAPACITY };
        let ram = Ram {
            arena_capacity: 96,
            statics: 7,
            stack_capacity: 9000,
            stack_high_water: || 1 << 20,
        };
        let parts = (line, Reads(0), Light::default());
        let mut app = App::<_, _, _, FRAME_BYTES_MAX, _>::with_store(
            parts,
            identity,
            ram,
            &mut executor,
            store,
        );
        let end = app.serve().expect("the line has no errors");
        let resets = requests.last() == Some(&Request::Reset);
        assert_eq!(end, if resets { End::Reset } else { End::Closed });
        self.0 = app.into_parts().1.into_flash();
        let (mut decoder, mut answers) = (Decoder::<FRAME_BYTES_MAX>::new(), 0);
        for byte in sent {
            let Some(frame) = decoder.push(byte) else { continue };
            let got: (u16, Response) = decode(frame.expect("intact")).expect("a response");
            assert_eq!(Some(&got), expected.get(answers), "answer {answers}");
            answers += 1;
        }
        assert_eq!(answers, expected.len(), "number of answers");
    }

    /// An update in two pieces, and a reset.
    #[track_caller]
    fn update(&mut self, model: &[u8], slot: u8, sequence: u32) {
        let (bytes, half) = (model.len() as u32, model.len() as u32 / 2);
        self.check(
            &[
                Request::UpdateBegin { bytes, crc: tensor_crc(model) },
                Request::UpdateWrite { offset: 0, bytes: &model[..half as usize] },
                Request::UpdateWrite { offset: half, bytes: &model[half as usize..] },
                Request::UpdateCommit { signature: &[] },
                Request::Reset,
            ],
            &[
                (1, Response::UpdateBegun { slot }),
                (2, Response::Written { have: half }),
                (3, Response::Written { have: bytes }),
                (4, Response::UpdateCommitted { sequence }),
                (5, Response::Resetting),
            ],
        );
    }

    #[track_caller]
    fn check_slots(&mut self, running: Option<u8>, states: [SlotState; 2]) {
        let slots = states.map(|state| SlotInfo { capacity: CAPACITY, state });
        let info = SlotsInfo { running, verified: false, slots };
        self.check(&[Request::Slots], &[(1, Response::Slots(info))]);
    }
}

fn whole(sequence: u32, model: &[u8], standing: Standing) -> SlotState {
    let (bytes, crc) = (model.len() as u32, tensor_crc(model));
    SlotState::Whole { sequence, bytes, crc, signed: false, standing }
}

/// A model that the device takes; each margin makes another file.
fn good(margin_min: u32) -> Vec<u8> {
    let notes = Notes { margin_min, known_answers: 0 };
    annotate(&two_pools(), &notes, &[known(5)]).expect("a model")
}

#[test]
fn updates_alternate_between_the_slots() {
    let (first, second, third) = (good(1), good(0), good(2));
    let mut device = Device::new();
    device.check_slots(None, [SlotState::Empty; 2]);
    device.update(&first, 0, 1);
    let confirmed = |sequence, model: &[u8]| whole(sequence, model, Standing::Confirmed);
    device.check_slots(Some(0), [confirmed(1, &first), SlotState::Empty]);
    device.update(&second, 1, 2);
    device.check_slots(Some(1), [confirmed(1, &first), confirmed(2, &second)]);
    device.update(&third, 0, 3);
    device.check_slots(Some(0), [confirmed(3, &third), confirmed(2, &second)]);
}

#[test]
fn a_model_that_fails_its_trial_is_rolled_back() {
    let old = good(0);
    let wrong = KnownAnswer { seed: 5, output_crc: !known(5).output_crc };
    let wrong = annotate(&two_pools(), &Notes::default(), &[wrong]).expect("a model");
    let mut unloadable = old.clone();
    unloadable[6] = 33; // the prefix's length
    seal(&mut unloadable);
    for (model, code) in [(wrong, rejection::WRONG_ANSWER), (unloadable, 5)] {
        let mut device = Device::new();
        device.update(&old, 0, 1);
        device.update(&model, 1, 2);
        let states =
            [whole(1, &old, Standing::Confirmed), whole(2, &model, Standing::Rejected { code })];
        device.check_slots(Some(0), states);
        device.update(&good(3), 1, 3); // which takes the place of the rejected one
    }
}

#[test]
fn the_old_model_answers_while_the_new_one_arrives() {
    let (old, new, image) = (good(0), good(9), image());
    let mut device = Device::new();
    device.update(&old, 0, 1);
    let (bytes, rows) =
        (new.len() as u32, Request::InferRows { offset: 0, watch: Watch::Nothing, bytes: &image });
    let requests = [
        Request::UpdateBegin { bytes, crc: tensor_crc(&new) },
        rows,
        Request::UpdateWrite { offset: 0, bytes: &new },
        rows,
        Request::UpdateCommit { signature: &[] },
        rows,
    ];
    let answer = |sequence| (sequence, super::inferred());
    let expected = [
        (1, Response::UpdateBegun { slot: 1 }),
        answer(2),
        (3, Response::Written { have: bytes }),
        answer(4),
        (5, Response::UpdateCommitted { sequence: 2 }),
        answer(6),
    ];
    device.check(&requests, &expected);
    // Power off and on: the new model finds the margin too small.
    let unknown = Response::Inferred { count: 0, unknown: true, top: super::top() };
    device.check(&[rows], &[(1, unknown)]);
}

#[test]
fn refusals_name_their_numbers() {
    let model = good(0);
    let (bytes, crc) = (model.len() as u32, tensor_crc(&model));
    let write = |offset, bytes| Request::UpdateWrite { offset, bytes };
    let commit = Request::UpdateCommit { signature: &[] };
    let mut device = Device::new();
    device.check(
        &[
            commit,
            write(0, &model),
            Request::UpdateBegin { bytes: CAPACITY + 1, crc },
            Request::UpdateBegin { bytes, crc: !crc },
            write(1, &model[..1]),
            commit,
            write(0, &model),
            write(bytes, &[1]),
            Request::UpdateCommit { signature: &[1; 63] },
            commit,
            commit,
        ],
        &[
            refused(1, Refusal::UpdateNotBegun),
            refused(2, Refusal::UpdateNotBegun),
            refused(3, Refusal::UpdateTooLarge { bytes: CAPACITY + 1, capacity: CAPACITY }),
            (4, Response::UpdateBegun { slot: 0 }),
            refused(5, Refusal::UpdateGap { offset: 1, have: 0 }),
            refused(6, Refusal::UpdateIncomplete { have: 0, need: bytes }),
            (7, Response::Written { have: bytes }),
            refused(8, Refusal::UpdateOutOfRange { end: bytes + 1, bytes }),
            refused(9, Refusal::Signature(SignatureFault::Length)),
            refused(10, Refusal::UpdateCrc { found: crc, expected: !crc }),
            refused(11, Refusal::UpdateNotBegun),
        ],
    );
    device.check_slots(None, [SlotState::Empty; 2]);
    // Without a model there is no test of one.
    let none = Executor::new(&[], &mut [], &mut []).map(|_| ()).expect_err("no file");
    let failure = LoadFailure { code: none.code(), details: none.details() };
    device.check(&[Request::SelfTest], &[refused(1, Refusal::NoModel(failure))]);
}
