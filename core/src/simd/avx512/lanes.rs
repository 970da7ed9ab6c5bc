//! Sixteen f32 in one register.

use super::Avx512;
use crate::simd::isa_ops;
use crate::simd::lanes::{Lanes, ROUND};
use core::arch::x86_64::*;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load256(p: &[u8; 32]) -> __m256i {
    // SAFETY: the reference covers 32 bytes; loadu needs no alignment.
    unsafe { _mm256_loadu_si256(p.as_ptr().cast()) }
}

/// `2^k`, for `k` in the normal range.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn pow2(k: __m512i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(k, _mm512_set1_epi32(127))))
}

/// Lanes of `b` where `mask` has bits, else of `a`. (The optimizer would make a shuffle of it, which one port has to do.)
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn blend(mask: __mmask16, a: __m512, b: __m512) -> __m512 {
    let mut x = _mm512_mask_blend_ps(mask, a, b);
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe {
        core::arch::asm!("/* {0} */", inout(zmm_reg) x, options(pure, nomem, nostack, preserves_flags))
    };
    x
}

/// `lane[i] += lane[i + 8]` of `a`, in the lower half, and of `b`, in the upper.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn fold_halves(a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(blend(0xff00, a, b), _mm512_shuffle_f32x4::<0x4e>(a, b))
}

/// `lane[i] += lane[i + 4]` of the two in `ab` and the two in `cd`: a, c, b, d.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn fold_quarters(ab: __m512, cd: __m512) -> __m512 {
    let others = blend(0xf0f0, cd, ab);
    _mm512_add_ps(blend(0xf0f0, ab, cd), _mm512_shuffle_f32x4::<0xb1>(others, others))
}

/// `lane[i] += lane[i + 2]` of the four in `a` and the four in `b`, in the lower and the upper half of each 128 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn fold_pairs(a: __m512, b: __m512) -> __m512 {
    let crossed = _mm512_shuffle_pd::<0x55>(_mm512_castps_pd(a), _mm512_castps_pd(b));
    _mm512_add_ps(blend(0xcccc, a, b), _mm512_castpd_ps(crossed))
}

/// `lane[i] += lane[i + 1]` of the eight in `a`, in even lanes, and the eight in `b`, in odd ones.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn fold_singles(a: __m512, b: __m512) -> __m512 {
    let others = blend(0xaaaa, b, a);
    _mm512_add_ps(blend(0xaaaa, a, b), _mm512_permute_ps::<0xb1>(others))
}

impl Lanes for Avx512 {
    type F = __m512;
    /// Eight lanes of one unit, then of the other: `lane[i] += lane[i + 8]` is done.
    type Folded = __m512;

    const MANY: bool = true;
    const TRANSPOSES: bool = true;

    isa_ops! { Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c";
        fn splat(x: f32) -> __m512 {
            _mm512_set1_ps(x)
        }

        fn load(p: &[f32; 16]) -> __m512 {
            // SAFETY: the reference covers 16 floats; loadu needs no alignment.
            unsafe { _mm512_loadu_ps(p.as_ptr()) }
        }

        fn load_f32(p: &[u8; 64]) -> __m512 {
            // SAFETY: the reference covers 64 bytes; loadu needs no alignment.
            unsafe { _mm512_loadu_ps(p.as_ptr().cast()) }
        }

        fn load_f16(p: &[u8; 32]) -> __m512 {
            _mm512_cvtph_ps(load256(p))
        }

        fn load_bf16(p: &[u8; 32]) -> __m512 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(load256(p))))
        }

        fn load_i8(p: &[i8; 16]) -> __m512 {
            // SAFETY: the reference covers 16 bytes; loadu needs no alignment.
            let p = unsafe { _mm_loadu_si128(p.as_ptr().cast()) };
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(p))
        }

        fn splat_f16(h: [u8; 2]) -> __m512 {
            _mm512_cvtph_ps(_mm256_set1_epi16(i16::from_le_bytes(h)))
        }

        fn store(v: __m512, p: &mut [f32; 16]) {
            // SAFETY: the reference covers 16 floats; storeu needs no alignment.
            unsafe { _mm512_storeu_ps(p.as_mut_ptr(), v) }
        }

        fn store_f32(v: __m512, p: &mut [u8; 64]) {
            // SAFETY: the reference covers 64 bytes; storeu needs no alignment.
            unsafe { _mm512_storeu_ps(p.as_mut_ptr().cast(), v) }
        }

        fn store_f16(v: __m512, p: &mut [u8; 32]) {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            // SAFETY: the reference covers 32 bytes; storeu needs no alignment.
            unsafe { _mm256_storeu_si256(p.as_mut_ptr().cast(), _mm512_cvtps_ph::<NEAREST>(v)) }
        }

        fn add(a: __m512, b: __m512) -> __m512 {
            _mm512_add_ps(a, b)
        }

        fn sub(a: __m512, b: __m512) -> __m512 {
            _mm512_sub_ps(a, b)
        }

        fn mul(a: __m512, b: __m512) -> __m512 {
            _mm512_mul_ps(a, b)
        }

        fn div(a: __m512, b: __m512) -> __m512 {
            _mm512_div_ps(a, b)
        }

        // VMAXPS and VMINPS return their second operand for a NaN and for two zeros.
        fn max(a: __m512, b: __m512) -> __m512 {
            _mm512_max_ps(a, b)
        }

        fn min(a: __m512, b: __m512) -> __m512 {
            _mm512_min_ps(a, b)
        }

        fn pow2_halves(t: __m512) -> (__m512, __m512) {
            // The integer in the low bits of `t`, in halves: the lower one rounded down.
            let round = _mm512_set1_epi32(ROUND.to_bits().cast_signed());
            let k = _mm512_sub_epi32(_mm512_castps_si512(t), round);
            let low = _mm512_srai_epi32::<1>(k);
            (pow2(low), pow2(_mm512_sub_epi32(k, low)))
        }

        fn sum(v: __m512) -> f32 {
            let v = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
            let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
        }

        fn fold2(a: __m512, b: __m512) -> __m512 {
            let (low, high) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
            _mm512_add_ps(low, high)
        }

        fn sum_folded(ab: __m512, cd: __m512) -> [f32; 4] {
            // From here on each unit has 128 bits of its own.
            let (low, high) = (_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
            let v = _mm512_add_ps(low, high);
            let v = _mm512_add_ps(v, _mm512_permute_ps::<0b01_00_11_10>(v));
            let v = _mm512_add_ps(v, _mm512_movehdup_ps(v));
            let v = _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, v));
            let mut sums = [0.0; 4];
            // SAFETY: the array is 4 floats long; storeu needs no alignment.
            unsafe { _mm_storeu_ps(sums.as_mut_ptr(), v) };
            sums
        }

        fn sum16(v: [__m512; 16]) -> __m512 {
            // Each step adds halves of two registers, then quarters, and so on: one shuffle brings what is added to
            // the right place, blends, which are cheaper, the rest. Where the results come to lie decides the order here.
            let four = |i: usize| {
                fold_quarters(fold_halves(v[i], v[i + 8]), fold_halves(v[i + 4], v[i + 12]))
            };
            fold_singles(fold_pairs(four(0), four(2)), fold_pairs(four(1), four(3)))
        }

        fn transpose(rows: [&[f32; 16]; 16], to: &mut [[f32; 16]; 16]) {
            crate::simd::avx2::lanes::transpose(rows, to);
        }

        fn prefetch(p: &[u8], offset: usize) {
            _mm_prefetch::<_MM_HINT_T1>(p.as_ptr().wrapping_add(offset).cast());
        }
    }
}
