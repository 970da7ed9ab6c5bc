//! Sixteen f32 in two registers.

use super::Avx2;
use crate::array::from_fn;
use crate::simd::isa_ops;
use crate::simd::lanes::{Lanes, ROUND};
use core::arch::x86_64::*;

type F = [__m256; 2];

/// Two results of one operation on both registers.
macro_rules! both {
    ($op:ident($($v:ident),*)) => { [$op($($v[0]),*), $op($($v[1]),*)] };
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load128(p: &[u8]) -> __m128i {
    assert!(p.len() >= 16);
    // SAFETY: the slice covers 16 readable bytes, just checked; loadu needs no alignment.
    unsafe { _mm_loadu_si128(p.as_ptr().cast()) }
}

/// `2^k`, for `k` in the normal range.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pow2(k: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(k, _mm256_set1_epi32(127))))
}

/// The integer in the low bits of `t`, in halves: the lower one rounded down.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn halves(t: __m256) -> (__m256i, __m256i) {
    let k = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(ROUND.to_bits().cast_signed()));
    let low = _mm256_srai_epi32::<1>(k);
    (low, _mm256_sub_epi32(k, low))
}

/// `lane[i] += lane[i + 8]` and `+ 4` of two units: one unit's four lanes in either half.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn fold_pair(a: F, b: F) -> __m256 {
    let a = _mm256_add_ps(a[0], a[1]);
    let b = _mm256_add_ps(b[0], b[1]);
    // (a low, b high) + (a high, b low): a blend is cheaper than a second permutation.
    _mm256_add_ps(_mm256_blend_ps::<0xf0>(a, b), _mm256_permute2f128_ps::<0x21>(a, b))
}

/// Four columns of eight rows, from their four floats each.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn columns(rows: [&[f32; 4]; 8]) -> [__m256; 4] {
    // Row `i` in the lower half, row `i + 4` in the upper: what is left to do stays within the halves.
    let pair = |i: usize| {
        // SAFETY: each reference covers the 4 floats that are read; loadu needs no alignment.
        let (low, high) = unsafe { (_mm_loadu_ps(rows[i].as_ptr()), _mm_loadu_ps(rows[i + 4].as_ptr())) };
        _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high)
    };
    let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
    let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    [
        _mm256_shuffle_ps::<0x44>(ab, cd),
        _mm256_shuffle_ps::<0xee>(ab, cd),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
    ]
}

/// `to[i][j] = rows[j][i]`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(in crate::simd) fn transpose(rows: [&[f32; 16]; 16], to: &mut [[f32; 16]; 16]) {
    for (quarter, to) in to.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let [low, high] =
            [0, 8].map(|first| columns(from_fn(|j| &rows[first + j].as_chunks::<4>().0[quarter])));
        for ((low, high), to) in low.into_iter().zip(high).zip(to) {
            // SAFETY: the reference covers 16 floats, of which each store writes 8; storeu needs no alignment.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), low);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), high);
            }
        }
    }
}

impl Lanes for Avx2 {
    type F = F;
    type Folded = __m256;

    const TRANSPOSES: bool = true;

    isa_ops! { Avx2, "avx2,fma,f16c";
        fn splat(x: f32) -> F {
            [_mm256_set1_ps(x); 2]
        }

        fn load(p: &[f32; 16]) -> F {
            // SAFETY: the reference covers 16 floats, of which each load reads 8; loadu needs no alignment.
            unsafe { [_mm256_loadu_ps(p.as_ptr()), _mm256_loadu_ps(p.as_ptr().add(8))] }
        }

        fn load_f32(p: &[u8; 64]) -> F {
            let p: *const f32 = p.as_ptr().cast();
            // SAFETY: the reference covers 64 bytes, of which each load reads 32; loadu needs no alignment.
            unsafe { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] }
        }

        fn load_f16(p: &[u8; 32]) -> F {
            [_mm256_cvtph_ps(load128(&p[..16])), _mm256_cvtph_ps(load128(&p[16..]))]
        }

