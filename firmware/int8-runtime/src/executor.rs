//! The walk over the plan.

use crate::arena::{Block, Span};
use crate::error::LoadError;
use crate::load::{Decoder, span};
use crate::step::Step;
use resmcu_model_format::{Header, ModelFile};
use zerocopy::IntoBytes;

/// What may look on while a model runs: profilers and tracers.
pub trait Observer {
    /// Step number `step` begins.
    fn step_begin(&mut self, step: usize) {
        let _ = step;
    }

    /// Step number `step` has made `output`, in raster order.
    fn step_end(&mut self, step: usize, output: &[u8]) {
        let _ = (step, output);
    }
}

/// Nobody looks on.
impl Observer for () {}

/// A byte of an image as the input tensor holds it: `v - 128`.
#[inline]
#[must_use]
pub const fn pixel_to_input(v: u8) -> u8 {
    v ^ 0x80
}

/// A checked model with its arena. At most `STEPS` steps are decoded, into this value.
#[derive(Debug)]
pub struct Executor<'m, 'a, const STEPS: usize> {
    file: ModelFile<'m>,
    steps: heapless::Vec<Step<'m>, STEPS>,
    arena: &'a mut [u8],
    scratch: &'a mut [u8],
    input: Span,
    output: Span,
}

impl<'m, 'a, const STEPS: usize> Executor<'m, 'a, STEPS> {
    /// Checks `file` whole and decodes its plan. `arena` is for its tensors and scratch.
    ///
    /// The file has to begin at a multiple of 16 bytes, as in flash or in a slice of [`Block`]s.
    ///
    /// # Errors
    /// Where the file is wrong, or needs what this build or this arena does not have.
    pub fn new(file: &'m [u8], arena: &'a mut [Block]) -> Result<Self, LoadError> {
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
        let mut steps = heapless::Vec::new();
        let capacity = u16::try_from(STEPS).unwrap_or(u16::MAX);
        let too_many = LoadError::TooManySteps { steps: header.steps, capacity };
        for (step, record) in (0u16..).zip(file.steps()) {
            let decoded = Decoder { file: &file, step }.decode(&record)?;
            steps.push(decoded).map_err(|_| too_many)?;
        }
        let input = file.tensor(0).map(|tensor| span(&tensor));
        let output = steps.last().map(|step: &Step<'_>| step.y);
        let (input, output) = input.zip(output).ok_or(too_many)?;
        Ok(Self { file, steps, arena, scratch, input, output })
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
        self.steps.len() * crate::STEP_BYTES
    }

    /// The input tensor, `[H,W,C]` int8. A run may overwrite it.
    #[must_use]
    pub fn input_mut(&mut self) -> &mut [u8] {
        self.arena.get_mut(self.input.range()).unwrap_or_default()
    }

    /// The output tensor: int32 logits, or int8 in the profile `tflite`.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.arena.get(self.output.range()).unwrap_or_default()
    }

    /// Writes image bytes `[H,W,C]` from byte `offset` on; false where they end outside of it.
    #[must_use]
    pub fn write_image(&mut self, offset: usize, pixels: &[u8]) -> bool {
        let input = self.input_mut();
        let end = offset.saturating_add(pixels.len());
        let Some(target) = input.get_mut(offset..end) else { return false };
        for (target, &v) in target.iter_mut().zip(pixels) {
            *target = pixel_to_input(v);
        }
        true
    }

    /// Runs all steps on what the input tensor holds, and gives the output.
    pub fn run(&mut self, observer: &mut impl Observer) -> &[u8] {
        for (index, step) in self.steps.iter().enumerate() {
            observer.step_begin(index);
            step.run(self.arena, self.scratch);
            observer.step_end(index, self.arena.get(step.y.range()).unwrap_or_default());
        }
        self.output()
    }
}

fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
