//! The pass over dot products of sixteen, behind the signature of `model`.

use crate::packed::dot8::{CONSTANTS, OUTPUTS, Run, STEP, STEP_WORDS, Stream};

/// What the assembly reads.
#[repr(C)]
struct Context {
    windows: [*const i8; 2],
    y: [*mut i8; 2],
    outputs_left: usize,
    chunks: usize,
    rows: usize,
    form: usize,
    packed: *const u32,
    pairs: usize,
    pair_bytes: usize,
    y_of_pair: *mut i8,
    row_end: usize,
    outputs: usize,
}

#[expect(unsafe_code, reason = "declares the assembly of this kernel")]
// SAFETY: the signatures are those that its file of assembly states.
unsafe extern "C" {
    fn resmcu_dot8_rows_of_1(context: *const Context);
    fn resmcu_dot8_rows_of_3(context: *const Context);
    fn resmcu_dot8_by_1(context: *const Context);
    fn resmcu_dot8_by_2(context: *const Context);
    fn resmcu_dot8_by_3(context: *const Context);
    fn resmcu_dot8_by_4(context: *const Context);
}

/// As `model::run`.
pub(crate) fn run(stream: &Stream<'_>, run: &Run, x: &[i8], y: &mut [i8]) {
    let (outputs, steps) = (stream.outputs(), stream.steps());
    let group = STEP_WORDS * stream.rows() * steps + CONSTANTS;
    let whole = stream.packed().len() == outputs.div_ceil(OUTPUTS) * group;
    if !whole || run.pairs == 0 || x.len() < run.end(stream) || y.len() < 2 * run.pairs * outputs {
        return;
    }
    let first = x.as_ptr().wrapping_add(run.start);
    let (body, unroll): (unsafe extern "C" fn(*const Context), usize) = match steps {
        1 => (resmcu_dot8_rows_of_1, 1),
        3 => (resmcu_dot8_rows_of_3, 3),
        _ if steps.is_multiple_of(4) => (resmcu_dot8_by_4, 4),
        _ if steps.is_multiple_of(3) => (resmcu_dot8_by_3, 3),
        _ if steps.is_multiple_of(2) => (resmcu_dot8_by_2, 2),
        _ => (resmcu_dot8_by_1, 1),
    };
    let context = Context {
        windows: [first, first.wrapping_add(run.pixel)],
        y: [y.as_mut_ptr(), y.as_mut_ptr().wrapping_add(outputs)],
        outputs_left: outputs,
        chunks: steps / unroll,
        rows: stream.rows(),
        form: stream.form() as usize,
        packed: stream.packed().as_ptr(),
        pairs: run.pairs,
        pair_bytes: 2 * run.pixel,
        y_of_pair: y.as_mut_ptr(),
        row_end: run.pitch.wrapping_sub(STEP * steps),
        outputs,
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: the last step of the last pixel ends inside of `x`, the stream is whole, with at
    // least one row, step and output, and `y` has all outputs of all pairs; stores and loads of it
    // are predicated to the outputs.
    unsafe {
        body(&raw const context);
    }
}
