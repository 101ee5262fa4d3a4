//! Raspberry Pi Pico (RP2040, two Cortex-M0+ at 125 MHz) and Pico 2 (RP2350, its Cortex-M33 at 150
//! MHz), one core of which works, by `embassy-rp`.
//!
//! The serial line is UART0 on GPIO 0 and 1, the camera's pins are GPIO 16 to 19 (SPI) and 4 and 5
//! (I2C). The flash stands still while it is written: what does that runs from RAM, in the HAL.

use core::cell::RefCell;
use embassy_rp::bind_interrupts;
use embassy_rp::flash::{self, Flash};
use embassy_rp::gpio::{Level, Output};
use embassy_rp::i2c;
use embassy_rp::peripherals::{I2C0, UART0};
use embassy_rp::spi::{self, Spi};
use embassy_rp::uart::{self, BufferedInterruptHandler, BufferedUart};
use embassy_rp::watchdog::Watchdog;
use embassy_time::Duration;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use embedded_hal_bus::spi::ExclusiveDevice;
use resmcu_board_support as support;
use resmcu_device_app::embedded_storage::nor_flash::NorFlash;
use resmcu_device_app::wire_protocol::FRAME_BYTES_MAX;
use resmcu_device_app::{Counter, Light, Panel, Watched};
use static_cell::StaticCell;
use support::arm::{BusyWait, sleep, wake_regularly};
use support::camera::ArduCam;
use support::display;
use support::flash::Region;
use support::line::{Ready, Serial};
use support::service::Parts;
use support::taken;
use support::watchdog::Shared;

/// Of 264 KiB of RAM on the Pico, of 520 on the Pico 2.
pub(crate) const ARENA_BYTES: usize =
    if cfg!(feature = "board-pico") { 200 << 10 } else { 448 << 10 };

/// The longest plan that this build decodes.
pub(crate) const STEPS: usize = 128;

/// The longest frame.
pub(crate) const FRAME_BYTES: usize = FRAME_BYTES_MAX;

const MHZ: u32 = if cfg!(feature = "board-pico") { 125 } else { 150 };
const FLASH_BYTES: usize = if cfg!(feature = "board-pico") { 2 << 20 } else { 4 << 20 };

/// The longest that the RP2040 has; the boot's trial of a model has to end in it.
const WATCHDOG: Duration = Duration::from_secs(8);

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
});

/// The board, once.
pub(crate) fn take() -> (
    Parts<impl Serial, impl Counter, impl Panel, impl NorFlash>,
    ArduCam<impl SpiDevice, impl I2c, impl DelayNs + Clone>,
) {
    static DOG: StaticCell<Shared<Watchdog>> = StaticCell::new();
    static BUFFERS: StaticCell<[[u8; FRAME_BYTES]; 2]> = StaticCell::new();
    static BUS: StaticCell<RefCell<i2c::I2c<'static, I2C0, i2c::Blocking>>> = StaticCell::new();
    let chip = embassy_rp::init(embassy_rp::config::Config::default());
    let core = taken(cortex_m::Peripherals::take());
    wake_regularly(core.SYST);
    let [received, sent] = BUFFERS.init([[0; _]; 2]);

    let mut watchdog = Watchdog::new(chip.WATCHDOG);
    watchdog.pause_on_debug(true);
    watchdog.start(WATCHDOG);
    let dog: &'static _ = DOG.init(Shared::new(watchdog, |watchdog| watchdog.feed(WATCHDOG)));

    let config = uart::Config::default(); // 115,200 baud, eight bits, no parity, one stop bit
    let (tx, rx) = (chip.PIN_0, chip.PIN_1);
    let serial = BufferedUart::new(chip.UART0, tx, rx, Interrupts, sent, received, config);
    let light = Output::new(chip.PIN_25, Level::Low);

    let mut config = spi::Config::default();
    config.frequency = 4_000_000;
    let (clock, out, back) = (chip.PIN_18, chip.PIN_19, chip.PIN_16);
    let spi = Spi::new_blocking(chip.SPI0, clock, out, back, config);
    let select = Output::new(chip.PIN_17, Level::High);
    let (clock, data) = (chip.PIN_5, chip.PIN_4);
    let i2c = i2c::I2c::new_blocking(chip.I2C0, clock, data, i2c::Config::default());
    let (i2c, panel) = display::share(i2c, &BUS, Light(light));

    #[cfg(feature = "board-pico")]
    let counter = support::cycles::Cycles::new(timer_cycles);
    #[cfg(feature = "board-pico2")]
    let counter = support::arm::cycles(core.DCB, core.DWT);
    let flash = Flash::<_, _, FLASH_BYTES>::new_blocking(chip.FLASH);
    let parts = Parts {
        serial: Ready::new(serial, || {
            dog.feed();
            sleep();
        }),
        counter,
        panel: Watched { panel, feed: || dog.feed() },
        flash: Region::slots(flash, flash::FLASH_BASE as usize, || dog.feed()),
    };
    let eye = ArduCam {
        spi: taken(ExclusiveDevice::new(spi, select, BusyWait { mhz: MHZ }).ok()),
        i2c,
        delay: BusyWait { mhz: MHZ },
    };
    (parts, eye)
}

/// The RP2040's cores count no cycles: its timer counts microseconds.
#[cfg(feature = "board-pico")]
fn timer_cycles() -> u32 {
    embassy_rp::pac::TIMER.timerawl().read().wrapping_mul(MHZ)
}
