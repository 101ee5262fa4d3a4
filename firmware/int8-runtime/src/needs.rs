//! Memory for a model that is part of a firmware, sized when the firmware is compiled.

use crate::arena::Block;
use resmcu_model_format::Sizes;

/// What [`Executor::new`](crate::Executor::new) has to be given for one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Blocks of the arena.
    pub blocks: usize,
    /// Entries of the plan.
    pub entries: usize,
}

impl Needs {
    /// For the model in `file`, in a constant.
    ///
    /// # Panics
    /// Where `file` is no model file: in a constant, the firmware does not compile.
    #[must_use]
    pub const fn of(file: &[u8]) -> Self {
        let Some(sizes) = Sizes::of(file) else { panic!("this is not a model file of resmcu") };
        let tensors = (sizes.arena_bytes as usize).div_ceil(Block::BYTES);
        let scratch = (sizes.scratch_bytes as usize).div_ceil(Block::BYTES);
        Self { blocks: tensors + scratch, entries: sizes.steps as usize + 1 }
    }
}

/// Bytes at a multiple of sixteen, as a model file has to lie. Made by
/// [`include_model!`](crate::include_model).
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

/// A model file as a part of the firmware, aligned as the loader wants it: `&'static [u8]`. The
/// path is taken as `include_bytes!` takes it.
#[macro_export]
macro_rules! include_model {
    ($path:expr) => {{
        const MODEL: &$crate::Aligned<[u8]> = &$crate::Aligned(*include_bytes!($path));
        &MODEL.0
    }};
}
