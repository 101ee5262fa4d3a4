//! The real boards that there is firmware for, as data.
//!
//! Owns what cannot be read from the firmware's image: what writes it, the chip's name, how the
//! chip says what it is, how long its flash takes, and the way that its firmware speaks. Where code
//! and slots lie, the image says; how large a slot is stands here too, for planning without an
//! image.
//!
//! How many cycles the core waits for a word of data from flash, with the clocks that the firmware
//! in `firmware/boards` sets, and without a cache, since weights are many times what one holds:
//! - nRF51822 at 16 MHz: the nRF51 Series Reference Manual 3.0 knows no wait states.
//! - nRF52833 and nRF52840 at 64 MHz: 2, by their product specifications (CPU, `W_FLASH`).
//! - STM32F446 at 168 MHz: 5 (RM0390, table 5). `embassy-stm32` leaves caches and prefetch off.
//! - STM32H743, flash at 200 MHz in VOS1: 2 (RM0433, table 17), which are 4 of the core's 400 MHz.
//! - RP2040: a word is a read by quad SPI of 8 clocks for the address, 4 of waiting and 8 for the
//!   word, each 4 of the core's, as the second stage `boot2_w25q080` of `rp2040-boot2` sets it.
//! - RP2350: a line of 8 bytes takes 12 clocks and 16, each 3 of the core's (the divider that its
//!   boot ROM leaves): 42 for each of its words.
//! - ESP32-C3: its cache reads lines of 32 bytes by two wires at 40 MHz, as `espflash` sets it: 24
//!   clocks before a line and 128 for it, each 4 of the core's 160 MHz: 76 for each of its words.
//! - FE310-G002: words follow each other on one wire, at 8 of the core's cycles a bit: `sckdiv` is
//!   3 after a reset, by its manual's chapter on SPI, and the firmware leaves it.

use crate::error::LinkError;
use resmcu_model_slots::HEADER_BYTES;

/// One real board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// What the user calls it, which is also the name of its image: `<name>.elf`.
    pub name: &'static str,
    /// Its processor core.
    pub core: &'static str,
    /// The instruction set that its firmware is built for.
    pub isa: &'static str,
    /// Rust's name of that.
    pub triple: &'static str,
    /// Its chip, by probe-rs's name of it where a probe writes it.
    pub chip: &'static str,
    /// What writes its firmware, where no probe can.
    pub other_tool: Option<OtherTool>,
    /// Flash, in bytes.
    pub flash_bytes: u64,
    /// RAM, in bytes.
    pub ram_bytes: u64,
    /// Size of the largest model that a slot holds, in bytes.
    pub slot_bytes: u64,
    /// Cycles that its core waits for a word of data from flash.
    pub flash_wait_states: u32,
    /// How the chip says what it is; `None` where no word of it does.
    pub identity: Option<Identity>,
    /// Where its firmware serves the protocol, in words.
    pub line: &'static str,
}

/// What writes a board that no probe can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherTool {
    /// Why no probe can.
    pub reason: &'static str,
    /// The command that does it.
    pub command: &'static str,
}

/// A word of a chip that tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Where it is.
    pub address: u64,
    /// The bits that count.
    pub mask: u32,
    /// What they are.
    pub value: u32,
}

impl Identity {
    const fn new(address: u64, mask: u32, value: u32) -> Option<Self> {
        Some(Self { address, mask, value })
    }

