//! The one inner loop of the engine: a small contraction, compiled for each instruction set.
//!
//! Owns the choice of instruction set at run time and the register blocking; not what is
//! contracted: forward, data gradient and weight gradient of a convolution all come down to it.
//!
//! The only unsafe code of this library, for two reasons: calling a function that was compiled for
//! features that the processor was asked for, and reading without a bounds check inside a
//! contraction whose bounds were checked as a whole. There are no intrinsics: the generic Rust
//! loop is the same on all instruction sets, but for fused multiply-adds where there are some.
#![expect(unsafe_code, reason = "see the module's header; each block names what makes it true")]

mod tile;

use std::sync::OnceLock;

/// `c[c0 + m·c_m + n] += Σ_s Σ_k a[a0 + s·a_s + m·a_m + k·a_k] · b[b0 + s·b_s + k·b_k + n]`.
///
/// `b` is read to the next multiple of [`LANES`] in `n`, whose values are not stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contraction {
    /// Rows of `c`.
    pub(crate) m: usize,
    /// Columns of `c`.
    pub(crate) n: usize,
    /// Terms of the inner sum.
    pub(crate) k: usize,
    /// Terms of the outer sum.
    pub(crate) segments: usize,
    /// First element and strides of `a`.
    pub(crate) a: Strides,
    /// First element and strides of `b`; `b.m` is not used.
    pub(crate) b: Strides,
    /// First element of `c`.
    pub(crate) c0: usize,
    /// Stride of `c` along `m`.
    pub(crate) c_m: usize,
}

/// Where an operand begins and how far its next element is along each axis.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Strides {
    pub(crate) start: usize,
    pub(crate) segment: usize,
    pub(crate) m: usize,
    pub(crate) k: usize,
}

/// Columns of `b` are read in multiples of this.
pub(crate) const LANES: usize = 16;

/// `n` rounded up to whole [`LANES`].
pub(crate) const fn pad_lanes(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

type Kernel = fn(&Contraction, &[f32], &[f32], &mut [f32]);

/// Adds the contraction of `a` and `b` to `c`, by the best kernel of this processor.
///
/// # Panics
/// If an operand is shorter than the contraction reaches.
pub(crate) fn contract(shape: &Contraction, a: &[f32], b: &[f32], c: &mut [f32]) {
    if shape.m == 0 || shape.n == 0 || shape.k == 0 || shape.segments == 0 {
        return;
    }
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(choose)(shape, a, b, c);
}

fn choose() -> Kernel {
    kernels().next().unwrap_or(baseline)
}

/// The kernels that this processor can run, the fastest first.
fn kernels() -> impl Iterator<Item = Kernel> {
    let mut kernels: [Option<Kernel>; 3] = [None, None, Some(baseline)];
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected;
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the features that the kernel was compiled for.
            kernels[0] = Some(|shape, a, b, c| unsafe { x86_64_avx512(shape, a, b, c) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features that the kernel was compiled for.
            kernels[1] = Some(|shape, a, b, c| unsafe { x86_64_avx2(shape, a, b, c) });
        }
    }
    kernels.into_iter().flatten()
}

/// 32 registers of 16 lanes: 14 or 8 by 2 of them hold sums.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn x86_64_avx512(shape: &Contraction, a: &[f32], b: &[f32], c: &mut [f32]) {
    tile::all::<true, 14, 8>(shape, a, b, c);
}

/// 16 registers of 8 lanes: 6 by 2 of them hold sums.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn x86_64_avx2(shape: &Contraction, a: &[f32], b: &[f32], c: &mut [f32]) {
    tile::all::<true, 6, 0>(shape, a, b, c);
}

/// Registers of 4 lanes: 3 by 4 of 16 hold sums or, on `AArch64`, 6 by 4 of 32. `AArch64` has fused
/// multiply-adds in its baseline, other targets do not.
fn baseline(shape: &Contraction, a: &[f32], b: &[f32], c: &mut [f32]) {
    if cfg!(target_arch = "aarch64") {
        tile::all::<true, 6, 0>(shape, a, b, c);
    } else {
        tile::all::<false, 3, 0>(shape, a, b, c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kernel of this processor against the definition, in f64.
    #[track_caller]
    fn check(m: usize, n: usize, k: usize, segments: usize, unit_m: bool) {
        let (a_m, a_k) = if unit_m { (1, m + 2) } else { (k + 1, 1) };
        let b_k = pad_lanes(n);
        let shape = Contraction {
            m,
            n,
            k,
            segments,
            a: Strides { start: 3, segment: m * a_m + k * a_k + 5, m: a_m, k: a_k },
            b: Strides { start: 1, segment: k * b_k, m: 0, k: b_k },
            c0: 2,
            c_m: n + 1,
        };
        let noise = |seed: usize| ((seed * 2_654_435_761) % 1009) as f32 / 504.5 - 1.0;
        let a: Vec<f32> = (0..3 + segments * shape.a.segment).map(noise).collect();
        let b: Vec<f32> = (0..1 + segments * shape.b.segment).map(|i| noise(i + 77)).collect();
        let c: Vec<f32> = (0..2 + m * (n + 1)).map(|i| noise(i + 999)).collect();
        let mut expected: Vec<f64> = c.iter().map(|&c| f64::from(c)).collect();
        for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
            for (s, k) in (0..segments).flat_map(|s| (0..k).map(move |k| (s, k))) {
                let a = a[3 + s * shape.a.segment + row * a_m + k * a_k];
                let b = b[1 + s * shape.b.segment + k * b_k + column];
                expected[2 + row * (n + 1) + column] += f64::from(a) * f64::from(b);
            }
        }
        for kernel in kernels() {
            let mut found = c.clone();
            kernel(&shape, &a, &b, &mut found);
            for (found, expected) in found.iter().zip(&expected) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < 1e-6 * (segments * k) as f64 + 1e-6, "{shape:?}: {error}");
            }
        }
    }

    #[test]
    fn kernels_are_the_definition() {
        for unit_m in [false, true] {
            for m in 1..=20 {
                check(m, 16, 5, 2, unit_m);
                check(m, 64, 3, 3, unit_m);
            }
            for n in [1, 3, 15, 17, 31, 33, 50] {
                check(9, n, 7, 2, unit_m);
            }
            check(1, 1, 1, 1, unit_m);
        }
    }

    #[test]
    #[should_panic(expected = "past the end of b")]
    fn a_short_operand_is_refused() {
        let shape = Contraction { m: 1, n: 1, k: 1, segments: 1, ..Contraction::default() };
        contract(&shape, &[1.0], &[1.0; 15], &mut [0.0]);
    }
}
