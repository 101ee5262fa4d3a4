//! AMX: `TDPBSSD` multiplies a tile of pixels by a tile of weights, 16 x 64 by 64 x 16 signed
//! bytes, and adds the products to a tile of sums, 16 pixels x 16 outputs of int32.
//!
//! Up to sixteen pixels of a row of the output are the rows of a tile: in the copy of the input
//! the bytes of a pixel's window row are a run, and pixels lie equally far from each other. A run
//! is cut into equal chunks of at most 64 bytes (`host::CHUNK` steps). The packed weights of as
//! many steps are a tile as they lie. Where a row is no multiple of a tile, all its tiles are as
//! narrow as their number allows and the last one begins earlier, so that every tile is whole;
//! what it computes again is not stored.
//!
//! Tiles 0 to 3 are sums, 4 and 5 pixels, 6 and 7 weights: two times two of them where 32 outputs
//! are left, else four tiles of pixels by sixteen outputs. Sums go through memory to the vector
//! unit, which requantizes those of one group of tiles between the products of the next. All sums
//! are modulo 2^32 and exact.
//!
//! Compilers know nothing of tiles and use none, so that they keep their values from one piece of
//! assembly to the next.

use super::avx512::vectors;
use super::lanes512::Vectors;
use crate::host::{CHUNK, OUTPUTS, STEP, Work};
use core::arch::asm;
use zerocopy::IntoBytes;

/// Pixels of a tile.
const ROWS: usize = 16;

/// Tiles of sums.
const SUMS: usize = 4;

/// Rows behind the last tile of sums, because they are read by fours.
const SLACK: usize = 3;

/// Memory of a tile of sums.
type Sums = [[i32; OUTPUTS]; ROWS];

/// What `LDTILECFG` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Memory of all tiles of sums; a row is a line of the cache.
#[repr(C, align(64))]
struct Aside([Sums; SUMS], [[i32; OUTPUTS]; SLACK]);

impl Aside {
    const EMPTY: Self = Self([[[0; OUTPUTS]; ROWS]; SUMS], [[0; OUTPUTS]; SLACK]);

    /// Where a tile begins.
    fn tile(&self, tile: usize) -> *const i32 {
        (&raw const *self).cast::<i32>().wrapping_add(tile * ROWS * OUTPUTS)
    }
}

/// How rows of the output are cut into tiles.
struct Tiling {
    /// Tiles of a row, and pixels of a tile.
    tiles: usize,
    pixels: usize,
    /// Bytes of a chunk, and chunks of a row of the window.
    chunk_bytes: usize,
    chunks: usize,
}

/// A tile of pixels.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Where the first pixel's window begins in the input.
    window: usize,
    /// The first position to be stored, its row in the tile, and how many are.
    position: usize,
    skipped: usize,
    count: usize,
}

impl Tiling {
    fn new(work: &Work<'_>) -> Self {
        let columns = work.output[1];
        let tiles = columns.div_ceil(ROWS);
        let chunks = work.steps.div_ceil(CHUNK);
        Self {
            tiles,
            pixels: columns.div_ceil(tiles),
            chunk_bytes: 4 * work.steps / chunks,
            chunks,
        }
    }

    fn configuration(&self) -> Configuration {
        const SUM_BYTES: u16 = 4 * OUTPUTS as u16;
        let (pixels, bytes) = (self.pixels as u8, self.chunk_bytes as u16);
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let tiles = [(pixels, SUM_BYTES); SUMS].into_iter();
        let tiles = tiles.chain([(pixels, bytes); 2]).chain([((bytes / 4) as u8, SUM_BYTES); 2]);
        for (tile, (rows, bytes)) in tiles.enumerate() {
            configuration.rows[tile] = rows;
            configuration.row_bytes[tile] = bytes;
        }
        configuration
    }

    /// The tile of the output at `[row, column]`, which then stands at the next; none to store
    /// where there are no more.
    #[inline]
    fn next(&self, work: &Work<'_>, at: &mut [usize; 2]) -> Place {
        let [rows, columns, _] = work.output;
        let [row, column] = *at;
        if row >= rows {
            return Place::default();
        }
        let begin = column.min(columns - self.pixels);
        let end = column + self.pixels;
        *at = if end < columns { [row, end] } else { [row + 1, 0] };
        Place {
            window: row * work.line + begin * work.pixel,
            position: row * columns + column,
            skipped: column - begin,
            count: (columns - column).min(self.pixels),
        }
    }
}

