//! The boards that firmware is built for: read by `build.rs`, and by `cargo xtask boards`.

/// A board, chosen by the feature `board-NAME` of its package.
pub(crate) struct Board {
    /// Its name.
    pub(crate) name: &'static str,
    /// The core that its code is for.
    pub(crate) core: &'static str,
    /// The target that goes with it, as rustc names it.
    pub(crate) target: &'static str,
    /// Its memory map, a file in `memory/`.
    pub(crate) memory: &'static str,
    /// The package that builds it.
    pub(crate) package: &'static Package,
    /// Where this image is seen running.
    pub(crate) seen: Seen,
}

/// A package of boards: a folder here, and a lock file, since the runtime crate of a vendor's HAL
/// may exist only once in one.
pub(crate) struct Package {
    /// Its name, which is that of its binary.
    pub(crate) name: &'static str,
    /// Its folder, from this one.
    pub(crate) folder: &'static str,
    /// What its linker is told.
    pub(crate) link: &'static [&'static str],
}

/// Where an image is seen running.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// In QEMU, by the tests; nowhere else, since it leaves by semihosting.
    Emulated,
    /// A real board's image, which the tests run in QEMU too.
    Both,
    /// A real board's image that was built and never run: no emulator has its chip.
    Built,
}

impl Board {
    /// The profile that its image is built in.
    pub(crate) fn profile(&self) -> &'static str {
        if ["microbit", "microbit-v1"].contains(&self.name) { "small" } else { "release" }
    }

    /// Whether it has a camera, and a display beside it; the others get their pictures over the
    /// serial line.
    pub(crate) fn has_camera(&self) -> bool {
        self.is_real() && !["microbit-v1", "hifive1"].contains(&self.name)
    }

    /// Whether it is a real board, with the HAL crate of its chip.
    pub(crate) fn is_real(&self) -> bool {
        self.seen != Emulated
    }
}

const EMULATED: Package =
    Package { name: "resmcu-boards", folder: ".", link: &["--nmagic", "-Tlink.x", "-Tdefmt.x"] };

/// Arm's chips with the HALs that can share a lock file.
const ARM: Package = Package {
    name: "resmcu-arm-boards",
    folder: "arm",
    link: &["--nmagic", "-Tlink.x", "-Tdefmt.x"],
};

/// SiFive's E310.
const E310X: Package = Package {
    name: "resmcu-e310x-boards",
    folder: "e310x",
    link: &["--nmagic", "-Tmemory.x", "-Tdevice.x", "-Tlink.x", "-Tdefmt.x"],
};

/// The RP2350's RISC-V cores.
const RP235X: Package = Package {
    name: "resmcu-rp235x-boards",
    folder: "rp235x",
    link: &["--nmagic", "-Tmemory.x", "-Tdevice.x", "-Tlink.x", "-Tdefmt.x"],
};

/// Espressif's C3, whose HAL brings its own memory map.
const ESP32C3: Package = Package {
    name: "resmcu-esp32c3-boards",
    folder: "esp32c3",
    link: &["-Tlinkall.x", "-Tresmcu.x", "-Tdefmt.x"],
};

/// All packages.
pub(crate) const PACKAGES: [&Package; 5] = [&EMULATED, &ARM, &E310X, &RP235X, &ESP32C3];

const fn board(
    name: &'static str,
    core: &'static str,
    target: &'static str,
    memory: &'static str,
    package: &'static Package,
    seen: Seen,
) -> Board {
    Board { name, core, target, memory, package, seen }
}

const V6M: &str = "thumbv6m-none-eabi";
const V7M: &str = "thumbv7m-none-eabi";
const V7EM: &str = "thumbv7em-none-eabihf";
const V8M: &str = "thumbv8m.main-none-eabihf";
const IMC: &str = "riscv32imc-unknown-none-elf";
const IMAC: &str = "riscv32imac-unknown-none-elf";

use Seen::{Both, Built, Emulated};

/// All boards.
#[rustfmt::skip] // a table
pub(crate) const BOARDS: &[Board] = &[
    board("mps2-an385-m0", "Cortex-M0 code on M3", V6M, "mps2-an385.x", &EMULATED, Emulated),
    board("mps2-an385", "Cortex-M3", V7M, "mps2-an385.x", &EMULATED, Emulated),
    board("mps2-an386", "Cortex-M4", V7EM, "mps2-an385.x", &EMULATED, Emulated),
    board("mps2-an500", "Cortex-M7", V7EM, "mps2-an500.x", &EMULATED, Emulated),
    board("mps2-an505", "Cortex-M33", V8M, "mps2-an505.x", &EMULATED, Emulated),
    board("mps3-an547-m4", "Cortex-M4 code on M55", V7EM, "mps3-an547.x", &EMULATED, Emulated),
    board("mps3-an547", "Cortex-M55", V8M, "mps3-an547.x", &EMULATED, Emulated),
    board("virt-rv32imc", "RV32IMC", IMC, "virt-rv32.x", &EMULATED, Emulated),
    board("virt-rv32imac", "RV32IMAC", IMAC, "virt-rv32.x", &EMULATED, Emulated),
    board("microbit", "Cortex-M0", V6M, "microbit.x", &EMULATED, Emulated),
    board("sifive-e", "RV32IMAC", IMAC, "sifive-e.x", &EMULATED, Emulated),
    board("virt-rv32v", "RV32GCV", IMAC, "virt-rv32.x", &EMULATED, Emulated),
    board("microbit-v1", "Cortex-M0", V6M, "microbit-v1.x", &ARM, Both),
    board("microbit-v2", "Cortex-M4", V7EM, "microbit-v2.x", &ARM, Built),
    board("nrf52840-dk", "Cortex-M4", V7EM, "nrf52840-dk.x", &ARM, Built),
    board("pico", "Cortex-M0+", V6M, "pico.x", &ARM, Built),
    board("pico2", "Cortex-M33", V8M, "pico2.x", &ARM, Built),
    board("nucleo-f446re", "Cortex-M4", V7EM, "nucleo-f446re.x", &ARM, Built),
    board("nucleo-h743zi", "Cortex-M7", V7EM, "nucleo-h743zi.x", &ARM, Built),
    board("hifive1", "RV32IMAC", IMC, "hifive1.x", &E310X, Both),
    board("pico2-riscv", "RV32IMAC", IMAC, "pico2-riscv.x", &RP235X, Built),
    board("esp32-c3", "RV32IMC", IMC, "esp32-c3.x", &ESP32C3, Built),
];
