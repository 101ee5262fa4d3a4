//! What the format alone can prove of a record: shapes, types, lives, references.

use crate::error::{ParseError, Problem};
use crate::file::{ModelFile, as_u32};
use crate::records::{Conv2d, DataRef, Dtype, Header, Op, PadValue, Pool2d, Profile, Step, Tensor};
use crate::{ALIGNMENT, DIMENSION_MAX};

/// Most positions whose int8 values sum up to an int16.
pub(crate) const SUM_POSITIONS_MAX: u32 = 256;

/// Most positions of a mean, so that the sum stays below 2^23.
const MEAN_POSITIONS_MAX: u32 = 65_535;

/// Most classes whose exponentials the softmax's sum has room for.
const SOFTMAX_CLASSES_MAX: u32 = 4095;

impl Problem {
    /// This problem, at a byte of the file.
    pub(crate) fn at(self, byte: usize) -> ParseError {
        ParseError { at: as_u32(byte), problem: self }
    }
}

/// A tensor record by itself.
pub(crate) fn tensor(header: &Header<'_>, index: u16, t: &Tensor<'_>) -> Result<(), Problem> {
    let bad_side = |side: &u16| !(1..=DIMENSION_MAX).contains(side);
    if let Some(&side) = t.shape.iter().find(|side| bad_side(side)) {
        return Err(Problem::Shape { tensor: index, side, limit: DIMENSION_MAX });
    }
    let zero_point_fits = t.dtype != Dtype::I8 || (-128..=127).contains(&t.zero_point);
    if !(t.scale.is_finite() && t.scale > 0.0 && zero_point_fits) {
        return Err(Problem::Quantization { tensor: index });
    }
    if !(1..=t.shape[0]).contains(&t.rows) {
        return Err(Problem::Ring { tensor: index, rows: t.rows, height: t.shape[0] });
    }
    if !t.offset.is_multiple_of(ALIGNMENT) {
        return Err(Problem::Misaligned { tensor: index, offset: t.offset });
    }
    let end = u64::from(t.offset) + t.memory_bytes();
    if end > u64::from(header.arena_bytes) {
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        return Err(Problem::OutOfArena { tensor: index, end, arena: header.arena_bytes });
    }
    let (first, last) = (t.first, t.last);
    if first != index.saturating_sub(1) || last < first || last >= header.steps {
        let step = index.saturating_sub(1);
        return Err(Problem::Lifetime { tensor: index, step, first, last });
    }
    Ok(())
}

fn in_profile(op: &Op, profile: Profile) -> bool {
    match op {
        Op::Conv2d(conv) => conv.skip.is_none() || profile == Profile::Native,
        Op::MaxPool2d(_) | Op::FullyConnected(_) | Op::GlobalMean(_) | Op::GlobalSum(_) => true,
        Op::SubsamplePad(_) => profile == Profile::Native,
        Op::AveragePool2d(_) | Op::Add(_) | Op::Softmax(_) => profile == Profile::Tflite,
    }
}

/// A step record against the tensors and the data section.
pub(crate) fn step(model: &ModelFile<'_>, index: u16, step: &Step<'_>) -> Result<(), Problem> {
    let header = model.header();
    let expected = index + 1;
    if step.output != expected {
        return Err(Problem::Output { step: index, found: step.output, expected });
    }
    if !in_profile(&step.op, header.profile) {
        return Err(Problem::NotInProfile { step: index });
    }
    for tensor in step.op.inputs().into_iter().flatten() {
        let no_such = Problem::NoSuchTensor { step: index, tensor, tensors: header.tensors };
        let t = model.tensor(tensor).ok_or(no_such)?;
        // A tensor is made by the step before its index, so a life that begins later is a loop.
        if tensor > index || t.last < index {
            let (first, last) = (t.first, t.last);
            return Err(Problem::Lifetime { tensor, step: index, first, last });
        }
    }
    shapes(model, index, step)?;
    groups(model, index, step)
}

