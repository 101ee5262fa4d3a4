//! The host's kernel on x86-64, by the fastest of what the processor has.

pub(crate) mod add;
mod add256;
mod amx;
mod avx2;
mod avx512;
mod lanes256;
mod lanes512;
mod winograd256;

use crate::arch::model;
use crate::host::{Values, Work, winograd};
#[cfg(target_os = "linux")]
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU8, Ordering};

cpufeatures::new!(has_avx512, "avx512f", "avx512bw", "avx512vl");
cpufeatures::new!(has_avx512_dq, "avx512f", "avx512bw", "avx512dq");
cpufeatures::new!(has_avx2, "avx2");

/// What a processor was found to have: asked once, which in a virtual machine takes microseconds.
struct Found(AtomicU8);

impl Found {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;

    const fn new() -> Self {
        Self(AtomicU8::new(Self::UNKNOWN))
    }

    fn get(&self, ask: impl FnOnce() -> bool) -> bool {
        let mut found = self.0.load(Ordering::Relaxed);
        if found == Self::UNKNOWN {
            found = if ask() { Self::YES } else { Self::NO };
            self.0.store(found, Ordering::Relaxed);
        }
        found == Self::YES
    }
}

/// The leaf of `CPUID` that tells of both units.
const FEATURES: u32 = 7;

/// Whether `VPDPBUSD` is there, of which the crate does not tell.
fn has_vnni() -> bool {
    const BIT: u32 = 1 << 11;
    static FOUND: Found = Found::new();
    FOUND.get(|| has_avx512::get() && __cpuid_count(FEATURES, 0).ecx & BIT != 0)
}

/// Whether tiles of int8 are there and this process may use them.
fn has_amx() -> bool {
    const TILES: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    static FOUND: Found = Found::new();
    FOUND.get(|| {
        let features = __cpuid_count(FEATURES, 0).edx;
        has_avx512::get() && features & TILES != 0 && features & INT8 != 0 && may_use_tiles()
    })
}

/// Asks the system for the tiles, whose 8 KiB a thread it keeps only for processes that did. It
/// refuses where it does not know them, or where a signal's stack has no room for them.
#[cfg(target_os = "linux")]
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let answer: i64;
    #[expect(unsafe_code, reason = "a call of the system")]
    // SAFETY: the call takes two numbers and touches no memory; the kernel changes `rcx` and `r11`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// How other systems are asked is not known here.
#[cfg(not(target_os = "linux"))]
fn may_use_tiles() -> bool {
    false
}

/// A vector unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Tiles, and 512 bits for the rest.
    Amx,
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
            Self::Amx => has_amx(),
            Self::Avx512 => has_vnni(),
            Self::Avx2 => has_avx2::get(),
            Self::Plain => true,
        };
        [Self::Amx, Self::Avx512, Self::Avx2, Self::Plain].into_iter().filter(has)
    }

    /// The fastest.
    pub(crate) fn best() -> Self {
        Self::all().next().unwrap_or(Self::Plain)
    }

    /// What it multiplies.
    pub(crate) fn values(self) -> Values {
        match self {
            Self::Avx512 => Values::Int8 { flip: 0x80 },
            Self::Avx2 => Values::Int16,
            Self::Amx | Self::Plain => Values::Int8 { flip: 0 },
        }
    }

    /// What computes layers by Winograd's method, for a unit that is faster so.
    pub(crate) fn winograd(self) -> Option<winograd::Convolve> {
        (self == Self::Avx2).then_some(|work, aside, y| {
            if has_avx2::get() {
                #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
                // SAFETY: this processor has them.
                unsafe {
                    winograd256::convolve(work, aside, y);
                }
            }
        })
    }

    /// Computes a layer, of which [`Work::is_whole`] was asked. `spare`: room for the weights of 32
    /// outputs, at a line of the cache.
    pub(crate) fn convolve(self, work: &Work<'_>, spare: &mut [u8], y: &mut [i8]) {
        match self {
            Self::Amx if has_amx() => {
                #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
                // SAFETY: this processor has them, and the system lets this process use them.
                unsafe {
                    amx::convolve(work, spare, y);
                }
            }
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
