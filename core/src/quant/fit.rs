//! Finding scales: GGML's searches over a handful of candidates, each with its weighted least squares.

use core::cmp::Ordering;

/// Magnitudes below this count as no weight at all.
const EPSILON: f32 = 1e-15;

/// The integer nearest to `x`, ties to even, for `|x|` below 2^22; `nearest_int`.
///
/// Beyond that it is some integer in `-2^22 .. 2^22`, the same one as GGML's: finite weights do get there, where a
/// group with a large minimum lies beside one with a small scale. The mask, rather than a difference of the whole
/// pattern, is what keeps that from overflowing.
pub(super) fn nearest(x: f32) -> i32 {
    ((x + 12_582_912.0).to_bits() & 0x7f_ffff).cast_signed() - 0x40_0000
}

/// How [`with_min`] searches.
pub(super) struct Search {
    /// The largest level.
    pub(super) levels: i32,
    /// Candidates spread the range over `levels + start + step · i` levels, for `i` in `0..=steps`.
    pub(super) start: f32,
    pub(super) step: f32,
    pub(super) steps: i32,
    /// Whether errors count by their magnitude, rather than squared.
    pub(super) magnitude: bool,
}

/// Levels `0 ..= levels`, a scale and a minimum (taken positive) with `x ≈ scale·level − min`, best by `weights`:
/// `make_qkx2_quants`.
pub(super) fn with_min<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    search: &Search,
    level: &mut [u8; N],
) -> (f32, f32) {
    let &Search { levels, start, step, steps, magnitude } = search;
    let (mut min, mut max) = (x[0], x[0]);
    let (mut sum_w, mut sum_x) = (weights[0], weights[0] * x[0]);
    for (&x, &w) in x.iter().zip(weights).skip(1) {
        min = if x < min { x } else { min };
        max = if x > max { x } else { max };
        sum_w += w;
        sum_x += w * x;
    }
    min = if min > 0.0 { 0.0 } else { min };
    if max == min {
        level.fill(0);
        return (0.0, -min);
    }
    let to_level = |inverse: f32, min: f32, x: f32| nearest(inverse * (x - min)).clamp(0, levels) as u8;
    let error = |scale: f32, min: f32, level: &[u8; N]| {
        let mut sum = 0.0;
        for ((&x, &w), &l) in x.iter().zip(weights).zip(level) {
            let diff = scale * f32::from(l) + min - x;
            sum += w * if magnitude { diff.abs() } else { diff * diff };
        }
        sum
    };
    let inverse = levels as f32 / (max - min);
    for (l, &x) in level.iter_mut().zip(x) {
        *l = to_level(inverse, min, x);
    }
    let mut best = (1.0 / inverse, min);
    let mut least = error(best.0, best.1, level);
    for i in 0..=steps {
        // Each candidate spreads the range from the best minimum so far.
        let inverse = (start + step * i as f32 + levels as f32) / (max - best.1);
        let (mut sum_l, mut sum_l2, mut sum_xl) = (0.0, 0.0, 0.0);
        let candidate = x.map(|x| to_level(inverse, best.1, x));
        for ((&x, &w), &l) in x.iter().zip(weights).zip(&candidate) {
            let l = f32::from(l);
            sum_l += w * l;
            sum_l2 += w * l * l;
            sum_xl += w * l * x;
        }
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        if determinant > 0.0 {
            let mut scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
            let mut this_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
            if this_min > 0.0 {
                this_min = 0.0;
                scale = sum_xl / sum_l2;
            }
            let this_error = error(scale, this_min, &candidate);
            if this_error < least {
                *level = candidate;
                least = this_error;
                best = (scale, this_min);
            }
        }
    }
    (best.0, -best.1)
}

/// A scale with `x ≈ scale·level`, levels `−levels ..= levels − 1`, best by the weights' squares: `make_qx_quants`.
/// Each level comes with `levels` added; a group of no weight has levels 0.
pub(super) fn symmetric(x: &[f32; 16], levels: i32) -> (f32, [u8; 16]) {
    let max = super::block::extreme(x);
    if max.abs() < EPSILON {
        return (0.0, [0; 16]);
    }
    let all = |inverse: f32| x.map(|x| (nearest(inverse * x).clamp(-levels, levels - 1) + levels) as u8);
    let sums = |inverse: f32| {
        let (mut sum_lx, mut sum_l2) = (0.0, 0.0);
        for &x in x {
            let l = nearest(inverse * x).clamp(-levels, levels - 1) as f32;
            let w = x * x;
            sum_lx += w * x * l;
            sum_l2 += w * l * l;
        }
        (sum_lx, sum_l2)
    };
    let mut best_inverse = -(levels as f32) / max;
    let (sum_lx, sum_l2) = sums(best_inverse);
    let mut scale = if sum_l2 == 0.0 { 0.0 } else { sum_lx / sum_l2 };
    let mut best = scale * sum_lx;
    for i in (-9..=9).filter(|&i| i != 0) {
        let inverse = -(levels as f32 + 0.1 * i as f32) / max;
        let (sum_lx, sum_l2) = sums(inverse);
        if sum_l2 > 0.0 && sum_lx * sum_lx > best * sum_l2 {
            scale = sum_lx / sum_l2;
            best = scale * sum_lx;
            best_inverse = inverse;
        }
    }
    (scale, all(best_inverse))
}

/// The same, improving one level at a time: `make_q3_quants`.
pub(super) fn refined(x: &[f32; 16], levels: i32) -> (f32, [u8; 16]) {
    let max = super::block::extreme(x);
    if max.abs() < EPSILON {
        return (0.0, [0; 16]);
    }
    let inverse = -(levels as f32) / max;
    let mut level = x.map(|x| nearest(inverse * x).clamp(-levels, levels - 1));
    let (mut sum_lx, mut sum_l2) = (0.0, 0.0);
    for (&x, &l) in x.iter().zip(&level) {
        let (w, l) = (x * x, l as f32);
        sum_lx += w * x * l;
        sum_l2 += w * l * l;
    }
    for _ in 0..5 {
        let mut changed = false;
        for (&x, level) in x.iter().zip(&mut level) {
            let (w, l) = (x * x, *level as f32);
            let mut rest_lx = sum_lx - w * x * l;
            // Sums that overflowed to NaN end here too.
            if rest_lx.partial_cmp(&0.0) != Some(Ordering::Greater) {
                continue;
            }
            let mut rest_l2 = sum_l2 - w * l * l;
            let new = nearest(x * rest_l2 / rest_lx).clamp(-levels, levels - 1);
            if new != *level {
                let l = new as f32;
                rest_lx += w * x * l;
                rest_l2 += w * l * l;
                if rest_l2 > 0.0 && rest_lx * rest_lx * sum_l2 > sum_lx * sum_lx * rest_l2 {
                    (*level, sum_lx, sum_l2) = (new, rest_lx, rest_l2);
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    let scale = if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 };
    (scale, level.map(|l| (l + levels) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rounds_halves_to_even() {
        for (x, want) in
            [(0.5, 0), (1.5, 2), (-0.5, 0), (-1.5, -2), (2.4999, 2), (-63.6, -64), (4e6, 4_000_000)]
        {
            assert_eq!(nearest(x), want, "{x}");
        }
    }

    #[test]
    fn nearest_stays_in_range_whatever_the_number() {
        let steps = (0..=u32::MAX).step_by(4099).map(f32::from_bits);
        for x in steps.chain([-12_582_913.0, -25_165_823.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]) {
            assert!((-0x40_0000..0x40_0000).contains(&nearest(x)), "{x}");
        }
    }
}
