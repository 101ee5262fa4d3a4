//! Memory whose first value lies at the start of a cache line.

use super::LANES;

/// Values of one allocation, aligned to 64 bytes.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Arena {
    /// Makes room for `len` values; allocates only where there was less. What the values are is
    /// not said.
    pub fn resize(&mut self, len: usize) {
        if len + LANES > self.memory.len() {
            self.memory = vec![0.0; len + LANES];
            let to_line = self.memory.as_ptr().align_offset(LANES * size_of::<f32>());
            self.start = if to_line < LANES { to_line } else { 0 };
        }
        self.len = len;
    }

    /// Makes room for `len` values, all of them zero.
    pub fn zeroed(&mut self, len: usize) -> &mut [f32] {
        self.resize(len);
        self.values_mut().fill(0.0);
        self.values_mut()
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }

    /// All values, to be written.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}
