//! Modelled cycles of cores whose makers publish their timing, from executed instructions.
//!
//! Owns the list of such cores, with the document of each, and how a core's cycles add up over
//! blocks of code; `cortex_m` and `risc_v` know what an instruction takes. Where a document gives a
//! range that depends on operands, the most is taken. RAM answers at once, flash after as many
//! cycles as the model is told for each word of data. Waiting for instructions, and what caches and
//! prefetchers (such as ST's ART) save or cost, is not modelled: this is for comparing code.

mod cortex_m;
mod risc_v;

use super::code::Code;
use super::sections::Block;
use risc_v::End;

/// A core with a published timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Arm DDI 0432C, section 3.3, with the multiplier of one cycle.
    CortexM0,
    /// Arm DDI 0484C, section 3.3, with the multiplier of one cycle.
    CortexM0Plus,
    /// Arm DDI 0337I, section 3.3.
    CortexM3,
    /// Arm 100166, section 3.3.
    CortexM4,
    /// SiFive's FE310-G000 Manual, sections 3.2 and 3.3.
    E31,
    /// Raspberry Pi's RP2350 Datasheet, section 3.8.7: what Hazard3's own manual says of a core
    /// with a fast multiplier and the branch predictor.
    Hazard3,
}

/// All of them, by their names.
const CORES: [(&str, Core); 6] = [
    ("Cortex-M0+", Core::CortexM0Plus),
    ("Cortex-M0", Core::CortexM0),
    ("Cortex-M3", Core::CortexM3),
    ("Cortex-M4", Core::CortexM4),
    ("E31", Core::E31),
    ("Hazard3", Core::Hazard3),
];

impl Core {
    /// The core that a board's code is for, by the first word of what the board says of it.
    #[must_use]
    pub fn named(core: &str) -> Option<Self> {
        let word = core.split([' ', ',']).next();
        CORES.iter().find(|(name, _)| word == Some(name)).map(|&(_, core)| core)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        CORES.iter().find(|(_, core)| *core == self).map_or("", |(name, _)| name)
    }

    /// The document that its timing is from.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::CortexM0 => "Arm DDI 0432C",
            Self::CortexM0Plus => "Arm DDI 0484C",
            Self::CortexM3 => "Arm DDI 0337I",
            Self::CortexM4 => "Arm 100166",
            Self::E31 => "SiFive FE310-G000 Manual",
            Self::Hazard3 => "Raspberry Pi RP2350 Datasheet",
        }
    }
}

/// How a core's cycles are modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CycleModel {
    /// The core.
    pub core: Core,
    /// Cycles to refill the pipeline after a branch that is taken.
    pub refill: u64,
    /// Cycles that a word of data from flash is late.
    pub flash_wait_states: u64,
}

impl CycleModel {
    /// Of a core whose flash answers at once.
    #[must_use]
    pub fn new(core: Core) -> Self {
        let refill = match core {
            Core::CortexM0 => 2,
            Core::CortexM0Plus => 1,
            // 1 to 3, by the target's alignment and what is fetched early.
            Core::CortexM3 | Core::CortexM4 => 2,
            // Of a branch that was predicted otherwise.
            Core::E31 => 3,
            Core::Hazard3 => 1,
        };
        Self { core, refill, flash_wait_states: 0 }
    }

    /// The same where each word of data from flash is so late.
    #[must_use]
    pub fn waiting(self, flash_wait_states: u32) -> Self {
        Self { flash_wait_states: flash_wait_states.into(), ..self }
    }

    /// Cycles of all executions of a block.
    pub(super) fn cycles(self, code: &Code, block: &Block) -> u64 {
        let bytes = code.bytes(block.start, block.end);
        match self.core {
            Core::E31 => {
                let (cycles, end) = risc_v::cycles(&risc_v::E31, bytes);
                // A branch is predicted to go where it mostly goes.
                let is_conditional = matches!(end, End::Forward | End::Backward);
                let wrong = if is_conditional { rarer(block) } else { 0 };
                block.executed * cycles + wrong * self.refill
            }
            Core::Hazard3 => {
                let (cycles, end) = risc_v::cycles(&risc_v::HAZARD3, bytes);
                // The last branch back that was taken is predicted to be taken again, so that a
                // loop is wrong about its first and its last; no other branch is predicted to be.
                // Of loops around loops this forgets that the inner one is what is remembered; and
                // one cycle more for a target of 32 bits that is not aligned to them is not
                // counted, since any change of the code moves it.
                let wrong = match end {
                    End::Straight => 0,
                    End::Jump => block.executed,
                    End::Forward => block.taken,
                    End::Backward => 2 * rarer(block),
                };
                block.executed * cycles + wrong * self.refill
            }
            core => {
                let (cycles, jumps) = cortex_m::cycles(core, bytes);
                let refills = if jumps { block.taken } else { 0 };
                block.executed * cycles + refills * self.refill
            }
        }
    }
}

