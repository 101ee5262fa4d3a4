//! From the parts of a board to the service: which model runs, and the application around it.

use crate::camera::Eye;
use crate::memory;
use core::convert::Infallible;
use embedded_io::{Read, Write};
use resmcu_device_app::embedded_storage::nor_flash::NorFlash;
use resmcu_device_app::int8_runtime::{Block, Executor, LoadError, Step};
use resmcu_device_app::model_slots::{Choice, Slots, Trust};
use resmcu_device_app::{App, Counter, End, Identity, NoSlots, Panel, Ram, SlotStore, Store};

/// What a board is, beside its parts.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// Its name, which is that of its image.
    pub board: &'static str,
    /// The instruction set that its code is for.
    pub isa: &'static str,
    /// Whether this firmware can write the slots.
    pub updates: bool,
    /// The model that came with the firmware, for a board whose slots are empty.
    pub built_in: Option<&'static [u8]>,
}

/// A board's parts: its serial line, counter, panel, and the flash that the slots lie in.
#[derive(Debug)]
pub struct Parts<S, C, L, F> {
    /// The line that the protocol is spoken on.
    pub serial: S,
    /// Instructions or cycles.
    pub counter: C,
    /// Light, display and watchdog.
    pub panel: L,
    /// The flash of the slots, from the first one on.
    pub flash: F,
}

/// The two statics of a firmware that a model is run in; see [`memories!`](crate::memories).
#[derive(Debug)]
pub struct Memories<'a> {
    /// Tensors.
    pub arena: &'a mut [Block],
    /// The decoded plan.
    pub plan: &'a mut [Step],
}

/// Makes the statics of a firmware and `fn memories() -> Memories<'static>`, which gives them once
/// and is empty afterwards. The host knows the statics by their names.
#[macro_export]
macro_rules! memories {
    ($arena_bytes:expr, $steps:expr) => {
        #[unsafe(export_name = "resmcu_arena")]
        static ARENA: $crate::static_cell::ConstStaticCell<
            [$crate::device_app::int8_runtime::Block;
                $arena_bytes / $crate::device_app::int8_runtime::Block::BYTES],
        > = $crate::static_cell::ConstStaticCell::new(
            [$crate::device_app::int8_runtime::Block::ZERO; _],
        );

        /// The decoded plan: an entry a step, and the input's.
        #[unsafe(export_name = "resmcu_plan")]
        static PLAN: $crate::static_cell::ConstStaticCell<
            [$crate::device_app::int8_runtime::Step; $steps + 1],
        > = $crate::static_cell::ConstStaticCell::new(
            [$crate::device_app::int8_runtime::Step::VACANT; _],
        );

        fn memories() -> $crate::service::Memories<'static> {
            $crate::service::Memories {
                arena: ARENA.try_take().map(|arena| arena.as_mut_slice()).unwrap_or_default(),
                plan: PLAN.try_take().map(|plan| plan.as_mut_slice()).unwrap_or_default(),
            }
        }
    };
}

/// Makes the static of the model that comes with the firmware, which the host knows by its name,
/// and gives its bytes. The build script says which file that is.
#[macro_export]
macro_rules! built_in_model {
    () => {{
        #[repr(align(16))]
        struct Aligned<const BYTES: usize>([u8; BYTES]);
        const BYTES: usize = include_bytes!(env!("RESMCU_MODEL")).len();
        #[unsafe(export_name = "resmcu_built_in_model")]
        static MODEL: Aligned<BYTES> = Aligned(*include_bytes!(env!("RESMCU_MODEL")));
        &MODEL.0
    }};
}

