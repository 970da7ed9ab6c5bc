//! Panels of 32 rows, two registers wide.

use super::Avx512;
use super::six::{groups6_4, groups6_8, pairs6_4, pairs6_8};
use crate::array::{from_fn, map};
use crate::simd::avx2::transpose;
use crate::simd::isa_ops;
use crate::simd::panel::{PanelIsa, all, dot_all_pairs, fold_groups, in_pairs};
use core::arch::x86_64::*;

/// Rows in a panel.
pub(super) const R: usize = 32;
pub(super) type Pair = [__m512i; 2];

/// Loads 32 dwords.
#[target_feature(enable = "avx512f")]
#[inline]
fn load<T>(x: &[T; R]) -> Pair {
    const { assert!(size_of::<T>() == 4) };
    let p: *const T = x.as_ptr();
    // SAFETY: the array spans 32 elements of 4 bytes; the loads read the first and the last 64 bytes of it and need
    // no alignment.
    unsafe { [_mm512_loadu_si512(p.cast()), _mm512_loadu_si512(p.add(16).cast())] }
}

impl PanelIsa<R> for Avx512 {
    const TOKENS: usize = 6;
    const KEPT_STEPS: usize = 8;
    // Products of four are added up in 32 bits at once.
    const PART_PRODUCTS: usize = 0;
    const PAIRED_SCALES: bool = false;
    // A multiplier that takes one operand unsigned.
    const WIDE_OFFSET: i32 = 128;
    type Columns = Self;
    type Weights = Pair;
    type Digits = __m512i;
    type Part = Pair;
    type WidePart = Pair;
    type Ints = Pair;
    type Floats = [__m512; 2];

    #[inline(always)]
    fn columns(self) -> Self {
        self
    }

    #[inline(always)]
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    ) {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { transpose(rows, panel, columns) }
    }

    #[inline(always)]
    fn fold_groups<const S: usize, const N: usize, const T: usize>(
        self,
        w: &[[[u8; 4]; R]; N],
        q: [&[[i8; 4]; N]; T],
        scales: &[[i32; R]; 16],
        group_steps: usize,
    ) -> [Pair; T] {
        if T != 6 || S != group_steps || N != 64 {
            return fold_groups::<_, R, S, N, T>(self, w, q, scales, group_steps);
        }
        let (w, q): (_, &[_; 6]) = (all(w), all(&q));
        // SAFETY: a value of this type exists only where the feature is available.
        let sums = unsafe {
            match S {
                8 => groups6_8(w, map(q, |q| all(q)), scales),
                _ => groups6_4(w, map(q, |q| all(q)), scales),
            }
        };
        *all(&sums)
    }

    #[inline(always)]
    fn dot_all_pairs<const P: usize, const T: usize>(
        self,
        acc: [Pair; T],
        c: &[[i32; R]; 8],
        sums: [&[i16; 16]; T],
    ) -> [Pair; T] {
        if T != 6 {
            return dot_all_pairs::<_, R, P, T>(self, acc, c, sums);
        }
        let s: [_; T] = from_fn(|t| in_pairs::<_, R, P>(self, sums[t]));
        // SAFETY: a value of this type exists only where the feature is available.
        let sums = unsafe {
            match P {
                4 => pairs6_4(*all(&acc), c, all(&s)),
                _ => pairs6_8(*all(&acc), c, all(&s)),
            }
        };
        *all(&sums)
    }

    isa_ops! { Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c";
        fn weights(w: &[[u8; 4]; R]) -> Pair { load(w) }
        fn digits(q: [i8; 4]) -> __m512i { _mm512_set1_epi32(i32::from_le_bytes(map(&q, |q| q as u8))) }

        fn part() -> Pair { [_mm512_setzero_si512(); 2] }
        fn dot(p: Pair, w: Pair, q: __m512i) -> Pair {
            [_mm512_dpbusd_epi32(p[0], w[0], q), _mm512_dpbusd_epi32(p[1], w[1], q)]
        }
        fn fold_scaled(acc: Pair, p: Pair, scale: Pair) -> Pair {
            [
                _mm512_add_epi32(acc[0], _mm512_mullo_epi32(p[0], scale[0])),
                _mm512_add_epi32(acc[1], _mm512_mullo_epi32(p[1], scale[1])),
            ]
        }
        fn fold(acc: Pair, p: Pair) -> Pair { [_mm512_add_epi32(acc[0], p[0]), _mm512_add_epi32(acc[1], p[1])] }

        fn wide_part() -> Pair { [_mm512_setzero_si512(); 2] }
        fn wide_dot(p: Pair, w: Pair, q: __m512i) -> Pair {
            [_mm512_dpbusd_epi32(p[0], w[0], q), _mm512_dpbusd_epi32(p[1], w[1], q)]
        }
        fn wide_sum(p: Pair) -> Pair { p }

        fn splat_i32(x: i32) -> Pair { [_mm512_set1_epi32(x); 2] }
        fn add_i32(a: Pair, b: Pair) -> Pair { [_mm512_add_epi32(a[0], b[0]), _mm512_add_epi32(a[1], b[1])] }
        fn load_i32(x: &[i32; R]) -> Pair { load(x) }
        fn dot_pairs(acc: Pair, c: &[i32; R], s: i32) -> Pair {
            let (c, s) = (load(c), _mm512_set1_epi32(s));
            [_mm512_dpwssd_epi32(acc[0], c[0], s), _mm512_dpwssd_epi32(acc[1], c[1], s)]
        }

        fn to_f32(x: Pair) -> [__m512; 2] { [_mm512_cvtepi32_ps(x[0]), _mm512_cvtepi32_ps(x[1])] }
        fn splat_f32(x: f32) -> [__m512; 2] { [_mm512_set1_ps(x); 2] }
        fn load_f32(x: &[f32; R]) -> [__m512; 2] { map(&load(x), |x| _mm512_castsi512_ps(x)) }
        fn store_f32(x: [__m512; 2], to: &mut [f32; R]) {
            // SAFETY: the array spans 32 floats; the stores cover its two halves and need no alignment.
            unsafe {
                _mm512_storeu_ps(to.as_mut_ptr(), x[0]);
                _mm512_storeu_ps(to.as_mut_ptr().add(16), x[1]);
            }
        }
        fn add_f32(a: [__m512; 2], b: [__m512; 2]) -> [__m512; 2] {
            [_mm512_add_ps(a[0], b[0]), _mm512_add_ps(a[1], b[1])]
        }
        fn sub_f32(a: [__m512; 2], b: [__m512; 2]) -> [__m512; 2] {
            [_mm512_sub_ps(a[0], b[0]), _mm512_sub_ps(a[1], b[1])]
        }
        fn mul_f32(a: [__m512; 2], b: [__m512; 2]) -> [__m512; 2] {
            [_mm512_mul_ps(a[0], b[0]), _mm512_mul_ps(a[1], b[1])]
        }

        fn pair_sums(sums: &[i16; 16]) -> [i32; 4] {
            // SAFETY: the array spans 32 bytes; the load needs no alignment.
            let sums = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
            let sums = _mm256_cvtepi32_epi16(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
            let mut out = [0; 4];
            // SAFETY: the array spans 16 bytes; the store needs no alignment.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) };
            out
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        PanelIsa::<16>::prefetch(self.avx2(), at);
    }
}
