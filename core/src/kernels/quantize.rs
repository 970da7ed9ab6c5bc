//! Activations into digits.
//!
//! The code is plain, and compiled once for each instruction set: it is loops over independent elements, which
//! the compiler turns into that set's vectors, and IEEE 754 leaves it no choice of results.

#![allow(unsafe_code, reason = "entries have target features, which only a proof makes safe to call")]

use super::{ActKind, ActTokenMut, Mode};
use crate::part::part_mut;
use crate::quant::SUPER_BLOCK_LEN;

/// Entry: kind, mode, activations, result.
pub(super) type Entry = unsafe fn(ActKind, Mode, &[f32], ActTokenMut<'_>);

/// Compiled for the target's own features.
pub(super) fn scalar(kind: ActKind, mode: Mode, x: &[f32], out: ActTokenMut<'_>) {
    token(kind, mode, x, out);
}

/// Compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn avx2(kind: ActKind, mode: Mode, x: &[f32], out: ActTokenMut<'_>) {
    token(kind, mode, x, out);
}

/// Compiled for AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn avx512(kind: ActKind, mode: Mode, x: &[f32], out: ActTokenMut<'_>) {
    token(kind, mode, x, out);
}

/// Compiled for Advanced SIMD.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) fn neon(kind: ActKind, mode: Mode, x: &[f32], out: ActTokenMut<'_>) {
    token(kind, mode, x, out);
}

#[inline(always)]
fn token(kind: ActKind, mode: Mode, x: &[f32], out: ActTokenMut<'_>) {
    match (kind, mode) {
        (ActKind::Float, _) => {}
        _ if !kind.is_compiled() => {}
        (ActKind::Block32, Mode::Int8) => blocks::<32, 32, 1>(mode.top(), x, out),
        #[cfg(feature = "exact")]
        (ActKind::Block32, Mode::Exact) => blocks::<32, 32, 3>(mode.top(), x, out),
        (ActKind::Block256, Mode::Int8) => blocks::<SUPER_BLOCK_LEN, 16, 1>(mode.top(), x, out),
        #[cfg(feature = "exact")]
        (ActKind::Block256, Mode::Exact) => blocks::<SUPER_BLOCK_LEN, 16, 3>(mode.top(), x, out),
    }
}

/// Blocks of `LEN`, sums of `SUM`, `P` planes.
#[inline(always)]
fn blocks<const LEN: usize, const SUM: usize, const P: usize>(top: f32, x: &[f32], out: ActTokenMut<'_>) {
    let ActTokenMut { q, sums, d } = out;
    let (k, count) = (x.len(), x.len() / LEN);
    let sum_count = sums.len() / P;
    for (b, x) in x.as_chunks::<LEN>().0.iter().enumerate() {
        let (scale, mut v) = fixed_point(top, x);
        if let Some(d) = d.get_mut(b) {
            *d = scale;
        }
        // The lowest digit first: what is left after the last is the top one.
        for p in (0..P).rev() {
            let digits: &mut [i8; LEN] = match part_mut(q, p * k + b * LEN, LEN).first_chunk_mut() {
                Some(digits) => digits,
                None => return,
            };
            for (digit, v) in digits.iter_mut().zip(&mut v) {
                *digit = *v as i8;
                *v = (*v - i32::from(*digit)) >> 8;
            }
            let sums = part_mut(sums, p * sum_count + b * LEN / SUM, LEN / SUM);
            for (sum, digits) in sums.iter_mut().zip(digits.as_chunks::<SUM>().0) {
                *sum = digits.iter().map(|&q| i16::from(q)).sum();
            }
        }
    }
    // See `WRAP`.
    repeat(d, count);
    for sums in sums.chunks_exact_mut(sum_count.max(1)) {
        repeat(sums, k / SUM);
    }
}

/// Fills what comes after the first `count` with these again.
#[inline(always)]
fn repeat<T: Copy>(all: &mut [T], count: usize) {
    for i in count..all.len() {
        if let Some(&from) = all.get(i.wrapping_sub(count))
            && let Some(to) = all.get_mut(i)
        {
            *to = from;
        }
    }
}

/// `x ≈ scale · v`, `|v| ≤ top`.
#[inline(always)]
fn fixed_point<const LEN: usize>(top: f32, x: &[f32; LEN]) -> (f32, [i32; LEN]) {
    // The largest magnitude, found on the bits: as integers infinity is above every number and NaN above infinity,
    // and no order of comparisons changes the result.
    let largest = x.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff));
    let amax = f32::from_bits(largest);
    if !amax.is_finite() {
        // The row's results become NaN, and are reported where they are used.
        return (f32::NAN, [0; LEN]);
    }
    let inverse = top / amax;
    if !inverse.is_finite() {
        return (0.0, [0; LEN]);
    }
    let v = x.map(|x| {
        let v = x * inverse;
        // Adding 2^23 rounds a magnitude below it to an integer, nearest even.
        let shift = f32::from_bits(8_388_608f32.to_bits() | (v.to_bits() & 0x8000_0000));
        let rounded = (v + shift) - shift;
        // SAFETY: `|x| ≤ amax`, so `|v|` is `top` or less, give or take a rounding, and fits.
        unsafe { rounded.to_int_unchecked::<i32>() }
    });
    (amax / top, v)
}
