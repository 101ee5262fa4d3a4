//! The service loop and what each request does.

use crate::counter::{Counter, Stopwatch};
use crate::link::Link;
use crate::log::log;
use crate::panel::Panel;
use crate::scores::Output;
use crate::self_test::{Findings, self_test};
use crate::store::{NoSlots, Store};
use crate::tap::Tap;
use embedded_io::{Read, Write};
use resmcu_int8_runtime::model_format::Op;
use resmcu_int8_runtime::{Executor, LoadError, model_format};
use resmcu_wire_protocol::{
    Decoder, DeviceInfo, FrameFault, LoadFailure, MemoryUse, ModelInfo, ModelState,
    PROTOCOL_VERSION, READ_BYTES, Refusal, Request, Response, SEQUENCE_NONE, SelfTestReport, Sight,
    WRITE_BYTES_MAX, Watch, decode,
};

/// Bytes of a model's name that `Hello` carries.
const NAME_BYTES_MAX: usize = 40;

/// Bytes of an answer's frame that are not the output it carries.
const OUTPUT_OVERHEAD_BYTES: usize = resmcu_wire_protocol::FRAME_OVERHEAD_BYTES;

/// Who this device is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Version of the firmware.
    pub firmware: &'static str,
    /// Name of the board.
    pub board: &'static str,
    /// Instruction set that it was built for.
    pub isa: &'static str,
    /// Bytes of flash that a model may fill.
    pub slot_capacity: u32,
}

/// What a board knows of its RAM, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Ram {
    /// The arena.
    pub arena_capacity: u32,
    /// `.data` and `.bss` without the arena and the plan.
    pub statics: u32,
    /// The stack.
    pub stack_capacity: u32,
    /// Reads the deepest stack so far.
    pub stack_high_water: fn() -> u32,
}

/// Why the service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The host said stop.
    Stopped,
    /// The host asked for a start as after power on.
    Reset,
    /// The line has an end, and it was reached.
    Closed,
}

/// The application: serial line `S`, counter `C`, light, display and watchdog `L`, frames of at
/// most `FRAME` bytes, updates into `M`.
pub struct App<'x, 'm, 'a, S, C, L, const FRAME: usize, M = NoSlots> {
    pub(crate) link: Link<S, FRAME>,
    counter: C,
    pub(crate) light: L,
    stopwatch: Stopwatch,
    identity: Identity,
    ram: Ram,
    pub(crate) model: &'x mut Result<Executor<'m, 'a>, LoadError>,
    store: M,
    /// The last run's output is still in the arena.
    output: bool,
    /// Instructions or cycles of the steps that ran while the present image came.
    count: u64,
    /// Frames that could not be read.
    bad_frames: u32,
    /// What the camera saw.
    pub(crate) sights: Sights,
}

/// What the camera saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sights {
    /// Pictures that were classified.
    pub(crate) looks: u32,
    /// Pictures that the camera did not give.
    pub(crate) failures: u32,
    /// The last one that was classified.
    pub(crate) last: Option<Sight>,
    /// The arena holds a picture of the camera, or what was made of it, and no host's image.
    pub(crate) owns_arena: bool,
}

impl<'x, 'm, 'a, S, C, L, const FRAME: usize> App<'x, 'm, 'a, S, C, L, FRAME>
where
    S: Read + Write,
    C: Counter,
    L: Panel,
{
    /// The application around a model, or around the reason why there is none.
    pub fn new(
        parts: (S, C, L),
        identity: Identity,
        ram: Ram,
        model: &'x mut Result<Executor<'m, 'a>, LoadError>,
    ) -> Self {
        Self::with_store(parts, identity, ram, model, NoSlots)
    }
}