/// Whether the step's rows can be made so many at a time.
fn groups(model: &ModelFile<'_>, index: u16, step: &Step<'_>) -> Result<(), Problem> {
    let height = model.tensor(step.output).map_or(0, |y| y.shape[0]);
    let ends = index + 1 == model.header().steps;
    if step.rows == 0 || step.on_demand && ends {
        return Err(Problem::Group { step: index, rows: step.rows });
    }
    // A window in the padding would begin behind the rows that are there.
    let [size, above, below] = match &step.op {
        Op::Conv2d(conv) => [conv.kernel_size[0], conv.padding[0], conv.padding[2]],
        _ => [1, 0, 0],
    };
    if step.rows < height && above.max(below) >= size {
        return Err(Problem::Group { step: index, rows: step.rows });
    }
    Ok(())
}

/// The two tensors that every operator has, and what else it needs of them.
struct Shapes<'a> {
    model: &'a ModelFile<'a>,
    step: u16,
    x: Tensor<'a>,
    y: Tensor<'a>,
}

fn shapes(model: &ModelFile<'_>, index: u16, step: &Step<'_>) -> Result<(), Problem> {
    let wrong = Problem::StepShape { step: index };
    let x = step.op.inputs()[0].and_then(|x| model.tensor(x)).ok_or(wrong)?;
    let y = model.tensor(step.output).ok_or(wrong)?;
    let s = Shapes { model, step: index, x, y };
    let classes = s.y.shape[2];
    match &step.op {
        Op::Conv2d(conv) => s.conv2d(conv),
        Op::AveragePool2d(pool) if s.x.dtype == Dtype::I16 => s.mean_of_sums(pool),
        Op::MaxPool2d(pool) | Op::AveragePool2d(pool) => s.pool2d(pool),
        Op::GlobalSum(_) => {
            s.positions(SUM_POSITIONS_MAX)?;
            s.require(s.dtypes(Dtype::I8, Dtype::I16) && s.y.shape == [1, 1, s.x.shape[2]])
        }
        Op::GlobalMean(mean) => {
            s.positions(MEAN_POSITIONS_MAX)?;
            s.data(mean.channels)?;
            s.clamp(mean.clamp)?;
            let sums = s.dtypes(Dtype::I16, Dtype::I8) && s.x.shape[..2] == [1, 1];
            let shape = s.y.shape == [1, 1, s.x.shape[2]];
            s.require((sums || s.dtypes(Dtype::I8, Dtype::I8)) && shape)
        }
        Op::FullyConnected(fc) => {
            s.data(fc.weights)?;
            s.data(fc.channels)?;
            s.clamp(fc.clamp)?;
            s.require(s.y.shape == [1, 1, classes] && s.classifier_dtypes())
        }
        Op::Add(add) => {
            s.data(add.parameters)?;
            s.clamp(add.clamp)?;
            let in_place_fits = add.in_place.is_none_or(|input| input < 2);
            let other = s.model.tensor(add.inputs[1]);
            let other_fits = other.is_some_and(|o| o.shape == s.y.shape && o.dtype == Dtype::I8);
            let same = s.x.shape == s.y.shape && s.dtypes(Dtype::I8, Dtype::I8);
            s.require(in_place_fits && other_fits && same && add.inputs[0] != add.inputs[1])
        }
        Op::Softmax(softmax) => {
            s.limit("shift", u32::from(softmax.shift), 31)?;
            s.limit("classes", u32::from(classes), SOFTMAX_CLASSES_MAX)?;
            let same = s.x.shape == s.y.shape && s.x.shape[..2] == [1, 1];
            s.require(same && softmax.multiplier >= 0 && s.dtypes(Dtype::I8, Dtype::I8))
        }
        Op::SubsamplePad(op) => {
            let fits = |x: u16, y: u16| op.stride != 0 && y == x.div_ceil(u16::from(op.stride));
            let channels = u32::from(op.channels_before) + u32::from(s.x.shape[2]);
            let sides = fits(s.x.shape[0], s.y.shape[0]) && fits(s.x.shape[1], s.y.shape[1]);
            let channels_fit = channels <= u32::from(classes);
            s.require(sides && channels_fit && s.dtypes(Dtype::I8, Dtype::I8))
        }
    }
}

