//! Modelled cycles of a Cortex-M4, from executed instructions.
//!
//! After its Technical Reference Manual (ARM 100166, section 3.3): a load takes two cycles, and
//! one where it follows another load or store whose result it does not need for its address; a
//! store takes one, with a register as offset two; several registers one and one each; a branch
//! that is taken waits for the pipeline; a division takes up to twelve, floating point up to
//! fourteen; the rest takes one. RAM answers at once, flash after as many cycles as the model is
//! told for each word of data. Waiting for instructions, and what caches and prefetchers (such as
//! ST's ART) save or cost, is not modelled: this is for comparing code.

use super::code::Code;
use super::sections::Block;
use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv7::{InstDecoder, Instruction, Opcode, Operand, Reg};

/// The model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CortexM4 {
    /// Cycles to refill the pipeline after a branch that is taken: 1 to 3, by the target's
    /// alignment and what is fetched early.
    pub refill: u64,
    /// Cycles that a word of data from flash is late.
    pub flash_wait_states: u64,
}

impl Default for CortexM4 {
    fn default() -> Self {
        Self { refill: 2, flash_wait_states: 0 }
    }
}

const DIVISION_CYCLES: u64 = 12;
const FLOAT_DIVISION_CYCLES: u64 = 14;

/// How an instruction takes part in the pipeline of loads and stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timing {
    /// So many cycles, nothing overlaps.
    Alone(u64),
    /// A load of one register from an address in `base`.
    Load { target: Option<Reg>, base: Option<Reg> },
    /// A store of one register; `extended`: its address takes a cycle of its own.
    Store { base: Option<Reg>, extended: bool },
}

impl CortexM4 {
    /// Cycles of all executions of a block.
    pub(super) fn cycles(self, code: &Code, block: &Block) -> u64 {
        let mut bytes = code.bytes(block.start, block.end);
        let decoder = InstDecoder::default_thumb();
        let mut cycles = 0;
        let mut last = Timing::Alone(0);
        let mut jumps = false;
        while let &[a, b, ..] = bytes {
            let half = u16::from_le_bytes([a, b]);
            let length = if half >> 11 >= 0b11101 { 4 } else { 2 };
            let (instruction, rest) = bytes.split_at(length.min(bytes.len()));
            let decoded = decoder.decode(&mut U8Reader::new(instruction));
            let timing = decoded.as_ref().map_or_else(|_| float_timing(instruction), timing);
            jumps = decoded.is_ok_and(|instruction| is_jump(&instruction));
            cycles += cost(last, timing);
            (last, bytes) = (timing, rest);
        }
        let refills = if jumps { block.taken } else { 0 };
        block.executed * cycles + refills * self.refill
    }
}

/// Cycles of an instruction after another.
fn cost(last: Timing, timing: Timing) -> u64 {
    let loaded = match last {
        Timing::Load { target, .. } => target,
        _ => None,
    };
    let overlaps = |base: Option<Reg>| {
        matches!(last, Timing::Load { .. } | Timing::Store { extended: false, .. })
            && (base.is_none() || base != loaded)
    };
    match timing {
        Timing::Alone(cycles) => cycles,
        Timing::Load { base, .. } if overlaps(base) => 1,
        Timing::Load { .. } => 2,
        Timing::Store { base, extended: true } if !overlaps(base) => 2,
        Timing::Store { .. } => 1,
    }
}

fn timing(instruction: &Instruction) -> Timing {
    use Opcode::{
        LDM, LDR, LDRB, LDRD, LDRH, LDRSB, LDRSH, POP, PUSH, SDIV, STM, STR, STRB, STRD, STRH, TBB,
        TBH, UDIV,
    };
    let registers = |list: u16| u64::from(list.count_ones());
    let [first, second, ..] = &instruction.operands;
    match instruction.opcode {
        LDR | LDRB | LDRH | LDRSB | LDRSH => {
            let target = if let Operand::Reg(target) = first { Some(*target) } else { None };
            Timing::Load { target, base: address(second).0 }
        }
        STR | STRB | STRH => {
            let (base, extended) = address(second);
            Timing::Store { base, extended }
        }
        LDRD | STRD => Timing::Alone(3),
        LDM(..) | STM(..) | POP | PUSH => {
            let lists = instruction.operands.iter().filter_map(|operand| match operand {
                Operand::RegList(list) => Some(registers(*list)),
                // Of one register.
                Operand::Reg(_) if matches!(instruction.opcode, POP | PUSH) => Some(1),
                _ => None,
            });
            Timing::Alone(1 + lists.sum::<u64>())
        }
        SDIV | UDIV => Timing::Alone(DIVISION_CYCLES),
        TBB | TBH => Timing::Alone(2),
        _ => Timing::Alone(1),
    }
}

