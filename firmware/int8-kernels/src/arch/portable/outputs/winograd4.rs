//! Winograd's output transform in plain Rust.

use super::Stage;
use crate::arch::block::Outputs;
use crate::arch::inner::{Lanes, PAIRS, Sums};
use crate::packed::winograd4::{CONSTANTS, POINTS, SHIFTS};

/// `A^T m` of F(4,3); row `i` is `3 * 2^(3,2,1,1)[i]` times too large.
fn transform(m: [i32; 6]) -> [i32; 4] {
    let [m0, m1, m2, m3, m4, m5] = m;
    let (sum, difference) = (m0.wrapping_sub(m1), m0.wrapping_add(m1));
    let (far_sum, far_difference) = (m3.wrapping_add(m4), m3.wrapping_sub(m4));
    let twice = |v: i32| v.wrapping_mul(2);
    [
        far_sum.wrapping_add(m5).wrapping_add(sum.wrapping_mul(4)),
        far_difference.wrapping_add(twice(difference)),
        sum.wrapping_add(far_sum),
        difference.wrapping_add(twice(far_difference)).wrapping_add(m2),
    ]
}

/// Outputs of a block, of which `y` begins at the first channel.
pub(crate) fn outputs(p: &Outputs<'_>, sums: &mut Sums<POINTS>, y: &mut [i8]) {
    if !p.fit(CONSTANTS, [4, 4], y) {
        return;
    }
    for pair in 0..p.pairs {
        let constants = p.constants.get(pair * p.stride..).unwrap_or_default();
        let constants = constants.as_chunks::<CONSTANTS>().0.iter().take(2);
        for (output, constants) in constants.enumerate() {
            for tile in [0, 1] {
                let lane = 4 * pair + 2 * output + tile;
                let at = 4 * tile * p.pixel + 2 * pair + output;
                tile_outputs(p, &sums.lanes, lane, constants, y.get_mut(at..).unwrap_or_default());
            }
        }
    }
}

/// The sixteen outputs of one tile and channel.
fn tile_outputs(
    p: &Outputs<'_>,
    sums: &[Lanes; POINTS],
    lane: usize,
    constants: &[u32; CONSTANTS],
    y: &mut [i8],
) {
    if lane >= 4 * PAIRS {
        return;
    }
    // Not by index: a loop that is not unrolled would keep its panic.
    let sum = |point: usize| sums.get(point).map_or(0, |lanes| lanes[lane]);
    let column = |j: usize| transform([0, 1, 2, 3, 4, 5].map(|i| sum(6 * i + j)));
    let columns = [0, 1, 2, 3, 4, 5].map(column);
    let [.., multiplier, scale, last] = *constants;
    let stage = Stage::new(p.form, scale, last);
    for i in 0..4 {
        let row = transform(columns.map(|column| column[i]));
        for (j, &sum) in row.iter().enumerate() {
            let multiplier = multiplier << (SHIFTS[i] + SHIFTS[j]);
            let t = sum.wrapping_mul(multiplier as i32);
            let Some(y) = y.get_mut(i * p.row + j * p.pixel) else { continue };
            stage.apply(t.wrapping_add(constants[4 * i + j] as i32), y);
        }
    }
}
