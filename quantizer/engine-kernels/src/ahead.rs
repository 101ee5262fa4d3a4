//! Asking for memory before its turn comes.
//!
//! A batch's activations are larger than the caches, and a core that only asks for what it needs
//! next waits for it: a contraction has time to ask for the next images' while it multiplies.
//! Owns the order and the pace; what comes next is the shard's to say.

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

/// Blocks of memory, in the order in which they will be used. Asking for memory neither reads nor
/// changes it, so that nothing is borrowed.
#[derive(Clone, Debug)]
pub struct Ahead {
    /// Where they begin, and their cache lines.
    blocks: [(*const f32, usize); BLOCKS],
    count: usize,
    /// The block, and the line in it, that is the next to be asked for.
    next: (usize, usize),
}

// SAFETY: the addresses are never read from.
unsafe impl Send for Ahead {}

impl Default for Ahead {
    fn default() -> Self {
        Self { blocks: [(std::ptr::null(), 0); BLOCKS], count: 0, next: (0, 0) }
    }
}

impl Ahead {
    /// Forgets all blocks.
    pub fn clear(&mut self) {
        (self.count, self.next) = (0, (0, 0));
    }

    /// Appends a block, unless it is there or empty.
    pub fn add(&mut self, values: &[f32]) {
        let block = (values.as_ptr(), values.len().div_ceil(LANES));
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
        let at = start.wrapping_add(first * LANES);
        self.next = if first + count == in_block { (block + 1, 0) } else { (block, first + count) };
        Lines { at, last: at.wrapping_add(count.saturating_sub(1) * LANES) }
    }
}

/// Lines that are asked for one by one between multiplications. All at once they would fill the
/// processor's buffers for lines on their way, and whatever else it reads would have to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    at: *const f32,
    last: *const f32,
}

impl Default for Lines {
    fn default() -> Self {
        Self { at: std::ptr::null(), last: std::ptr::null() }
    }
}

impl Lines {
    /// Asks for the next line; after the last one, for that one again, which costs little.
    ///
    /// # Safety
    /// The processor has what `P` asks for.
    #[inline(always)]
    pub(super) unsafe fn ask<P: Prefetch>(&mut self) {
        // SAFETY: the caller's contract.
        unsafe { P::prefetch(self.at) };
        self.at = self.at.wrapping_add(LANES).min(self.last);
    }
}
