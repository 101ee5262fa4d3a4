//! The plugin's file: sections between reads of the counter, and which of them were measured.

/// A translation block of the emulator, and how often it ran in one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first byte.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
    /// Its instructions.
    pub instructions: u64,
    /// How often it ran.
    pub executed: u64,
    /// How often what followed was not the byte after it.
    pub taken: u64,
}

/// What ran between two reads of the counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// Words that were loaded from flash.
    pub(super) flash_loads: u64,
    pub(super) blocks: Vec<Block>,
}

impl Section {
    /// Its instructions.
    fn length(&self) -> u64 {
        self.blocks.iter().map(|block| block.instructions * block.executed).sum()
    }
}

/// The section of two reads with nothing between them: the device reads its counter four times
/// when it starts, and takes the distance of the last two for what a read costs.
const EMPTY_SECTION: usize = 3;

/// Reads the file that the plugin's header specifies.
pub(super) fn parse(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let bad = || format!("line {number} of the plugin's file: `{line}`");
        let address = |word: &str| u64::from_str_radix(word, 16).map_err(|_| bad());
        let count = |word: &str| word.parse().map_err(|_| bad());
        if let Some(loads) = line.strip_prefix("section ") {
            sections.push(Section { flash_loads: count(loads)?, blocks: vec![] });
            continue;
        }
        let words: Vec<_> = line.split(' ').collect();
        let &[start, end, instructions, executed, taken] = &words[..] else { return Err(bad()) };
        let block = Block {
            start: address(start)?,
            end: address(end)?,
            instructions: count(instructions)?,
            executed: count(executed)?,
            taken: count(taken)?,
        };
        sections.last_mut().ok_or_else(bad)?.blocks.push(block);
    }
    Ok(sections)
}

/// The sections that are the last measured spans, of these counts: the device reads its counter
/// around each span, and before the first and after the last that it runs in a row. It runs some
/// for each of `requests`, at most, and those that are left at the end; so between spans lies one
/// section, and where it waited for a request three. What a read costs is taken off as the device
/// does.
pub(super) fn spans(
    mut sections: Vec<Section>,
    counts: &[u64],
    requests: usize,
) -> Result<Vec<Section>, String> {
    let few = format!("the plugin saw {} reads of the counter", sections.len().saturating_sub(1));
    let empty = sections.get(EMPTY_SECTION).map(Section::length).ok_or(few.clone())?;
    // After the last read there is one section, before it one that ends a run's begin-to-end.
    let mut at = sections.len().checked_sub(3).ok_or(few.clone())?;
    let (mut spans, mut waits) = (Vec::with_capacity(counts.len()), 0);
    for (index, &count) in counts.iter().enumerate().rev() {
        let mut seen = sections[at].length().saturating_sub(empty);
        while seen != count {
            waits += 1;
            if waits > requests {
                return Err(format!("span {index}: the device counted {count}, the plugin {seen}"));
            }
            at = at.checked_sub(2).ok_or(few.clone())?;
            seen = sections[at].length().saturating_sub(empty);
        }
        spans.push(std::mem::take(&mut sections[at]));
        if index > 0 {
            at = at.checked_sub(2).ok_or(few.clone())?;
        }
    }
    spans.reverse();
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section of one block of that many instructions.
    fn section(instructions: u64) -> Section {
        let block = Block { start: 0, end: 4, instructions, executed: 1, taken: 0 };
        Section { flash_loads: 0, blocks: vec![block] }
    }

    #[track_caller]
    fn check(lengths: &[u64], counts: &[u64], requests: usize, expected: Option<&[u64]>) {
        let sections = lengths.iter().map(|&n| section(n)).collect();
        let found = spans(sections, counts, requests).ok();
        let found: Option<Vec<u64>> =
            found.map(|spans| spans.iter().map(Section::length).collect());
        assert_eq!(found.as_deref(), expected, "{lengths:?}, {counts:?}, {requests}");
    }

    #[test]
    fn spans_are_the_sections_between_pairs_of_reads() {
        // Start, three of the stopwatch, to the run's begin, to the span's, it, to the end, after.
        check(&[9, 7, 5, 5, 50, 6, 105, 30, 4], &[100], 0, Some(&[105]));
        check(&[9, 7, 5, 5, 50, 6, 105, 30, 205, 8, 4], &[100, 200], 0, Some(&[105, 205]));
        check(&[9, 7, 5, 5, 50, 6, 105, 30, 4], &[99], 0, None); // another count
        check(&[9, 7, 5], &[100], 1, None);
        check(&[9, 7, 5, 5], &[1, 2, 3], 9, None); // fewer reads than spans
        // To the end of a run, between requests, to the next run's begin.
        let waited = [9, 7, 5, 5, 50, 6, 105, 30, 4000, 7, 205, 8, 4];
        check(&waited, &[100, 200], 1, Some(&[105, 205]));
        check(&waited, &[100, 200], 0, None); // there was no wait
        check(&waited, &[100, 201], 1, None);
    }

    #[test]
    fn the_file_is_read_or_refused() {
        let block = Block { start: 0x400, end: 0x40e, instructions: 5, executed: 2, taken: 1 };
        let empty = Section { flash_loads: 7, blocks: vec![] };
        let expected = vec![empty, Section { flash_loads: 0, blocks: vec![block] }];
        assert_eq!(parse("section 7\nsection 0\n400 40e 5 2 1\n"), Ok(expected));
        let bad =
            ["400 40e 5 2 1", "section", "section 0\n400 40e 5 2", "section 0\n400 40e 5 2 x"];
        for bad in bad {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
