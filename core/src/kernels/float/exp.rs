//! The exponential function, the core's own, so that every target gives the same bits.
//!
//! Cephes' `expf` (Moshier): `x = k·ln 2 + r` with `|r| ≤ ln 2 / 2`, a polynomial for `e^r`, then `·2^k` in two
//! factors, so that the result falls gradually through the subnormals to 0 and rises to infinity without a branch.

use crate::simd::lanes::{Lanes, ROUND};

/// `e^x` underflows to 0 here: it lies below 2^-150, half the smallest subnormal.
const LOW: f32 = -104.0;
/// `e^x` overflows to infinity well before.
const HIGH: f32 = 89.0;
/// ln 2 in two parts: nine bits, so that its product with `k` is exact, and the rest.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Coefficients of `(e^r − 1 − r) / r²`, the highest power first.
const POLYNOMIAL: [f32; 6] =
    [1.987_569_2e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `e^x`, within one unit in the last place; 0 below −104, infinity above 88.73, a NaN for a NaN.
#[must_use]
pub fn exp(x: f32) -> f32 {
    let x = if LOW > x { LOW } else { x };
    let x = if HIGH < x { HIGH } else { x };
    let t = x * core::f32::consts::LOG2_E + ROUND;
    let n = t - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = POLYNOMIAL[0];
    for c in &POLYNOMIAL[1..] {
        p = p * r + c;
    }
    let p = p * (r * r) + r + 1.0;
    let k = t.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
    let pow2 = |k: i32| f32::from_bits((k.wrapping_add(127) << 23).cast_unsigned());
    p * pow2(k >> 1) * pow2(k - (k >> 1))
}

/// [`exp`] of sixteen, with its bits.
#[cfg_attr(any(feature = "batch", target_arch = "x86_64"), inline(always))]
#[cfg_attr(not(any(feature = "batch", target_arch = "x86_64")), inline(never))]
pub(crate) fn exp_lanes<L: Lanes>(l: L, x: L::F) -> L::F {
    let x = l.max(l.splat(LOW), x);
    let x = l.min(l.splat(HIGH), x);
    let t = l.add(l.mul(x, l.splat(core::f32::consts::LOG2_E)), l.splat(ROUND));
    let n = l.sub(t, l.splat(ROUND));
    let r = l.sub(l.sub(x, l.mul(n, l.splat(LN_2_HIGH))), l.mul(n, l.splat(LN_2_LOW)));
    let mut p = l.splat(POLYNOMIAL[0]);
    for &c in &POLYNOMIAL[1..] {
        p = l.add(l.mul(p, r), l.splat(c));
    }
    let p = l.add(l.add(l.mul(p, l.mul(r, r)), r), l.splat(1.0));
    let (low, high) = l.pow2_halves(t);
    l.mul(l.mul(p, low), high)
}
