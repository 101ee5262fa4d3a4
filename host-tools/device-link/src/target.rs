//! The targets, as data: what they are and how they are started.

use crate::error::LinkError;
use resmcu_model_slots::HEADER_BYTES;

/// One emulated board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the user calls it: `qemu-` and the board's name.
    pub name: &'static str,
    /// Its processor core.
    pub core: &'static str,
    /// The instruction set that its firmware is built for.
    pub isa: &'static str,
    /// Rust's name of that.
    pub triple: &'static str,
    /// The feature of `firmware/boards`.
    pub feature: &'static str,
    /// Code memory, in bytes.
    pub flash_bytes: u64,
    /// Data memory, in bytes.
    pub ram_bytes: u64,
    /// First byte of the first slot.
    pub slot_address: u64,
    /// Size of the largest model that the first slot holds, in bytes.
    pub slot_bytes: u64,
    /// Its firmware can write its slots.
    pub updates: bool,
    /// Cycles that its core waits for a word of data from flash: none where nothing is known of
    /// waiting, as on emulated boards.
    pub flash_wait_states: u32,
    /// What emulates it.
    pub emulator: Emulator,
}

/// A QEMU machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emulator {
    /// The program.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
    /// The value of `-M`.
    pub machine: &'static str,
    /// Further arguments of this machine.
    pub arguments: &'static [&'static str],
}