/// How often the branch at a block's end went where it mostly does not.
fn rarer(block: &Block) -> u64 {
    block.taken.min(block.executed - block.taken.min(block.executed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cycles of a block of these halfwords that ran once, `taken` or not.
    #[track_caller]
    fn check(core: Core, halves: &[u16], taken: u64, expected: u64) {
        check_runs(core, halves, [1, taken], expected);
    }

    #[track_caller]
    fn check_runs(core: Core, halves: &[u16], [executed, taken]: [u64; 2], expected: u64) {
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        let end = bytes.len() as u64;
        let code = Code::of_bytes(bytes);
        let block = Block { start: 0, end, instructions: 0, executed, taken };
        assert_eq!(CycleModel::new(core).cycles(&code, &block), expected, "{core:?} {halves:04x?}");
    }

    /// Instructions as an assembler encodes them, and cycles by the manual's section 3.3.
    #[test]
    fn a_cortex_m4_takes_what_its_manual_says() {
        let check =
            |halves: &[u16], taken, expected| check(Core::CortexM4, halves, taken, expected);
        check(&[0xBF00], 0, 1); // nop
        check(&[0x6801], 0, 2); // ldr r1, [r0]
        check(&[0x6801, 0x6842], 0, 3); // and ldr r2, [r0, #4], which overlaps
        check(&[0x6800, 0x6801], 0, 4); // ldr r0, [r0]; ldr r1, [r0] has to wait
        check(&[0x6001], 0, 1); // str r1, [r0]
        check(&[0x5081], 0, 2); // str r1, [r0, r2]
        check(&[0xC80E], 0, 4); // ldm r0!, {r1, r2, r3}
        check(&[0xE9D0, 0x1200], 0, 3); // ldrd r1, r2, [r0]
        check(&[0xFB20, 0x1302], 0, 1); // smlad r3, r0, r2, r1
        check(&[0xFB81, 0x2300], 0, 1); // smull r2, r3, r1, r0
        check(&[0xFBB0, 0xF0F1], 0, 12); // udiv r0, r0, r1
        check(&[0xD1FE], 0, 1); // bne, not taken
        check(&[0xD1FE], 1, 3); // and taken
        check(&[0x4770], 1, 3); // bx lr
        check(&[0xBD10], 1, 5); // pop {r4, pc}
        check(&[0x2801], 1, 1); // cmp r0, #1 before an interrupt: no branch
        check(&[0xEE00, 0x0A10], 0, 1); // vmov s0, r0
        check(&[0xED90, 0x0A00], 0, 2); // vldr s0, [r0]
        check(&[0xECB0, 0x0A04], 0, 5); // vldm r0!, {s0-s3}
        check(&[0xEE80, 0x0A81], 0, 14); // vdiv.f32 s0, s1, s2
        check(&[0xEE00, 0x0A81], 0, 3); // vmla.f32 s0, s1, s2
        check(&[0xEE30, 0x0A81], 0, 1); // vadd.f32 s0, s1, s2
    }

    #[test]
    fn a_cortex_m3_takes_longer_to_multiply() {
        let check =
            |halves: &[u16], taken, expected| check(Core::CortexM3, halves, taken, expected);
        check(&[0x4341], 0, 1); // muls r1, r0, r1
        check(&[0xFB00, 0x3102], 0, 2); // mla r1, r0, r2, r3
        check(&[0xFB00, 0x3112], 0, 2); // mls r1, r0, r2, r3
        check(&[0xFB81, 0x2300], 0, 5); // smull r2, r3, r1, r0
        check(&[0xFBC1, 0x2300], 0, 7); // smlal r2, r3, r1, r0
        check(&[0x6801, 0x6842], 0, 3); // two loads that overlap
        check(&[0xBD10], 1, 5); // pop {r4, pc}
    }

    #[test]
    fn cores_with_armv6m_overlap_nothing() {
        // Halfwords, whether a branch is taken, and cycles of a Cortex-M0 and of a Cortex-M0+.
        let all: [(&[u16], u64, [u64; 2]); 11] = [
            (&[0x4341], 0, [1, 1]),         // muls r1, r0, r1
            (&[0x6801, 0x6842], 0, [4, 4]), // ldr r1, [r0]; ldr r2, [r0, #4]
            (&[0x7001], 0, [2, 2]),         // strb r1, [r0]
            (&[0xC80E], 0, [4, 4]),         // ldmia r0!, {r1, r2, r3}
            (&[0xB510], 0, [3, 3]),         // push {r4, lr}
            (&[0xBC10], 0, [2, 2]),         // pop {r4}
            (&[0xBD10], 1, [6, 5]),         // pop {r4, pc}
            (&[0xD1FE], 0, [1, 1]),         // bne, not taken
            (&[0xD1FE], 1, [3, 2]),         // and taken
            (&[0xF7FF, 0xFFFE], 1, [4, 3]), // bl
            (&[0x4770], 1, [3, 2]),         // bx lr
        ];
        for (halves, taken, [m0, m0_plus]) in all {
            check(Core::CortexM0, halves, taken, m0);
            check(Core::CortexM0Plus, halves, taken, m0_plus);
        }
    }

    #[test]
    fn an_e31_waits_for_results() {
        let check = |halves: &[u16], expected| check(Core::E31, halves, 0, expected);
        check(&[0x0001], 1); // c.nop
        check(&[0x4188], 1); // c.lw a0, 0(a1)
        check(&[0x4188, 0x0505], 3); // and c.addi a0, 1, which waits a cycle
        check(&[0x4188, 0x0585], 2); // c.addi a1, 1 does not
        check(&[0x8503, 0x0005, 0x0505], 4); // lb a0, 0(a1); c.addi a0, 1
        check(&[0x8533, 0x02C5], 1); // mul a0, a1, a2
        check(&[0x8533, 0x02C5, 0x952A], 6); // and c.add a0, a0
        check(&[0x8533, 0x02C5, 0x86B3, 0x02C5], 6); // and mul a3, a1, a2: one at a time
        check(&[0xC188], 1); // c.sw a0, 0(a1)
        check(&[0x4188, 0xC188], 3); // c.lw a0, 0(a1); c.sw a0, 0(a1)
        check(&[0x450D, 0x4188], 2); // c.li a0, 3; c.lw a0, 0(a1)
    }

    #[test]
    fn branches_of_an_e31_are_predicted_as_they_mostly_go() {
        let branch = [0x15E3, 0xFEB5]; // bne a0, a1, back
        check_runs(Core::E31, &branch, [100, 99], 100 + 3);
        check_runs(Core::E31, &branch, [100, 100], 100);
        check_runs(Core::E31, &branch, [100, 2], 100 + 2 * 3);
        check_runs(Core::E31, &[0x8082], [100, 40], 100); // ret, whose place is remembered
    }

    /// By the datasheet's tables, and the example in its section 3.8.7.10.
    #[test]
    fn a_hazard3_waits_for_memory_and_for_branches_it_did_not_expect() {
        let check = |halves: &[u16], expected| check(Core::Hazard3, halves, 0, expected);
        check(&[0x0001], 1); // c.nop
        check(&[0x4188, 0x0505], 3); // c.lw a0, 0(a1); c.addi a0, 1, which waits
        check(&[0x8503, 0x0005, 0x0505], 3); // lb a0, 0(a1); and so here
        check(&[0x4188, 0x0585], 2); // c.addi a1, 1 does not
        check(&[0x4188, 0xC188], 2); // c.lw a0, 0(a1); c.sw a0, 0(a1), which takes it in time
        check(&[0x418C, 0xC188], 3); // c.lw a1, 0(a1); c.sw a0, 0(a1) has to know where to
        check(&[0x8533, 0x02C5, 0x952A], 2); // mul a0, a1, a2; c.add a0, a0
        check(&[0xC533, 0x02C5, 0x0001], 20); // div a0, a1, a2; c.nop
        check(&[0x8082], 2); // ret
        check(&[0xA001], 2); // c.j
        let back = [0x15E3, 0xFEB5]; // bne a0, a1, back
        check_runs(Core::Hazard3, &back, [100, 99], 100 + 2);
        check_runs(Core::Hazard3, &back, [100, 0], 100);
        let forward = [0x1463, 0x00B5]; // bne a0, a1, 8 on
        check_runs(Core::Hazard3, &forward, [100, 99], 100 + 99);
        // lbu a3, (a0); sb a3, (a1); c.addi a0, 1; c.addi a1, 1; bltu a1, a2, back: ten bytes.
        let copy = [0x4683, 0x0005, 0x8023, 0x00D5, 0x0505, 0x0585, 0xEAE3, 0xFEC5];
        check_runs(Core::Hazard3, &copy, [10, 9], 52);
    }

    #[test]
    fn cores_are_found_by_their_boards_names() {
        let named = |name| Core::named(name).map(Core::name);
        assert_eq!(named("Cortex-M0 code on Cortex-M3"), Some("Cortex-M0"));
        assert_eq!(named("Cortex-M0+"), Some("Cortex-M0+"));
        assert_eq!(named("Cortex-M4 code on Cortex-M55"), Some("Cortex-M4"));
        assert_eq!(named("E31, RV32IMAC"), Some("E31"));
        assert_eq!(named("Hazard3, RV32IMAC"), Some("Hazard3"));
        for none in ["Cortex-M7", "Cortex-M33", "Cortex-M55", "RV32IMC"] {
            assert_eq!(named(none), None, "{none}");
        }
    }
}
