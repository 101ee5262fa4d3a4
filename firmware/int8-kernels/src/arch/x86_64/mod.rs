//! Dot products of the host's kernel on x86-64, the fastest of what the processor has.

mod avx2;
mod avx512;

use crate::arch::model;
use crate::host::Work;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU8, Ordering};

cpufeatures::new!(has_avx512, "avx512f", "avx512bw", "avx512vl");
cpufeatures::new!(has_avx2, "avx2");

/// What [`has_vnni`] found: 0 before it was asked, 1 no, 2 yes.
static VNNI: AtomicU8 = AtomicU8::new(0);

/// Whether `VPDPBUSD` is there, of which the crate does not tell. Asked once: in a virtual machine
/// that takes microseconds.
fn has_vnni() -> bool {
    const LEAF: u32 = 7;
    const BIT: u32 = 1 << 11;
    if VNNI.load(Ordering::Relaxed) == 0 {
        let has = has_avx512::get() && __cpuid_count(LEAF, 0).ecx & BIT != 0;
        VNNI.store(1 + u8::from(has), Ordering::Relaxed);
    }
    VNNI.load(Ordering::Relaxed) == 2
}

/// A vector unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// 512 bits with `VPDPBUSD`.
    Avx512,
    /// 256 bits.
    Avx2,
    /// None.
    Plain,
}

impl Unit {
    /// Those that this processor has, the fastest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let has = |unit: &Self| match unit {
            Self::Avx512 => has_vnni(),
            Self::Avx2 => has_avx2::get(),
            Self::Plain => true,
        };
        [Self::Avx512, Self::Avx2, Self::Plain].into_iter().filter(has)
    }

    /// The fastest.
    pub(crate) fn best() -> Self {
        Self::all().next().unwrap_or(Self::Plain)
    }

    /// What it wants each byte of the input changed by.
    pub(crate) fn flip(self) -> u8 {
        if self == Self::Avx512 { 0x80 } else { 0 }
    }

    /// Computes a layer, of which [`Work::is_whole`] was asked.
    pub(crate) fn convolve(self, work: &Work<'_>, y: &mut [i8]) {
        match self {
            Self::Avx512 if has_vnni() => {
                #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
                // SAFETY: this processor has them.
                unsafe {
                    avx512::convolve(work, y);
                }
            }
            Self::Avx2 if has_avx2::get() => {
                #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
                // SAFETY: this processor has them.
                unsafe {
                    avx2::convolve(work, y);
                }
            }
            _ => model::host::convolve(work, y),
        }
    }
}
