//! Two int16 lanes in a word.

/// Two int16 in a word: `low` in the lower half.
pub(crate) fn int16_pair(low: i32, high: i32) -> u32 {
    u32::from(low as u16) | u32::from(high as u16) << 16
}

/// `SXTB16` of a word of four int8, and of the word rotated by eight: bytes 0 and 2, and 1 and 3.
#[inline]
pub(crate) fn widen(word: u32) -> [u32; 2] {
    let lane = |at: u32| i32::from((word >> at) as i8);
    [int16_pair(lane(0), lane(16)), int16_pair(lane(8), lane(24))]
}
