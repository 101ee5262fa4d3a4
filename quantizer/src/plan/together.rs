//! Which rings of a segment hold rows at the same time.
//!
//! A ring whose rows are read as soon as they are made is empty most of the time: others of its
//! kind may have the same memory. Owns the sets that a walk fills; does not know bytes.

use resmcu_model_format::flow::{Flow, Flows, NONE, live};

/// A set of rings, by the number of their first tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Set(Vec<u64>);

impl Set {
    fn new(tensors: usize) -> Self {
        Self(vec![0; tensors.div_ceil(64)])
    }

    pub(crate) fn contains(&self, ring: usize) -> bool {
        self.0.get(ring / 64).is_some_and(|word| word >> (ring % 64) & 1 == 1)
    }

    fn set(&mut self, ring: usize, is_in: bool) {
        if let Some(word) = self.0.get_mut(ring / 64) {
            let bit = 1 << (ring % 64);
            *word = if is_in { *word | bit } else { *word & !bit };
        }
    }

    fn add(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(word, other)| *word |= other);
    }
}

/// The rings that hold rows while others are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Together {
    live: Set,
    /// By ring, those that held rows when it was written.
    with: Vec<Set>,
}

impl Together {
    pub(crate) fn new(tensors: usize) -> Self {
        Self { live: Set::new(tensors), with: vec![Set::new(tensors); tensors] }
    }

    /// Whether one of two rings was written while the other held rows that are read.
    pub(crate) fn are(&self, a: usize, b: usize) -> bool {
        let written = |a: usize, b| self.with.get(a).is_some_and(|with| with.contains(b));
        written(a, b) || written(b, a)
    }

    /// Rows of a ring are written; gives the rings that hold rows then, itself among them.
    pub(crate) fn write(&mut self, ring: usize) -> Set {
        if let Some(with) = self.with.get_mut(ring) {
            with.add(&self.live);
        }
        let mut all = self.live.clone();
        all.set(ring, true);
        all
    }

    /// What was made has changed what the ring holds.
    pub(crate) fn update(&mut self, flows: &Flows<'_, Flow>, ring: usize) {
        let mut tensor = u16::try_from(ring).unwrap_or(NONE);
        let mut holds = false;
        while tensor != NONE && !holds {
            holds = !live(flows, tensor).is_empty();
            tensor = flows.at(tensor).heir;
        }
        self.live.set(ring, holds);
    }
}
