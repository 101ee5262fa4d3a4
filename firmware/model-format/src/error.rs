//! Why a model file was refused: where, what was found, and against which limit.

/// A refused model file. Offsets and sizes are in bytes from the file's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at:#x}: {problem}")]
pub struct ParseError {
    /// The first byte of the field or record that is wrong.
    pub at: u32,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes end before the file does.
    #[error("the file is cut short: {have} bytes are there, {need} are needed")]
    Truncated {
        /// Bytes that are needed.
        need: u32,
        /// Bytes that are there.
        have: u32,
    },
    /// The first four bytes are not those of a model file.
    #[error("not a model file: it begins with {found:#010x}, not with `RMCU`")]
    Magic {
        /// The first four bytes, little-endian.
        found: u32,
    },
    /// A version that this reader does not know.
    #[error("format version {found} is not known here, only 1 to {newest}")]
    Version {
        /// The file's version.
        found: u16,
        /// The newest that can be read.
        newest: u16,
    },
    /// The stored checksum is not that of the bytes.
    #[error("CRC-32 {computed:#010x} of the bytes is not {stored:#010x}, which the file declares")]
    Crc {
        /// What the file declares.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A section or a reserved field is not where or what it has to be.
    #[error("the layout field is {found}, and has to be {expected}")]
    Layout {
        /// What the field holds.
        found: u32,
        /// What it has to hold, or its limit.
        expected: u32,
    },
    /// Bytes that are no record.
    #[error("no valid record begins here")]
    Record,
    /// Bytes after the last record.
    #[error("{bytes} bytes follow the last record")]
    TrailingBytes {
        /// How many.
        bytes: u32,
    },
    /// A model without a step, or without a tensor for each of them and the input.
    #[error("{tensors} tensors do not go with {steps} steps: there is one a step, and the input")]
    Counts {
        /// Declared tensors.
        tensors: u16,
        /// Declared steps.
        steps: u16,
    },
    /// A tensor side of zero or above the limit.
    #[error("tensor {tensor} has a side of {side}, outside of 1 to {limit}")]
    Shape {
        /// Index of the tensor.
        tensor: u16,
        /// The side that is wrong.
        side: u16,
        /// The limit.
        limit: u16,
    },
    /// A tensor's type or scale does not fit its place.
    #[error("tensor {tensor} has a type, scale or zero point that cannot be there")]
    Quantization {
        /// Index of the tensor.
        tensor: u16,
    },
    /// A tensor does not begin at a multiple of the alignment.
    #[error("tensor {tensor} begins at {offset}, which is no multiple of 16")]
    Misaligned {
        /// Index of the tensor.
        tensor: u16,
        /// Its offset in the arena.
        offset: u32,
    },
    /// A tensor ends past the arena that the header declares.
    #[error("tensor {tensor} ends at {end}, past the arena of {arena} bytes")]
    OutOfArena {
        /// Index of the tensor.
        tensor: u16,
        /// Its end in the arena, saturated.
        end: u32,
        /// Size of the arena.
        arena: u32,
    },
    /// Two tensors that live at the same time share memory.
    #[error("tensors {first} and {second} live at the same time in the same memory")]
    Overlap {
        /// Index of one tensor.
        first: u16,
        /// Index of the other.
        second: u16,
    },
    /// A declared life that does not cover a use, or is not that of the step.
    #[error("tensor {tensor} is declared to live in steps {first} to {last}, not in step {step}")]
    Lifetime {
        /// Index of the tensor.
        tensor: u16,
        /// The step that makes or reads it.
        step: u16,
        /// First step of its declared life.
        first: u16,
        /// Last step of its declared life.
        last: u16,
    },
    /// A step names a tensor that is not there.
    #[error("step {step} names tensor {tensor} of {tensors}")]
    NoSuchTensor {
        /// Index of the step.
        step: u16,
        /// The index it names.
        tensor: u16,
        /// Number of tensors.
        tensors: u16,
    },
    /// A step makes another tensor than the one whose turn it is.
    #[error("step {step} makes tensor {found}, and has to make tensor {expected}")]
    Output {
        /// Index of the step.
        step: u16,
        /// The tensor it names.
        found: u16,
        /// Its own: the step's index and one.
        expected: u16,
    },
    /// A step's tensors do not have the shapes that its operator gives.
    #[error("step {step}: its tensors' shapes or types do not go with its operator")]
    StepShape {
        /// Index of the step.
        step: u16,
    },
    /// A parameter of a step is outside of its limits.
    #[error("step {step}: {parameter} is {found}, limit {limit}")]
    Parameter {
        /// Index of the step.
        step: u16,
        /// Which parameter.
        parameter: &'static str,
        /// What was found.
        found: u32,
        /// The limit.
        limit: u32,
    },
    /// An operator that its model's profile does not have.
    #[error("step {step}: the model's profile does not have this operator")]
    NotInProfile {
        /// Index of the step.
        step: u16,
    },
    /// A reference that leaves the data section.
    #[error("step {step}: its data ends at {end}, past the data section of {section} bytes")]
    DataOutside {
        /// Index of the step.
        step: u16,
        /// Where the data end, saturated.
        end: u32,
        /// Size of the section.
        section: u32,
    },
    /// A tensor's memory holds no row, or more than there are.
    #[error("tensor {tensor} has memory for {rows} rows, outside of 1 to {height}")]
    Ring {
        /// Index of the tensor.
        tensor: u16,
        /// Rows of its memory.
        rows: u16,
        /// Rows of the tensor.
        height: u16,
    },
    /// A step that cannot make so many rows at a time, or the last one on demand.
    #[error("step {step} cannot make {rows} rows at a time, or on demand")]
    Group {
        /// Index of the step.
        step: u16,
        /// Rows at a time.
        rows: u16,
    },
    /// A ring that is too small for the rows that are needed at the same time.
    #[error("tensor {tensor} has memory for {have} rows, and needs {need} at the same time")]
    Rows {
        /// Index of the tensor.
        tensor: u16,
        /// Rows that are needed.
        need: u16,
        /// Rows of its memory.
        have: u16,
    },
    /// A reference that does not begin at a multiple of the alignment.
    #[error("step {step}: its data begin at {offset}, which is no multiple of 16")]
    DataMisaligned {
        /// Index of the step.
        step: u16,
        /// Where the data begin.
        offset: u32,
    },
}

impl Problem {
    /// A number for the wire, stable within a protocol version.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Truncated { .. } => 1,
            Self::Magic { .. } => 2,
            Self::Version { .. } => 3,
            Self::Crc { .. } => 4,
            Self::Layout { .. } => 5,
            Self::Record => 6,
            Self::TrailingBytes { .. } => 7,
            Self::Counts { .. } => 8,
            Self::Shape { .. } => 9,
            Self::Quantization { .. } => 10,
            Self::Misaligned { .. } => 11,
            Self::OutOfArena { .. } => 12,
            Self::Overlap { .. } => 13,
            Self::Lifetime { .. } => 14,
            Self::NoSuchTensor { .. } => 15,
            Self::Output { .. } => 16,
            Self::StepShape { .. } => 17,
            Self::Parameter { .. } => 18,
            Self::NotInProfile { .. } => 19,
            Self::DataOutside { .. } => 20,
            Self::DataMisaligned { .. } => 21,
            Self::Ring { .. } => 22,
            Self::Group { .. } => 23,
            Self::Rows { .. } => 24,
        }
    }
}