/// The register that an address needs, and whether its offset is a register too.
fn address(operand: &Operand) -> (Option<Reg>, bool) {
    match operand {
        Operand::RegDeref(base)
        | Operand::RegDerefPostindexOffset(base, ..)
        | Operand::RegDerefPreindexOffset(base, ..) => (Some(*base), false),
        Operand::RegDerefPostindexReg(base, ..)
        | Operand::RegDerefPreindexReg(base, ..)
        | Operand::RegDerefPostindexRegShift(base, ..)
        | Operand::RegDerefPreindexRegShift(base, ..) => (Some(*base), true),
        _ => (None, false),
    }
}

/// Whether an instruction can go elsewhere.
fn is_jump(instruction: &Instruction) -> bool {
    use Opcode::{ADD, B, BL, BLX, BX, CBNZ, CBZ, LDM, LDR, MOV, POP, TBB, TBH};
    let [first, ..] = &instruction.operands;
    let to_pc = || match first {
        Operand::Reg(register) => *register == Reg::from_u8(15),
        Operand::RegList(list) => list >> 15 == 1,
        _ => false,
    };
    let list_has_pc = || {
        let has = |operand: &Operand| matches!(operand, Operand::RegList(list) if list >> 15 == 1);
        instruction.operands.iter().any(has)
    };
    match instruction.opcode {
        B | BL | BLX | BX | CBZ | CBNZ | TBB | TBH => true,
        POP | LDM(..) => to_pc() || list_has_pc(),
        LDR | MOV | ADD => to_pc(),
        _ => false,
    }
}

/// Instructions of the floating-point unit, which the decoder leaves out (ARMv7-M Architecture
/// Reference Manual, A6.4 to A6.7); anything else that is not known takes one cycle.
fn float_timing(bytes: &[u8]) -> Timing {
    let &[a, b, c, d] = bytes else { return Timing::Alone(1) };
    let (high, low) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    if low >> 9 & 0b111 != 0b101 {
        return Timing::Alone(1);
    }
    let is_load = high >> 4 & 1 == 1;
    match high >> 8 {
        // VMOV of two registers, else several; or one with an immediate offset.
        0xEC | 0xED if high >> 5 & 0x7F == 0b110_0010 => Timing::Alone(2),
        0xED if high >> 5 & 1 == 0 && is_load => Timing::Load { target: None, base: None },
        0xED if high >> 5 & 1 == 0 => Timing::Store { base: None, extended: false },
        0xEC | 0xED => Timing::Alone(1 + u64::from(low & 0xFF)),
        // VDIV and VSQRT; VMLA and its kind take three.
        0xEE if high & 0xB0 == 0x80 && low & 0x10 == 0 => Timing::Alone(FLOAT_DIVISION_CYCLES),
        0xEE if high & 0xBF == 0xB1 && low & 0xD0 == 0xC0 => Timing::Alone(FLOAT_DIVISION_CYCLES),
        0xEE if matches!(high >> 4 & 0xB, 0 | 1) && low & 0x10 == 0 => Timing::Alone(3),
        _ => Timing::Alone(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cycles of a block of these halfwords that ran once, `taken` or not.
    #[track_caller]
    fn check(halves: &[u16], taken: u64, expected: u64) {
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        let end = bytes.len() as u64;
        let code = Code::of_bytes(bytes);
        let block = Block { start: 0, end, instructions: 0, executed: 1, taken };
        assert_eq!(CortexM4::default().cycles(&code, &block), expected, "{halves:04x?}");
    }

    /// Instructions as an assembler encodes them, and cycles by the manual's section 3.3.
    #[test]
    fn instructions_take_what_the_manual_says() {
        check(&[0xBF00], 0, 1); // nop
        check(&[0x6801], 0, 2); // ldr r1, [r0]
        check(&[0x6801, 0x6842], 0, 3); // and ldr r2, [r0, #4], which overlaps
        check(&[0x6800, 0x6801], 0, 4); // ldr r0, [r0]; ldr r1, [r0] has to wait
        check(&[0x6001], 0, 1); // str r1, [r0]
        check(&[0x5081], 0, 2); // str r1, [r0, r2]
        check(&[0xC80E], 0, 4); // ldm r0!, {r1, r2, r3}
        check(&[0xE9D0, 0x1200], 0, 3); // ldrd r1, r2, [r0]
        check(&[0xFB20, 0x1302], 0, 1); // smlad r3, r0, r2, r1
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
}
