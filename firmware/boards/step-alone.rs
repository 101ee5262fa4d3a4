#![no_std]
#![no_main]
//! The runtime by itself: what a firmware does with a model, from any bytes to the best classes.
//!
//! An image with a vendor's HAL has a panic handler, since the HAL may panic. This one, of the same
//! compiled crates, has none: it links only where no panic can be reached from loading a model,
//! feeding it, `step` and `run`. It is linked, and runs nowhere.

use resmcu_device_app::int8_runtime::{Block, Executor, Progress, Step};

/// A piece of memory of which nothing is known: `count` values of `T`.
#[repr(C)]
struct Memory<T> {
    first: *mut T,
    count: usize,
}

impl<T> Memory<T> {
    /// # Safety
    /// They are there, initialized, and nothing else refers to them.
    unsafe fn slice(&self) -> &'static mut [T] {
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(self.first, self.count) }
    }
}

/// The linker's entry: the optimizer knows nothing of what comes in.
///
/// # Safety
/// All pieces are memory, as [`Memory::slice`] wants it.
#[unsafe(no_mangle)]
unsafe extern "C" fn resmcu_step_alone(
    file: &Memory<u8>,
    arena: &Memory<Block>,
    plan: &Memory<Step>,
    image: &Memory<u8>,
) -> i32 {
    // SAFETY: the caller's promise.
    let (file, arena, plan, image) =
        unsafe { (file.slice(), arena.slice(), plan.slice(), image.slice()) };
    #[cfg(feature = "provoke-panic")]
    assert!(image.len() != 1, "as the feature asks");
    let mut model = match Executor::new(file, arena, plan) {
        Ok(model) => model,
        Err(error) => return i32::from(error.code()),
    };
    model.begin();
    model.feed(image, &mut ());
    while model.step(&mut ()) == Progress::Made {}
    model.infer_image(image, &mut ());
    let [best, ..] = model.best::<3>();
    best.map_or(0, |(class, score)| i32::from(class).wrapping_add(score))
}

/// There is no such function: where a panic can be reached, the linker complains of this name.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn resmcu_a_panic_can_be_reached() -> !;
    }
    resmcu_a_panic_can_be_reached()
}
