//! Panels of 16 rows, in pairs of registers of 8.

use super::AvxVnni;
use super::six::{groups6_4, groups6_8, pairs6};
use crate::array::{from_fn, map};
use crate::simd::avx2::Avx2;
use crate::simd::isa_ops;
use crate::simd::panel::{PanelIsa, all, dot_all_pairs, fold_groups, in_pairs};
use core::arch::x86_64::*;

pub(super) const R: usize = 16;
pub(super) type Pair = [__m256i; 2];

/// What AVX2 has already.
macro_rules! as_avx2 {
    ($(fn $name:ident($($arg:ident: $t:ty),*) $(-> $r:ty)?;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $t),*) $(-> $r)? {
            PanelIsa::<R>::$name(self.avx2(), $($arg),*)
        })*
    };
}

impl PanelIsa<R> for AvxVnni {
    const TOKENS: usize = 6;
    const SMALL_TOKENS: usize = 4;
    // Products of four are added up in 32 bits at once.
    const PART_PRODUCTS: usize = 0;
    const PAIRED_SCALES: bool = false;
    // A multiplier that takes one operand unsigned.
    const WIDE_OFFSET: i32 = 128;
    type Columns = Avx2;
    type Weights = Pair;
    type Digits = __m256i;
    type Part = Pair;
    type WidePart = Pair;
    type Ints = Pair;
    type Floats = <Avx2 as PanelIsa<R>>::Floats;

    #[inline(always)]
    fn columns(self) -> Avx2 {
        self.avx2()
    }

    #[inline(always)]
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    ) {
        PanelIsa::<R>::transpose(self.avx2(), rows, panel, columns);
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
        // Eight pairs lie in the activations as they are, from which the compiler loads them.
        if T != 6 || P != 4 {
            return dot_all_pairs::<_, R, P, T>(self, acc, c, sums);
        }
        let s: [_; T] = from_fn(|t| in_pairs::<_, R, P>(self, sums[t]));
        // SAFETY: a value of this type exists only where the feature is available.
        let sums = unsafe { pairs6(*all(&acc), c, all(&s)) };
        *all(&sums)
    }

    as_avx2! {
        fn weights(w: &[[u8; 4]; R]) -> Pair;
        fn digits(q: [i8; 4]) -> __m256i;
        fn part() -> Pair;
        fn wide_part() -> Pair;
        fn splat_i32(x: i32) -> Pair;
        fn add_i32(a: Pair, b: Pair) -> Pair;
        fn load_i32(x: &[i32; R]) -> Pair;
        fn dot_pairs(acc: Pair, c: &[i32; R], s: i32) -> Pair;
        fn to_f32(x: Pair) -> Self::Floats;
        fn splat_f32(x: f32) -> Self::Floats;
        fn load_f32(x: &[f32; R]) -> Self::Floats;
        fn store_f32(x: Self::Floats, to: &mut [f32; R]);
        fn add_f32(a: Self::Floats, b: Self::Floats) -> Self::Floats;
        fn sub_f32(a: Self::Floats, b: Self::Floats) -> Self::Floats;
        fn mul_f32(a: Self::Floats, b: Self::Floats) -> Self::Floats;
        fn pair_sums(sums: &[i16; 16]) -> [i32; 4];
        fn prefetch(at: *const u8);
    }

    isa_ops! { AvxVnni, "avxvnni,avx2,fma,f16c";
        fn dot(p: Pair, w: Pair, q: __m256i) -> Pair {
            [_mm256_dpbusd_avx_epi32(p[0], w[0], q), _mm256_dpbusd_avx_epi32(p[1], w[1], q)]
        }
        fn fold_scaled(acc: Pair, p: Pair, scale: Pair) -> Pair {
            [
                _mm256_add_epi32(acc[0], _mm256_mullo_epi32(p[0], scale[0])),
                _mm256_add_epi32(acc[1], _mm256_mullo_epi32(p[1], scale[1])),
            ]
        }
        fn fold(acc: Pair, p: Pair) -> Pair { [_mm256_add_epi32(acc[0], p[0]), _mm256_add_epi32(acc[1], p[1])] }

        fn wide_dot(p: Pair, w: Pair, q: __m256i) -> Pair {
            [_mm256_dpbusd_avx_epi32(p[0], w[0], q), _mm256_dpbusd_avx_epi32(p[1], w[1], q)]
        }
        fn wide_sum(p: Pair) -> Pair { p }
    }
}
