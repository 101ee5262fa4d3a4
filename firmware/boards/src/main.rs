#![no_std]
#![no_main]
//! The firmware: the application of `device-app` on one board, chosen by a feature `board-*`.
//!
//! Owns the arena, the model's slots and the way out: exit code 0 after a stop, 101 after a panic,
//! 102 after a fault. What differs between boards is in `board`,
//! between architectures in `cpu`; what they share is in `peripheral`.

mod board;
mod cpu;
mod log;
mod memory;
mod peripheral;

use core::convert::Infallible;
use embedded_io::{Read, Write};
use portable_atomic::{AtomicBool, Ordering};
use resmcu_device_app::int8_runtime::{Block, Executor, LoadError, Step};
use resmcu_device_app::model_slots::{Choice, Slots, Trust};
use resmcu_device_app::{App, Counter, End, Identity, Light, Panel, Ram, SlotStore, Store};
use semihosting::process::exit;
use static_cell::ConstStaticCell;

const ARENA_BLOCKS: usize = board::ARENA_BYTES / Block::BYTES;

// Named for the host, which tells it from the other statics by the name.
#[unsafe(export_name = "resmcu_arena")]
static ARENA: ConstStaticCell<[Block; ARENA_BLOCKS]> =
    ConstStaticCell::new([Block::ZERO; ARENA_BLOCKS]);

/// The decoded plan: an entry a step, and the input's.
#[unsafe(export_name = "resmcu_plan")] // as above
static PLAN: ConstStaticCell<[Step; board::STEPS + 1]> =
    ConstStaticCell::new([Step::VACANT; board::STEPS + 1]);

/// What both architectures' reset code ends in.
fn run() -> ! {
    #[cfg(feature = "provoke-stack-overflow")]
    defmt::info!("overflowing the stack: {=u32}", memory::overflow_stack(u32::MAX));
    #[cfg(feature = "provoke-panic")]
    assert!(memory::stack_capacity() == 0, "as the feature asks");
    let identity = Identity {
        firmware: env!("CARGO_PKG_VERSION"),
        board: env!("RESMCU_BOARD"),
        isa: env!("RESMCU_ISA"),
        slot_capacity: memory::slot_capacity(),
    };
    let ram = Ram {
        arena_capacity: board::ARENA_BYTES as u32,
        statics: memory::statics() - (size_of_val(&ARENA) + size_of_val(&PLAN)) as u32,
        stack_capacity: memory::stack_capacity(),
        stack_high_water: memory::stack_high_water,
    };
    // Taken nowhere else, so both are there.
    let arena = ARENA.try_take().map(<[Block; _]>::as_mut_slice).unwrap_or_default();
    let plan = PLAN.try_take().map(<[Step; _]>::as_mut_slice).unwrap_or_default();
    let (serial, counter, light) = board::take();
    let mut parts = (serial, counter, Light(light));
    loop {
        let (store, file) = choose(arena, plan);
        let mut model = Executor::new(file, arena, plan);
        parts = serve(parts, (identity, ram), &mut model, store);
    }
}

/// The slots, and the file of the model that runs.
#[inline(never)] // the stack that it takes is free again when the service begins
fn choose(arena: &mut [Block], plan: &mut [Step]) -> (impl Store + use<>, &'static [u8]) {
    let slots = Slots::new(board::flash(), memory::slots().1, Trust::Anyone);
    let bytes = |choice: &Choice| memory::model(choice.slot, choice.header.bytes);
    let (store, chosen) = SlotStore::start(slots, arena, plan, bytes);
    let store = if board::UPDATES { store } else { store.read_only() };
    // Where no model may run, the loader says why of what is in the first slot.
    (store, chosen.map_or_else(memory::first_file, |choice| bytes(&choice)))
}

/// Answers on the line until it has to begin again.
#[inline(never)] // nor is its frame there while a model is chosen and loaded
fn serve<S, C, L>(
    parts: (S, C, L),
    (identity, ram): (Identity, Ram),
    model: &mut Result<Executor<'_, '_>, LoadError>,
    store: impl Store,
) -> (S, C, L)
where
    S: Read + Write<Error = Infallible>,
    C: Counter,
    L: Panel,
{
    let mut app =
        App::<_, _, _, { board::FRAME_BYTES }, _>::with_store(parts, identity, ram, model, store);
    match app.serve() {
        Ok(End::Reset) => app.into_parts().0,
        Ok(End::Stopped | End::Closed) => exit(0),
        Err(error) => match error {},
    }
}

/// Ends the emulation after a failure; `log` writes one line if the log is still usable.
fn fail(code: i32, log: impl FnOnce()) -> ! {
    static FAILED: AtomicBool = AtomicBool::new(false);
    // The logger itself may be what failed: the second time nothing is logged.
    if !FAILED.load(Ordering::Relaxed) {
        FAILED.store(true, Ordering::Relaxed);
        log();
    }
    exit(code)
}

/// There is no such function: an image from which a panic can be reached does not link, and the
/// linker's complaint is this name.
#[cfg(not(any(feature = "allow-panics", debug_assertions)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn resmcu_a_panic_can_be_reached() -> !;
    }
    resmcu_a_panic_can_be_reached()
}

/// Where panics are allowed, one ends the emulation.
#[cfg(any(feature = "allow-panics", debug_assertions))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    fail(101, || match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    })
}