/// Chooses a model, classifies what `eye` sees as long as it is asked to, and answers on the line,
/// by frames of at most `FRAME` bytes, until the host ends that. The parts come back, for a start
/// without a reset.
pub fn run<const FRAME: usize, S, C, L, F, E>(
    device: Device,
    parts: Parts<S, C, L, F>,
    eye: &mut E,
    memories: &mut Memories<'_>,
) -> (End, Parts<S, C, L, F>)
where
    E: Eye<S>,
    S: Read + Write<Error = Infallible>,
    C: Counter,
    L: Panel,
    F: NorFlash,
{
    let Parts { serial, counter, panel, flash } = parts;
    let (store, file) = choose(device, flash, memories);
    let size = (size_of_val(memories.arena), size_of_val(memories.plan));
    let mut model = Executor::new(file, memories.arena, memories.plan);
    let parts = (serial, counter, panel);
    let (end, (serial, counter, panel), store) =
        serve::<FRAME, _, _, _, _, _>(parts, (device, size), &mut model, store, eye);
    (end, Parts { serial, counter, panel, flash: store.into_flash() })
}

/// The same on a board without slots: the model is the one that came with the firmware.
pub fn run_built_in<const FRAME: usize, S, C, L, E>(
    device: Device,
    parts: Parts<S, C, L, ()>,
    eye: &mut E,
    memories: &mut Memories<'_>,
) -> End
where
    E: Eye<S>,
    S: Read + Write<Error = Infallible>,
    C: Counter,
    L: Panel,
{
    let Parts { serial, counter, panel, flash: () } = parts;
    let size = (size_of_val(memories.arena), size_of_val(memories.plan));
    let file = device.built_in.unwrap_or_default();
    let mut model = Executor::new(file, memories.arena, memories.plan);
    let parts = (serial, counter, panel);
    serve::<FRAME, _, _, _, _, _>(parts, (device, size), &mut model, NoSlots, eye).0
}

/// The slots, and the file of the model that runs.
#[inline(never)] // the stack that it takes is free again when the service begins
fn choose<F: NorFlash>(
    device: Device,
    flash: F,
    Memories { arena, plan }: &mut Memories<'_>,
) -> (SlotStore<F>, &'static [u8]) {
    let slots = Slots::new(flash, memory::slots().1, Trust::Anyone);
    let bytes = |choice: &Choice| memory::model(choice.slot, choice.header.bytes);
    let (store, chosen) = SlotStore::start(slots, arena, plan, bytes);
    let store = if device.updates { store } else { store.read_only() };
    // Where no model may run, the loader says why of what is in the first slot.
    let otherwise = || match device.built_in {
        Some(built_in) if !memory::has_first_file() => built_in,
        _ => memory::first_file(),
    };
    (store, chosen.map_or_else(otherwise, |choice| bytes(&choice)))
}

/// Answers on the line until it has to begin again.
#[inline(never)] // nor is its frame there while a model is chosen and loaded
fn serve<const FRAME: usize, S, C, L, M, E>(
    parts: (S, C, L),
    (device, (arena, plan)): (Device, (usize, usize)),
    model: &mut Result<Executor<'_, '_>, LoadError>,
    store: M,
    eye: &mut E,
) -> (End, (S, C, L), M)
where
    E: Eye<S>,
    S: Read + Write<Error = Infallible>,
    C: Counter,
    L: Panel,
    M: Store,
{
    let identity = Identity {
        firmware: env!("CARGO_PKG_VERSION"),
        board: device.board,
        isa: device.isa,
        slot_capacity: memory::slot_capacity(),
    };
    let ram = Ram {
        arena_capacity: arena as u32,
        statics: memory::statics() - (arena + plan) as u32,
        stack_capacity: memory::stack_capacity(),
        stack_high_water: memory::stack_high_water,
    };
    let input =
        model.as_ref().ok().and_then(|model| model.file().tensor(0)).map(|input| input.shape);
    let mut app = App::<_, _, _, FRAME, _>::with_store(parts, identity, ram, model, store);
    match eye.serve(&mut app, input) {
        Ok(end) => {
            let (parts, store) = app.into_parts();
            (end, parts, store)
        }
        Err(error) => match error {},
    }
}
