//! Super-blocks of eight sub-blocks with 6-bit scales and minimums.
//!
//! A step's headers are transposed, so that a register has a 32-bit word of each block's: scales and minimums of eight
//! blocks are then unpacked together, and minimums meet sums of digits that are laid out the same way. The scales go to
//! memory, from which a load repeats them as often as the products need them.

use super::super::{Acts, Format, join, prefetch};
use super::products::{Products, spread};
use super::{STEP, finished};
use crate::array::from_fn;
use crate::part::copy;
use crate::quant::WeightFormat;
use crate::simd::avx2::Avx2;
use crate::simd::ints::Ints;
use core::arch::x86_64::*;
use core::marker::PhantomData;

/// `d`, `dmin`, `scales[12]`, `qs[128]`.
pub(in super::super) type Q4K<I> = Super<I, 144>;
/// `d`, `dmin`, `scales[12]`, `qh[32]`, `qs[128]`.
pub(in super::super) type Q5K<I> = Super<I, 176>;

/// Super-blocks of `N` bytes: the last 128 are nibbles, and before them may be 32 with their fifth bits.
pub(in super::super) struct Super<I, const N: usize>(PhantomData<I>);

impl<I: Products, const N: usize> Format<STEP, 4> for Super<I, N> {
    const FORMAT: WeightFormat = match N {
        144 => WeightFormat::Q4_K,
        176 => WeightFormat::Q5_K,
        _ => panic!("no such block"),
    };
    type Block = [u8; N];
    type Digits = [i8; 256];
    type Sums = [i16; 16];
    /// Of two sub-blocks.
    type LaidSum = [i16; 2];

    fn takes(_: usize) -> bool {
        true
    }

    #[inline(always)]
    fn lay_out(from: &[[i8; 256]], to: &mut [[i8; 256]]) {
        copy(to, from);
    }

    /// Of 32 digits: at most 32 · 128 = 4,096.
    #[inline(always)]
    fn sum(from: &[i16; 16], r: usize) -> [i16; 2] {
        let sum = |i: usize| from[2 * i] + from[2 * i + 1];
        [sum(2 * r), sum(2 * r + 1)]
    }

    #[inline(always)]
    unsafe fn terms<const P: usize>(
        blocks: &[[u8; N]; STEP],
        acts: &Acts<'_, Self, P, STEP, 4>,
        terms: &mut [f32; STEP],
    ) {
        // SAFETY: the caller's, and `i` is below the number of blocks.
        unsafe {
            let isa = Avx2::assume();
            let h = Headers::<I>::of(blocks);
            // The compiler would shuffle the scales out of registers, two shuffles each, rather than load them.
            let scales = core::hint::black_box(&h.scales);
            let ints = |i: usize| Self::block::<P>(blocks, acts.digits, scales, i);
            let ints = [ints(0), ints(1), ints(2), ints(3), ints(4), ints(5), ints(6), ints(7)];
            let isum = join(isa, P, |p| isa.reduce(&ints.map(|ints| ints[p])));
            let msum = join(isa, P, |p| h.msum(acts.sums[p]));
            // (d·dy)·isum − (dmin·dy)·msum.
            let dy = isa.floats(acts.scales);
            let weights = isa.mul(isa.mul(h.d, dy), isum);
            isa.store(isa.sub(weights, isa.mul(isa.mul(h.dmin, dy), msum)), terms);
        }
    }
}

impl<I: Products, const N: usize> Super<I, N> {
    /// The partial sums of block `i`.
    ///
    /// # Safety
    /// The CPU has the instruction set, and `i` is below [`STEP`].
    #[inline(always)]
    unsafe fn block<const P: usize>(
        blocks: &[[u8; N]; STEP],
        digits: [&[[i8; 256]; STEP]; P],
        scales: &I::Scales,
        i: usize,
    ) -> [__m256i; P] {
        prefetch(blocks, i);
        // SAFETY: the caller's.
        unsafe {
            let y: [&[[i8; 32]; 8]; P] = from_fn(|p| &*digits[p].as_ptr().add(i).cast());
            let mut sum = [_mm256_setzero_si256(); P];
            Self::two::<0, P>(&mut sum, &blocks[i], y, scales, i);
            Self::two::<1, P>(&mut sum, &blocks[i], y, scales, i);
            Self::two::<2, P>(&mut sum, &blocks[i], y, scales, i);
            Self::two::<3, P>(&mut sum, &blocks[i], y, scales, i);
            sum.map(|sum| finished(sum))
        }
    }