/// Reads a tile whose rows are `$pitch` bytes from each other.
macro_rules! load {
    ($tile:literal, $at:expr, $pitch:expr) => {
        asm!(
            concat!("tileloadd tmm", $tile, ", [{at} + {pitch}*1]"),
            at = in(reg) $at,
            pitch = in(reg) $pitch,
            options(nostack, readonly, preserves_flags),
        )
    };
}

/// Adds products of two tiles to a third.
macro_rules! multiply {
    ($sums:literal, $x:literal, $w:literal) => {
        asm!(
            concat!("tdpbssd tmm", $sums, ", tmm", $x, ", tmm", $w),
            options(nostack, nomem, preserves_flags),
        )
    };
}

/// Writes the four tiles of sums.
macro_rules! store_sums {
    ($aside:expr) => {
        asm!(
            "tilestored [{at} + {pitch}*1], tmm0",
            "tilestored [{at} + {pitch}*1 + 1024], tmm1",
            "tilestored [{at} + {pitch}*1 + 2048], tmm2",
            "tilestored [{at} + {pitch}*1 + 3072], tmm3",
            at = in(reg) $aside.0.as_mut_ptr(),
            pitch = in(reg) 4 * OUTPUTS,
            options(nostack, preserves_flags),
        )
    };
}

/// All outputs of a layer.
///
/// # Safety
/// The processor has AVX-512 and AMX, and the process may use it.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[expect(unsafe_code, reason = "the tiles' instructions are assembly")]
pub(super) unsafe fn convolve(work: &Work<'_>, spare: &mut [u8], y: &mut [i8]) {
    let [rows, _, outputs] = work.output;
    let tiling = Tiling::new(work);
    let configuration = tiling.configuration();
    let mut asides = [const { Aside::EMPTY }; 2];
    // SAFETY: as the function's. Reads the 64 bytes of the configuration, which is a valid one:
    // no more than 16 rows of 64 bytes each.
    unsafe {
        asm!("ldtilecfg [{0}]", in(reg) &raw const configuration, options(nostack, readonly));
    }
    let blocks = outputs.div_ceil(OUTPUTS);
    for block in (0..blocks).step_by(2) {
        let both = block + 1 < blocks;
        let lanes = [vectors(work, block), vectors(work, (block + 1).min(blocks - 1))];
        let weights = weights(work, block, 1 + usize::from(both), spare);
        let at_once = if both { SUMS / 2 } else { SUMS };
        let (mut at, mut before) = ([0; 2], [Place::default(); SUMS]);
        let groups = (rows * tiling.tiles).div_ceil(at_once);
        // Those of a group are requantized while the tiles of the next are multiplied; behind the
        // last there is none.
        for group in 0..=groups {
            let mut places = [Place::default(); SUMS];
            for i in 0..at_once {
                places[i] = tiling.next(work, &mut at);
                places[(i + at_once) % SUMS] = places[i];
            }
            let [even, odd] = &mut asides;
            let (now, done) = if group % 2 == 0 { (even, odd) } else { (odd, even) };
            let mut tiles = before.iter().enumerate();
            let mut finish_one = || {
                let Some((tile, place)) = tiles.next() else { return };
                let (half, sums) = (tile / at_once, done.tile(tile));
                // SAFETY: `Work::is_whole`: all positions of a place are the output's. Behind a
                // tile's rows are the next one's or `SLACK`.
                unsafe { finish(work, block + half, sums, place, &lanes[half], y) };
            };
            // SAFETY: as the function's.
            unsafe {
                if group < groups && both {
                    two_blocks(work, &tiling, weights, &places, now, &mut finish_one);
                } else if group < groups {
                    one_block(work, &tiling, weights.0, &places, now, &mut finish_one);
                }
            }
            (0..SUMS).for_each(|_| finish_one());
            before = places;
        }
    }
    // SAFETY: as the function's. No tile is in use.
    unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
}

