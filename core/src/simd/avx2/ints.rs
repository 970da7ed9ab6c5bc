//! 32 bytes in a register, eight blocks' floats in another.

use super::Avx2;
use crate::simd::ints::{Ints, STEP};
use crate::simd::isa_ops;
use core::arch::x86_64::*;

/// The operand of a byte shuffle, as wide as a register.
#[repr(align(32))]
pub(crate) struct Shuffle(pub(crate) [u8; 32]);

/// Operands of the shuffles that pick scales: each repeats 16-bit number `j` of each half eight times.
static PICKS: [Shuffle; 8] = {
    let mut picks = [const { Shuffle([0; 32]) }; 8];
    let mut j = 0;
    while j < 8 {
        let mut i = 0;
        while i < 32 {
            picks[j].0[i] = (2 * j + i % 2) as u8;
            i += 1;
        }
        j += 1;
    }
    picks
};

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load256<T: bytemuck::Pod>(p: &[T; 32]) -> __m256i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: the reference covers exactly 32 readable bytes; loadu needs no alignment.
    unsafe { _mm256_loadu_si256(p.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load128<T: bytemuck::Pod>(p: &[T; 16]) -> __m128i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: the reference covers exactly 16 readable bytes; loadu needs no alignment.
    unsafe { _mm_loadu_si128(p.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_sums(p: &[i16; 16]) -> __m256i {
    // SAFETY: the reference covers exactly 32 readable bytes; loadu needs no alignment.
    unsafe { _mm256_loadu_si256(p.as_ptr().cast()) }
}

/// Four vectors' sums of four neighbours: in each half, place `i` is vector `i`'s.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(crate) fn transpose_add(v: &[__m256i]) -> __m256i {
    let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(v[0], v[1]), _mm256_unpackhi_epi32(v[0], v[1]));
    let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(v[2], v[3]), _mm256_unpackhi_epi32(v[2], v[3]));
    _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
}

/// `acc` and the products of `u` in 0..=63 and digits `y`, by the scales that `pick` shuffles out of `s`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_shuffled(acc: __m256i, u: __m256i, y: __m256i, s: __m256i, pick: &Shuffle) -> __m256i {
    let scales = _mm256_shuffle_epi8(s, load256(&pick.0));
    // VPMADDUBSW: at most 2 · 63 · 128 = 16,128.
    _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, y), scales))
}

impl Ints for Avx2 {
    type Bytes = __m256i;
    type Sums = __m256i;
    // The even ones in the low half, the odd ones in the high one, 16 bits each.
    type Scales16 = __m256i;
    type Eight = __m256i;
    type Floats = __m256;
    type Picks = &'static [Shuffle; 8];

    const UNROLL: bool = true;

