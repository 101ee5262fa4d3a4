#![no_std]
#![no_main]
//! The firmware of the Raspberry Pi Pico 2 on one of its RISC-V cores by `rp235x-hal`: the
//! application of `device-app`.
//!
//! The pins are the Arm firmware's: UART0 on GPIO 0 and 1, the camera's SPI on 16 to 19 and its I2C
//! on 4 and 5. The HAL has no driver of the flash, which the code runs from: the slots are read,
//! and updates refused.

use core::cell::RefCell;
use defmt_rtt as _; // the log
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::{MODE_0, SpiDevice};
use embedded_hal_bus::spi::ExclusiveDevice;
use resmcu_board_support as support;
use resmcu_device_app::wire_protocol::FRAME_BYTES_MAX;
use resmcu_device_app::{Counter, Light, Panel, Watched};
use riscv as _; // its critical section, for the log
use rp235x_hal as hal;
use rp235x_hal::Clock;
use rp235x_hal::fugit::{ExtU32, RateExtU32};
use rp235x_hal::gpio::bank0::{Gpio4, Gpio5};
use rp235x_hal::gpio::{FunctionI2c, Pin, PullUp};
use rp235x_hal::pac::I2C0;
use rp235x_hal::uart::{DataBits, StopBits, UartConfig, UartPeripheral};
use static_cell::StaticCell;
use support::camera::ArduCam;
use support::display;
use support::line::{Ready, Serial};
use support::rom_flash::RomFlash;
use support::service::{self, Device, Parts};
use support::watchdog::Shared;
use support::{memory, riscv as cpu, taken};

/// Of 520 KiB of RAM.
const ARENA_BYTES: usize = 448 << 10;

/// The longest plan that this build decodes.
const STEPS: usize = 128;

const CRYSTAL_HZ: u32 = 12_000_000;

/// The boot's trial of a model has to end in it.
const WATCHDOG_SECONDS: u32 = 8;

/// What tells the boot ROM that this is a program, and for which core: it is looked for in the
/// first 4 KiB, which begin with this section.
#[unsafe(link_section = ".init.rust")]
#[used]
static IMAGE: hal::block::ImageDef = hal::block::ImageDef::secure_exe();

/// A line of the bus, with the pad's pull-up.
type Line<P> = Pin<P, FunctionI2c, PullUp>;
type Bus = hal::I2C<I2C0, (Line<Gpio4>, Line<Gpio5>)>;

support::memories!(ARENA_BYTES, STEPS);

#[riscv_rt::entry]
fn main() -> ! {
    cpu::catch_traps();
    cpu::paint_stack();
    cpu::start_counters();
    let device = Device {
        board: env!("RESMCU_BOARD"),
        isa: env!("RESMCU_ISA"),
        updates: false,
        built_in: Some(support::built_in_model!()),
    };
    let (parts, mut eye) = take();
    let mut memories = memories();
    service::run::<FRAME_BYTES_MAX, _, _, _, _, _>(device, parts, &mut eye, &mut memories);
    // Stopped or reset: the watchdog starts the chip again.
    resmcu_end(0)
}

/// The board, once.
fn take() -> (
    Parts<impl Serial, impl Counter, impl Panel, RomFlash>,
    ArduCam<impl SpiDevice, impl I2c, impl DelayNs + Clone>,
) {
    static DOG: StaticCell<Shared<hal::Watchdog>> = StaticCell::new();
    static BUS: StaticCell<RefCell<Bus>> = StaticCell::new();
    let mut chip = taken(hal::pac::Peripherals::take());
    let mut watchdog = hal::Watchdog::new(chip.WATCHDOG);
    let clocks = hal::clocks::init_clocks_and_plls(
        CRYSTAL_HZ,
        chip.XOSC,
        chip.CLOCKS,
        chip.PLL_SYS,
        chip.PLL_USB,
        &mut chip.RESETS,
        &mut watchdog,
    );
    let clocks = taken(clocks.ok());
    watchdog.pause_on_debug(true);
    watchdog.start(WATCHDOG_SECONDS.secs());
    let dog: &'static _ = DOG.init(Shared::new(watchdog, |watchdog| watchdog.feed()));

    let sio = hal::Sio::new(chip.SIO);
    let (banks, pads) = (chip.IO_BANK0, chip.PADS_BANK0);
    let pins = hal::gpio::Pins::new(banks, pads, sio.gpio_bank0, &mut chip.RESETS);
    let lines = (pins.gpio0.into_function(), pins.gpio1.into_function());
    let serial = UartPeripheral::new(chip.UART0, lines, &mut chip.RESETS).enable(
        UartConfig::new(115_200.Hz(), DataBits::Eight, None, StopBits::One),
        clocks.peripheral_clock.freq(),
    );
    let light = pins.gpio25.into_push_pull_output();

    let timer = hal::Timer::new_timer0(chip.TIMER0, &mut chip.RESETS, &clocks);
    let lines =
        (pins.gpio19.into_function(), pins.gpio16.into_function(), pins.gpio18.into_function());
    let spi = hal::Spi::<_, _, _, 8>::new(chip.SPI0, lines).init(
        &mut chip.RESETS,
        clocks.peripheral_clock.freq(),
        4.MHz(),
        MODE_0,
    );
    let select = pins.gpio17.into_push_pull_output();
    let i2c = hal::I2C::i2c0(
        chip.I2C0,
        pins.gpio4.reconfigure(),
        pins.gpio5.reconfigure(),
        100.kHz(),
        &mut chip.RESETS,
        &clocks.system_clock,
    );
    let (i2c, panel) = display::share(i2c, &BUS, Light(light));
    let (start, [a, b]) = memory::slots();
    let parts = Parts {
        serial: Ready::new(taken(serial.ok()), || dog.feed()),
        counter: cpu::cycles(),
        panel: Watched { panel, feed: || dog.feed() },
        // SAFETY: the memory map gives these bytes to the slots, and they are flash.
        flash: unsafe { RomFlash::new(start, (a.bytes + b.bytes) as usize) },
    };
    let eye =
        ArduCam { spi: taken(ExclusiveDevice::new(spi, select, timer).ok()), i2c, delay: timer };
    (parts, eye)
}

/// Nothing feeds the watchdog any more.
#[unsafe(no_mangle)]
fn resmcu_end(_: i32) -> ! {
    support::wait_for_watchdog()
}

/// All traps are caught before; the runtime crate wants a handler nevertheless.
#[unsafe(no_mangle)]
extern "C" fn ExceptionHandler() -> ! {
    resmcu_end(support::code::FAULT)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    support::panicked(info)
}
