//! What a file says beyond its network: answers that are known, and when an answer is none.
//!
//! Notes are made when the network is finished, by running it, so they stand after all else and
//! can be added to a file without touching the rest of it.

use serde::{Deserialize, Serialize};

/// The first record of the notes; `known_answers` times [`KnownAnswer`] follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// The least margin of an answer: the best class's integer of the output tensor less the
    /// second best's. Below it the answer is «unknown»; 0 takes every answer.
    pub margin_min: u32,
    /// Number of known answers.
    pub known_answers: u16,
}

/// What the network answers to an input that is made from a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAnswer {
    /// Seed of the input, see [`Self::input`].
    pub seed: u32,
    /// CRC-32 (ISO-HDLC) of the output tensor's bytes.
    pub output_crc: u32,
}

impl KnownAnswer {
    /// The input tensor's bytes in raster order, without end: xorshift32 (Marsaglia 2003, shifts
    /// 13, 17, 5) from the seed, the highest byte of each state after the seed's.
    pub fn input(self) -> impl Iterator<Item = u8> {
        let mut state = self.seed;
        core::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        })
    }
}

/// The margin of an answer: what [`Notes::margin_min`] limits. `classes` are the integers of the
/// output tensor; fewer than two have the largest margin.
pub fn margin(classes: impl Iterator<Item = i32>) -> u32 {
    let mut best = [None; 2];
    for class in classes {
        if best[0].is_none_or(|first| class > first) {
            best = [Some(class), best[0]];
        } else if best[1].is_none_or(|second| class > second) {
            best[1] = Some(class);
        }
    }
    match best {
        [Some(first), Some(second)] => first.abs_diff(second),
        _ => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_that_of_its_seed() {
        // From seed 1 the first states are 0x00042021, 0x04080601, 0x9DCCA8C5, 0x1255994F.
        let answer = KnownAnswer { seed: 1, output_crc: 0 };
        assert!(answer.input().take(4).eq([0x00, 0x04, 0x9D, 0x12]));
    }

    #[test]
    fn a_margin_is_that_of_the_two_best() {
        let check = |classes: &[i32], expected| {
            assert_eq!(margin(classes.iter().copied()), expected, "{classes:?}");
        };
        check(&[], u32::MAX);
        check(&[7], u32::MAX);
        check(&[7, 7], 0);
        check(&[1, 5, 3], 2);
        check(&[5, 3, 1], 2);
        check(&[-9, -4, -9], 5);
        check(&[i32::MIN, i32::MAX], u32::MAX);
    }
}
