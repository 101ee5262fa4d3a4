//! The host's kernel in plain Rust.

use crate::host::{OUTPUTS, Work};
use zerocopy::{FromBytes, IntoBytes};

/// All outputs of a layer.
pub(crate) fn convolve(work: &Work<'_>, y: &mut [i8]) {
    let [rows, columns, outputs] = work.output;
    for block in 0..outputs.div_ceil(OUTPUTS) {
        let lanes = work.lanes(block);
        let packed = work.packed.chunks_exact(work.block_words()).nth(block).unwrap_or_default();
        let taps = <[i8]>::ref_from_bytes(packed.as_bytes()).unwrap_or_default();
        for position in 0..rows * columns {
            let [window, ..] = work.windows(position);
            let mut sums = [0; OUTPUTS];
            let steps = taps.as_chunks::<4>().0.as_chunks::<OUTPUTS>().0;
            for (row, steps) in steps.chunks(work.steps).enumerate().take(work.rows) {
                let x = work.x.get(window + row * work.pitch..).unwrap_or_default();
                for (x, step) in x.as_chunks::<4>().0.iter().zip(steps) {
                    for (sum, w) in sums.iter_mut().zip(step) {
                        let products =
                            x.iter().zip(w).map(|(&x, &w)| i32::from(x as i8) * i32::from(w));
                        *sum = products.fold(*sum, i32::wrapping_add);
                    }
                }
            }
            work.store(position, block, &sums, &lanes, y);
        }
    }
}

/// No vector unit is known here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// None.
    Plain,
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Unit {
    /// The only one.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare them"))]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Plain].into_iter()
    }

    /// The only one.
    pub(crate) fn best() -> Self {
        Self::Plain
    }

    /// What it multiplies.
    pub(crate) fn values(self) -> crate::host::Values {
        crate::host::Values::Int8 { flip: 0 }
    }

    /// Winograd's method is not made for it.
    pub(crate) fn winograd(self) -> Option<crate::host::winograd::Convolve> {
        None
    }

    /// Computes a layer.
    pub(crate) fn convolve(self, work: &Work<'_>, _spare: &mut [u8], y: &mut [i8]) {
        convolve(work, y);
    }
}