    isa_ops! { Avx2, "avx2,fma,f16c";
        fn bytes(p: &[u8; 32]) -> __m256i {
            load256(p)
        }
        fn digits(p: &[i8; 32]) -> __m256i {
            load256(p)
        }
        fn nibbles(p: &[u8; 16]) -> __m256i {
            let x = load128(p);
            _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16::<4>(x), x), _mm256_set1_epi8(15))
        }
        fn sixteens(bits: u32) -> __m256i {
            // Byte i/8 of the word into place i, then the bit i%8 of it: set where it survives.
            let spread = _mm256_shuffle_epi8(
                _mm256_set1_epi32(bits.cast_signed()),
                _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303),
            );
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
            _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit), _mm256_set1_epi8(16))
        }
        fn and(a: __m256i, mask: u8) -> __m256i {
            _mm256_and_si256(a, _mm256_set1_epi8(mask.cast_signed()))
        }
        fn or(a: __m256i, b: __m256i) -> __m256i {
            _mm256_or_si256(a, b)
        }
        fn sums(x: i32) -> __m256i {
            _mm256_zextsi128_si256(_mm_cvtsi32_si128(x))
        }
        fn dot(acc: __m256i, u: __m256i, y: __m256i) -> __m256i {
            // VPMADDUBSW: at most 2 · 63 · 128 = 16,128.
            let pairs = _mm256_maddubs_epi16(u, y);
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
        fn dot_signed(acc: __m256i, w: __m256i, y: __m256i) -> __m256i {
            // -128 has no negative in 8 bits, so both go to 16.
            let low = |v| _mm256_cvtepi8_epi16(_mm256_castsi256_si128(v));
            let high = |v| _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(v));
            let products = _mm256_add_epi32(_mm256_madd_epi16(low(w), low(y)), _mm256_madd_epi16(high(w), high(y)));
            _mm256_add_epi32(acc, products)
        }
        fn dot_signed_top(acc: __m256i, w: __m256i, y: __m256i) -> __m256i {
            // |w| ≤ 128 unsigned, and ±y stays in 8 bits: at most 2 · 128 · 127 = 32,512.
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(y, w));
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
        fn scales16(s: &[i8; 16]) -> __m256i {
            let even_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
            _mm256_cvtepi8_epi16(_mm_shuffle_epi8(load128(s), even_odd))
        }
        fn dot_sums(s: __m256i, sums: &[i16; 16]) -> __m256i {
            // The same order of the sums: even ones, odd ones.
            let even_odd = _mm256_broadcastsi128_si256(
                _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
            let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_shuffle_epi8(load_sums(sums), even_odd));
            _mm256_madd_epi16(s, sums)
        }
        fn reduce(sums: &[__m256i; STEP]) -> __m256i {
            let (a, b) = (transpose_add(&sums[..4]), transpose_add(&sums[4..]));
            let low = _mm256_permute2x128_si256::<0x20>(a, b);
            let high = _mm256_permute2x128_si256::<0x31>(a, b);
            _mm256_add_epi32(low, high)
        }
        fn eight(x: &[i16; STEP]) -> __m256i {
            // SAFETY: the reference covers exactly 16 readable bytes; loadu needs no alignment.
            _mm256_cvtepi16_epi32(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
        }
        fn to_f32(x: __m256i) -> __m256 {
            _mm256_cvtepi32_ps(x)
        }
        fn halves(h: &[u16; STEP]) -> __m256 {
            // SAFETY: the reference covers exactly 16 readable bytes; loadu needs no alignment.
            _mm256_cvtph_ps(unsafe { _mm_loadu_si128(h.as_ptr().cast()) })
        }
        fn floats(x: &[f32; STEP]) -> __m256 {
            // SAFETY: the reference covers exactly 8 floats; loadu needs no alignment.
            unsafe { _mm256_loadu_ps(x.as_ptr()) }
        }
        fn splat(x: f32) -> __m256 {
            _mm256_set1_ps(x)
        }
        fn add(a: __m256, b: __m256) -> __m256 {
            _mm256_add_ps(a, b)
        }
        fn sub(a: __m256, b: __m256) -> __m256 {
            _mm256_sub_ps(a, b)
        }
        fn mul(a: __m256, b: __m256) -> __m256 {
            _mm256_mul_ps(a, b)
        }
        fn store(x: __m256, to: &mut [f32; STEP]) {
            // SAFETY: the reference covers exactly 8 floats; storeu needs no alignment.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
        }
        fn add_in_order(sums: __m256, rows: [&[f32; STEP]; STEP]) -> __m256 {
            // SAFETY: the reference covers exactly 8 floats; loadu needs no alignment.
            let row = |r: usize| unsafe { _mm256_loadu_ps(rows[r].as_ptr()) };
            // Columns of four rows, `c` in the low half and `c + 4` in the high one.
            let columns = |r: usize| {
                let (a, b) = (_mm256_unpacklo_ps(row(r), row(r + 1)), _mm256_unpackhi_ps(row(r), row(r + 1)));
                let (c, d) = (_mm256_unpacklo_ps(row(r + 2), row(r + 3)), _mm256_unpackhi_ps(row(r + 2), row(r + 3)));
                [
                    _mm256_shuffle_ps::<0x44>(a, c),
                    _mm256_shuffle_ps::<0xee>(a, c),
                    _mm256_shuffle_ps::<0x44>(b, d),
                    _mm256_shuffle_ps::<0xee>(b, d),
                ]
            };
            let (first, second) = (columns(0), columns(4));
            let mut sums = sums;
            for c in 0..4 {
                sums = _mm256_add_ps(sums, _mm256_permute2f128_ps::<0x20>(first[c], second[c]));
            }
            for c in 0..4 {
                sums = _mm256_add_ps(sums, _mm256_permute2f128_ps::<0x31>(first[c], second[c]));
            }
            sums
        }
        fn prefetch(p: *const u8, near: usize, far: usize) {
            _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(near).cast());
            _mm_prefetch::<_MM_HINT_T2>(p.wrapping_add(far).cast());
        }
    }

    #[inline(always)]
    fn shr_and<const N: i32>(self, a: __m256i, mask: u8) -> __m256i {
        #[target_feature(enable = "avx2,fma,f16c")]
        #[inline]
        fn op<const N: i32>(a: __m256i, mask: u8) -> __m256i {
            _mm256_and_si256(_mm256_srli_epi16::<N>(a), _mm256_set1_epi8(mask.cast_signed()))
        }
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { op::<N>(a, mask) }
    }

    #[inline(always)]
    fn shl_and<const N: i32>(self, a: __m256i, mask: u8) -> __m256i {
        #[target_feature(enable = "avx2,fma,f16c")]
        #[inline]
        fn op<const N: i32>(a: __m256i, mask: u8) -> __m256i {
            _mm256_and_si256(_mm256_slli_epi16::<N>(a), _mm256_set1_epi8(mask.cast_signed()))
        }
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { op::<N>(a, mask) }
    }

    #[inline(always)]
    fn picks(self) -> &'static [Shuffle; 8] {
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
        picks: &'static [Shuffle; 8],
    ) -> __m256i {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe {
            let acc = dot_shuffled(acc, u[0], y[0], s, &picks[J]);
            dot_shuffled(acc, u[1], y[1], s, &picks[J + 1])
        }
    }

    #[inline(always)]
    fn sub_shl<const N: i32>(self, a: __m256i, b: __m256i) -> __m256i {
        #[target_feature(enable = "avx2,fma,f16c")]
        #[inline]
        fn op<const N: i32>(a: __m256i, b: __m256i) -> __m256i {
            _mm256_sub_epi32(a, _mm256_slli_epi32::<N>(b))
        }
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { op::<N>(a, b) }
    }

    #[inline(always)]
    fn eight_sub_shl<const N: i32>(self, a: __m256i, b: __m256i) -> __m256i {
        self.sub_shl::<N>(a, b)
    }
}
