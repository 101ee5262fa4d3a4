//! Asking for memory before its turn comes.
//!
//! A batch's activations are larger than the caches, and a core that only asks for what it needs
//! next waits for it: a contraction asks for the next images' while it multiplies, line by line.
//! Owns the order and that no line is asked for twice; the pace is the contraction's, and what
//! comes next is the shard's to say.

use std::ops::Range;

use super::lanes::LANES;

/// Blocks of a list; more are not asked for.
const BLOCKS: usize = 16;

/// A processor's way of asking.
pub(super) trait Prefetch {
    /// Asks for a cache line at any address, readable or not, into the second-level cache.
    ///
    /// # Safety
    /// The processor has the implementation's instruction set.
    unsafe fn prefetch(at: *const f32);
    /// The same into the first-level cache.
    ///
    /// # Safety
    /// As above.
    unsafe fn prefetch_near(at: *const f32);
}

/// Where some memory begins: to ask for it, never to read it. That it is gone or somebody writes it
/// does no harm, so that nothing is borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address(usize);

impl Address {
    /// Where `values` begin.
    pub fn of(values: &[f32]) -> Self {
        Self(values.as_ptr().addr())
    }

    fn add_lines(self, lines: usize) -> Self {
        Self(self.0.wrapping_add(lines * LANES * size_of::<f32>()))
    }
}

/// Blocks of memory, in the order in which they will be used.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// Where they begin, and their cache lines.
    blocks: [(Address, usize); BLOCKS],
    count: usize,
    /// The block, and the line in it, that is the next to be asked for.
    next: (usize, usize),
}

impl Ahead {
    /// Forgets all blocks.
    pub fn clear(&mut self) {
        (self.count, self.next) = (0, (0, 0));
    }

    /// Appends values of a memory, unless they are there or none.
    pub fn add(&mut self, memory: Address, values: Range<usize>) {
        let start = memory.0.wrapping_add(values.start * size_of::<f32>());
        let block = (Address(start), values.len().div_ceil(LANES));
        if block.1 > 0 && self.count < BLOCKS && !self.blocks[..self.count].contains(&block) {
            self.blocks[self.count] = block;
            self.count += 1;
        }
    }

    /// The next lines, at most `lines` of them, which the caller asks for.
    pub(super) fn take(&mut self, lines: usize) -> Lines {
        let (block, first) = self.next;
        if block == self.count {
            return Lines::default();
        }
        let (start, in_block) = self.blocks[block];
        let count = lines.min(in_block - first);
        let at = start.add_lines(first);
        self.next = if first + count == in_block { (block + 1, 0) } else { (block, first + count) };
        Lines { at, last: at.add_lines(count.saturating_sub(1)) }
    }
}

/// Lines that are asked for one by one between multiplications. All at once they would fill the
/// processor's buffers for lines on their way, and whatever else it reads would have to wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    at: Address,
    last: Address,
}

impl Lines {
    /// Asks for the next line; after the last one, for that one again, which costs little.
    ///
    /// # Safety
    /// The processor has what `P` asks for.
    #[inline(always)]
    pub(super) unsafe fn ask<P: Prefetch>(&mut self) {
        // SAFETY: the caller's contract.
        unsafe { P::prefetch(std::ptr::without_provenance(self.at.0)) };
        self.at = Address(self.at.add_lines(1).0.min(self.last.0));
    }
}
