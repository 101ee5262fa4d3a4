//! Stride 2 by phases: F(2x2, 3x3) with 25 products instead of 36.
//!
//! In one dimension two outputs of three weights read five inputs. The outer weights read the even
//! ones, which is F(2,2): `(x0 - x2) w0`, `x2 (w0 + w2)`, `(x4 - x2) w2`; the middle weight reads
//! the odd ones, `x1 w1` and `x3 w1`. So
//!
//! ```text
//! y0 = (x0 - x2) w0 + x1 w1 + x2 (w0 + w2)
//! y1 = (x4 - x2) w2 + x3 w1 + x2 (w0 + w2)
//! ```
//!
//! has three sums of 2, 2 and 1 products: `A`, `C` and `B` with `y0 = A + B`, `y1 = C + B`. In two
//! dimensions there are nine sums of 4, 4, 2, 4, 4, 2, 2, 2 and 1 products, and points are
//! stored in their order: `AA AC AB CA CC CB BA BC BB`, where a sum's first letter is the vertical
//! one, and of its products first those of the vertical `x0 - x2` (or `x4 - x2`), then those of
//! the odd row, and the same horizontally.
//!
//! No number leaves int16: `|V| <= 4 * 128`, `|U| <= 4 * 128`. Sums are modulo 2^32, and in the end
//! `a * 2^j + bias`, below 2^31 by the profile's own bound. Owns the transforms as matrices and
//! the constants; does not know the walk, nor how a pass is computed.

use super::constants::Constants;

/// Places in the transformed domain.
pub(crate) const POINTS: usize = 25;

/// Input rows of a tile.
pub(crate) const ROWS: usize = 5;

/// Input columns of two tiles.
pub(crate) const COLUMNS: usize = 9;

/// Sums of a tile.
#[cfg(not(resmcu_passes = "armv7em"))]
pub(crate) const SUMS: usize = 9;

/// Words of one output channel besides its weights: bias, 2^j, scale, and the last word of
/// [`super::constants`].
pub(crate) const CONSTANTS: usize = 4;

/// The five transformed inputs of one dimension, in the order of a vertical pass.
#[derive(Clone, Copy)]
pub(crate) enum Term {
    /// `x0 - x2`.
    First,
    /// `x1`.
    Odd,
    /// `x4 - x2`.
    Last,
    /// `x3`.
    OddLast,
    /// `x2`.
    Middle,
}

use Term::{First, Last, Middle, Odd, OddLast};

/// The terms of each point, vertical and horizontal.
pub(crate) const TERMS: [[Term; 2]; POINTS] = [
    [First, First],
    [First, Odd],
    [Odd, First],
    [Odd, Odd],
    [First, Last],
    [First, OddLast],
    [Odd, Last],
    [Odd, OddLast],
    [First, Middle],
    [Odd, Middle],
    [Last, First],
    [Last, Odd],
    [OddLast, First],
    [OddLast, Odd],
    [Last, Last],
    [Last, OddLast],
    [OddLast, Last],
    [OddLast, OddLast],
    [Last, Middle],
    [OddLast, Middle],
    [Middle, First],
    [Middle, Odd],
    [Middle, Last],
    [Middle, OddLast],
    [Middle, Middle],
];

impl Term {
    /// The weight that it is multiplied with.
    fn weights(self) -> [i32; 3] {
        match self {
            First => [1, 0, 0],
            Odd | OddLast => [0, 1, 0],
            Last => [0, 0, 1],
            Middle => [1, 0, 1],
        }
    }
}

/// The combinations of weights that make a point, vertically and horizontally.
pub(super) fn weight_rows(point: usize) -> [[i32; 3]; 2] {
    TERMS.get(point).map_or([[0; 3]; 2], |terms| terms.map(Term::weights))
}

/// Writes the constants of a channel.
pub(super) fn pack_constants(channel: &Constants, slots: &mut [u32]) {
    slots.copy_from_slice(&[channel.bias, 1 << channel.pre_shift, channel.scale, channel.last]);
}
