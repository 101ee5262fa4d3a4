//! Two int16 lanes in a word.

/// Two int16 in a word: `low` in the lower half.
pub(crate) fn int16_pair(low: i32, high: i32) -> u32 {
    u32::from(low as u16) | u32::from(high as u16) << 16
}
