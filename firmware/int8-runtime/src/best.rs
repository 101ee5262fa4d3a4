//! The best classes of an output tensor.

use resmcu_model_format::Dtype;

/// Index and integer of each class of an output tensor's bytes; classes past 65,535 are none.
pub fn logits(dtype: Dtype, bytes: &[u8]) -> impl Iterator<Item = (u16, i32)> + use<'_> {
    (0..u16::MAX).zip(bytes.chunks_exact(dtype.bytes() as usize).map(little_endian))
}

/// The best of `logits`, best first, of equal ones the smaller index first.
pub fn best<const K: usize>(logits: impl Iterator<Item = (u16, i32)>) -> [Option<(u16, i32)>; K] {
    let mut best = [None; K];
    for candidate in logits {
        let mut candidate = Some(candidate);
        for slot in &mut best {
            if is_better(candidate, *slot) {
                core::mem::swap(slot, &mut candidate);
            }
        }
    }
    best
}

/// A sign-extended little-endian integer of one to four bytes.
fn little_endian(bytes: &[u8]) -> i32 {
    match *bytes {
        [a] => i32::from(a as i8),
        [a, b] => i32::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

fn is_better(candidate: Option<(u16, i32)>, than: Option<(u16, i32)>) -> bool {
    match (candidate, than) {
        (Some((class, logit)), Some((other, best))) => {
            logit > best || (logit == best && class < other)
        }
        (candidate, None) => candidate.is_some(),
        (None, _) => false,
    }
}
