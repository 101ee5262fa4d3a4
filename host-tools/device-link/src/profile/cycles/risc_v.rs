//! Cores with RV32IMC: what their instructions wait for, one another's results.
//!
//! A pipeline issues one instruction a cycle, and most results are there in the next one. An
//! instruction waits for its sources and for what is still to be written to its destination. Blocks
//! begin with all results there. What is not of RV32IMC takes one cycle.

/// Cycles from an instruction to its result, and what else tells one core from another.
pub(super) struct Timing {
    word: u64,
    narrow: u64,
    product: u64,
    quotient: u64,
    status: u64,
    /// Whether nothing is issued while a quotient is computed.
    quotient_holds: bool,
    /// Whether a store waits for what it stores.
    store_waits: bool,
}

/// SiFive's: words from memory come a cycle later, bytes and halves two, products four, since the
/// multiplier takes eight bits a cycle and one operation at a time.
pub(super) const E31: Timing = Timing {
    word: 2,
    narrow: 3,
    product: 5,
    quotient: 33,
    status: 3,
    quotient_holds: false,
    store_waits: true,
};

/// Raspberry Pi's, as the RP2350 has it: only what memory gives comes a cycle later, and a store
/// takes that in time. Quotients need 18 cycles or, for their signs, 19.
pub(super) const HAZARD3: Timing = Timing {
    word: 2,
    narrow: 2,
    product: 1,
    quotient: 19,
    status: 1,
    quotient_holds: true,
    store_waits: false,
};

/// What gives a result.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Unit {
    #[default]
    Arithmetic,
    Word,
    Narrow,
    /// No result; its second source is what is stored.
    Store,
    Product,
    Quotient,
    Status,
}

/// How code ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// What follows runs next.
    #[default]
    Straight,
    /// A jump.
    Jump,
    /// A conditional branch to what lies behind.
    Forward,
    /// One to what lies before, as at the end of a loop.
    Backward,
}

impl End {
    fn branch(is_backward: bool) -> Self {
        if is_backward { Self::Backward } else { Self::Forward }
    }
}

/// What an instruction reads and writes; register 0 stands for none.
#[derive(Clone, Copy, Default)]
struct Decoded {
    sources: [usize; 2],
    destination: usize,
    unit: Unit,
    end: End,
}

impl Timing {
    fn latency(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Arithmetic | Unit::Store => 1,
            Unit::Word => self.word,
            Unit::Narrow => self.narrow,
            Unit::Product => self.product,
            Unit::Quotient => self.quotient,
            Unit::Status => self.status,
        }
    }
}

/// Cycles of code that runs through, and how it ends.
pub(super) fn cycles(timing: &Timing, mut bytes: &[u8]) -> (u64, End) {
    let (mut ready, mut multiplier, mut now) = ([0; 32], 0, 0);
    let mut end = End::Straight;
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
        let Decoded { sources: [first, second], destination, unit, .. } = decoded;
        let mut issue = now.max(ready[first]).max(ready[destination]);
        if unit != Unit::Store || timing.store_waits {
            issue = issue.max(ready[second]);
        }
        let latency = timing.latency(unit);
        if matches!(unit, Unit::Product | Unit::Quotient) {
            issue = issue.max(multiplier);
            multiplier = issue + latency;
        }
        if destination != 0 {
            ready[destination] = issue + latency;
        }
        let holds = timing.quotient_holds && unit == Unit::Quotient;
        now = issue + if holds { latency } else { 1 };
        end = decoded.end;
    }
    (now, end)
}

/// An instruction of 32 bits.
fn word(word: u32) -> Decoded {
    let field = |at: u32| (word >> at & 31) as usize;
    let (destination, first, second, function) = (field(7), field(15), field(20), word >> 12 & 7);
    let of = |sources, destination| Decoded { sources, destination, ..Decoded::default() };
    let by = |unit, decoded| Decoded { unit, ..decoded };
    let then = |end, decoded| Decoded { end, ..decoded };
    match word & 0x7f {
        0x03 if function == 2 => by(Unit::Word, of([first, 0], destination)),
        0x03 => by(Unit::Narrow, of([first, 0], destination)),
        0x23 => by(Unit::Store, of([first, second], 0)),
        0x33 if word >> 25 == 1 => {
            let unit = if function < 4 { Unit::Product } else { Unit::Quotient };
            by(unit, of([first, second], destination))
        }
        0x33 => of([first, second], destination),
        0x13 => of([first, 0], destination),
        0x63 => then(End::branch(word >> 31 == 1), of([first, second], 0)),
        0x67 => then(End::Jump, of([first, 0], destination)),
        0x6f => then(End::Jump, of([0; 2], destination)),
        0x73 => by(Unit::Status, of([first, 0], destination)),
        _ => of([0; 2], destination),
    }
}

/// One of 16 bits.
fn compressed(half: u16) -> Decoded {
    let field = |at: u16| usize::from(half >> at & 31);
    // Registers 8 to 15.
    let short = |at: u16| usize::from(half >> at & 7) + 8;
    let (full, second) = (field(7), field(2));
    let of = |sources, destination| Decoded { sources, destination, ..Decoded::default() };
    let by = |unit, decoded| Decoded { unit, ..decoded };
    let then = |end, decoded| Decoded { end, ..decoded };
    let is_high = half >> 12 & 1 == 1;
    match (half & 3, half >> 13) {
        (0, 0) => of([2, 0], short(2)),
        (0, 2) => by(Unit::Word, of([short(7), 0], short(2))),
        (0, 6) => by(Unit::Store, of([short(7), short(2)], 0)),
        (1, 0) | (2, 0) => of([full, 0], full),
        (1, 1) => then(End::Jump, of([0; 2], 1)),
        (1, 2 | 3) => of([0; 2], full),
        (1, 4) if half >> 10 & 3 == 3 => of([short(7), short(2)], short(7)),
        (1, 4) => of([short(7), 0], short(7)),
        (1, 5) => then(End::Jump, of([0; 2], 0)),
        (1, 6 | 7) => then(End::branch(is_high), of([short(7), 0], 0)),
        (2, 2) => by(Unit::Word, of([2, 0], full)),
        // Jumps have no second register; moves have no first source.
        (2, 4) if second == 0 => then(End::Jump, of([full, 0], usize::from(is_high))),
        (2, 4) if !is_high => of([second, 0], full),
        (2, 4) => of([full, second], full),
        (2, 6) => by(Unit::Store, of([2, second], 0)),
        _ => of([0; 2], 0),
    }
}
