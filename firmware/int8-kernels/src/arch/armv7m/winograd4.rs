//! Passes of Winograd's F(4x4, 3x3): its input transform in assembly, the rest as everywhere.

pub(crate) use super::super::portable::winograd4::{products, weights};
use crate::packed::winograd4::{COLUMNS, POINTS, ROWS};

/// What `resmcu_armv7m_winograd4_rows` reads.
#[repr(C)]
struct Rows {
    rows: [*const i8; ROWS],
    u: *mut u32,
    pixel_bytes: usize,
    end: *const i8,
    step_back: usize,
}

#[expect(unsafe_code, reason = "declares the assembly of this kernel")]
// SAFETY: the signatures are those that its file of assembly states.
unsafe extern "C" {
    fn resmcu_armv7m_winograd4_rows(context: *const Rows);
    fn resmcu_winograd4_columns(u: *const u32, v: *mut u32, quads: usize, point_bytes: usize);
}

/// As `portable::winograd4::rows`.
pub(crate) fn rows(rows: [&[i8]; ROWS], channels: usize, first: usize, u: &mut [u32]) {
    let bytes = rows[0].len();
    let columns = bytes / channels.max(1);
    let fits = rows.iter().all(|row| row.len() == bytes) && columns * channels == bytes;
    let inside = first + columns <= COLUMNS && u.len() >= 3 * COLUMNS * channels;
    if !fits || !inside || bytes == 0 || !channels.is_multiple_of(4) {
        return;
    }
    let context = Rows {
        rows: rows.map(<[i8]>::as_ptr),
        u: u.as_mut_ptr().wrapping_add(first),
        pixel_bytes: channels,
        end: rows[0].as_ptr_range().end,
        step_back: 120 * channels - 4,
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: the rows have `bytes` readable bytes, whole pixels of whole words; column
    // `first + columns - 1` of the last quad ends inside of `u`.
    unsafe {
        resmcu_armv7m_winograd4_rows(&raw const context);
    }
}

/// As `portable::winograd4::columns`.
pub(crate) fn columns(u: &[u32], channels: usize, v: &mut [u32]) {
    let quads = channels / 4;
    let words = quads * 2 * ROWS;
    // Ends six words into the last line, and one word into the last place.
    let reads = words.saturating_sub(1) * COLUMNS + 6;
    let writes = (POINTS * quads).saturating_sub(1) * 4 + 2;
    if quads == 0 || u.len() < reads || v.len() < writes {
        return;
    }
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: both slices reach as far as the pass does.
    unsafe {
        resmcu_winograd4_columns(u.as_ptr(), v.as_mut_ptr(), quads, 16 * quads);
    }
}
