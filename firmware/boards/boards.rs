//! The boards that firmware is built for: read by `build.rs`, and by `cargo xtask boards`.

/// A board, chosen by the feature `board-NAME`.
pub(crate) struct Board {
    /// Its name.
    pub(crate) name: &'static str,
    /// The core that its code is for.
    pub(crate) core: &'static str,
    /// The target that goes with it, as rustc names it.
    pub(crate) target: &'static str,
    /// Its memory map, a file in `memory/`.
    pub(crate) memory: &'static str,
}

impl Board {
    /// The profile that its image is built in.
    pub(crate) fn profile(&self) -> &'static str {
        if self.name == "microbit" { "small" } else { "release" }
    }
}

/// All boards.
pub(crate) const BOARDS: [Board; 11] = [
    Board {
        name: "mps2-an385-m0",
        core: "Cortex-M0 code on M3",
        target: "thumbv6m-none-eabi",
        memory: "mps2-an385.x",
    },
    Board {
        name: "mps2-an385",
        core: "Cortex-M3",
        target: "thumbv7m-none-eabi",
        memory: "mps2-an385.x",
    },
    Board {
        name: "mps2-an386",
        core: "Cortex-M4",
        target: "thumbv7em-none-eabihf",
        memory: "mps2-an385.x",
    },
    Board {
        name: "mps2-an500",
        core: "Cortex-M7",
        target: "thumbv7em-none-eabihf",
        memory: "mps2-an500.x",
    },
    Board {
        name: "mps2-an505",
        core: "Cortex-M33",
        target: "thumbv8m.main-none-eabihf",
        memory: "mps2-an505.x",
    },
    Board {
        name: "mps3-an547",
        core: "Cortex-M55",
        target: "thumbv8m.main-none-eabihf",
        memory: "mps3-an547.x",
    },
    Board {
        name: "virt-rv32imc",
        core: "RV32IMC",
        target: "riscv32imc-unknown-none-elf",
        memory: "virt-rv32.x",
    },
    Board {
        name: "virt-rv32imac",
        core: "RV32IMAC",
        target: "riscv32imac-unknown-none-elf",
        memory: "virt-rv32.x",
    },
    Board {
        name: "microbit",
        core: "Cortex-M0",
        target: "thumbv6m-none-eabi",
        memory: "microbit.x",
    },
    Board {
        name: "sifive-e",
        core: "RV32IMAC",
        target: "riscv32imac-unknown-none-elf",
        memory: "sifive-e.x",
    },
    Board {
        name: "virt-rv32v",
        core: "RV32GCV",
        target: "riscv32imac-unknown-none-elf",
        memory: "virt-rv32.x",
    },
];
