//! Runs model files on the host, by the runtime that the boards have.

use resmcu_int8_runtime::{Block, Executor, LoadError, Observer};
use zerocopy::IntoBytes;

/// As many steps as any model of the tests has.
pub(crate) const STEPS_MAX: usize = 160;

/// The runtime with a plan of that length.
pub(crate) type HostExecutor<'m, 'a> = Executor<'m, 'a, STEPS_MAX>;

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

/// Collects every step's output.
#[derive(Default)]
pub(crate) struct Trace(pub(crate) Vec<Vec<u8>>);

impl Observer for Trace {
    fn step_end(&mut self, step: usize, output: &[u8]) {
        assert_eq!(step, self.0.len(), "steps run in their order");
        self.0.push(output.to_vec());
    }
}

/// Every step's output for one input tensor.
pub(crate) fn trace(file: &[u8], input: &[i8]) -> Result<Vec<Vec<u8>>, LoadError> {
    let flash = Flash::new(file);
    let mut arena = arena(1 << 22);
    let mut executor = HostExecutor::new(flash.bytes(), &mut arena)?;
    executor.input_mut().copy_from_slice(input.as_bytes());
    let mut trace = Trace::default();
    executor.run(&mut trace);
    Ok(trace.0)
}
