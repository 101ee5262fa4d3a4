#![no_std]
#![no_main]
//! The firmware of the ESP32-C3 (RV32IMC at 160 MHz) by `esp-hal`: the application of `device-app`.
//!
//! The pins are those of Espressif's boards: UART0 on GPIO 20 and 21, the camera's SPI on 6, 7, 2
//! and 10, its I2C on 4 and 5, a light at GPIO 1. The model is a part of the image
//! (`RESMCU_MODEL`), and updates are refused: the boot loader maps nothing else of the flash.

use core::cell::RefCell;
use defmt_rtt as _; // the log
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use embedded_hal_bus::spi::ExclusiveDevice;
use esp_hal::Blocking;
use esp_hal::clock::CpuClock;
use esp_hal::delay::Delay;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::i2c::master as i2c;
use esp_hal::peripherals::TIMG0;
use esp_hal::spi::master::{self as spi, Spi};
use esp_hal::time::{Duration, Rate};
use esp_hal::timer::timg::{MwdtStage, TimerGroup, Wdt};
use esp_hal::uart::{self, Uart};
use resmcu_board_support as support;
use resmcu_device_app::wire_protocol::FRAME_BYTES_MAX;
use resmcu_device_app::{Counter, Light, Panel, Watched};
use static_cell::StaticCell;
use support::camera::ArduCam;
use support::cycles::Cycles;
use support::display;
use support::line::{Ready, Serial};
use support::service::{self, Device, Parts};
use support::watchdog::Shared;
use support::{riscv as cpu, taken};

/// Of 313 KiB of RAM.
const ARENA_BYTES: usize = 200 << 10;

/// The longest plan that this build decodes.
const STEPS: usize = 128;

const WATCHDOG: Duration = Duration::from_secs(20);

support::memories!(ARENA_BYTES, STEPS);

// What the boot loader and `espflash` want to know of the image.
esp_bootloader_esp_idf::esp_app_desc!();

type Dog = Wdt<TIMG0<'static>>;

#[esp_hal::main]
fn main() -> ! {
    cpu::paint_stack();
    let device = Device {
        board: env!("RESMCU_BOARD"),
        isa: env!("RESMCU_ISA"),
        updates: false,
        built_in: Some(support::built_in_model!()),
    };
    let (parts, mut eye) = take();
    let mut memories = memories();
    service::run_built_in::<FRAME_BYTES_MAX, _, _, _, _>(device, parts, &mut eye, &mut memories);
    esp_hal::system::software_reset()
}

/// The board, once.
fn take() -> (
    Parts<impl Serial, impl Counter, impl Panel, ()>,
    ArduCam<impl SpiDevice, impl I2c, impl DelayNs + Clone>,
) {
    static DOG: StaticCell<Shared<Dog>> = StaticCell::new();
    static BUS: StaticCell<RefCell<i2c::I2c<'static, Blocking>>> = StaticCell::new();
    let config = esp_hal::Config::default().with_cpu_clock(CpuClock::max());
    let chip = esp_hal::init(config);
    let mut watchdog = TimerGroup::new(chip.TIMG0).wdt;
    watchdog.set_timeout(MwdtStage::Stage0, WATCHDOG);
    watchdog.enable();
    let dog: &'static _ = DOG.init(Shared::new(watchdog, Dog::feed));

    // 115,200 baud, eight bits, no parity, one stop bit.
    let serial = Uart::new(chip.UART0, uart::Config::default());
    let serial = taken(serial.ok()).with_rx(chip.GPIO20).with_tx(chip.GPIO21);
    let light = Output::new(chip.GPIO1, Level::Low, OutputConfig::default());

    let config = spi::Config::default().with_frequency(Rate::from_mhz(4));
    let spi = taken(Spi::new(chip.SPI2, config).ok());
    let spi = spi.with_sck(chip.GPIO6).with_mosi(chip.GPIO7).with_miso(chip.GPIO2);
    let select = Output::new(chip.GPIO10, Level::High, OutputConfig::default());
    let i2c = taken(i2c::I2c::new(chip.I2C0, i2c::Config::default()).ok());
    let i2c = i2c.with_sda(chip.GPIO4).with_scl(chip.GPIO5);
    let (i2c, panel) = display::share(i2c, &BUS, Light(light));
    let parts = Parts {
        serial: Ready::new(serial, || dog.feed()),
        counter: cycles(),
        panel: Watched { panel, feed: || dog.feed() },
        flash: (),
    };
    let eye = ArduCam {
        spi: taken(ExclusiveDevice::new(spi, select, Delay::new()).ok()),
        i2c,
        delay: Delay::new(),
    };
    (parts, eye)
}

/// The chip's own counter, since it lacks `mcycle`: registers 0x7E0 (what is counted), 0x7E1
/// (whether) and 0x7E2 (the count) of its technical reference manual.
fn cycles() -> impl Counter {
    // SAFETY: these registers do nothing else.
    unsafe { core::arch::asm!("csrwi 0x7e0, 1", "csrwi 0x7e1, 1", options(nomem, nostack)) };
    Cycles::new(|| {
        let count: u32;
        // SAFETY: reading the count changes nothing.
        unsafe { core::arch::asm!("csrr {}, 0x7e2", out(reg) count, options(nomem, nostack)) };
        count
    })
}

/// Nothing feeds the watchdog any more.
#[unsafe(no_mangle)]
fn resmcu_end(_: i32) -> ! {
    support::wait_for_watchdog()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    support::panicked(info)
}
