//! The walk over the plan.

use crate::arena::Block;
use crate::best::{best, logits};
use crate::error::LoadError;
use crate::load::decode;
use crate::step::{Memory, Step, run};
use resmcu_model_format::flow::{Flows, Move, Next, Walk};
use resmcu_model_format::{Dtype, Header, ModelFile};
use zerocopy::IntoBytes;

/// What may look on while a model runs: profilers and tracers.
pub trait Observer {
    /// Step number `step` begins to make rows.
    fn step_begin(&mut self, step: usize) {
        let _ = step;
    }

    /// Step number `step` has made `output`, in raster order: the bytes of its tensor from byte
    /// `at` on. All of it where the step makes all rows at once; nothing where a sum is not
    /// complete.
    fn step_end(&mut self, step: usize, at: usize, output: &[u8]) {
        let _ = (step, at, output);
    }
}

/// Nobody looks on.
impl Observer for () {}

/// A byte of an image as the input tensor holds it: `v - 128`.
#[inline]
#[must_use]
pub const fn pixel_to_input(v: u8) -> u8 {
    v ^ PIXEL
}

/// What makes a pixel an input.
const PIXEL: u8 = 0x80;

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Rows of a tensor were made.
    Made,
    /// Nothing can be made before more of the input is written.
    NeedsInput,
    /// The output is complete.
    Done,
}

/// A checked model with its arena and its decoded plan.
#[derive(Debug)]
pub struct Executor<'m, 'a> {
    file: ModelFile<'m>,
    plan: &'a mut [Step],
    arena: &'a mut [u8],
    scratch: &'a mut [u8],
    walk: Walk,
    /// Bytes of the input that were written.
    written: usize,
}

impl<'m, 'a> Executor<'m, 'a> {
    /// Checks `file` whole and decodes its plan into `plan`, which has room for one entry more than
    /// the model has steps. `arena` is for its tensors and scratch.
    ///
    /// The file has to begin at a multiple of 16 bytes, as in flash or in a slice of [`Block`]s.
    ///
    /// # Errors
    /// Where the file is wrong, or needs what this build or this memory does not have.
    pub fn new(
        file: &'m [u8],
        arena: &'a mut [Block],
        plan: &'a mut [Step],
    ) -> Result<Self, LoadError> {
        let file = ModelFile::parse(file)?;
        let header = file.header();
        let bytes = arena.as_mut_bytes();
        let tensors = header.arena_bytes.checked_next_multiple_of(Block::BYTES as u32);
        let tensors = tensors.unwrap_or(u32::MAX) as usize;
        let need = tensors.saturating_add(header.scratch_bytes as usize);
        let have = bytes.len();
        let too_small = || LoadError::Arena { need: as_u32(need), have: as_u32(have) };
        let (arena, rest) = bytes.split_at_mut_checked(tensors).ok_or_else(too_small)?;
        let scratch = rest.get_mut(..header.scratch_bytes as usize).ok_or_else(too_small)?;
        let capacity = u16::try_from(plan.len().saturating_sub(1)).unwrap_or(u16::MAX);
        let too_many = LoadError::TooManySteps { steps: header.steps, capacity };
        let plan = plan.get_mut(..usize::from(header.tensors)).ok_or(too_many)?;
        decode(&file, plan)?;
        Ok(Self { file, plan, arena, scratch, walk: Walk::new(), written: 0 })
    }

