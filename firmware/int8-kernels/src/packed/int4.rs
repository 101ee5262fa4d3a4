//! Weights of four bits for kernels that transform weights of eight on the fly.

/// The weights of two outputs in eight bits, `[C/4][2][9]` words, of those in four, `[C/4][9]`, of
/// which the first output has the lower ones of each byte; constants follow as they are.
pub(super) fn unpack(packed: &[u32], channels: usize, unpacked: &mut [u32]) {
    // Sign extension in each byte: no byte borrows of the next, whose upper end is set before.
    let extend = |four: u32| (((four & 0x0f0f_0f0f) ^ 0x8888_8888) - 0x0808_0808) ^ 0x8080_8080;
    let (weights, constants) = packed.split_at((channels / 4 * 9).min(packed.len()));
    let (slots, rest) = unpacked.split_at_mut((channels / 4 * 18).min(unpacked.len()));
    let quads = weights.as_chunks::<9>().0.iter();
    for (words, slots) in quads.zip(slots.as_chunks_mut::<18>().0) {
        let (first, second) = slots.split_at_mut(9);
        for ((&word, first), second) in words.iter().zip(first).zip(second) {
            (*first, *second) = (extend(word), extend(word >> 4));
        }
    }
    rest.iter_mut().zip(constants).for_each(|(slot, &constant)| *slot = constant);
}

#[cfg(test)]
mod tests {
    use super::unpack;

    #[test]
    fn every_pair_of_weights_is_unpacked() {
        for (low, high) in (-8..8).flat_map(|low: i8| (-8..8).map(move |high: i8| (low, high))) {
            let byte = (low.cast_unsigned() & 15) | high.cast_unsigned() << 4;
            let mut packed = [u32::from_le_bytes([byte, 0, 0, byte]); 10];
            packed[9] = 0x1234_5678; // a constant
            let mut unpacked = [0; 19];
            unpack(&packed, 4, &mut unpacked);
            let word = |w: i8| u32::from_le_bytes([w, 0, 0, w].map(i8::cast_unsigned));
            assert_eq!(unpacked[..9], [word(low); 9]);
            assert_eq!(unpacked[9..18], [word(high); 9]);
            assert_eq!(unpacked[18], 0x1234_5678);
        }
    }
}
