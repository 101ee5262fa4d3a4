//! The counters: blocks, and the sections in which they ran.

use std::fmt::Write;

/// A translation block.
struct Block {
    start: u64,
    end: u64,
    instructions: u64,
    /// A section begins with it.
    is_mark: bool,
    /// In the present section.
    executed: u64,
    /// Of these, how often it was not followed by what lies behind it.
    taken: u64,
}

/// Counts of all blocks, by section.
#[derive(Default)]
pub(crate) struct Counts {
    blocks: Vec<Block>,
    /// Blocks that ran in the present section.
    touched: Vec<usize>,
    /// The block that ran last.
    last: Option<usize>,
    /// Loads from flash in the present section.
    loads: u64,
    /// What the finished sections amount to.
    text: String,
}

impl Counts {
    /// Takes a block up, and gives its number.
    pub(crate) fn add_block(
        &mut self,
        start: u64,
        end: u64,
        instructions: u64,
        is_mark: bool,
    ) -> usize {
        self.blocks.push(Block { start, end, instructions, is_mark, executed: 0, taken: 0 });
        self.blocks.len() - 1
    }

    /// Block `number` begins to run.
    pub(crate) fn execute(&mut self, number: usize) {
        let Some(&Block { start, is_mark, .. }) = self.blocks.get(number) else { return };
        let last = self.last.replace(number);
        if let Some(last) = last.and_then(|last| self.blocks.get_mut(last)) {
            last.taken += u64::from(last.end != start);
        }
        if is_mark {
            self.end_section();
        }
        let block = &mut self.blocks[number];
        if block.executed == 0 {
            self.touched.push(number);
        }
        block.executed += 1;
    }

    /// The block that runs loads `words` words from flash.
    pub(crate) fn load(&mut self, words: u64) {
        self.loads += words;
    }

    /// Writes the present section down, blocks at the same place as one, and begins the next.
    fn end_section(&mut self) {
        let line = writeln!(self.text, "section {}", std::mem::take(&mut self.loads));
        debug_assert!(line.is_ok(), "a string takes all");
        let blocks = &mut self.blocks;
        let place = |block: &Block| (block.start, block.end, block.instructions);
        self.touched.sort_by_key(|&number| place(&blocks[number]));
        let same = |a: &usize, b: &usize| place(&blocks[*a]) == place(&blocks[*b]);
        for blocks_there in self.touched.chunk_by(same) {
            let sum = |of: fn(&Block) -> u64| -> u64 {
                blocks_there.iter().map(|&number| of(&blocks[number])).sum()
            };
            let (executed, taken) = (sum(|block| block.executed), sum(|block| block.taken));
            let (start, end, instructions) = place(&blocks[blocks_there[0]]);
            let line = writeln!(self.text, "{start:x} {end:x} {instructions} {executed} {taken}");
            debug_assert!(line.is_ok(), "a string takes all");
        }
        for number in self.touched.drain(..) {
            (blocks[number].executed, blocks[number].taken) = (0, 0);
        }
    }

    /// All sections as text.
    pub(crate) fn finish(mut self) -> String {
        self.end_section();
        self.text
    }
}
