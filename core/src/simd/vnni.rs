//! Blocks of small integers where one instruction adds up products of bytes, in registers of 32 bytes: two of a core's
//! multipliers take those as fast as one takes 64, and a row's blocks don't have to be paired.
//!
//! AVX-512 and AVX-VNNI have the same instructions in different encodings, so both are instances of one text.

use super::avx2::Shuffle;

/// Operands of the shuffles that pick two scales at once: each repeats 16-bit numbers `2j` and `2j + 1` of each half four
/// times each.
pub(super) static PICKS: [Shuffle; 4] = {
    let mut picks = [const { Shuffle([0; 32]) }; 4];
    let mut j = 0;
    while j < 4 {
        let mut i = 0;
        while i < 32 {
            picks[j].0[i] = (2 * (2 * j + i / 8 % 2) + i % 2) as u8;
            i += 1;
        }
        j += 1;
    }
    picks
};

/// What AVX2 has already.
macro_rules! as_avx2 {
    ($(fn $name:ident($($arg:ident: $t:ty),*) -> $r:ty;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $t),*) -> $r {
            Ints::$name(self.avx2(), $($arg),*)
        })*
    };
}
pub(super) use as_avx2;

/// Operations on blocks of an instruction set with these features, whose products are added up by these intrinsics.
macro_rules! vnni_ints {
    ($isa:ty, $features:literal, $dpbusd:ident, $dpwssd:ident, |$bits:ident| $sixteens:block) => {
        /// `acc` and both products of `u` in 0..=63 with digits `y`, by the scales that `pick` shuffles out of `s`.
        #[target_feature(enable = $features)]
        #[inline]
        fn dot_shuffled(
            acc: __m256i,
            u: [__m256i; 2],
            y: [__m256i; 2],
            s: __m256i,
            pick: &Shuffle,
        ) -> __m256i {
            let none = _mm256_setzero_si256();
            let [a, b] = [$dpbusd(none, u[0], y[0]), $dpbusd(none, u[1], y[1])];
            // SAFETY: the reference covers 32 bytes, aligned to as many.
            let pick = unsafe { _mm256_load_si256(pick.0.as_ptr().cast()) };
            // A sum of four is at most 4 · 63 · 128 = 32,256, and fits 16 bits.
            $dpwssd(acc, _mm256_packs_epi32(a, b), _mm256_shuffle_epi8(s, pick))
        }

        impl Ints for $isa {
            type Bytes = __m256i;
            type Sums = __m256i;
            type Scales16 = <Avx2 as Ints>::Scales16;
            type Eight = __m256i;
            type Floats = __m256;
            type Picks = &'static [Shuffle; 4];

            const UNROLL: bool = true;

            as_avx2! {
                fn bytes(p: &[u8; 32]) -> __m256i;
                fn digits(p: &[i8; 32]) -> __m256i;
                fn nibbles(p: &[u8; 16]) -> __m256i;
                fn and(a: __m256i, mask: u8) -> __m256i;
                fn or(a: __m256i, b: __m256i) -> __m256i;
                fn sums(x: i32) -> __m256i;
                fn scales16(s: &[i8; 16]) -> __m256i;
                fn dot_sums(s: __m256i, sums: &[i16; 16]) -> __m256i;
                fn reduce(sums: &[__m256i; STEP]) -> __m256i;
                fn eight(x: &[i16; STEP]) -> __m256i;
                fn to_f32(x: __m256i) -> __m256;
                fn halves(h: &[u16; STEP]) -> __m256;
                fn floats(x: &[f32; STEP]) -> __m256;
                fn splat(x: f32) -> __m256;
                fn add(a: __m256, b: __m256) -> __m256;
                fn sub(a: __m256, b: __m256) -> __m256;
                fn mul(a: __m256, b: __m256) -> __m256;
                fn store(x: __m256, to: &mut [f32; STEP]) -> ();
                fn add_in_order(sums: __m256, rows: [&[f32; STEP]; STEP]) -> __m256;
                fn prefetch(p: *const u8, near: usize, far: usize) -> ();
            }

            isa_ops! { $isa, $features;
                fn sixteens($bits: u32) -> __m256i $sixteens
                fn dot(acc: __m256i, u: __m256i, y: __m256i) -> __m256i {
                    $dpbusd(acc, u, y)
                }
                fn dot_signed(acc: __m256i, w: __m256i, y: __m256i) -> __m256i {
                    // The weights taken 128 too large, and that taken back.
                    let top = _mm256_set1_epi8(-128);
                    let sum = $dpbusd(acc, _mm256_xor_si256(w, top), y);
                    _mm256_sub_epi32(sum, $dpbusd(_mm256_setzero_si256(), top, y))
                }
                fn dot_signed_top(acc: __m256i, w: __m256i, y: __m256i) -> __m256i {
                    // |w| ≤ 128 unsigned, and ±y stays in 8 bits.
                    $dpbusd(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(y, w))
                }
            }

            #[inline(always)]
            fn shr_and<const N: i32>(self, a: __m256i, mask: u8) -> __m256i {
                self.avx2().shr_and::<N>(a, mask)
            }

            #[inline(always)]
            fn shl_and<const N: i32>(self, a: __m256i, mask: u8) -> __m256i {
                self.avx2().shl_and::<N>(a, mask)
            }

            #[inline(always)]
            fn picks(self) -> &'static [Shuffle; 4] {
                // The compiler would make two shuffles of one whose operand it knows.
                core::hint::black_box(&PICKS)
            }

            #[inline(always)]
            fn dot_grouped<const J: usize>(
                self,
                acc: __m256i,
                u: [__m256i; 2],
                y: [__m256i; 2],
                s: __m256i,
                picks: &'static [Shuffle; 4],
            ) -> __m256i {
                // SAFETY: a value of this type exists only where the feature is available.
                unsafe { dot_shuffled(acc, u, y, s, &picks[J / 2]) }
            }

            #[inline(always)]
            fn sub_shl<const N: i32>(self, a: __m256i, b: __m256i) -> __m256i {
                self.avx2().sub_shl::<N>(a, b)
            }

            #[inline(always)]
            fn eight_sub_shl<const N: i32>(self, a: __m256i, b: __m256i) -> __m256i {
                self.avx2().eight_sub_shl::<N>(a, b)
            }
        }
    };
}
pub(super) use vnni_ints;