/// Where the weights of `count` blocks begin, and the bytes from one to the next: in `spare`, where
/// they fit and their rows would lie on two lines of the cache each.
fn weights(work: &Work<'_>, block: usize, count: usize, spare: &mut [u8]) -> (*const u8, usize) {
    let packed = work.packed.as_bytes();
    let (pitch, bytes) = (4 * work.block_words(), work.rows * work.steps * STEP);
    let packed = packed.get(block * pitch..).unwrap_or_default();
    let Some(spare) = spare.get_mut(..count * bytes) else { return (packed.as_ptr(), pitch) };
    if packed.as_ptr().align_offset(STEP) == 0 {
        return (packed.as_ptr(), pitch);
    }
    for (spare, packed) in spare.chunks_exact_mut(bytes).zip(packed.chunks(pitch)) {
        spare.iter_mut().zip(packed).for_each(|(spare, &w)| *spare = w);
    }
    (spare.as_ptr(), bytes)
}

/// Requantizes and stores a tile.
///
/// # Safety
/// The processor has AVX-512, and `y` all the positions of the place. `sums`: of the tile's rows
/// and of three more.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
#[expect(unsafe_code, reason = "see `Vectors::finish`")]
unsafe fn finish(
    work: &Work<'_>,
    block: usize,
    sums: *const i32,
    place: &Place,
    lanes: &Vectors,
    y: &mut [i8],
) {
    let at = place.position * work.output[2] + block * OUTPUTS;
    let (sums, y) = (sums.wrapping_add(place.skipped * OUTPUTS), y.as_mut_ptr().wrapping_add(at));
    // SAFETY: as the function's.
    unsafe { lanes.finish(sums, place.count, y, work.output[2]) };
}

/// Sums of two tiles of pixels and two blocks: the first block's, then the second's.
///
/// # Safety
/// The processor has AMX, the process may use it, and it is set up for the tiling. The places are
/// the layer's, of which `Work::is_whole` says that all they read is there; so are the weights.
#[inline]
#[expect(unsafe_code, reason = "the tiles' instructions are assembly")]
unsafe fn two_blocks(
    work: &Work<'_>,
    tiling: &Tiling,
    (mut w, block_bytes): (*const u8, usize),
    places: &[Place; SUMS],
    aside: &mut Aside,
    mut between: impl FnMut(),
) {
    let x = [0, 1].map(|i| work.x.as_ptr().wrapping_add(places[i].window));
    // SAFETY: as the function's.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack));
        for row in 0..work.rows {
            for chunk in 0..tiling.chunks {
                let at = row * work.pitch + chunk * tiling.chunk_bytes;
                load!(6, w, STEP);
                load!(4, x[0].wrapping_add(at), work.pixel);
                multiply!(0, 4, 6);
                load!(5, x[1].wrapping_add(at), work.pixel);
                multiply!(1, 5, 6);
                load!(7, w.wrapping_add(block_bytes), STEP);
                multiply!(2, 4, 7);
                multiply!(3, 5, 7);
                w = w.wrapping_add(tiling.chunk_bytes / 4 * STEP);
                between();
            }
        }
        store_sums!(aside);
    }
}

/// Sums of four tiles of pixels and one block.
///
/// # Safety
/// As of `two_blocks`.
#[inline]
#[expect(unsafe_code, reason = "the tiles' instructions are assembly")]
unsafe fn one_block(
    work: &Work<'_>,
    tiling: &Tiling,
    mut w: *const u8,
    places: &[Place; SUMS],
    aside: &mut Aside,
    mut between: impl FnMut(),
) {
    let x = places.map(|place| work.x.as_ptr().wrapping_add(place.window));
    // SAFETY: as the function's.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack));
        for row in 0..work.rows {
            for chunk in 0..tiling.chunks {
                let at = row * work.pitch + chunk * tiling.chunk_bytes;
                load!(6, w, STEP);
                load!(4, x[0].wrapping_add(at), work.pixel);
                multiply!(0, 4, 6);
                load!(5, x[1].wrapping_add(at), work.pixel);
                multiply!(1, 5, 6);
                load!(4, x[2].wrapping_add(at), work.pixel);
                multiply!(2, 4, 6);
                load!(5, x[3].wrapping_add(at), work.pixel);
                multiply!(3, 5, 6);
                w = w.wrapping_add(tiling.chunk_bytes / 4 * STEP);
                between();
            }
        }
        store_sums!(aside);
    }
}
