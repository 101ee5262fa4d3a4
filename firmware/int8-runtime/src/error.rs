//! Why a model cannot run here.

use resmcu_model_format::ParseError;

/// A model that was refused before anything ran. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file itself is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The arena is too small.
    #[error("the model needs an arena of {need} bytes, and {have} are there")]
    Arena {
        /// Bytes of tensors and scratch.
        need: u32,
        /// Bytes that are there.
        have: u32,
    },
    /// The plan does not fit the table of decoded steps.
    #[error("the model has {steps} steps, and this build decodes at most {capacity}")]
    TooManySteps {
        /// Steps of the model.
        steps: u16,
        /// Entries of the table.
        capacity: u16,
    },
    /// A kernel that is not in this build.
    #[error("step {step} asks for kernel {kernel}, which this build does not have")]
    Kernel {
        /// Index of the step.
        step: u16,
        /// Number of the kernel.
        kernel: u16,
    },
    /// A kernel that does not compute such a layer exactly.
    #[error("step {step} asks for kernel {kernel}, which does not compute such a layer")]
    NotForKernel {
        /// Index of the step.
        step: u16,
        /// Number of the kernel.
        kernel: u16,
    },
    /// Weights or constants of another size than their kernel reads.
    #[error("step {step}: its data have {found} bytes, and its kernel reads {expected}")]
    DataSize {
        /// Index of the step.
        step: u16,
        /// Bytes in the file.
        found: u32,
        /// Bytes that the kernel reads.
        expected: u32,
    },
    /// A requantization constant outside of its limits.
    #[error("step {step}: the requantization of channel {channel} is outside of its limits")]
    Channel {
        /// Index of the step.
        step: u16,
        /// Index of the output channel.
        channel: u16,
    },
    /// A declared accumulator bound that the kernel cannot hold.
    #[error("step {step}: its accumulator may reach {found}, and its kernel holds {limit}")]
    Accumulator {
        /// Index of the step.
        step: u16,
        /// The declared bound.
        found: u32,
        /// The kernel's limit.
        limit: u32,
    },
    /// A kernel that needs more scratch than the header declares.
    #[error("step {step} needs {need} bytes of scratch, and the header declares {declared}")]
    Scratch {
        /// Index of the step.
        step: u16,
        /// Bytes that the kernel needs.
        need: u32,
        /// Bytes that the header declares.
        declared: u32,
    },
}

impl LoadError {
    /// A number for the wire: those below 100 are [`ParseError`]'s.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Parse(error) => error.problem.code(),
            Self::Arena { .. } => 100,
            Self::TooManySteps { .. } => 101,
            Self::Kernel { .. } => 102,
            Self::DataSize { .. } => 103,
            Self::Channel { .. } => 104,
            Self::Accumulator { .. } => 105,
            Self::Scratch { .. } => 106,
            Self::NotForKernel { .. } => 107,
        }
    }

    /// Where, and what was found or needed: the byte of the file and 0, or the step and a size.
    #[must_use]
    pub const fn details(&self) -> [u32; 2] {
        match *self {
            Self::Parse(error) => [error.at, 0],
            Self::Arena { need, have } => [need, have],
            Self::TooManySteps { steps, capacity } => [steps as u32, capacity as u32],
            Self::Kernel { step, kernel } | Self::NotForKernel { step, kernel } => {
                [step as u32, kernel as u32]
            }
            Self::DataSize { step, found, .. } => [step as u32, found],
            Self::Channel { step, channel } => [step as u32, channel as u32],
            Self::Accumulator { step, found, .. } => [step as u32, found],
            Self::Scratch { step, need, .. } => [step as u32, need],
        }
    }
}
