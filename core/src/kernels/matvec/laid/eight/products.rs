//! Products of bytes, added up: of small blocks, and of two sub-blocks of 32 weights by two scales.

use super::STEP;
use crate::simd::avx2::Avx2;
use crate::simd::avx512::Avx512;
use crate::simd::avxvnni::AvxVnni;
use core::arch::x86_64::*;

/// A 32-bit number of each block, aligned as its register is.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(in super::super) struct EachBlock(pub(super) [i32; STEP]);

/// What products ask of an instruction set.
///
/// # Safety
/// Of every function: the CPU has it.
pub(in super::super) trait Products {
    /// Eight scales of eight blocks.
    type Scales;
    /// Two scales of one block.
    type Two: Copy;

    /// `low` has a block's first four scales in each 32 bits, `high` the others.
    unsafe fn scales(low: __m256i, high: __m256i) -> Self::Scales;
    /// Scales `2J` and `2J + 1` of block `i`, which is below [`STEP`].
    unsafe fn two<const J: usize>(scales: &Self::Scales, i: usize) -> Self::Two;
    /// The low nibbles, and the high ones as [`dot_nibbles`](Self::dot_nibbles) wants them.
    unsafe fn nibbles(w: __m256i) -> [__m256i; 2];
    /// As `dot`, of what [`nibbles`](Self::nibbles) gave.
    unsafe fn dot_nibbles(acc: __m256i, u: [__m256i; 2], y: [__m256i; 2], s: Self::Two) -> __m256i;
    /// `acc + s[0]·Σ u[0]·y[0] + s[1]·Σ u[1]·y[1]`, `u` in 0..=31, scales in 0..=63.
    unsafe fn dot(acc: __m256i, u: [__m256i; 2], y: [__m256i; 2], s: Self::Two) -> __m256i;
    /// `acc + Σ a·b` of pairs of 16-bit numbers.
    unsafe fn dot_pairs(acc: __m256i, a: __m256i, b: __m256i) -> __m256i;
    /// 16 where a bit is set: of the lower halves of `a` and `b`, and of the upper ones.
    unsafe fn sixteens(a: u32, b: u32) -> [__m256i; 2];
    /// `Σ u[0]·y[0] + Σ u[1]·y[1]` of fours of neighbours, `u` in 0..=31.
    unsafe fn dot_fours(u: [__m256i; 2], y: [__m256i; 2]) -> __m256i;
}

/// Shuffles 32 bits: bytes `I` and `J` as 16-bit numbers.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn spread<const I: i32, const J: i32>(x: __m256i) -> __m256i {
    let high = 0x80_80_80_80_u32.cast_signed();
    let places = |base: i32| (high & !0x00ff_00ff) | (base + I) | ((base + J) << 16);
    let (a, b, c, d) = (places(0), places(4), places(8), places(12));
    _mm256_shuffle_epi8(x, _mm256_setr_epi32(a, b, c, d, a, b, c, d))
}

/// As [`Products::sixteens`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sixteens(a: u32, b: u32) -> [__m256i; 2] {
    let four = |bits: u32| _mm256_set1_epi32(bits.cast_signed());
    let bits = _mm256_blend_epi32::<0xf0>(four(a), four(b));
    // Byte i/8 of the word into place i, then the bit i%8 of it: set where it survives.
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let half = |places| {
        let spread = _mm256_and_si256(_mm256_shuffle_epi8(bits, places), bit);
        _mm256_and_si256(_mm256_cmpeq_epi8(spread, bit), _mm256_set1_epi8(16))
    };
    let (zero, one, two, three) = (0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
    [half(_mm256_setr_epi64x(zero, one, zero, one)), half(_mm256_setr_epi64x(two, three, two, three))]
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn store(x: __m256i) -> EachBlock {
    let mut to = EachBlock([0; STEP]);
    // SAFETY: the place has 32 bytes and their alignment.
    unsafe { _mm256_store_si256(to.0.as_mut_ptr().cast(), x) };
    to
}

/// # Safety
/// `i` is below [`STEP`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn repeat(x: &EachBlock, i: usize) -> __m256i {
    // SAFETY: the caller's.
    _mm256_set1_epi32(unsafe { *x.0.get_unchecked(i) })
}

