//! Norm, activation and the parts of softmax: everything that treats a vector element by element.

use super::exp::exp_lanes;
use crate::part::{copy, part};
use crate::simd::lanes::{LANES, Lanes, padded};

/// Root-mean-square norm: `out = (x · s) · w` with `s = 1 / sqrt(Σx²/n + eps)`.
#[inline(always)]
pub(super) fn rms_norm<L: Lanes>(l: L, x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    let mean = sum_of_squares(l, x) / x.len() as f32;
    let s = 1.0 / libm::sqrtf(mean + eps);
    for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
        *out = x * s * w;
    }
}

#[inline(always)]
fn sum_of_squares<L: Lanes>(l: L, x: &[f32]) -> f32 {
    let (units, tail) = x.as_chunks();
    let mut acc = l.splat(0.0);
    for x in units.iter().chain((!tail.is_empty()).then_some(&padded(tail))) {
        let x = l.load(x);
        acc = l.add(acc, l.mul(x, x));
    }
    l.sum(acc)
}

/// `x += y`.
///
/// Each element stands alone, so the compiler's own vectors give the same bits.
#[inline(always)]
pub(super) fn add_assign(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `gate = gate / (1 + e^−gate) · up`.
#[inline(always)]
pub(super) fn swiglu<L: Lanes>(l: L, gate: &mut [f32], up: &[f32]) {
    let ((gates, gate_tail), (ups, up_tail)) = (gate.as_chunks_mut(), up.as_chunks());
    for (gate, up) in gates.iter_mut().zip(ups) {
        swiglu_unit(l, gate, up);
    }
    let mut last = padded(gate_tail);
    swiglu_unit(l, &mut last, &padded(up_tail));
    copy(gate_tail, part(&last, 0, gate_tail.len()));
}

#[cfg_attr(any(feature = "batch", target_arch = "x86_64"), inline(always))]
#[cfg_attr(not(any(feature = "batch", target_arch = "x86_64")), inline(never))]
fn swiglu_unit<L: Lanes>(l: L, gate: &mut [f32; LANES], up: &[f32; LANES]) {
    let g = l.load(gate);
    let e = exp_lanes(l, l.sub(l.splat(0.0), g));
    l.store(l.mul(l.div(g, l.add(l.splat(1.0), e)), l.load(up)), gate);
}

/// The largest of `x`, −∞ of none. NaNs are passed over; which of two zeros comes back is not defined.
#[inline(always)]
pub(super) fn max<L: Lanes>(l: L, x: &[[f32; LANES]]) -> f32 {
    let mut acc = l.splat(f32::NEG_INFINITY);
    for x in x {
        acc = l.max(l.load(x), acc);
    }
    let mut lanes = [0.0; LANES];
    l.store(acc, &mut lanes);
    lanes.into_iter().fold(f32::NEG_INFINITY, |max, x| if x > max { x } else { max })
}

/// `x = e^(x − max)`, and the sum of them. If any is a NaN, so is the sum.
#[inline(always)]
pub(super) fn exp_and_sum<L: Lanes>(l: L, x: &mut [[f32; LANES]], max: f32) -> f32 {
    let max = l.splat(max);
    let mut acc = l.splat(0.0);
    for x in x {
        let e = exp_lanes(l, l.sub(l.load(x), max));
        l.store(e, x);
        acc = l.add(acc, e);
    }
    l.sum(acc)
}