impl Target {
    /// The board's name, which is also that of its image: `<board>.elf`.
    #[must_use]
    pub fn board(&self) -> &'static str {
        self.name.strip_prefix("qemu-").unwrap_or(self.name)
    }

    /// How it is reached, in words.
    #[must_use]
    pub fn reached_by(&self) -> String {
        format!("{} -M {}", self.emulator.program, self.emulator.machine)
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const HEADER: u64 = HEADER_BYTES as u64;

const fn arm(machine: &'static str) -> Emulator {
    Emulator { program: "qemu-system-arm", package: "qemu-system-arm", machine, arguments: &[] }
}

const VIRT: Emulator = Emulator {
    program: "qemu-system-riscv32",
    package: "qemu-system-misc",
    machine: "virt",
    arguments: &["-m", "256M", "-bios", "none"],
};

const AN385: Target = Target {
    name: "qemu-mps2-an385",
    core: "Cortex-M3",
    isa: "ARMv7-M",
    triple: "thumbv7m-none-eabi",
    feature: "board-mps2-an385",
    flash_bytes: 4 * MIB,
    ram_bytes: 4 * MIB,
    slot_address: 0x2100_0000,
    slot_bytes: 12 * MIB - HEADER,
    updates: true,
    flash_wait_states: 0,
    emulator: arm("mps2-an385"),
};

const AN547: Target = Target {
    name: "qemu-mps3-an547",
    core: "Cortex-M55",
    isa: "ARMv8.1-M",
    triple: "thumbv8m.main-none-eabihf",
    feature: "board-mps3-an547",
    flash_bytes: 512 * KIB,
    slot_address: 0x6000_0000,
    slot_bytes: 64 * MIB - HEADER,
    emulator: arm("mps3-an547"),
    ..AN385
};

const RV32IMC: Target = Target {
    name: "qemu-virt-rv32imc",
    core: "RV32IMC",
    isa: "RV32IMC",
    triple: "riscv32imc-unknown-none-elf",
    feature: "board-virt-rv32imc",
    flash_bytes: 3 * MIB,
    ram_bytes: 4 * MIB + 64 * KIB,
    slot_address: 0x8800_0000,
    slot_bytes: 64 * MIB - HEADER,
    updates: true,
    flash_wait_states: 0,
    emulator: VIRT,
};

static TARGETS: [Target; 12] = [
    Target {
        name: "qemu-mps2-an385-m0",
        core: "Cortex-M0 code on Cortex-M3",
        isa: "ARMv6-M",
        triple: "thumbv6m-none-eabi",
        feature: "board-mps2-an385-m0",
        ..AN385
    },
    AN385,
    Target {
        name: "qemu-mps2-an386",
        core: "Cortex-M4",
        isa: "ARMv7E-M",
        triple: "thumbv7em-none-eabihf",
        feature: "board-mps2-an386",
        emulator: arm("mps2-an386"),
        ..AN385
    },
    Target {
        name: "qemu-mps2-an500",
        core: "Cortex-M7",
        isa: "ARMv7E-M",
        triple: "thumbv7em-none-eabihf",
        feature: "board-mps2-an500",
        slot_address: 0x6000_0000,
        emulator: arm("mps2-an500"),
        ..AN385
    },
    Target {
        name: "qemu-mps2-an505",
        core: "Cortex-M33",
        isa: "ARMv8-M",
        triple: "thumbv8m.main-none-eabihf",
        feature: "board-mps2-an505",
        slot_address: 0x8000_0000,
        emulator: arm("mps2-an505"),
        ..AN385
    },
    Target {
        name: "qemu-mps3-an547-m4",
        core: "Cortex-M4 code on Cortex-M55",
        isa: "ARMv7E-M",
        triple: "thumbv7em-none-eabihf",
        feature: "board-mps3-an547-m4",
        ..AN547
    },
    AN547,
    RV32IMC,
    Target {
        name: "qemu-virt-rv32imac",
        core: "RV32IMAC",
        isa: "RV32IMAC",
        triple: "riscv32imac-unknown-none-elf",
        feature: "board-virt-rv32imac",
        ..RV32IMC
    },
    Target {
        name: "qemu-microbit",
        core: "Cortex-M0",
        isa: "ARMv6-M",
        triple: "thumbv6m-none-eabi",
        feature: "board-microbit",
        flash_bytes: 256 * KIB,
        ram_bytes: 16 * KIB,
        slot_address: 0x1_6000,
        slot_bytes: 84 * KIB - HEADER,
        updates: true,
        flash_wait_states: 0,
        emulator: arm("microbit"),
    },
    Target {
        name: "qemu-sifive-e",
        core: "E31, RV32IMAC",
        isa: "RV32IMAC",
        triple: "riscv32imac-unknown-none-elf",
        feature: "board-sifive-e",
        flash_bytes: 12 * MIB,
        ram_bytes: 16 * KIB,
        slot_address: 0x2050_0000,
        slot_bytes: 8 * MIB - HEADER,
        updates: false,
        flash_wait_states: 0,
        emulator: Emulator { machine: "sifive_e", arguments: &["-bios", "none"], ..VIRT },
    },
    Target {
        name: "qemu-virt-rv32v",
        core: "RV32GCV, vectors of 128 bits",
        isa: "RV32GCV",
        triple: "riscv32imac-unknown-none-elf",
        feature: "board-virt-rv32v",
        emulator: Emulator {
            arguments: &["-m", "256M", "-bios", "none", "-cpu", "rv32,v=true,vlen=128"],
            ..VIRT
        },
        ..RV32IMC
    },
];

/// All targets that need no hardware, in the order in which they are listed.
#[must_use]
pub fn targets() -> &'static [Target] {
    &TARGETS
}

/// The target of that name.
///
/// # Errors
/// Where there is none; the error lists those that there are.
pub fn find_target(name: &str) -> Result<&'static Target, LinkError> {
    TARGETS.iter().find(|target| target.name == name).ok_or_else(|| LinkError::UnknownTarget {
        name: name.to_owned(),
        known: TARGETS.map(|target| target.name).join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_features_and_boards_agree() {
        for target in targets() {
            assert_eq!(find_target(target.name), Ok(target));
            assert_eq!(target.feature, format!("board-{}", target.board()));
            assert!(target.slot_address.is_multiple_of(16), "{}", target.name);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = find_target("qemu-pdp11").expect_err("there is none").to_string();
        assert!(error.contains("qemu-pdp11") && error.contains("qemu-virt-rv32imac"), "{error}");
    }
}
