//! Rotary position embedding (Su et al. 2021).

use super::trig::sin_cos;
use crate::part::holds;

/// Rotates adjacent pairs of every head of `head_len` floats in `x` by the angles whose (cos, sin) are in `table`;
/// the rest of a head, beyond the table, stays.
///
/// Each pair stands alone, so the compiler's own vectors give the same bits.
#[inline(always)]
pub(super) fn rope(x: &mut [f32], head_len: usize, table: &[f32]) {
    for head in x.chunks_exact_mut(head_len.max(1)) {
        for ([x0, x1], [cos, sin]) in head.as_chunks_mut().0.iter_mut().zip(table.as_chunks().0) {
            (*x0, *x1) = (*x0 * cos - *x1 * sin, *x0 * sin + *x1 * cos);
        }
    }
}

/// Fills `out` with (cos, sin) of each pair's angle at `position`:
/// `θ_i = position · freq_scale · freq_base^(−2i / n_rot) / factors[i]`, for `i` in `0 .. n_rot / 2`.
///
/// In f64 by `libm` and [`sin_cos`], rounded once, so that every target gives the same bits. Three transcendental functions a pair:
/// for once a token, not once a layer.
///
/// # Panics
/// Only with debug assertions, else nothing is written: if `out` is not `n_rot` long (rounded down to even) or `factors`, where present, not half that.
pub fn rope_table(
    position: usize,
    n_rot: usize,
    freq_base: f32,
    freq_scale: f32,
    factors: Option<&[f32]>,
    out: &mut [f32],
) {
    let pairs = n_rot / 2;
    let fits = out.len() == 2 * pairs && factors.is_none_or(|f| f.len() == pairs);
    if !holds(fits, "the table must hold a pair, and the factors one, for each rotated pair") {
        return;
    }
    for (i, [cos, sin]) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let factor = factors.and_then(|f| f.get(i)).map_or(1.0, |&f| f64::from(f));
        let frequency = libm::pow(f64::from(freq_base), -((2 * i) as f64) / n_rot as f64);
        let theta = position as f64 * f64::from(freq_scale) * frequency / factor;
        let (s, c) = sin_cos(theta);
        (*sin, *cos) = (s as f32, c as f32);
    }
}