impl Shapes<'_> {
    fn require(&self, holds: bool) -> Result<(), Problem> {
        if holds { Ok(()) } else { Err(Problem::StepShape { step: self.step }) }
    }

    fn limit(&self, parameter: &'static str, found: u32, limit: u32) -> Result<(), Problem> {
        let problem = Problem::Parameter { step: self.step, parameter, found, limit };
        if found <= limit { Ok(()) } else { Err(problem) }
    }

    fn dtypes(&self, x: Dtype, y: Dtype) -> bool {
        self.x.dtype == x && self.y.dtype == y
    }

    /// int8 to int8 in the profile `tflite`; int8 or int16 to int32 in the profile `native`.
    fn classifier_dtypes(&self) -> bool {
        match self.model.header().profile {
            Profile::Tflite => self.dtypes(Dtype::I8, Dtype::I8),
            Profile::Native => self.x.dtype != Dtype::I32 && self.y.dtype == Dtype::I32,
        }
    }

    fn positions(&self, limit: u32) -> Result<(), Problem> {
        let positions = u32::from(self.x.shape[0]) * u32::from(self.x.shape[1]);
        self.limit("positions", positions, limit)
    }

    fn clamp(&self, [low, high]: [i8; 2]) -> Result<(), Problem> {
        self.require(low <= high)
    }

    fn data(&self, reference: DataRef) -> Result<(), Problem> {
        if !reference.offset.is_multiple_of(ALIGNMENT) {
            let offset = reference.offset;
            return Err(Problem::DataMisaligned { step: self.step, offset });
        }
        let (end, section) = (reference.offset.saturating_add(reference.bytes), self.section());
        let outside = Problem::DataOutside { step: self.step, end, section };
        if end <= section { Ok(()) } else { Err(outside) }
    }

    fn section(&self) -> u32 {
        self.model.data_bytes()
    }

    fn conv2d(&self, conv: &Conv2d) -> Result<(), Problem> {
        self.data(conv.weights)?;
        self.data(conv.channels)?;
        self.clamp(conv.clamp)?;
        if let PadValue::PerChannel(reference) = conv.pad_value {
            self.data(reference)?;
            self.require(reference.bytes == u32::from(self.x.shape[2]))?;
        }
        self.window(conv.kernel_size, conv.stride, conv.padding)?;
        let skip = conv.skip.map(|skip| self.model.tensor(skip));
        let joins = skip.is_none_or(|skip| {
            let same = |t: Tensor<'_>| t.shape == self.y.shape && t.offset == self.y.offset;
            conv.skip != Some(conv.input)
                && skip.is_some_and(|t| t.dtype == Dtype::I8 && t.last == self.step && same(t))
        });
        self.require(joins && self.dtypes(Dtype::I8, Dtype::I8))
    }

    fn pool2d(&self, pool: &Pool2d) -> Result<(), Problem> {
        self.clamp(pool.clamp)?;
        self.window(pool.kernel_size, pool.stride, pool.padding)?;
        // A window that lies wholly in the padding would have no largest value and no mean.
        let [top, left, bottom, right] = pool.padding;
        let [kh, kw] = pool.kernel_size;
        let inside = top.max(bottom) < kh && left.max(right) < kw;
        let same_channels = self.x.shape[2] == self.y.shape[2];
        self.require(inside && same_channels && self.dtypes(Dtype::I8, Dtype::I8))
    }

    /// Sums over one whole window, of which there is nothing left but the division.
    fn mean_of_sums(&self, pool: &Pool2d) -> Result<(), Problem> {
        self.clamp(pool.clamp)?;
        let one = self.x.shape == self.y.shape && self.x.shape[..2] == [1, 1];
        let window = pool.padding == [0; 4] && !pool.kernel_size.contains(&0);
        self.require(one && window && self.y.dtype == Dtype::I8)
    }

    /// The output's sides follow from the input's, the window, the stride and the padding.
    fn window(&self, size: [u8; 2], stride: [u8; 2], padding: [u8; 4]) -> Result<(), Problem> {
        let [top, left, bottom, right] = padding.map(u32::from);
        for (axis, pads) in [top + bottom, left + right].into_iter().enumerate() {
            let (size, stride) = (u32::from(size[axis]), u32::from(stride[axis]));
            let padded = u32::from(self.x.shape[axis]) + pads;
            self.require(size != 0 && stride != 0 && size <= padded)?;
            self.require((padded - size) / stride + 1 == u32::from(self.y.shape[axis]))?;
        }
        Ok(())
    }
}
