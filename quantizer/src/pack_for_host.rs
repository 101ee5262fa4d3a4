//! A model file for a device, packed anew for the host that looks at it.
//!
//! Every convolution of the result is computed by the host's kernel (`int8_kernels::host`), which
//! gives the same bytes as the one that the file names, only sooner. All else is the file's.

use resmcu_int8_kernels::host::{self, HOST_KERNEL};
use resmcu_int8_kernels::ops::conv2d;
use resmcu_int8_kernels::packed::{Channels, Kernel};
use resmcu_int8_kernels::requantize::{NativeChannel, TfliteChannel};
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::write::{DataSection, WriteError, encode};
use resmcu_model_format::{self as format, DataRef, ModelFile, Op, ParseError, Profile, Step};
use zerocopy::{FromBytes, IntoBytes};

/// Why a file could not be packed anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is no model file.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Its weights and its shapes do not agree.
    #[error("step {step}: the weights are not those of a convolution of this shape")]
    Weights {
        /// The step.
        step: usize,
    },
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The bytes of the same model for this host.
///
/// # Errors
/// Where `file` is no model file, or one that the loader would refuse.
pub fn pack_for_host(file: &[u8]) -> Result<Vec<u8>, HostError> {
    let model = ModelFile::parse(file)?;
    let mut data = DataSection::default();
    // All references stay true: the host's weights come behind what is there.
    data.push(model.data(DataRef { offset: 0, bytes: model.data_bytes() }));
    let tensors: Vec<_> = model.tensors().collect();
    let mut header = *model.header();
    let mut steps: Vec<Step<'_>> = model.steps().collect();
    for (index, step) in steps.iter_mut().enumerate() {
        let Op::Conv2d(conv) = &mut step.op else { continue };
        let wrong = HostError::Weights { step: index };
        let shape = |tensor: u16| tensors.get(usize::from(tensor)).map(|tensor| tensor.shape);
        let (input, output) = shape(conv.input).zip(shape(step.output)).ok_or(wrong.clone())?;
        let window = Window {
            input,
            output,
            size: conv.kernel_size,
            stride: conv.stride,
            padding: [conv.padding[0], conv.padding[1]],
        };
        let weights = unpack(&model, step.kernel, conv, &window).ok_or(wrong)?;
        let mut packed = vec![0; host::packed_words(&window)];
        host::pack(&window, &weights, &mut packed);
        conv.weights = data.push(packed.as_bytes());
        step.kernel = HOST_KERNEL;
        let scratch = u32::try_from(4 * host::scratch_words(&window)).unwrap_or(u32::MAX);
        header.scratch_bytes = header.scratch_bytes.max(scratch);
    }
    Ok(encode(&header, &tensors, &steps, &data)?)
}

/// The weights `[O,KH,KW,I]` of a convolution; none where lengths or the kernel's number are wrong.
fn unpack(
    model: &ModelFile<'_>,
    kernel: u16,
    conv: &format::Conv2d,
    window: &Window,
) -> Option<Vec<i8>> {
    let packed = model.data(conv.weights);
    let outputs = usize::from(window.output[2]);
    let mut weights = vec![0; outputs * window.patch_len()];
    let whole = if let Some(kernel) = Kernel::from_number(kernel) {
        // Copied: the file may lie at any address.
        let words: Vec<u32> = read_all(packed)?;
        let constants = model.data(conv.channels);
        match model.header().profile {
            Profile::Native => {
                let channels: Vec<NativeChannel> = read_all(constants)?;
                kernel.unpack(window, Channels::Native(&channels), &words, &mut weights)
            }
            Profile::Tflite => {
                let channels: Vec<TfliteChannel> = read_all(constants)?;
                // No weight depends on the zero point.
                let channels = Channels::Tflite { channels: &channels, zero_point: 0 };
                kernel.unpack(window, channels, &words, &mut weights)
            }
        }
    } else if kernel == conv2d::NUMBER_S4 {
        unpack_s4(&read_all::<u16>(packed)?, window, &mut weights)
    } else {
        let packed = <[i8]>::ref_from_bytes(packed).ok()?;
        kernel == conv2d::NUMBER_S8 && conv2d::unpack(packed, window.patch_len(), &mut weights)
    };
    whole.then_some(weights)
}

/// Undoes `conv2d::pack_s4`; answers whether `packed` has the length for it.
fn unpack_s4(packed: &[u16], window: &Window, weights: &mut [i8]) -> bool {
    let patch = window.patch_len();
    if packed.len() != conv2d::packed_len_s4(window) {
        return false;
    }
    for (o, row) in weights.chunks_exact_mut(patch).enumerate() {
        let words = packed.iter().skip(o / conv2d::CHANNEL_BLOCK * patch);
        let up = 12 - 4 * (o % conv2d::CHANNEL_BLOCK);
        row.iter_mut().zip(words).for_each(|(w, &word)| *w = ((word << up) as i16 >> 12) as i8);
    }
    true
}

fn read_all<T: FromBytes>(bytes: &[u8]) -> Option<Vec<T>> {
    let records = bytes.chunks(size_of::<T>());
    records.map(|record| T::read_from_bytes(record).ok()).collect()
}
