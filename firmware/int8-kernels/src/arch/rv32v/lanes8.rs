//! The pass over vectors of output channels, behind the signature of `model`.

use core::mem::MaybeUninit;

use crate::packed::lanes8::{PIXELS, Place, Stream, block, block_words};
use crate::requantize::Form;

/// Words laid aside for each pixel.
const LANES: usize = 32;

/// What the assembly reads.
#[repr(C)]
struct Context {
    rows: [*const i8; PIXELS],
    row_ends: [usize; PIXELS],
    y: [*mut i8; PIXELS],
    packed: *const u32,
    row_count: usize,
    row_bytes: usize,
    outputs: usize,
    join: usize,
    aside: *mut i32,
    tflite: usize,
}

#[expect(unsafe_code, reason = "declares the assembly of this kernel")]
// SAFETY: the signatures are those that its file of assembly states.
unsafe extern "C" {
    fn resmcu_lanes8_three_pixels(context: *const Context);
    fn resmcu_lanes8_six_pixels(context: *const Context);
}

/// As `model::run`; `spare` takes the outputs of pixels that are no more.
pub(crate) fn run(
    stream: &Stream<'_>,
    places: &[Place<'_>; PIXELS],
    y: &mut [i8],
    spare: &mut [i8],
) {
    let (outputs, patch) = (stream.outputs(), stream.rows() * stream.row());
    let [pixels, most] = block(outputs);
    let count = y.len() / outputs.max(1);
    let whole = outputs / most * block_words(most, patch) + block_words(outputs % most, patch);
    let reaches =
        |place: &Place<'_>| place.bytes.len() >= (stream.rows() - 1) * place.pitch + stream.row();
    let is_whole = stream.packed().len() == whole && spare.len() >= outputs;
    if !is_whole || !(1..=pixels).contains(&count) || !places.iter().take(count).all(reaches) {
        return;
    }
    // Pixels that are no more read as the first one does.
    let place = |pixel: usize| places.get(pixel).filter(|_| pixel < count).unwrap_or(&places[0]);
    let mut aside = [const { MaybeUninit::<i32>::uninit() }; PIXELS * LANES];
    let context = Context {
        rows: core::array::from_fn(|pixel| place(pixel).bytes.as_ptr()),
        row_ends: core::array::from_fn(|pixel| place(pixel).pitch.wrapping_sub(stream.row())),
        y: core::array::from_fn(|pixel| {
            let own = y.as_mut_ptr().wrapping_add(pixel * outputs);
            if pixel < count { own } else { spare.as_mut_ptr() }
        }),
        packed: stream.packed().as_ptr(),
        row_count: stream.rows(),
        row_bytes: stream.row(),
        outputs,
        join: (stream.form() == Form::NativeJoin).into(),
        aside: aside.as_mut_ptr().cast(),
        tflite: (stream.form() == Form::Tflite).into(),
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: every window's last row ends inside of its slice, the stream is whole, with at least
    // one row, byte and output, and each pixel has `outputs` bytes of its own or the spare ones;
    // vectors are as long as the outputs that are left. `aside` has 32 words a pixel.
    unsafe {
        if pixels == 3 {
            resmcu_lanes8_three_pixels(&raw const context);
        } else {
            resmcu_lanes8_six_pixels(&raw const context);
        }
    }
}