impl<'x, 'm, 'a, S, C, L, const FRAME: usize, M> App<'x, 'm, 'a, S, C, L, FRAME, M>
where
    S: Read + Write,
    C: Counter,
    L: Panel,
    M: Store,
{
    /// The application around a model that can be updated in `store`.
    pub fn with_store(
        (serial, mut counter, light): (S, C, L),
        identity: Identity,
        ram: Ram,
        model: &'x mut Result<Executor<'m, 'a>, LoadError>,
        store: M,
    ) -> Self {
        log!(
            info,
            "resmcu {=str} on {=str}, {=str}",
            identity.firmware,
            identity.board,
            identity.isa
        );
        match model {
            Ok(_) => log!(info, "model ready"),
            Err(error) => {
                log!(warn, "no model: load error {=u16}", error.code());
                let _ = error;
            }
        }
        let stopwatch = Stopwatch::new(&mut counter);
        Self {
            link: Link::new(serial),
            counter,
            light,
            stopwatch,
            identity,
            ram,
            model,
            store,
            output: false,
            count: 0,
            bad_frames: 0,
            sights: Sights::default(),
        }
    }

    /// The serial line, the counter, the light and the store, back.
    pub fn into_parts(self) -> ((S, C, L), M) {
        ((self.link.serial, self.counter, self.light), self.store)
    }

    /// Answers requests until one ends the service or the line does.
    ///
    /// # Errors
    /// What the serial line reports; the protocol itself has no failure that ends the service.
    pub fn serve(&mut self) -> Result<End, S::Error> {
        let mut decoder = Decoder::new();
        loop {
            if let Some(end) = self.receive(&mut decoder)? {
                return Ok(end);
            }
        }
    }

    /// Waits for bytes, and answers the requests that they complete. What ends the service, if one
    /// of them does.
    pub(crate) fn receive(
        &mut self,
        decoder: &mut Decoder<FRAME>,
    ) -> Result<Option<End>, S::Error> {
        let mut chunk = [0; READ_BYTES];
        let received = self.link.serial.read(&mut chunk)?;
        if received == 0 {
            return Ok(Some(End::Closed));
        }
        self.light.alive();
        for &byte in chunk.iter().take(received) {
            let Some(frame) = decoder.push(byte) else { continue };
            match frame.and_then(decode::<Request>) {
                Err(fault) => self.refuse_frame(fault)?,
                Ok((sequence, Request::Stop)) => {
                    log!(info, "stop");
                    self.link.send(sequence, &Response::Stopped)?;
                    return Ok(Some(End::Stopped));
                }
                Ok((sequence, Request::Reset)) => {
                    log!(info, "reset");
                    self.link.send(sequence, &Response::Resetting)?;
                    return Ok(Some(End::Reset));
                }
                Ok((sequence, request)) => self.answer(sequence, request)?,
            }
        }
        Ok(None)
    }

    fn refuse_frame(&mut self, fault: FrameFault) -> Result<(), S::Error> {
        self.bad_frames = self.bad_frames.saturating_add(1);
        log!(warn, "bad frame, number {=u32}", self.bad_frames);
        let refusal = Refusal::BadFrame { fault, count: self.bad_frames };
        self.link.send(SEQUENCE_NONE, &Response::Error(refusal))
    }

    fn answer(&mut self, sequence: u16, request: Request<'_>) -> Result<(), S::Error> {
        let answered = match request {
            Request::Hello { version } => self.hello(sequence, version),
            Request::WriteInput { offset, bytes } => self.write_input(sequence, offset, bytes),
            Request::Infer => self.run(sequence, Watch::Nothing),
            Request::Bench => self.run(sequence, Watch::Costs),
            Request::Trace => self.run(sequence, Watch::Tensors),
            Request::ReadOutput { offset, len } => self.read_output(sequence, offset, len),
            Request::Memory => Ok(self.link.send(sequence, &Response::Memory(self.memory()))),
            Request::Calibrate { rounds } => self.calibrate(sequence, rounds),
            Request::InferRows { offset, watch, bytes } => {
                self.infer_rows(sequence, offset, watch, bytes)
            }
            Request::SelfTest => self.self_test(sequence),
            Request::Slots => {
                self.store.info().map(|i| self.link.send(sequence, &Response::Slots(i)))
            }
            Request::UpdateBegin { bytes, crc } => {
                let begun = self.store.begin(bytes, crc);
                begun.map(|slot| self.link.send(sequence, &Response::UpdateBegun { slot }))
            }
            Request::UpdateWrite { offset, bytes } => {
                let written = self.store.write(offset, bytes);
                written.map(|have| self.link.send(sequence, &Response::Written { have }))
            }
            Request::UpdateCommit { signature } => self.commit(sequence, signature),
            Request::Seen => {
                let Sights { looks, failures, last, .. } = self.sights;
                Ok(self.link.send(sequence, &Response::Seen { looks, failures, last }))
            }
            Request::Stop | Request::Reset => Ok(Ok(())), // answered by the loop
        };
        answered.unwrap_or_else(|refusal| self.link.send(sequence, &Response::Error(refusal)))
    }

    fn hello(&mut self, sequence: u16, version: u16) -> Answer<S> {
        if version != PROTOCOL_VERSION {
            let (device, host) = (PROTOCOL_VERSION, version);
            return Err(Refusal::UnsupportedVersion { device, host });
        }
        let model = match &*self.model {
            Ok(executor) => ModelState::Loaded(model_info(executor)),
            Err(error) => ModelState::Refused(load_failure(error)),
        };
        let response = Response::Hello(DeviceInfo {
            version: PROTOCOL_VERSION,
            firmware: self.identity.firmware,
            board: self.identity.board,
            isa: self.identity.isa,
            unit: C::UNIT,
            frame_bytes_max: u16::try_from(FRAME).unwrap_or(u16::MAX),
            arena_capacity: self.ram.arena_capacity,
            slot_capacity: self.identity.slot_capacity,
            model,
        });
        Ok(self.link.send(sequence, &response))
    }

    fn write_input(&mut self, sequence: u16, offset: u32, bytes: &[u8]) -> Answer<S> {
        let (have, sent) = self.take_input(sequence, offset, Watch::Nothing, bytes)?;
        Ok(sent.and_then(|()| self.link.send(sequence, &Response::Written { have })))
    }

    fn infer_rows(&mut self, sequence: u16, offset: u32, watch: Watch, bytes: &[u8]) -> Answer<S> {
        let (have, sent) = self.take_input(sequence, offset, watch, bytes)?;
        if sent.is_err() {
            return Ok(sent);
        }
        let executor = self.model.as_mut().map_err(no_model)?;
        if have as usize == executor.input_bytes() {
            return self.run(sequence, watch);
        }
        Ok(self.link.send(sequence, &Response::Written { have }))
    }

    /// Takes bytes of the image, and runs the steps that make room for them; gives how many bytes
    /// are there.
    fn take_input(
        &mut self,
        sequence: u16,
        offset: u32,
        watch: Watch,
        bytes: &[u8],
    ) -> Result<(u32, Result<(), S::Error>), Refusal> {
        let executor = self.model.as_mut().map_err(no_model)?;
        let (begin, need) = (offset as usize, executor.input_bytes());
        let end = begin.saturating_add(bytes.len());
        if end > need {
            return Err(Refusal::InputOutOfRange { end: as_u32(end), bytes: as_u32(need) });
        }
        // A picture of the camera gives way to a host's image.
        if core::mem::take(&mut self.sights.owns_arena) || begin == 0 {
            executor.begin();
            (self.output, self.count) = (false, 0);
        }
        // A run uses its image up.
        let have = if self.output { 0 } else { executor.written() };
        let new = have.checked_sub(begin);
        let new = new.ok_or(Refusal::InputGap { offset, have: as_u32(have) })?;
        let mut tap = Tap {
            link: &mut self.link,
            counter: &mut self.counter,
            panel: &mut self.light,
            stopwatch: self.stopwatch,
            watch,
            sequence,
            begin: 0,
            total: 0,
            sent: Ok(()),
        };
        let start = tap.counter.now();
        // What came before came twice: the answer to it was lost.
        executor.feed(bytes.get(new..).unwrap_or_default(), &mut tap);
        let (have, takes_rows) = (executor.written(), executor.takes_rows());
        let count = tap.stopwatch.since(start, tap.counter);
        let sent = tap.sent;
        // Where no step runs before the image is whole, its way into the arena does not count.
        self.count += if takes_rows { count } else { 0 };
        Ok((as_u32(have), sent))
    }

    fn self_test(&mut self, sequence: u16) -> Answer<S> {
        self.forget_image();
        let executor = self.model.as_mut().map_err(no_model)?;
        let Findings { intact, answers, wrong } = self_test(executor);
        let stack = (self.ram.stack_high_water)();
        let stack_capacity = self.ram.stack_capacity;
        let report = SelfTestReport { intact, answers, wrong, stack, stack_capacity };
        Ok(self.link.send(sequence, &Response::SelfTest(report)))
    }

    fn commit(&mut self, sequence: u16, signature: &[u8]) -> Answer<S> {
        let model = self.store.commit(signature)?;
        log!(info, "model number {=u32} is written", model);
        Ok(self.link.send(sequence, &Response::UpdateCommitted { sequence: model }))
    }

    /// The arena is used for something else: a host's image and output are gone.
    pub(crate) fn forget_image(&mut self) {
        self.output = false;
        self.sights.owns_arena = false;
        if let Ok(executor) = &mut *self.model {
            executor.begin();
        }
    }

    fn run(&mut self, sequence: u16, watch: Watch) -> Answer<S> {
        let executor = self.model.as_mut().map_err(no_model)?;
        let (have, need) = (executor.written(), executor.input_bytes());
        let is_used_up = self.output || self.sights.owns_arena;
        if have != need || is_used_up {
            let have = if is_used_up { 0 } else { as_u32(have) };
            return Err(Refusal::NotAllInputWritten { have, need: as_u32(need) });
        }
        self.output = true;
        self.light.busy(true);
        let mut tap = Tap {
            link: &mut self.link,
            counter: &mut self.counter,
            panel: &mut self.light,
            stopwatch: self.stopwatch,
            watch,
            sequence,
            begin: 0,
            total: 0,
            sent: Ok(()),
        };
        if watch == Watch::Tensors && !executor.takes_rows() {
            tap.tensor(0, 0, executor.whole_input());
        }
        let begin = tap.counter.now();
        executor.run(&mut tap);
        let count = self.count + tap.stopwatch.since(begin, tap.counter);
        match watch {
            Watch::Costs | Watch::Tensors => tap.send(&Response::Done { total: tap.total }),
            Watch::Nothing => {
                let (output, bytes) = (output_of(executor), executor.output());
                let unknown = output.margin(bytes) < executor.file().notes().margin_min;
                tap.send(&Response::Inferred { count, unknown, top: output.top(bytes) });
            }
        }
        let sent = tap.sent;
        self.light.busy(false);
        log!(debug, "ran: {=u64} counted", count);
        Ok(sent)
    }

    fn read_output(&mut self, sequence: u16, offset: u32, len: u32) -> Answer<S> {
        let executor = self.model.as_mut().map_err(no_model)?;
        if !self.output {
            return Err(Refusal::NoOutput);
        }
        let output = executor.output();
        let begin = offset as usize;
        let end = begin.saturating_add(len as usize);
        let fits = len as usize <= WRITE_BYTES_MAX.min(FRAME.saturating_sub(OUTPUT_OVERHEAD_BYTES));
        let bytes = output.get(begin..end).filter(|_| fits);
        let (end, all) = (as_u32(end), as_u32(output.len()));
        let bytes = bytes.ok_or(Refusal::OutputOutOfRange { end, bytes: all })?;
        Ok(self.link.send(sequence, &Response::Output { offset, bytes }))
    }

    fn calibrate(&mut self, sequence: u16, rounds: u32) -> Answer<S> {
        let calibration = self.counter.calibrate(rounds).ok_or(Refusal::NotCalibratable)?;
        let (count, expected) = (calibration.count, calibration.expected);
        Ok(self.link.send(sequence, &Response::Calibrated { count, expected }))
    }

    fn memory(&self) -> MemoryUse {
        let (arena, scratch, plan) = match &*self.model {
            Ok(executor) => {
                let header = executor.header();
                (header.arena_bytes, header.scratch_bytes, as_u32(executor.plan_bytes()))
            }
            Err(_) => (0, 0, 0),
        };
        MemoryUse {
            arena,
            scratch,
            arena_capacity: self.ram.arena_capacity,
            plan,
            statics: self.ram.statics,
            stack: (self.ram.stack_high_water)(),
            stack_capacity: self.ram.stack_capacity,
        }
    }
}

