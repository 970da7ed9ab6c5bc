//! Sixteen f32 as one unit.

use crate::part::{copy, part_mut};

/// Floats in a unit.
pub const LANES: usize = 16;

/// Operations on sixteen f32, each with the same bits on every instruction set.
///
/// Sixteen is wide enough to hide the latency of an addition on every CPU at hand (two registers of AVX2, four of
/// NEON, one of AVX-512), and fixes the order of every sum: see [`kernels`](crate::kernels). Only the sign and
/// payload of a NaN may differ between instruction sets.
pub trait Lanes: Copy {
    /// Sixteen f32.
    type F: Copy;
    /// Two canonical sums on their way.
    type Folded: Copy;

    /// Whether twenty units and more fit the registers at once.
    const MANY: bool = false;
    /// Whether [`transpose`](Self::transpose) is cheap beside sixteen canonical sums across lanes.
    const TRANSPOSES: bool = false;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// Sixteen floats.
    fn load(self, p: &[f32; 16]) -> Self::F;
    /// Sixteen little-endian floats at any address.
    fn load_f32(self, p: &[u8; 64]) -> Self::F;
    /// Sixteen little-endian halves, converted exactly.
    fn load_f16(self, p: &[u8; 32]) -> Self::F;
    /// Sixteen little-endian bfloat16, converted exactly.
    fn load_bf16(self, p: &[u8; 32]) -> Self::F;
    /// Sixteen signed bytes, converted exactly.
    fn load_i8(self, p: &[i8; 16]) -> Self::F;
    /// A little-endian half, converted exactly, in every lane.
    fn splat_f16(self, h: [u8; 2]) -> Self::F;
    /// The inverse of [`load`](Self::load).
    fn store(self, v: Self::F, p: &mut [f32; 16]);
    /// The inverse of [`load_f32`](Self::load_f32).
    fn store_f32(self, v: Self::F, p: &mut [u8; 64]);
    /// Little-endian halves, rounded to nearest even; overflow gives infinity.
    fn store_f16(self, v: Self::F, p: &mut [u8; 32]);

    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a − b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: `b` where either is a NaN or both are zeros.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: `b` where either is a NaN or both are zeros.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// For `t = ROUND + k` with an integer `k` in −252..=254: `2^⌊k/2⌋` and `2^(k − ⌊k/2⌋)`, whose product reaches
    /// from beyond the subnormals to beyond the largest float. Of any other `t` some float.
    fn pow2_halves(self, t: Self::F) -> (Self::F, Self::F);

    /// The canonical sum: `lane[i] += lane[i + 8]`, then 4, 2, 1.
    fn sum(self, v: Self::F) -> f32;
    /// The first steps of two canonical sums at once.
    fn fold2(self, a: Self::F, b: Self::F) -> Self::Folded;
    /// The remaining steps of four.
    fn sum_folded(self, ab: Self::Folded, cd: Self::Folded) -> [f32; 4];
    /// Four canonical sums at once, for little more than the price of two.
    #[inline(always)]
    fn sum4(self, [a, b, c, d]: [Self::F; 4]) -> [f32; 4] {
        self.sum_folded(self.fold2(a, b), self.fold2(c, d))
    }

    /// Sixteen canonical sums at once, one in each lane; for instruction sets that have [`MANY`](Self::MANY) registers.
    #[inline(always)]
    fn sum16(self, v: [Self::F; LANES]) -> Self::F {
        self.load(&v.map(|v| self.sum(v)))
    }

    /// `to[i][j] = rows[j][i]`; for instruction sets where it [is cheap](Self::TRANSPOSES).
    #[inline(always)]
    fn transpose(self, rows: [&[f32; LANES]; LANES], to: &mut [[f32; LANES]; LANES]) {
        for (i, to) in to.iter_mut().enumerate() {
            for (to, row) in to.iter_mut().zip(rows) {
                *to = row[i];
            }
        }
    }

    /// Asks that the cache line `offset` bytes from the start of `p`, which may lie beyond its end, come into the
    /// second-level cache: what lies far ahead must not drive the present out of the first. A hint.
    fn prefetch(self, p: &[u8], offset: usize);
}

/// 1.5·2^23: adding it to a float of magnitude below 2^22 rounds that to an integer, nearest even, which then
/// stands in the low bits of the sum.
pub const ROUND: f32 = 12_582_912.0;

/// `p` and zeros after it.
///
/// # Panics
/// Only with debug assertions, else the unit is zeros: if `p` is longer than a unit.
#[inline(always)]
#[must_use]
pub fn padded(p: &[f32]) -> [f32; LANES] {
    let mut unit = [0.0; LANES];
    copy(part_mut(&mut unit, 0, p.len()), p);
    unit
}
