//! Passes of the direct kernel, behind the signatures of `portable`.

use crate::packed::direct16::{Patch, Stream};

/// What `resmcu_direct16_widen_patch` reads.
#[repr(C)]
struct Rows {
    row: *const i8,
    pitch: usize,
    rows: usize,
    patches: *mut u32,
    words: usize,
    rest: usize,
    rests: *mut u32,
}

/// What `resmcu_direct16_products` reads.
#[repr(C)]
struct Pairs {
    patches: *const u32,
    patches_end: *const u32,
    packed: *const u32,
    packed_end: *const u32,
    first: *mut i8,
    second: *mut i8,
    steps: usize,
    form: usize,
}

#[expect(unsafe_code, reason = "declares the assembly of this kernel")]
// SAFETY: the signatures are those that its file of assembly states.
unsafe extern "C" {
    fn resmcu_direct16_widen_patch(context: *const Rows);
    fn resmcu_direct16_products(context: *const Pairs);
}

/// As `portable::widen_patch`.
pub(crate) fn widen_patch(patch: &Patch, bytes: &[i8], patches: &mut [u32]) {
    let ([words, rest], rows) = (patch.row(), patch.rows());
    if rows == 0 || bytes.len() < patch.bytes() || patches.len() + 2 < 4 * patch.steps() {
        return;
    }
    let context = Rows {
        row: bytes.as_ptr(),
        pitch: patch.pitch(),
        rows,
        patches: patches.as_mut_ptr(),
        words,
        rest,
        rests: patches.as_mut_ptr().wrapping_add(4 * rows * words),
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: the last row ends inside of `bytes`, and the last step's first half in `patches`.
    unsafe {
        resmcu_direct16_widen_patch(&raw const context);
    }
}

/// As `portable::products`.
pub(crate) fn products(p: &Stream<'_>, patches: &[u32], first: &mut [i8], second: &mut [i8]) {
    let outputs = 2 * p.pairs();
    if patches.len() != 4 * p.steps() || first.len() < outputs || second.len() < outputs {
        return;
    }
    let context = Pairs {
        patches: patches.as_ptr(),
        patches_end: patches.as_ptr_range().end,
        packed: p.packed().as_ptr(),
        packed_end: p.packed().as_ptr_range().end,
        first: first.as_mut_ptr(),
        second: second.as_mut_ptr(),
        steps: p.steps(),
        form: p.form as usize,
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: patches are whole steps, the stream whole pairs of as many, at least one of both,
    // and both pixels have two bytes for each pair.
    unsafe {
        resmcu_direct16_products(&raw const context);
    }
}