        fn load_bf16(p: &[u8; 32]) -> F {
            let lo = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(load128(&p[..16])));
            let hi = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(load128(&p[16..])));
            [_mm256_castsi256_ps(lo), _mm256_castsi256_ps(hi)]
        }

        fn load_i8(p: &[i8; 16]) -> F {
            // SAFETY: the reference covers 16 bytes, of which each load reads 8; loadl needs no alignment.
            let (lo, hi) = unsafe {
                (_mm_loadl_epi64(p.as_ptr().cast()), _mm_loadl_epi64(p.as_ptr().add(8).cast()))
            };
            [_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(lo)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(hi))]
        }

        fn splat_f16(h: [u8; 2]) -> F {
            [_mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes(h))); 2]
        }

        fn store(v: F, p: &mut [f32; 16]) {
            // SAFETY: the reference covers 16 floats, of which each store writes 8; storeu needs no alignment.
            unsafe {
                _mm256_storeu_ps(p.as_mut_ptr(), v[0]);
                _mm256_storeu_ps(p.as_mut_ptr().add(8), v[1]);
            }
        }

        fn store_f32(v: F, p: &mut [u8; 64]) {
            let p: *mut f32 = p.as_mut_ptr().cast();
            // SAFETY: the reference covers 64 bytes, of which each store writes 32; storeu needs no alignment.
            unsafe {
                _mm256_storeu_ps(p, v[0]);
                _mm256_storeu_ps(p.add(8), v[1]);
            }
        }

        fn store_f16(v: F, p: &mut [u8; 32]) {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
            let p: *mut __m128i = p.as_mut_ptr().cast();
            // SAFETY: the reference covers 32 bytes, of which each store writes 16; storeu needs no alignment.
            unsafe {
                _mm_storeu_si128(p, _mm256_cvtps_ph::<NEAREST>(v[0]));
                _mm_storeu_si128(p.add(1), _mm256_cvtps_ph::<NEAREST>(v[1]));
            }
        }

        fn add(a: F, b: F) -> F {
            both!(_mm256_add_ps(a, b))
        }

        fn sub(a: F, b: F) -> F {
            both!(_mm256_sub_ps(a, b))
        }

        fn mul(a: F, b: F) -> F {
            both!(_mm256_mul_ps(a, b))
        }

        fn div(a: F, b: F) -> F {
            both!(_mm256_div_ps(a, b))
        }

        // MAXPS and MINPS return their second operand for a NaN and for two zeros.
        fn max(a: F, b: F) -> F {
            both!(_mm256_max_ps(a, b))
        }

        fn min(a: F, b: F) -> F {
            both!(_mm256_min_ps(a, b))
        }

        fn pow2_halves(t: F) -> (F, F) {
            let (a, b) = (halves(t[0]), halves(t[1]));
            ([pow2(a.0), pow2(b.0)], [pow2(a.1), pow2(b.1)])
        }

        fn sum(v: F) -> f32 {
            let v = _mm256_add_ps(v[0], v[1]);
            let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
        }

        fn fold2(a: F, b: F) -> __m256 {
            fold_pair(a, b)
        }

        fn sum_folded(ab: __m256, cd: __m256) -> [f32; 4] {
            let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
            let v = _mm256_add_ps(
                _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
            );
            // The sums of a, c, b, d in the even lanes.
            let v = _mm256_add_ps(v, _mm256_movehdup_ps(v));
            let (ac, bd) = (_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let mut sums = [0.0; 4];
            // SAFETY: the array is 4 floats long; storeu needs no alignment.
            unsafe { _mm_storeu_ps(sums.as_mut_ptr(), _mm_blend_ps::<0b1010>(ac, _mm_moveldup_ps(bd))) };
            sums
        }

        fn transpose(rows: [&[f32; 16]; 16], to: &mut [[f32; 16]; 16]) {
            transpose(rows, to);
        }

        fn prefetch(p: &[u8], offset: usize) {
            _mm_prefetch::<_MM_HINT_T1>(p.as_ptr().wrapping_add(offset).cast());
        }
    }
}
