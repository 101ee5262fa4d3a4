//! Cortex-M0, M0+, M3 and M4: what their instructions take.
//!
//! On the M3 and M4 a load takes two cycles, and one where it follows another load or store whose
//! result it does not need for its address; a store takes one, with a register as offset two;
//! several registers one and one each; a branch that is taken waits for the pipeline; a division
//! takes up to twelve, floating point up to fourteen; the rest takes one, but for long and
//! accumulating products of the M3. On the M0 and M0+ loads and stores take two, and nothing
//! overlaps.

use super::Core;
use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv7::{InstDecoder, Instruction, Opcode, Operand, Reg};

const DIVISION_CYCLES: u64 = 12;
const FLOAT_DIVISION_CYCLES: u64 = 14;
/// At most, on the M3: a long product, and one that is added to a sum.
const LONG_PRODUCT_CYCLES: u64 = 5;
const LONG_SUM_CYCLES: u64 = 7;

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

/// Cycles of code that runs through, and whether its last instruction can go elsewhere.
pub(super) fn cycles(core: Core, mut bytes: &[u8]) -> (u64, bool) {
    let timing = match core {
        Core::CortexM0 | Core::CortexM0Plus => of_armv6m,
        Core::CortexM3 => of_cortex_m3,
        _ => timing,
    };
    let decoder = InstDecoder::default_thumb();
    let (mut cycles, mut last, mut jumps) = (0, Timing::Alone(0), false);
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
    (cycles, jumps)
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

/// On the M0 and M0+: a call takes one cycle more than another branch, and so does a return by POP.
fn of_armv6m(instruction: &Instruction) -> Timing {
    match (instruction.opcode, timing(instruction)) {
        (_, Timing::Load { .. } | Timing::Store { .. }) => Timing::Alone(2),
        (Opcode::BL, _) => Timing::Alone(2),
        (Opcode::POP, Timing::Alone(cycles)) if is_jump(instruction) => Timing::Alone(cycles + 1),
        (_, timing) => timing,
    }
}

/// On the M3, whose multiplier ends early by operands in a way that is not published.
fn of_cortex_m3(instruction: &Instruction) -> Timing {
    match instruction.opcode {
        Opcode::MLA | Opcode::MLS => Timing::Alone(2),
        Opcode::SMULL | Opcode::UMULL => Timing::Alone(LONG_PRODUCT_CYCLES),
        Opcode::SMLAL | Opcode::UMLAL => Timing::Alone(LONG_SUM_CYCLES),
        _ => timing(instruction),
    }
}

/// On the M4.
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
