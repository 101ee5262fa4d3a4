//! Runs model files on the host, by the runtime that the boards have.

use resmcu_int8_runtime::{Block, Executor, LoadError, Observer, Step};
use zerocopy::IntoBytes;

/// Room for a plan of as many steps as any model of the tests has.
pub(crate) fn plan() -> Vec<Step> {
    vec![Step::VACANT; 161]
}

/// A model file at a multiple of 16 bytes, as in flash.
pub(crate) struct Flash {
    blocks: Vec<Block>,
    bytes: usize,
}

impl Flash {
    pub(crate) fn new(file: &[u8]) -> Self {
        let mut blocks = vec![Block::ZERO; file.len().div_ceil(Block::BYTES)];
        blocks.as_mut_bytes()[..file.len()].copy_from_slice(file);
        Self { blocks, bytes: file.len() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.blocks.as_bytes()[..self.bytes]
    }
}

/// An arena of at least `bytes` bytes, full of what was there before.
pub(crate) fn arena(bytes: usize) -> Vec<Block> {
    let mut blocks = vec![Block::ZERO; bytes.div_ceil(Block::BYTES)];
    blocks.as_mut_bytes().fill(0xA5);
    blocks
}

/// Collects every step's output, whose rows come in their order.
#[derive(Default)]
pub(crate) struct Trace(pub(crate) Vec<Vec<u8>>);

impl Observer for Trace {
    fn step_end(&mut self, step: usize, at: usize, output: &[u8]) {
        let steps = self.0.len().max(step + 1);
        self.0.resize(steps, Vec::new());
        assert_eq!(at, self.0[step].len(), "rows of step {step} are made in their order");
        self.0[step].extend_from_slice(output);
    }
}

/// Every step's output for one input tensor.
pub(crate) fn trace(file: &[u8], input: &[i8]) -> Result<Vec<Vec<u8>>, LoadError> {
    let flash = Flash::new(file);
    let (mut arena, mut plan) = (arena(1 << 22), plan());
    let mut executor = Executor::new(flash.bytes(), &mut arena, &mut plan)?;
    let mut trace = Trace::default();
    executor.infer(input.as_bytes(), &mut trace);
    Ok(trace.0)
}