/// The line's own result, or a refusal that has yet to be sent.
type Answer<S> = Result<Result<(), <S as embedded_io::ErrorType>::Error>, Refusal>;

fn model_info<'e>(executor: &'e Executor<'_, '_>) -> ModelInfo<'e> {
    let (file, header) = (executor.file(), executor.header());
    let input_shape = file.tensor(0).map_or([0; 3], |tensor| tensor.shape);
    let classes = file.tensor(header.steps).map_or(0, |tensor| tensor.elements());
    ModelInfo {
        name: shortened(header.name),
        crc: file.crc(),
        input_shape,
        output_bytes: as_u32(executor.output().len()),
        classes: u16::try_from(classes).unwrap_or(u16::MAX),
        steps: header.steps,
    }
}

pub(crate) fn output_of(executor: &Executor<'_, '_>) -> Output {
    let file = executor.file();
    let probabilities =
        matches!(file.steps().last(), Some(step) if matches!(step.op, Op::Softmax(_)));
    let (dtype, scale, zero_point) = match file.tensor(executor.header().steps) {
        Some(tensor) => (tensor.dtype, tensor.scale, tensor.zero_point),
        None => (model_format::Dtype::I8, 1.0, 0),
    };
    Output { dtype, scale, zero_point, probabilities }
}

/// As much of a name as a frame is sure to hold.
fn shortened(name: &str) -> &str {
    (0..=NAME_BYTES_MAX).rev().find_map(|end| name.get(..end.min(name.len()))).unwrap_or_default()
}

fn load_failure(error: &LoadError) -> LoadFailure {
    LoadFailure { code: error.code(), details: error.details() }
}

fn no_model(error: &mut LoadError) -> Refusal {
    Refusal::NoModel(load_failure(error))
}

fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
