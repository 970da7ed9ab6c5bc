//! Panels of 16 rows, in pairs of registers of 8.

use super::Avx2;
use super::columns::transpose;
use super::four::{groups4_2_twice, groups4_4, groups4_4_twice, groups4_8, pairs4, wide4};
use crate::array::{from_fn, map};
use crate::simd::isa_ops;
use crate::simd::panel::{PanelIsa, all, dot_all_pairs, fold_groups, in_pairs, wide_dots};
use core::arch::x86_64::*;

pub(super) const R: usize = 16;
pub(super) type Pair = [__m256i; 2];

/// Loads 16 dwords.
#[target_feature(enable = "avx2")]
#[inline]
fn load<T>(x: &[T; R]) -> Pair {
    const { assert!(size_of::<T>() == 4) };
    let p: *const T = x.as_ptr();
    // SAFETY: the array spans 16 elements of 4 bytes; the loads read the first and the last 32 bytes of it and
    // need no alignment.
    unsafe { [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(8).cast())] }
}

/// `x`, which the optimizer cannot see through. It would turn a chain of additions into a tree, whose
/// intermediate sums overflow the registers.
#[target_feature(enable = "avx2")]
#[inline]
fn in_order(mut x: __m256i) -> __m256i {
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe { core::arch::asm!("/* {0} */", inout(ymm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

/// As [`all`].
#[inline(always)]
fn all_mut<E, const N: usize>(x: &mut [E]) -> &mut [E; N] {
    x.try_into().expect("as many elements")
}

impl PanelIsa<R> for Avx2 {
    // 8 registers of 16-bit parts, 2 of weights, the digits: the 32-bit sums, touched once a group, stay in L1.
    const TOKENS: usize = 4;
    const PART_PRODUCTS: usize = 2;
    const PAIRED_SCALES: bool = true;
    const WIDE_MAGNITUDES: bool = true;
    type Columns = Self;
    type Weights = Pair;
    type Digits = __m256i;
    type Part = Pair;
    type WidePart = Pair;
    type Ints = Pair;
    type Floats = [__m256; 2];

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
        if T != 4 || N != 64 || !matches!((S, group_steps), (8 | 4, 8) | (4 | 2, 4)) {
            return fold_groups::<_, R, S, N, T>(self, w, q, scales, group_steps);
        }
        let (w, q): (_, &[_; 4]) = (all(w), all(&q));
        let q = map(q, |q| all(q));
        // SAFETY: a value of this type exists only where the feature is available.
        let sums = unsafe {
            match (S, group_steps) {
                (8, _) => groups4_8(w, q, scales),
                (4, 8) => groups4_4_twice(w, q, scales),
                (4, _) => groups4_4(w, q, scales),
                _ => groups4_2_twice(w, q, scales),
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
        // Eight pairs lie in the activations as they are, from which the compiler loads them.
        if T != 4 || P != 4 {
            return dot_all_pairs::<_, R, P, T>(self, acc, c, sums);
        }
        let s: [_; T] = from_fn(|t| in_pairs::<_, R, P>(self, sums[t]));
        // SAFETY: a value of this type exists only where the feature is available.
        let sums = unsafe { pairs4(*all(&acc), c, all(&s)) };
        *all(&sums)
    }

    #[inline(always)]
    fn wide_dots<const T: usize>(
        self,
        mut part: [Pair; T],
        w: &[[[u8; 4]; R]; 8],
        q: [&[[i8; 4]; 8]; T],
    ) -> [Pair; T] {
        if T != 4 {
            return wide_dots(self, part, w, q);
        }
        let part4: &mut [Pair; 4] = all_mut(&mut part);
        // SAFETY: a value of this type exists only where the feature is available.
        *part4 = unsafe { wide4(*part4, w, *all(&q)) };
        part
    }

    #[inline(always)]
    fn magnitudes(self, w: &[[[u8; 4]; R]]) -> [i32; R] {
        // A digit 0 is taken as -1 where the weight is negative.
        let negative = w.iter().fold(self.wide_part(), |part, w| {
            self.wide_dot(part, PanelIsa::weights(self, w), PanelIsa::<R>::digits(self, [0; 4]))
        });
        // SAFETY: two registers are as many bytes as the numbers, whose every pattern of bits is one.
        let negative: [i32; R] = unsafe { core::mem::transmute(negative) };
        map(&negative, |sum| -sum)
    }

    isa_ops! { Avx2, "avx2,fma,f16c";
        fn weights(w: &[[u8; 4]; R]) -> Pair { load(w) }
        fn digits(q: [i8; 4]) -> __m256i { _mm256_set1_epi32(i32::from_le_bytes(map(&q, |q| q as u8))) }

        fn part() -> Pair { [_mm256_setzero_si256(); 2] }
        fn dot(p: Pair, w: Pair, q: __m256i) -> Pair {
            // vpmaddubsw saturates above 2·127·128, which two weights of 63 stay far below.
            [
                in_order(_mm256_add_epi16(p[0], _mm256_maddubs_epi16(w[0], q))),
                in_order(_mm256_add_epi16(p[1], _mm256_maddubs_epi16(w[1], q))),
            ]
        }
        fn fold_scaled(acc: Pair, p: Pair, scale: Pair) -> Pair {
            [
                _mm256_add_epi32(acc[0], _mm256_madd_epi16(p[0], scale[0])),
                _mm256_add_epi32(acc[1], _mm256_madd_epi16(p[1], scale[1])),
            ]
        }
        fn fold(acc: Pair, p: Pair) -> Pair {
            let one = _mm256_set1_epi16(1);
            [
                _mm256_add_epi32(acc[0], _mm256_madd_epi16(p[0], one)),
                _mm256_add_epi32(acc[1], _mm256_madd_epi16(p[1], one)),
            ]
        }

        fn wide_part() -> Pair { [_mm256_setzero_si256(); 2] }
        fn wide_dot(p: Pair, w: Pair, q: __m256i) -> Pair {
            // Magnitudes up to 128 are unsigned bytes, a digit and its complement are in -128..=127: two products of a lane
            // are in -32768..=32512.
            let one = _mm256_set1_epi16(1);
            let mut out = p;
            for (out, w) in out.iter_mut().zip(w) {
                let negative = _mm256_cmpgt_epi8(_mm256_setzero_si256(), w);
                let products = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_xor_si256(q, negative));
                *out = _mm256_add_epi32(*out, _mm256_madd_epi16(products, one));
            }
            out
        }
        fn wide_sum(p: Pair) -> Pair { p }

        fn splat_i32(x: i32) -> Pair { [_mm256_set1_epi32(x); 2] }
        fn add_i32(a: Pair, b: Pair) -> Pair { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
        fn load_i32(x: &[i32; R]) -> Pair { load(x) }
        fn dot_pairs(acc: Pair, c: &[i32; R], s: i32) -> Pair {
            let (c, s) = (load(c), _mm256_set1_epi32(s));
            [
                _mm256_add_epi32(acc[0], _mm256_madd_epi16(c[0], s)),
                _mm256_add_epi32(acc[1], _mm256_madd_epi16(c[1], s)),
            ]
        }

        fn to_f32(x: Pair) -> [__m256; 2] { [_mm256_cvtepi32_ps(x[0]), _mm256_cvtepi32_ps(x[1])] }
        fn splat_f32(x: f32) -> [__m256; 2] { [_mm256_set1_ps(x); 2] }
        fn load_f32(x: &[f32; R]) -> [__m256; 2] { map(&load(x), |x| _mm256_castsi256_ps(x)) }
        fn store_f32(x: [__m256; 2], to: &mut [f32; R]) {
            // SAFETY: the array spans 16 floats; the stores cover its two halves and need no alignment.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
            }
        }
        fn add_f32(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])]
        }
        fn sub_f32(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])]
        }
        fn mul_f32(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
        }

        fn pair_sums(sums: &[i16; 16]) -> [i32; 4] {
            // SAFETY: the array spans 32 bytes; the load needs no alignment.
            let sums = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
            let sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
            // A sum of 32 digits lies in ±4096, so that nothing saturates here.
            let sums = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            let mut out = [0; 4];
            // SAFETY: the array spans 16 bytes; the store needs no alignment.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) };
            out
        }
        fn prefetch(at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}