impl Products for Avx2 {
    /// Each twice in 16 bits.
    type Scales = [EachBlock; 8];
    type Two = [__m256i; 2];

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn scales(low: __m256i, high: __m256i) -> [EachBlock; 8] {
        [
            store(spread::<0, 0>(low)),
            store(spread::<1, 1>(low)),
            store(spread::<2, 2>(low)),
            store(spread::<3, 3>(low)),
            store(spread::<0, 0>(high)),
            store(spread::<1, 1>(high)),
            store(spread::<2, 2>(high)),
            store(spread::<3, 3>(high)),
        ]
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn two<const J: usize>(scales: &[EachBlock; 8], i: usize) -> [__m256i; 2] {
        // SAFETY: the caller's.
        unsafe { [repeat(&scales[2 * J], i), repeat(&scales[2 * J + 1], i)] }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn nibbles(w: __m256i) -> [__m256i; 2] {
        let four = _mm256_set1_epi8(15);
        [_mm256_and_si256(w, four), _mm256_and_si256(_mm256_srli_epi16::<4>(w), four)]
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn dot_nibbles(acc: __m256i, u: [__m256i; 2], y: [__m256i; 2], s: [__m256i; 2]) -> __m256i {
        // SAFETY: this function has the features.
        unsafe { Self::dot(acc, u, y, s) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn dot(acc: __m256i, u: [__m256i; 2], y: [__m256i; 2], s: [__m256i; 2]) -> __m256i {
        // VPMADDUBSW: at most 2 · 31 · 128 = 7,936.
        let acc = _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u[0], y[0]), s[0]));
        _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u[1], y[1]), s[1]))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn dot_pairs(acc: __m256i, a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(acc, _mm256_madd_epi16(a, b))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn sixteens(a: u32, b: u32) -> [__m256i; 2] {
        sixteens(a, b)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn dot_fours(u: [__m256i; 2], y: [__m256i; 2]) -> __m256i {
        // VPMADDUBSW, two of them: at most 2 · 2 · 31 · 128 = 15,872.
        let pairs = _mm256_add_epi16(_mm256_maddubs_epi16(u[0], y[0]), _mm256_maddubs_epi16(u[1], y[1]));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }
}

/// An instruction set with these features, whose products are added up by these intrinsics.
macro_rules! vnni {
    ($isa:ty, $features:literal, $dpbusd:ident, $dpwssd:ident, |$a:ident, $b:ident| $sixteens:block) => {
        impl Products for $isa {
            /// Pairs.
            type Scales = [EachBlock; 4];
            type Two = __m256i;

            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn scales(low: __m256i, high: __m256i) -> [EachBlock; 4] {
                [
                    store(spread::<0, 1>(low)),
                    store(spread::<2, 3>(low)),
                    store(spread::<0, 1>(high)),
                    store(spread::<2, 3>(high)),
                ]
            }

            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn two<const J: usize>(scales: &[EachBlock; 4], i: usize) -> __m256i {
                // SAFETY: the caller's.
                unsafe { repeat(&scales[J], i) }
            }

            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn nibbles(w: __m256i) -> [__m256i; 2] {
                let (low, high) = (_mm256_set1_epi8(0x0f), _mm256_set1_epi8(0xf0_u8.cast_signed()));
                [_mm256_and_si256(w, low), _mm256_and_si256(w, high)]
            }

            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn dot_nibbles(acc: __m256i, u: [__m256i; 2], y: [__m256i; 2], s: __m256i) -> __m256i {
                let zero = _mm256_setzero_si256();
                // The high nibbles stay where they are, which makes their sums 16 times too large: of four at most
                // 16 · 4 · 15 · 128. A shift by 12 more has them in the words' high halves.
                let (l, h) = ($dpbusd(zero, u[0], y[0]), $dpbusd(zero, u[1], y[1]));
                $dpwssd(acc, _mm256_blend_epi16::<0xaa>(l, _mm256_slli_epi32::<12>(h)), s)
            }

            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn dot(acc: __m256i, u: [__m256i; 2], y: [__m256i; 2], s: __m256i) -> __m256i {
                let zero = _mm256_setzero_si256();
                // A sum of four is at most 4 · 31 · 128 = 15,872, and fits 16 bits.
                let (l, h) = ($dpbusd(zero, u[0], y[0]), $dpbusd(zero, u[1], y[1]));
                $dpwssd(acc, _mm256_blend_epi16::<0xaa>(l, _mm256_slli_epi32::<16>(h)), s)
            }

            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn dot_pairs(acc: __m256i, a: __m256i, b: __m256i) -> __m256i {
                $dpwssd(acc, a, b)
            }

            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn sixteens($a: u32, $b: u32) -> [__m256i; 2] $sixteens

            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn dot_fours(u: [__m256i; 2], y: [__m256i; 2]) -> __m256i {
                $dpbusd($dpbusd(_mm256_setzero_si256(), u[0], y[0]), u[1], y[1])
            }
        }
    };
}

vnni!(AvxVnni, "avxvnni,avx2,fma,f16c", _mm256_dpbusd_avx_epi32, _mm256_dpwssd_avx_epi32, |a, b| {
    sixteens(a, b)
});
vnni!(
    Avx512,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c",
    _mm256_dpbusd_epi32,
    _mm256_dpwssd_epi32,
    |a, b| { [a & 0xffff | b << 16, a >> 16 | b & 0xffff_0000].map(|bits| _mm256_maskz_set1_epi8(bits, 16)) }
);
