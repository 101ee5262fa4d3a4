//! SiFive's E31: what its instructions wait for, one another's results.
//!
//! By its manual the pipeline issues one instruction a cycle, and most results are there in the
//! next one; words from memory a cycle later, bytes and halves two, products four, since the
//! multiplier takes eight bits a cycle and one operation at a time. An instruction waits for its
//! sources and for what is still to be written to its destination. Blocks begin with all results
//! there. What is not of RV32IMC takes one cycle.

/// Cycles from an instruction to its result.
const WORD: u64 = 2;
const NARROW: u64 = 3;
const PRODUCT: u64 = 5;
const QUOTIENT: u64 = 33;
const STATUS: u64 = 3;

/// What an instruction reads and writes; register 0 stands for none.
#[derive(Clone, Copy, Default)]
struct Decoded {
    sources: [usize; 2],
    destination: usize,
    latency: u64,
    /// It occupies the multiplier.
    multiplies: bool,
    is_conditional: bool,
}

/// Cycles of code that runs through, and whether a conditional branch ends it.
pub(super) fn cycles(mut bytes: &[u8]) -> (u64, bool) {
    let (mut ready, mut multiplier, mut now) = ([0; 32], 0, 0);
    let mut is_conditional = false;
    while let &[a, b, ref rest @ ..] = bytes {
        let half = u16::from_le_bytes([a, b]);
        let decoded = match *rest {
            [c, d, ..] if half & 3 == 3 => {
                bytes = rest.get(2..).unwrap_or_default();
                word(u32::from_le_bytes([a, b, c, d]))
            }
            _ => {
                bytes = rest;
                compressed(half)
            }
        };
        let [first, second] = decoded.sources.map(|source| ready[source]);
        let mut issue = now.max(first).max(second).max(ready[decoded.destination]);
        if decoded.multiplies {
            issue = issue.max(multiplier);
            multiplier = issue + decoded.latency;
        }
        if decoded.destination != 0 {
            ready[decoded.destination] = issue + decoded.latency;
        }
        now = issue + 1;
        is_conditional = decoded.is_conditional;
    }
    (now, is_conditional)
}

/// An instruction of 32 bits.
fn word(word: u32) -> Decoded {
    let field = |at: u32| (word >> at & 31) as usize;
    let (destination, first, second, function) = (field(7), field(15), field(20), word >> 12 & 7);
    let of = |sources, destination, latency| Decoded {
        sources,
        destination,
        latency,
        ..Decoded::default()
    };
    match word & 0x7f {
        0x03 => of([first, 0], destination, if function == 2 { WORD } else { NARROW }),
        0x23 => of([first, second], 0, 1),
        0x33 if word >> 25 == 1 => {
            let latency = if function < 4 { PRODUCT } else { QUOTIENT };
            Decoded { multiplies: true, ..of([first, second], destination, latency) }
        }
        0x33 => of([first, second], destination, 1),
        0x13 | 0x67 => of([first, 0], destination, 1),
        0x63 => Decoded { is_conditional: true, ..of([first, second], 0, 1) },
        0x73 => of([first, 0], destination, STATUS),
        _ => of([0; 2], destination, 1),
    }
}

/// One of 16 bits.
fn compressed(half: u16) -> Decoded {
    let field = |at: u16| usize::from(half >> at & 31);
    // Registers 8 to 15.
    let short = |at: u16| usize::from(half >> at & 7) + 8;
    let (full, second) = (field(7), field(2));
    let of = |sources, destination, latency| Decoded {
        sources,
        destination,
        latency,
        ..Decoded::default()
    };
    match (half & 3, half >> 13) {
        (0, 0) => of([2, 0], short(2), 1),
        (0, 2) => of([short(7), 0], short(2), WORD),
        (0, 6) => of([short(7), short(2)], 0, 1),
        (1, 0) | (2, 0) => of([full, 0], full, 1),
        (1, 1) => of([0; 2], 1, 1),
        (1, 2 | 3) => of([0; 2], full, 1),
        (1, 4) if half >> 10 & 3 == 3 => of([short(7), short(2)], short(7), 1),
        (1, 4) => of([short(7), 0], short(7), 1),
        (1, 6 | 7) => Decoded { is_conditional: true, ..of([short(7), 0], 0, 1) },
        (2, 2) => of([2, 0], full, WORD),
        // Jumps have no second register; moves have no first source.
        (2, 4) if second == 0 => of([full, 0], usize::from(half >> 12 & 1), 1),
        (2, 4) if half >> 12 & 1 == 0 => of([second, 0], full, 1),
        (2, 4) => of([full, second], full, 1),
        (2, 6) => of([2, second], 0, 1),
        _ => of([0; 2], 0, 1),
    }
}
