//! Passes of the direct kernel, behind the signatures of `portable`.

use crate::packed::direct16::{CONSTANTS, Patch, Products};

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
    join: usize,
}

#[expect(unsafe_code, reason = "declares the assembly of this kernel")]
// SAFETY: the signatures are those that `direct16.s` states.
unsafe extern "C" {
    fn resmcu_direct16_widen_patch(context: *const Rows);
    fn resmcu_direct16_products(context: *const Pairs);
}

/// As `portable::widen_patch`.
pub(crate) fn widen_patch(patch: &Patch<'_>, patches: &mut [u32]) {
    let Patch { bytes, pitch, rows, words, rest } = *patch;
    let row = 4 * words + rest;
    let reads = pitch * rows.saturating_sub(1) + row;
    let steps = rows * words + (rows * rest).div_ceil(4);
    if rows == 0 || row == 0 || bytes.len() < reads || patches.len() + 2 < 4 * steps {
        return;
    }
    let context = Rows {
        row: bytes.as_ptr(),
        pitch,
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
pub(crate) fn products(p: &Products<'_>, first: &mut [i8], second: &mut [i8]) {
    let steps = p.patches.len() / 4;
    let pair = CONSTANTS + 4 * steps;
    let pairs = p.packed.len() / pair;
    let whole = 4 * steps == p.patches.len() && pairs * pair == p.packed.len();
    if !whole || steps == 0 || pairs == 0 || first.len().min(second.len()) < 2 * pairs {
        return;
    }
    let context = Pairs {
        patches: p.patches.as_ptr(),
        patches_end: p.patches.as_ptr_range().end,
        packed: p.packed.as_ptr(),
        packed_end: p.packed.as_ptr_range().end,
        first: first.as_mut_ptr(),
        second: second.as_mut_ptr(),
        steps,
        join: p.join.into(),
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: patches are whole steps, the stream whole pairs, and both pixels have two bytes for
    // each pair.
    unsafe {
        resmcu_direct16_products(&raw const context);
    }
}