    /// Adds the products of sub-blocks `2J` and `2J + 1` of block `i`.
    ///
    /// # Safety
    /// The CPU has the instruction set, and `i` is below [`STEP`].
    #[inline(always)]
    unsafe fn two<const J: usize, const P: usize>(
        sum: &mut [__m256i; P],
        block: &[u8; N],
        y: [&[[i8; 32]; 8]; P],
        scales: &I::Scales,
        i: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let isa = Avx2::assume();
            let part = |at: usize| block.get(at..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; 32]);
            let w = isa.bytes(part(N - 128 + 32 * J));
            let s = I::two::<J>(scales, i);
            if N == 144 {
                let u = I::nibbles(w);
                for p in 0..P {
                    sum[p] = I::dot_nibbles(
                        sum[p],
                        u,
                        [isa.digits(&y[p][2 * J]), isa.digits(&y[p][2 * J + 1])],
                        s,
                    );
                }
            } else {
                let h = isa.bytes(part(16));
                let (a, b) = match J {
                    0 => (isa.shl_and::<4>(h, 16), isa.shl_and::<3>(h, 16)),
                    1 => (isa.shl_and::<2>(h, 16), isa.shl_and::<1>(h, 16)),
                    2 => (isa.and(h, 16), isa.shr_and::<1>(h, 16)),
                    _ => (isa.shr_and::<2>(h, 16), isa.shr_and::<3>(h, 16)),
                };
                let u = [isa.or(isa.and(w, 15), a), isa.or(isa.shr_and::<4>(w, 15), b)];
                for p in 0..P {
                    sum[p] = I::dot(sum[p], u, [isa.digits(&y[p][2 * J]), isa.digits(&y[p][2 * J + 1])], s);
                }
            }
        }
    }
}

/// Eight headers.
struct Headers<I: Products> {
    d: __m256,
    dmin: __m256,
    scales: I::Scales,
    /// Pairs of minimums.
    mins: [__m256i; 4],
}

impl<I: Products> Headers<I> {
    /// # Safety
    /// The CPU has the instruction set.
    #[inline(always)]
    unsafe fn of<const N: usize>(blocks: &[[u8; N]; STEP]) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let [halves, a, b, c] = words(blocks);
            let (six, four, two) = (_mm256_set1_epi8(0x3f), _mm256_set1_epi8(0x0f), _mm256_set1_epi8(0x30));
            // See `unpack_scales8`.
            let high = |low: __m256i, upper: __m256i| {
                _mm256_or_si256(
                    _mm256_and_si256(low, four),
                    _mm256_and_si256(_mm256_srli_epi32::<2>(upper), two),
                )
            };
            let scales = I::scales(_mm256_and_si256(a, six), high(c, a));
            let mins = [_mm256_and_si256(b, six), high(_mm256_srli_epi32::<4>(c), b)];
            // The blocks' d, then their dmin.
            let apart = _mm256_setr_epi8(
                0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7,
                10, 11, 14, 15,
            );
            let halves = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_shuffle_epi8(halves, apart));
            Self {
                d: _mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
                dmin: _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(halves)),
                scales,
                mins: [
                    spread::<0, 1>(mins[0]),
                    spread::<2, 3>(mins[0]),
                    spread::<0, 1>(mins[1]),
                    spread::<2, 3>(mins[1]),
                ],
            }
        }
    }

    /// `Σ minimum · sum` of every block.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    #[inline(always)]
    unsafe fn msum(&self, sums: [&[[i16; 2]; STEP]; 4]) -> __m256i {
        // SAFETY: the caller's; each reference covers exactly 32 bytes, and loadu needs no alignment.
        unsafe {
            let mut msum = _mm256_setzero_si256();
            for r in 0..4 {
                msum = I::dot_pairs(msum, self.mins[r], _mm256_loadu_si256(sums[r].as_ptr().cast()));
            }
            msum
        }
    }
}

/// Words 0 to 3 of every block.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn words<const N: usize>(blocks: &[[u8; N]; STEP]) -> [__m256i; 4] {
    let header = |i: usize| {
        let bytes = blocks[i].first_chunk::<16>().unwrap_or(&[0; 16]);
        // SAFETY: the reference covers exactly 16 readable bytes; loadu needs no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    };
    let two = |i: usize| _mm256_set_m128i(header(i + 4), header(i));
    let low = [_mm256_unpacklo_epi32(two(0), two(1)), _mm256_unpacklo_epi32(two(2), two(3))];
    let high = [_mm256_unpackhi_epi32(two(0), two(1)), _mm256_unpackhi_epi32(two(2), two(3))];
    [
        _mm256_unpacklo_epi64(low[0], low[1]),
        _mm256_unpackhi_epi64(low[0], low[1]),
        _mm256_unpacklo_epi64(high[0], high[1]),
        _mm256_unpackhi_epi64(high[0], high[1]),
    ]
}