    /// The model that runs here.
    #[must_use]
    pub fn file(&self) -> &ModelFile<'m> {
        &self.file
    }

    /// What the model says of itself.
    #[must_use]
    pub fn header(&self) -> &Header<'m> {
        self.file.header()
    }

    /// RAM of the decoded plan that this model uses, in bytes.
    #[must_use]
    pub fn plan_bytes(&self) -> usize {
        size_of_val(self.plan)
    }

    /// Bytes of the input, `[H,W,C]` int8.
    #[must_use]
    pub fn input_bytes(&self) -> usize {
        self.plan.first().map_or(0, |input| {
            usize::from(input.flow.height).saturating_mul(input.flow.row_bytes as usize)
        })
    }

    /// Whether the input has memory for some rows only, so that steps have to run between them.
    #[must_use]
    pub fn takes_rows(&self) -> bool {
        self.plan.first().is_some_and(|input| input.flow.on_demand)
    }

    /// The input's memory where it holds all of it; nothing where it [takes
    /// rows](Self::takes_rows).
    #[must_use]
    pub fn whole_input(&self) -> &[u8] {
        let start = self.plan.first().map_or(0, |input| input.flow.offset) as usize;
        let bytes = if self.takes_rows() { 0 } else { self.input_bytes() };
        self.arena.get(start..start.saturating_add(bytes)).unwrap_or_default()
    }

    /// Bytes of the present input that were written.
    #[must_use]
    pub fn written(&self) -> usize {
        self.written
    }

    /// The output tensor: int32 logits, or int8 in the profile `tflite`.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        let Some(last) = self.plan.last() else { return &[] };
        let start = last.flow.offset as usize;
        let bytes = usize::from(last.flow.height).saturating_mul(last.flow.row_bytes as usize);
        self.arena.get(start..start.saturating_add(bytes)).unwrap_or_default()
    }

    /// The best classes of the output, best first, each with its integer there.
    #[must_use]
    pub fn best<const K: usize>(&self) -> [Option<(u16, i32)>; K] {
        let output = self.file.tensor(self.header().steps);
        best(logits(output.map_or(Dtype::I8, |output| output.dtype), self.output()))
    }

    /// Begins a new inference: what was written and made is forgotten.
    pub fn begin(&mut self) {
        Flows(self.plan).reset();
        (self.walk, self.written) = (Walk::new(), 0);
    }

    /// Writes the next bytes of the input, as many as there is room for, and gives their number.
    /// Where it is smaller than `bytes`, a [`Self::step`] makes room, or the input is complete.
    #[must_use]
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.write_flipped(bytes, 0)
    }

    /// The same for bytes of an image.
    #[must_use]
    pub fn write_image(&mut self, pixels: &[u8]) -> usize {
        self.write_flipped(pixels, PIXEL)
    }

    fn write_flipped(&mut self, bytes: &[u8], flip: u8) -> usize {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let Some(room) = self.room_for_input() else { break };
            let count = rest.len().min(room.len());
            for (target, &byte) in room.iter_mut().zip(rest) {
                *target = byte ^ flip;
            }
            taken += count;
            self.written += count;
            let row_bytes = self.plan.first().map_or(1, |input| input.flow.row_bytes.max(1));
            if self.written.is_multiple_of(row_bytes as usize) {
                let rows = u16::try_from(self.written / row_bytes as usize).unwrap_or(u16::MAX);
                self.walk.made(&mut Flows(self.plan), 0, rows);
            }
        }
        taken
    }

    /// What is left of the row that is being written.
    fn room_for_input(&mut self) -> Option<&mut [u8]> {
        let mut flows = Flows(self.plan);
        let input = *flows.at(0);
        let (row, end) = (input.made, input.made.saturating_add(1));
        if input.made >= input.height {
            return None;
        }
        if let Some(moved) = flows.make_room(0, [row, end]) {
            move_up(self.arena, &moved);
        }
        if end.saturating_sub(flows.at(0).base) > input.capacity {
            return None;
        }
        let row = flows.place(0, [row, end]);
        let done = self.written.checked_rem(input.row_bytes as usize).unwrap_or(0);
        self.arena.get_mut(row)?.get_mut(done..)
    }

    /// Makes the next rows of one tensor.
    pub fn step(&mut self, observer: &mut impl Observer) -> Progress {
        let mut flows = Flows(self.plan);
        let input = flows.at(0);
        if !input.on_demand && input.made < input.height {
            return Progress::NeedsInput;
        }
        let (tensor, rows) = match self.walk.next(&mut flows) {
            Next::Done => return Progress::Done,
            Next::Input => return Progress::NeedsInput,
            Next::Make { tensor, rows } => (tensor, rows),
        };
        let step = usize::from(tensor).saturating_sub(1);
        observer.step_begin(step);
        if let Some(moved) = flows.make_room(tensor, rows) {
            move_up(self.arena, &moved);
        }
        let memory = Memory { arena: self.arena, scratch: self.scratch };
        run(&self.file, &flows, (tensor, rows), memory);
        let flow = flows.at(tensor);
        let mut output = flows.place(tensor, rows);
        let mut at = usize::from(rows[0]).saturating_mul(flow.row_bytes as usize);
        if flow.sums {
            at = 0;
            if rows[1] < flow.height {
                output.end = output.start;
            }
        }
        self.walk.made(&mut flows, tensor, rows[1]);
        observer.step_end(step, at, self.arena.get(output).unwrap_or_default());
        Progress::Made
    }

    /// Runs all steps that what was written allows, all of them if that is the whole input, and
    /// gives the output.
    pub fn run(&mut self, observer: &mut impl Observer) -> &[u8] {
        while self.step(observer) == Progress::Made {}
        self.output()
    }

    /// A whole inference of an input `[H,W,C]`, int8, of [`Self::input_bytes`]; another size gives
    /// no meaningful output.
    pub fn infer(&mut self, input: &[u8], observer: &mut impl Observer) -> &[u8] {
        self.infer_flipped(input, 0, observer)
    }

    /// The same of the bytes of an image.
    pub fn infer_image(&mut self, pixels: &[u8], observer: &mut impl Observer) -> &[u8] {
        self.infer_flipped(pixels, PIXEL, observer)
    }

    /// Writes the next bytes of the input, and makes what has to be made before they have room.
    /// Those that it has too many are not read.
    pub fn feed(&mut self, bytes: &[u8], observer: &mut impl Observer) {
        self.feed_flipped(bytes, 0, observer);
    }

    fn infer_flipped(&mut self, input: &[u8], flip: u8, observer: &mut impl Observer) -> &[u8] {
        self.begin();
        self.feed_flipped(input, flip, observer);
        self.run(observer)
    }

    fn feed_flipped(&mut self, bytes: &[u8], flip: u8, observer: &mut impl Observer) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.write_flipped(rest, flip);
            rest = rest.get(taken..).unwrap_or_default();
            if taken == 0 && self.step(observer) != Progress::Made {
                break;
            }
        }
    }
}

/// Moves bytes of the arena towards its start.
fn move_up(arena: &mut [u8], moved: &Move) {
    let distance = moved.from.start.saturating_sub(moved.to);
    if let Some(bytes) = arena.get_mut(moved.to..moved.from.end)
        && distance <= bytes.len()
    {
        bytes.copy_within(distance.., 0);
    }
}

fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
