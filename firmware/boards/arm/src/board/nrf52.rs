//! BBC micro:bit v2 (nRF52833) and nRF52840-DK, both a Cortex-M4 at 64 MHz, by `embassy-nrf`.
//!
//! The serial line is the debugger's; its bytes come by DMA and interrupts, and the processor
//! sleeps between them. The camera's pins are those that Arduino shields have for SPI and I2C on
//! the DK, and pins 13 to 16, 19 and 20 of the micro:bit's edge.

use core::cell::RefCell;
use embassy_futures::block_on;
use embassy_nrf::buffered_uarte::{self, BufferedUarte};
use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::nvmc::Nvmc;
use embassy_nrf::peripherals::{SPI3, TWISPI0, UARTE0, WDT};
use embassy_nrf::wdt::{self, HaltConfig, SleepConfig, Watchdog, WatchdogHandle};
use embassy_nrf::{Peri, bind_interrupts, spim, twim, uarte};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use embedded_hal_bus::spi::ExclusiveDevice;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use resmcu_board_support as support;
use resmcu_device_app::embedded_storage::nor_flash::NorFlash;
use resmcu_device_app::wire_protocol::FRAME_BYTES_MAX;
use resmcu_device_app::{Counter, Light, Panel, Watched};
use static_cell::StaticCell;
use support::arm::{BusyWait, cycles, sleep};
use support::camera::ArduCam;
use support::display;
use support::flash::Region;
use support::light::Led;
use support::line::{Ready, Serial};
use support::service::Parts;
use support::taken;
use support::watchdog::Shared;

/// Of 128 KiB of RAM on the micro:bit, of 256 on the DK.
pub(crate) const ARENA_BYTES: usize =
    if cfg!(feature = "board-microbit-v2") { 80 << 10 } else { 192 << 10 };

/// The longest plan that this build decodes.
pub(crate) const STEPS: usize = 128;

/// The longest frame.
pub(crate) const FRAME_BYTES: usize = FRAME_BYTES_MAX;

const MHZ: u32 = 64;

/// Longer than the erase of a page and the boot's trial of a model. It stands still while the
/// processor sleeps.
const WATCHDOG_TICKS: u32 = 20 * 32_768;

bind_interrupts!(struct Interrupts {
    UARTE0 => buffered_uarte::InterruptHandler<UARTE0>;
    SPIM3 => spim::InterruptHandler<SPI3>;
    TWISPI0 => twim::InterruptHandler<TWISPI0>;
});

/// Picks a peripheral's pin by the board: the micro:bit's, or the DK's.
macro_rules! pin {
    ($chip:ident: $microbit:ident, $dk:ident) => {{
        #[cfg(feature = "board-microbit-v2")]
        let pin = $chip.$microbit;
        #[cfg(feature = "board-nrf52840-dk")]
        let pin = $chip.$dk;
        pin
    }};
}

/// The board, once.
pub(crate) fn take() -> (
    Parts<impl Serial, impl Counter, impl Panel, impl NorFlash>,
    ArduCam<impl SpiDevice, impl I2c, impl DelayNs + Clone>,
) {
    static BUFFERS: StaticCell<([u8; FRAME_BYTES], [u8; FRAME_BYTES], [u8; 16])> =
        StaticCell::new();
    static BUS: StaticCell<RefCell<twim::Twim<'static>>> = StaticCell::new();
    let mut config = Config::default();
    config.hfclk_source = HfclkSource::ExternalXtal; // for the serial line's rate
    let chip = embassy_nrf::init(config);
    let core = taken(cortex_m::Peripherals::take());
    let (received, sent, registers) = BUFFERS.init(([0; _], [0; _], [0; _]));

    let dog = watchdog(chip.WDT);
    let (line, spi, bus) = settings();
    let serial = BufferedUarte::new(
        chip.UARTE0,
        chip.TIMER1,
        chip.PPI_CH0,
        chip.PPI_CH1,
        chip.PPI_GROUP0,
        pin!(chip: P1_08, P0_08),
        pin!(chip: P0_06, P0_06),
        Interrupts,
        line,
        received,
        sent,
    );
    // The micro:bit's matrix: a row is driven high, a column low. The DK's light shines when low.
    #[cfg(feature = "board-microbit-v2")]
    core::mem::forget(Output::new(chip.P0_28, Level::Low, OutputDrive::Standard));
    let is_active_high = cfg!(feature = "board-microbit-v2");
    let dark = if is_active_high { Level::Low } else { Level::High };
    let pin = Output::new(pin!(chip: P0_21, P0_13), dark, OutputDrive::Standard);

    let spi = spim::Spim::new(
        chip.SPI3,
        Interrupts,
        pin!(chip: P0_17, P1_15),
        pin!(chip: P0_01, P1_14),
        pin!(chip: P0_13, P1_13),
        spi,
    );
    let select = Output::new(pin!(chip: P1_02, P1_12), Level::High, OutputDrive::Standard);
    let i2c = twim::Twim::new(
        chip.TWISPI0,
        Interrupts,
        pin!(chip: P1_00, P0_26),
        pin!(chip: P0_26, P0_27),
        bus,
        registers,
    );
    let (i2c, panel) = display::share(i2c, &BUS, Light(Led { pin, is_active_high }));
    let parts = Parts {
        serial: Ready::new(Blocking(serial), || {
            dog.feed();
            sleep();
        }),
        counter: cycles(core.DCB, core.DWT),
        panel: Watched { panel, feed: || dog.feed() },
        flash: Region::slots(Nvmc::new(chip.NVMC), 0, || dog.feed()),
    };
    let eye = ArduCam {
        spi: taken(ExclusiveDevice::new(spi, select, BusyWait { mhz: MHZ }).ok()),
        i2c,
        delay: BusyWait { mhz: MHZ },
    };
    (parts, eye)
}

/// Of the serial line, of the camera's SPI, and of the I2C.
fn settings() -> (uarte::Config, spim::Config, twim::Config) {
    let mut line = uarte::Config::default();
    line.baudrate = uarte::Baudrate::Baud115200;
    let mut spi = spim::Config::default();
    spi.frequency = spim::Frequency::M4;
    let mut bus = twim::Config::default();
    (bus.sda_pullup, bus.scl_pullup) = (true, true);
    (line, spi, bus)
}

/// The running watchdog, which a reset of the chip by its own software does not stop.
fn watchdog(wdt: Peri<'static, WDT>) -> &'static Shared<WatchdogHandle> {
    static DOG: StaticCell<Shared<WatchdogHandle>> = StaticCell::new();
    let mut config = wdt::Config::default();
    config.timeout_ticks = WATCHDOG_TICKS;
    config.action_during_sleep = SleepConfig::Pause;
    config.action_during_debug_halt = HaltConfig::Pause;
    let (_, [handle]) = taken(Watchdog::try_new(wdt, config).ok());
    DOG.init(Shared::new(handle, WatchdogHandle::pet))
}

/// The HAL's serial line, whose bytes wait in its buffers, without its `async`.
struct Blocking(BufferedUarte<'static>);

impl ErrorType for Blocking {
    type Error = buffered_uarte::Error;
}

impl ReadReady for Blocking {
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        self.0.read_ready()
    }
}

impl Read for Blocking {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        block_on(embedded_io_async::Read::read(&mut self.0, bytes))
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        block_on(embedded_io_async::Write::write(&mut self.0, bytes))
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        block_on(embedded_io_async::Write::flush(&mut self.0))
    }
}
