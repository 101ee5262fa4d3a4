//! Asking for memory before its turn comes.
//!
//! A batch's activations are larger than the caches, and a core that only asks for what it needs
//! next waits for it: a contraction has time to ask for the next images' while it multiplies.
//! Owns the order and the pace; what comes next is the shard's to say.

use super::lanes::LANES;

/// Blocks of a list; more are not asked for.
const BLOCKS: usize = 16;

/// Vector multiplications for which one cache line is asked for.
pub(super) const PRODUCTS_LINE: usize = 16;

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

    /// Appends a block, unless it is there.
    pub fn add(&mut self, values: &[f32]) {
        let block = (values.as_ptr(), values.len().div_ceil(LANES));
        if self.count < BLOCKS && !self.blocks[..self.count].contains(&block) {
            self.blocks[self.count] = block;
            self.count += 1;
        }
    }

    /// Asks for as many lines as there is time for during `products`.
    ///
    /// # Safety
    /// The processor has what `P` asks for.
    #[inline(always)]
    pub(super) unsafe fn ask<P: Prefetch>(&mut self, products: usize) {
        let mut lines = products / PRODUCTS_LINE;
        while lines > 0 && self.next.0 < self.count {
            let (start, in_block) = self.blocks[self.next.0];
            let now = lines.min(in_block - self.next.1);
            for line in self.next.1..self.next.1 + now {
                // SAFETY: the caller's contract.
                unsafe { P::prefetch(start.wrapping_add(line * LANES)) };
            }
            lines -= now;
            self.next.1 += now;
            if self.next.1 == in_block {
                self.next = (self.next.0 + 1, 0);
            }
        }
    }
}
