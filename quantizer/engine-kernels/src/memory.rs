//! Memory whose first value lies at the start of a cache line, in huge pages where it is large.
//!
//! A step passes over hundreds of megabytes; in pages of 4 KiB it waits for the page tables too.
//! Huge pages are asked for where the system takes advice (Linux); elsewhere, and where it refuses,
//! pages are small and nothing else changes.

use memmap2::MmapMut;
use zerocopy::FromBytes;

use super::LANES;

/// Values from which on memory has pages of its own: a huge page's of the common processors.
const MAPPED_VALUES: usize = 2 * 1024 * 1024 / size_of::<f32>();

/// Values of one allocation, aligned to 64 bytes.
#[derive(Debug, Default)]
pub struct Arena {
    memory: Memory,
    start: usize,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<f32>),
    Mapped(MmapMut),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Memory {
    fn new(len: usize) -> Self {
        if len < MAPPED_VALUES {
            return Self::Heap(vec![0.0; len]);
        }
        let Ok(pages) = MmapMut::map_anon(len * size_of::<f32>()) else {
            return Self::Heap(vec![0.0; len]);
        };
        #[cfg(target_os = "linux")]
        // A kernel without huge pages refuses: then they are small.
        let _ = pages.advise(memmap2::Advice::HugePage);
        Self::Mapped(pages)
    }

    /// Pages are aligned and full of bytes that are values, so the conversions cannot fail.
    fn values(&self) -> &[f32] {
        match self {
            Self::Heap(values) => values,
            Self::Mapped(pages) => <[f32]>::ref_from_bytes(pages).unwrap_or(&[]),
        }
    }

    fn values_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Heap(values) => values,
            Self::Mapped(pages) => <[f32]>::mut_from_bytes(pages).unwrap_or(&mut []),
        }
    }
}

impl Arena {
    /// Makes room for `len` values; allocates only where there was less. What the values are is
    /// not said.
    pub fn resize(&mut self, len: usize) {
        if len + LANES > self.memory.values().len() {
            // First the old goes: both at once may be too much.
            self.memory = Memory::default();
            self.memory = Memory::new(len + LANES);
            let to_line = self.memory.values().as_ptr().align_offset(LANES * size_of::<f32>());
            self.start = if to_line < LANES { to_line } else { 0 };
        }
        self.len = len;
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.memory.values()[self.start..self.start + self.len]
    }

    /// All values, to be written.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.memory.values_mut()[self.start..self.start + self.len]
    }
}