    /// Whether the chip that has `word` there is the one.
    #[must_use]
    pub fn is(&self, word: u32) -> bool {
        word & self.mask == self.value
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const M4: (&str, &str, &str) = ("Cortex-M4", "ARMv7E-M", "thumbv7em-none-eabihf");

const fn board(
    name: &'static str,
    chip: &'static str,
    (core, isa, triple): (&'static str, &'static str, &'static str),
    [flash_bytes, ram_bytes, slot]: [u64; 3],
    flash_wait_states: u32,
    identity: Option<Identity>,
    line: &'static str,
) -> Hardware {
    Hardware {
        name,
        core,
        isa,
        triple,
        chip,
        other_tool: None,
        flash_bytes,
        ram_bytes,
        slot_bytes: slot - HEADER_BYTES as u64,
        flash_wait_states,
        identity,
        line,
    }
}

/// The serial port that the debugger on the board brings.
const BRIDGE: &str = "the serial port of the board's own debugger";

const PICO_UART: &str = "UART0 on GPIO 0 and 1";

/// FICR's INFO.PART of the nRF52 series; the nRF51 has none, but another core.
const fn nordic(part: u32) -> Option<Identity> {
    Identity::new(0x1000_0100, u32::MAX, part)
}

/// Bits 0 to 11 of `DBGMCU_IDCODE`.
const fn st(address: u64, device: u32) -> Option<Identity> {
    Identity::new(address, 0xFFF, device)
}

/// SYSINFO's `CHIP_ID`: the part, and the maker without the bit that JEP106 codes end in.
const fn raspberry(part: u32) -> Option<Identity> {
    Identity::new(0x4000_0000, 0x0FFF_FFFE, part << 12 | 0x926)
}

static HARDWARE: [Hardware; 10] = [
    board(
        "microbit-v1",
        "nRF51822_xxAA",
        ("Cortex-M0", "ARMv6-M", "thumbv6m-none-eabi"),
        [256 * KIB, 16 * KIB, 84 * KIB],
        0,
        Identity::new(0xE000_ED00, 0xFFF0, 0xC200), // CPUID: part C20
        BRIDGE,
    ),
    board(
        "microbit-v2",
        "nRF52833_xxAA",
        M4,
        [512 * KIB, 128 * KIB, 128 * KIB],
        2,
        nordic(0x52833),
        BRIDGE,
    ),
    board(
        "nrf52840-dk",
        "nRF52840_xxAA",
        M4,
        [MIB, 256 * KIB, 384 * KIB],
        2,
        nordic(0x52840),
        BRIDGE,
    ),
    board(
        "nucleo-f446re",
        "STM32F446RE",
        M4,
        [512 * KIB, 128 * KIB, 128 * KIB],
        5,
        st(0xE004_2000, 0x421),
        BRIDGE,
    ),
    board(
        "nucleo-h743zi",
        "STM32H743ZI",
        ("Cortex-M7", "ARMv7E-M", "thumbv7em-none-eabihf"),
        [2 * MIB, 512 * KIB, 512 * KIB],
        4,
        st(0x5C00_1000, 0x450),
        BRIDGE,
    ),
    board(
        "pico",
        "RP2040",
        ("Cortex-M0+", "ARMv6-M", "thumbv6m-none-eabi"),
        [2 * MIB, 264 * KIB, 768 * KIB],
        80,
        raspberry(2),
        PICO_UART,
    ),
    board(
        "pico2",
        "RP235x",
        ("Cortex-M33", "ARMv8-M", "thumbv8m.main-none-eabihf"),
        [4 * MIB, 520 * KIB, 1536 * KIB],
        42,
        raspberry(4),
        PICO_UART,
    ),
    board(
        "hifive1",
        "fe310-g002",
        ("E31, RV32IMAC", "RV32IMC", "riscv32imc-unknown-none-elf"), // no `lr` and `sc`
        [4 * MIB, 16 * KIB, 1536 * KIB],
        256,
        None,
        BRIDGE,
    ),
    Hardware {
        other_tool: Some(OtherTool {
            reason: "probe-rs has no flash algorithm for the RP2350's RISC-V cores",
            command: "hold BOOTSEL while plugging it in, and: picotool load -u -v -x \
                      firmware/boards/target/images/pico2-riscv.elf",
        }),
        ..board(
            "pico2-riscv",
            "RP2350",
            ("Hazard3, RV32IMAC", "RV32IMAC", "riscv32imac-unknown-none-elf"),
            [4 * MIB, 520 * KIB, 1536 * KIB],
            42,
            None,
            PICO_UART,
        )
    },
    Hardware {
        other_tool: Some(OtherTool {
            reason: "its flash has to hold Espressif's boot loader and an image for that one",
            command: "espflash flash firmware/boards/target/images/esp32-c3.elf",
        }),
        ..board(
            "esp32-c3",
            "ESP32-C3",
            ("ESP32-C3, RV32IMC", "RV32IMC", "riscv32imc-unknown-none-elf"),
            [4 * MIB, 313 * KIB, 3 * MIB], // no slots: the model is in the image
            76,
            None,
            "UART0 on GPIO 20 and 21",
        )
    },
];

/// All of them.
#[must_use]
pub fn hardware() -> &'static [Hardware] {
    &HARDWARE
}

/// The board of that name.
///
/// # Errors
/// Where there is none; the error lists those that there are.
pub fn find_hardware(name: &str) -> Result<&'static Hardware, LinkError> {
    HARDWARE.iter().find(|board| board.name == name).ok_or_else(|| LinkError::UnknownBoard {
        name: name.to_owned(),
        known: HARDWARE.each_ref().map(|board| board.name).join(", "),
    })
}

/// The board of that name, which a probe can write.
///
/// # Errors
/// As [`find_hardware`]'s, and where another tool writes it: the error names that.
pub fn find_probed(name: &str) -> Result<&'static Hardware, LinkError> {
    let board = find_hardware(name)?;
    match board.other_tool {
        None => Ok(board),
        Some(OtherTool { reason, command }) => {
            Err(LinkError::OtherTool { name: board.name, reason, command })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_rs::config::{MemoryRegion, Registry};

    /// probe-rs has its own word for each chip, and what it says of flash and RAM is no less.
    #[test]
    fn probe_rs_knows_every_chip_and_its_memories() {
        let registry = Registry::from_builtin_families();
        for board in hardware().iter().filter(|board| board.other_tool.is_none()) {
            let chip = registry.get_target_by_name(board.chip);
            let chip = chip.unwrap_or_else(|error| panic!("{}: {error}", board.chip));
            let sum = |of: fn(&MemoryRegion) -> Option<u64>| {
                chip.memory_map.iter().filter_map(of).sum::<u64>()
            };
            let flash = sum(|region| region.as_nvm_region().map(|r| r.range.end - r.range.start));
            let ram = sum(|region| region.as_ram_region().map(|r| r.range.end - r.range.start));
            assert!(flash >= board.flash_bytes, "{}: {flash} bytes of flash", board.name);
            assert!(ram >= board.ram_bytes, "{}: {ram} bytes of RAM", board.name);
            let start = chip.memory_map.iter().find_map(MemoryRegion::as_nvm_region);
            let start = start.expect("flash").range.start;
            let writes = chip.flash_algorithms.iter().any(|algorithm| {
                let range = &algorithm.flash_properties.address_range;
                range.start <= start && start + board.flash_bytes <= range.end
            });
            assert!(writes, "{}: no algorithm writes its flash", board.name);
            assert_eq!(find_probed(board.name), Ok(board));
        }
    }

    #[test]
    fn a_chip_is_told_from_others_by_the_bits_that_count() {
        let dk = find_hardware("nrf52840-dk").unwrap().identity.unwrap();
        assert!(dk.is(0x52840) && !dk.is(0x52833) && !dk.is(u32::MAX) && !dk.is(0));
        let nucleo = find_hardware("nucleo-f446re").unwrap().identity.unwrap();
        assert!(nucleo.is(0x1000_6421) && !nucleo.is(0x1000_6419));
        let [pico, pico2] = ["pico", "pico2"].map(|n| find_hardware(n).unwrap().identity.unwrap());
        assert!(pico.is(0x2000_2927) && !pico.is(0x2000_4927));
        assert!(pico2.is(0x2000_4927) && !pico2.is(0x2000_2927));
        assert!(find_hardware("esp32-c3").is_ok());
        let error = find_probed("esp32-c3").unwrap_err();
        assert!(error.to_string().contains("esp32-c3"), "{error}");
        assert!(error.help().contains("espflash flash"), "{}", error.help());
        let error = find_hardware("pdp-11").unwrap_err().to_string();
        assert!(error.contains("pdp-11") && error.contains("nrf52840-dk"), "{error}");
    }
}
