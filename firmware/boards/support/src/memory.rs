//! The memory map as the linker made it: statics, the painted stack, and the model's slots.

use core::ptr::{addr_of, read_volatile};
use resmcu_device_app::int8_runtime::model_format::file_length;
use resmcu_device_app::model_slots::{Slot, SlotRange};

/// What a word of stack holds that was never used; `cortex-m-rt` has the same.
pub const STACK_PAINT: u32 = 0xCCCC_CCCC;

unsafe extern "C" {
    static __sdata: u32;
    static __edata: u32;
    static __sbss: u32;
    static __ebss: u32;
    static _stack_start: u32;
    static _stack_end: u32;
    static _model_start: u32;
    static _model_middle: u32;
    static _model_end: u32;
}

/// `.data` and `.bss`, in bytes.
pub fn statics() -> u32 {
    let data = addr_of!(__edata) as usize - addr_of!(__sdata) as usize;
    let bss = addr_of!(__ebss) as usize - addr_of!(__sbss) as usize;
    (data + bss) as u32
}

/// First word of the stack's region, where an overflow would pass.
pub fn stack_bottom() -> *const u32 {
    addr_of!(_stack_end)
}

/// End of the stack's region, where the stack begins.
pub fn stack_top() -> *const u32 {
    addr_of!(_stack_start)
}

/// Bytes of the stack's region.
pub fn stack_capacity() -> u32 {
    (stack_top() as usize - stack_bottom() as usize) as u32
}

/// Deepest stack since the start, in bytes: what is above the paint.
pub fn stack_high_water() -> u32 {
    let mut at = stack_bottom();
    while at < stack_top() {
        // SAFETY: the linker's symbols bound an aligned region of RAM; reading any word of it is
        // defined by the volatile read, whoever else uses it.
        if unsafe { read_volatile(at) } != STACK_PAINT {
            break;
        }
        at = at.wrapping_add(1);
    }
    (stack_top() as usize - at as usize) as u32
}

/// First byte of the flash that the slots share, and where in it each of them lies.
pub fn slots() -> (usize, [SlotRange; 2]) {
    let start = addr_of!(_model_start) as usize;
    let middle = addr_of!(_model_middle) as usize - start;
    let end = addr_of!(_model_end) as usize - start;
    let range =
        |from: usize, to: usize| SlotRange { start: from as u32, bytes: (to - from) as u32 };
    (start, [range(0, middle), range(middle, end)])
}

/// Bytes of the largest model, that of the first slot.
pub fn slot_capacity() -> u32 {
    let (_, [first, _]) = slots();
    first.capacity()
}

/// The first `bytes` of a slot's model, or all that it holds.
pub fn model(slot: Slot, bytes: u32) -> &'static [u8] {
    let (start, [a, b]) = slots();
    let range = match slot {
        Slot::A => a,
        Slot::B => b,
    };
    let model = start.wrapping_add(range.model() as usize) as *const u8;
    // SAFETY: the memory map gives these bytes to the slots and to nothing else, and all of them
    // are initialized (flash, or RAM that the emulator cleared). A slot is written by an update,
    // which goes to the slot whose model does not run; of that one no slice is left from the start.
    unsafe { core::slice::from_raw_parts(model, bytes.min(range.capacity()) as usize) }
}

/// The file in the first slot, whatever its header says: as long as it says it is, and not longer
/// than the slot. All of the slot where no file begins, for the loader to refuse.
pub fn first_file() -> &'static [u8] {
    let slot = model(Slot::A, u32::MAX);
    let bytes = file_length(slot).unwrap_or(slot.len());
    slot.get(..bytes).unwrap_or(slot)
}

/// Whether a model's file begins in the first slot, whatever its header says.
pub fn has_first_file() -> bool {
    file_length(model(Slot::A, u32::MAX)).is_some()
}

/// Uses up the stack, a frame a level: for tests of what becomes of that.
#[expect(unconditional_recursion, reason = "that is what it is for")]
pub fn overflow_stack(levels: u32) -> u32 {
    let frame = core::hint::black_box([levels; 64]);
    overflow_stack(frame[0] - 1) + core::hint::black_box(frame[63])
}
