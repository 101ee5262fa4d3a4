//! BBC micro:bit v1 (nRF51822, Cortex-M0, 16 MHz) by `nrf51-hal`.
//!
//! Pictures come over the serial line: 16 KiB of RAM hold no camera's row beside a ResNet-8. The
//! flash's driver and the counter are of the project's own, by the registers: the HAL erases by
//! pages that this chip does not have, and its timers count to other ends. Its serial port knows no
//! interrupt, so that the handler reads by the register: bytes go into a queue, and the processor
//! sleeps while there are none.

use core::cell::RefCell;
use core::convert::Infallible;
use critical_section::Mutex;
use embedded_io::{Read, Write};
use nrf51_hal::gpio::{self, Level};
use nrf51_hal::pac::{self, NVIC, Peripherals, TIMER0, interrupt};
use nrf51_hal::uart::{Baudrate, Parity, Pins, Uart};
use nrf51_hal::wdt::{Parts as Watched_, Watchdog, WatchdogHandle, count, handles};
use nrf51_hal::Clocks;
use resmcu_board_support as support;
use resmcu_device_app::embedded_storage::nor_flash::NorFlash;
use resmcu_device_app::{Counter, Light, Panel, Received, SerialQueue, Watched};
use static_cell::{ConstStaticCell, StaticCell};
use support::arm::{sleep, wake_if_masked};
use support::camera::Line;
use support::cycles::Cycles;
use support::nrf51_nvmc::Nvmc;
use support::service::Parts;
use support::watchdog::Shared;
use support::{memory, taken};

/// Of 16 KiB of RAM: the rings of a ResNet-8.
pub(crate) const ARENA_BYTES: usize = 10_752;

/// The longest plan that this build decodes: a ResNet-8 whose adds are steps of their own.
pub(crate) const STEPS: usize = 16;

/// The longest frame: a row of 32 RGB pixels fits.
pub(crate) const FRAME_BYTES: usize = 128;

/// Of the serial port's queue, which holds one byte less: a host sends a frame and waits for the
/// answer, so that no byte finds it full.
const QUEUE: usize = FRAME_BYTES + 1;

/// Longer than the erase of a slot and the boot's trial of a model together. It stands still while
/// the processor sleeps.
const WATCHDOG_SECONDS: u32 = 20;
const WATCHDOG_HZ: u32 = 32_768;

type Dog = WatchdogHandle<handles::Hdl0>;

/// The interrupt's end of the queue.
static RECEIVED: Mutex<RefCell<Option<Received<'static>>>> = Mutex::new(RefCell::new(None));

/// The board, once.
pub(crate) fn take() -> (
    Parts<impl Read + Write<Error = Infallible>, impl Counter, impl Panel, impl NorFlash>,
    Line,
) {
    static DOG: StaticCell<Shared<Dog>> = StaticCell::new();
    static BYTES: ConstStaticCell<SerialQueue<QUEUE>> = ConstStaticCell::new(SerialQueue::new());
    let chip = taken(Peripherals::take());
    Clocks::new(chip.CLOCK).enable_ext_hfosc(); // the UART needs the crystal
    let pins = gpio::p0::Parts::new(chip.GPIO);
    pins.p0_04.into_push_pull_output(Level::Low); // the column of the light
    let light = pins.p0_13.into_push_pull_output(Level::Low); // its row
    let dog: &'static _ = DOG.init(Shared::new(watchdog(chip.WDT), Dog::pet));
    let serial = Pins {
        txd: pins.p0_24.into_push_pull_output(Level::High).degrade(),
        rxd: pins.p0_25.into_floating_input().degrade(),
        cts: None,
        rts: None,
    };
    let sender = Uart::new(chip.UART0, serial, Parity::EXCLUDED, Baudrate::BAUD115200);
    // The first write waits until the byte is gone that the HAL wrote before it started the sender.
    // QEMU drops that one; this one, the end of a frame without bytes, goes out on both.
    // SAFETY: any byte may be sent, and nobody sends yet.
    unsafe { (*pac::UART0::ptr()).txd.write(|w| w.bits(0)) };
    let (received, serial) = taken(BYTES.try_take()).split(sender, || {
        dog.feed();
        sleep();
    });
    critical_section::with(|cs| RECEIVED.borrow(cs).replace(Some(received)));
    wake_if_masked(&mut taken(cortex_m::Peripherals::take()).SCB);
    listen();
    let (start, [a, b]) = memory::slots();
    let parts = Parts {
        serial,
        counter: cycles(chip.TIMER0),
        panel: Watched { panel: Light(light), feed: || dog.feed() },
        // SAFETY: the memory map gives these bytes to the slots; `memory::model` says why no slice
        // of a slot is alive that is written.
        flash: unsafe { Nvmc::new(start, (a.bytes + b.bytes) as usize) },
    };
    (parts, Line)
}

/// From now on a byte that came is an interrupt, though a boot loader may have left them masked.
fn listen() {
    // SAFETY: the sender, which owns the port, leaves this register alone; the handler finds its
    // end of the queue where it looks, and no critical section is open.
    unsafe {
        (*pac::UART0::ptr()).intenset.write(|w| w.rxdrdy().set());
        NVIC::unmask(pac::Interrupt::UART0);
        cortex_m::interrupt::enable();
    }
}

/// Bytes came: six of them wait in the port.
#[interrupt]
fn UART0() {
    // SAFETY: the sender, which owns the port, never reads these two registers.
    let port = unsafe { &*pac::UART0::ptr() };
    critical_section::with(|cs| {
        let mut received = RECEIVED.borrow_ref_mut(cs);
        while port.events_rxdrdy.read().bits() != 0 {
            port.events_rxdrdy.reset(); // first, since taking a byte sets it for the next one
            let byte = port.rxd.read().rxd().bits();
            if let Some(received) = &mut *received {
                received.push(byte);
            }
        }
    });
}

/// The running watchdog. A reset of the chip by its own software does not stop it.
fn watchdog(wdt: pac::WDT) -> Dog {
    let parts = match Watchdog::try_new(wdt) {
        Ok(mut watchdog) => {
            watchdog.set_lfosc_ticks(WATCHDOG_SECONDS * WATCHDOG_HZ);
            watchdog.run_during_sleep(false);
            Some(watchdog.activate::<count::One>())
        }
        Err(wdt) => Watchdog::try_recover::<count::One>(wdt).ok(),
    };
    let Watched_ { handles: (handle,), .. } = taken(parts);
    handle
}

/// TIMER0, the only timer of 32 bits, at the 16 MHz of the processor: a tick a cycle.
fn cycles(timer: TIMER0) -> impl Counter {
    timer.mode.write(|w| w.mode().timer());
    timer.bitmode.write(|w| w.bitmode()._32bit());
    // SAFETY: this register takes the value: no division of the clock.
    timer.prescaler.write(|w| unsafe { w.bits(0) });
    // SAFETY: writing 1 starts the timer.
    timer.tasks_start.write(|w| unsafe { w.bits(1) });
    Cycles::new(move || {
        // SAFETY: writing 1 lets the timer keep its count.
        timer.tasks_capture[0].write(|w| unsafe { w.bits(1) });
        timer.cc[0].read().bits()
    })
}
