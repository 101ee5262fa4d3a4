//! Nucleo-F446RE (Cortex-M4 at 168 MHz) and Nucleo-H743ZI (Cortex-M7 at 400 MHz) by
//! `embassy-stm32`.
//!
//! The serial line is the debugger's. The camera's pins are those that
//! Arduino shields have for SPI and I2C, but for the F446RE's SPI, whose clock there is its light:
//! PB12 to PB15.

use core::cell::RefCell;
use embassy_stm32::flash::Flash;
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::i2c;
use embassy_stm32::mode::Blocking;
use embassy_stm32::spi::{self, Spi};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{self, BufferedUart};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, bind_interrupts, peripherals, rcc};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use embedded_hal_bus::spi::ExclusiveDevice;
use resmcu_board_support as support;
use resmcu_device_app::embedded_storage::nor_flash::NorFlash;
use resmcu_device_app::wire_protocol::FRAME_BYTES_MAX;
use resmcu_device_app::{Counter, Light, Panel, Watched};
use static_cell::StaticCell;
use support::arm::{BusyWait, cycles, sleep, wake_regularly};
use support::camera::ArduCam;
use support::display;
use support::flash::Region;
use support::line::{Ready, Serial};
use support::service::Parts;
use support::taken;
use support::watchdog::Shared;

/// Of 128 KiB of RAM on the F446RE, of 512 on the H743ZI.
pub(crate) const ARENA_BYTES: usize =
    if cfg!(feature = "board-nucleo-f446re") { 80 << 10 } else { 440 << 10 };

/// The longest plan that this build decodes.
pub(crate) const STEPS: usize = 128;

/// The longest frame.
pub(crate) const FRAME_BYTES: usize = FRAME_BYTES_MAX;

/// Longer than the erase of a sector and the boot's trial of a model.
const WATCHDOG_US: u32 = 20_000_000;

/// Where the flash begins.
const FLASH: usize = 0x0800_0000;

#[cfg(feature = "board-nucleo-f446re")]
use peripherals::{IWDG as Watchdog, USART2 as Usart};
#[cfg(feature = "board-nucleo-h743zi")]
use peripherals::{IWDG1 as Watchdog, USART3 as Usart};

#[cfg(feature = "board-nucleo-f446re")]
bind_interrupts!(struct Interrupts {
    USART2 => usart::BufferedInterruptHandler<Usart>;
});
#[cfg(feature = "board-nucleo-h743zi")]
bind_interrupts!(struct Interrupts {
    USART3 => usart::BufferedInterruptHandler<Usart>;
});

type Bus = i2c::I2c<'static, Blocking, i2c::Master>;
type Dog = IndependentWatchdog<'static, Watchdog>;

/// Picks a peripheral by the board: the F446RE's, or the H743ZI's.
macro_rules! pick {
    ($chip:ident: $f446:ident, $h743:ident) => {{
        #[cfg(feature = "board-nucleo-f446re")]
        let picked = $chip.$f446;
        #[cfg(feature = "board-nucleo-h743zi")]
        let picked = $chip.$h743;
        picked
    }};
}

/// 168 MHz from the debugger's 8 MHz.
#[cfg(feature = "board-nucleo-f446re")]
fn clocks(rcc: &mut rcc::Config) -> u32 {
    use rcc::{AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllSource};
    rcc.hse = Some(Hse { freq: Hertz(8_000_000), mode: HseMode::Bypass });
    rcc.pll_src = PllSource::HSE;
    rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL168,
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.ahb_pre = AHBPrescaler::DIV1;
    rcc.apb1_pre = APBPrescaler::DIV4;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.sys = rcc::Sysclk::PLL1_P;
    168
}

/// 400 MHz from the chip's own 64 MHz.
#[cfg(feature = "board-nucleo-h743zi")]
fn clocks(rcc: &mut rcc::Config) -> u32 {
    use rcc::{AHBPrescaler, APBPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, VoltageScale};
    rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        divp: Some(PllDiv::DIV2),
        divq: Some(PllDiv::DIV8),
        divr: None,
        fracn: None,
    });
    rcc.sys = rcc::Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    for prescaler in
        [&mut rcc.apb1_pre, &mut rcc.apb2_pre, &mut rcc.apb3_pre, &mut rcc.apb4_pre]
    {
        *prescaler = APBPrescaler::DIV2;
    }
    rcc.voltage_scale = VoltageScale::Scale1;
    400
}

/// The board, once.
pub(crate) fn take() -> (
    Parts<impl Serial, impl Counter, impl Panel, impl NorFlash>,
    ArduCam<impl SpiDevice, impl I2c, impl DelayNs + Clone>,
) {
    static DOG: StaticCell<Shared<Dog>> = StaticCell::new();
    static BUFFERS: StaticCell<[[u8; FRAME_BYTES]; 2]> = StaticCell::new();
    static BUS: StaticCell<RefCell<Bus>> = StaticCell::new();
    let mut config = Config::default();
    let mhz = clocks(&mut config.rcc);
    let chip = embassy_stm32::init(config);
    let core = taken(cortex_m::Peripherals::take());
    wake_regularly(core.SYST);
    let [received, sent] = BUFFERS.init([[0; _]; 2]);

    let mut watchdog = IndependentWatchdog::new(pick!(chip: IWDG, IWDG1), WATCHDOG_US);
    watchdog.unleash();
    let dog: &'static _ = DOG.init(Shared::new(watchdog, Dog::pet));

    let serial = BufferedUart::new(
        pick!(chip: USART2, USART3),
        pick!(chip: PA3, PD9),
        pick!(chip: PA2, PD8),
        sent,
        received,
        Interrupts,
        usart::Config::default(), // 115,200 baud, eight bits, no parity, one stop bit
    );
    let serial = taken(serial.ok());
    let light = Output::new(pick!(chip: PA5, PB0), Level::Low, Speed::Low);

    let mut config = spi::Config::default();
    config.frequency = Hertz(4_000_000);
    let spi = Spi::new_blocking(
        pick!(chip: SPI2, SPI1),
        pick!(chip: PB13, PA5),
        pick!(chip: PB15, PB5),
        pick!(chip: PB14, PA6),
        config,
    );
    let select = Output::new(pick!(chip: PB12, PD14), Level::High, Speed::Low);
    let mut config = i2c::Config::default();
    (config.sda_pullup, config.scl_pullup) = (true, true);
    let i2c = i2c::I2c::new_blocking(chip.I2C1, chip.PB8, chip.PB9, config);
    let (i2c, panel) = display::share(i2c, &BUS, Light(light));
    let parts = Parts {
        serial: Ready::new(serial, || {
            dog.feed();
            sleep();
        }),
        counter: cycles(core.DCB, core.DWT),
        panel: Watched { panel, feed: || dog.feed() },
        flash: Region::slots(Flash::new_blocking(chip.FLASH), FLASH, || dog.feed()),
    };
    let eye = ArduCam {
        spi: taken(ExclusiveDevice::new(spi, select, BusyWait { mhz }).ok()),
        i2c,
        delay: BusyWait { mhz },
    };
    (parts, eye)
}
