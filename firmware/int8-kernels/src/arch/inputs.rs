//! The input transforms in assembly, behind the signatures of `portable`: one for all cores that
//! have some, whose files define the same functions.
//!
//! Owns the proof that a pass stays inside of its slices; does not know how a core computes it.

use crate::packed::tiles::Method;

/// What a vertical pass over `N` rows reads.
#[repr(C)]
struct Rows<const N: usize> {
    rows: [*const i8; N],
    u: *mut u32,
    pixel_bytes: usize,
    end: *const i8,
    step_back: usize,
}

impl<const N: usize> Rows<N> {
    /// Pixels of `N` rows, from column `first` of the tiles on, into `u`: whole pixels of whole
    /// words, of which the last quad of the last column ends inside of `u`. None where that is
    /// not so.
    fn new(
        method: Method,
        rows: [&[i8]; N],
        channels: usize,
        first: usize,
        u: &mut [u32],
    ) -> Option<Self> {
        let bytes = rows.first()?.len();
        let columns = bytes / channels.max(1);
        let fits = rows.iter().all(|row| row.len() == bytes) && columns * channels == bytes;
        let line = method.geometry().columns;
        let inside = first + columns <= line && 2 * u.len() >= N * line * channels;
        let is_whole = fits && inside && bytes != 0 && channels.is_multiple_of(4);
        is_whole.then(|| Self {
            rows: rows.map(<[i8]>::as_ptr),
            u: u.as_mut_ptr().wrapping_add(first),
            pixel_bytes: channels,
            end: rows.first().map_or(core::ptr::null(), |row| row.as_ptr_range().end),
            step_back: 2 * N * line * channels - 4,
        })
    }
}

/// Whether a horizontal pass of one tile, which reads `columns` words of a line, stays inside: it
/// ends so many words into the last line, and one word into the last place.
fn columns_fit(method: Method, columns: usize, channels: usize, [u, v]: [usize; 2]) -> bool {
    let (geometry, quads) = (method.geometry(), channels / 4);
    let reads = (2 * geometry.rows * quads).saturating_sub(1) * geometry.columns + columns;
    let writes = (4 * geometry.points * quads).saturating_sub(4) + 2;
    quads != 0 && u >= reads && v >= writes
}

/// A method's passes.
macro_rules! passes {
    ($name:ident, $module:ident, $method:ident, $tile:literal, $rows:ident, $columns:ident) => {
        pub(crate) mod $name {
            use super::{Method, Rows, columns_fit};
            use crate::packed::$module::ROWS;

            #[expect(unsafe_code, reason = "declares the assembly")]
            // SAFETY: the signatures are those that the files of assembly state.
            unsafe extern "C" {
                fn $rows(context: *const Rows<ROWS>);
                fn $columns(u: *const u32, v: *mut u32, quads: usize, point_bytes: usize);
            }

            /// The vertical pass.
            pub(crate) fn rows(rows: [&[i8]; ROWS], channels: usize, first: usize, u: &mut [u32]) {
                let context = Rows::new(Method::$method, rows, channels, first, u);
                let Some(context) = context else { return };
                #[expect(unsafe_code, reason = "calls the assembly")]
                // SAFETY: what `Rows::new` proves of rows and `u`.
                unsafe {
                    $rows(&raw const context);
                }
            }

            /// The horizontal pass of one tile, whose columns begin at `u[0]`.
            pub(crate) fn columns(u: &[u32], channels: usize, v: &mut [u32]) {
                if !columns_fit(Method::$method, $tile, channels, [u.len(), v.len()]) {
                    return;
                }
                let quads = channels / 4;
                #[expect(unsafe_code, reason = "calls the assembly")]
                // SAFETY: both slices reach as far as the pass does.
                unsafe {
                    $columns(u.as_ptr(), v.as_mut_ptr(), quads, 16 * quads);
                }
            }
        }
    };
}

passes!(winograd4, winograd4, Winograd4, 6, resmcu_winograd4_rows, resmcu_winograd4_columns);
passes!(polyphase2, polyphase2, Polyphase2, 5, resmcu_polyphase2_rows, resmcu_polyphase2_columns);
// Of channels in sixteens.
#[cfg(feature = "helium")]
passes!(
    winograd4_of_16,
    winograd4,
    Winograd4,
    6,
    resmcu_mve_winograd4_rows,
    resmcu_mve_winograd4_columns
);
