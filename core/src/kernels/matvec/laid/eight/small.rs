//! Blocks of 32 weights of 4 or 5 bits.
//!
//! In the halves of a register are two blocks' nibbles, and digits are laid out for that: so a block costs half an
//! unpacking, half the products and half a place in the transposition of the sums.

use super::super::{Acts, Format, join, prefetch};
use super::products::Products;
use super::{STEP, finished};
use crate::array::from_fn;
use crate::part::copy;
use crate::quant::WeightFormat;
use crate::simd::avx2::{Avx2, transpose_add};
use crate::simd::ints::Ints;
use core::arch::x86_64::*;
use core::marker::PhantomData;

/// 4-bit weights less 8: `d`, `qs[16]`.
pub(in super::super) type Q4_0<I> = Small<I, 18>;
/// 4-bit weights and a minimum: `d`, `m`, `qs[16]`.
pub(in super::super) type Q4_1<I> = Small<I, 20>;
/// 5-bit weights less 16: `d`, `qh[4]`, `qs[16]`.
pub(in super::super) type Q5_0<I> = Small<I, 22>;
/// 5-bit weights and a minimum: `d`, `m`, `qh[4]`, `qs[16]`.
pub(in super::super) type Q5_1<I> = Small<I, 24>;

/// Blocks of `N` bytes: the last 16 are nibbles, and before them may be 4 with their fifth bits.
pub(in super::super) struct Small<I, const N: usize>(PhantomData<I>);

impl<I: Products, const N: usize> Format<STEP, 1> for Small<I, N> {
    const FORMAT: WeightFormat = match N {
        18 => WeightFormat::Q4_0,
        20 => WeightFormat::Q4_1,
        22 => WeightFormat::Q5_0,
        24 => WeightFormat::Q5_1,
        _ => panic!("no such block"),
    };
    type Block = [u8; N];
    type Digits = [i8; 32];
    type Sums = i16;
    type LaidSum = i32;

    fn takes(blocks: usize) -> bool {
        blocks.is_multiple_of(2)
    }

    /// Of two blocks, those of the low nibbles, then those of the high ones.
    #[inline(always)]
    fn lay_out(from: &[[i8; 32]], to: &mut [[i8; 32]]) {
        for (to, from) in to.as_chunks_mut::<2>().0.iter_mut().zip(from.as_chunks::<2>().0) {
            let to = to.as_flattened_mut().as_chunks_mut::<16>().0;
            for (to, i) in to.iter_mut().zip([0, 2, 1, 3]) {
                copy(to, &from.as_flattened().as_chunks::<16>().0[i]);
            }
        }
    }

    #[inline(always)]
    fn sum(from: &i16, _: usize) -> i32 {
        i32::from(*from)
    }

    #[inline(always)]
    unsafe fn terms<const P: usize>(
        blocks: &[[u8; N]; STEP],
        acts: &Acts<'_, Self, P, STEP, 1>,
        terms: &mut [f32; STEP],
    ) {
        // SAFETY: the caller's; eight sums are exactly 32 bytes, and loadu needs no alignment.
        unsafe {
            let isa = Avx2::assume();
            let fours = [
                Self::two::<P, 0>(blocks, acts.digits),
                Self::two::<P, 1>(blocks, acts.digits),
                Self::two::<P, 2>(blocks, acts.digits),
                Self::two::<P, 3>(blocks, acts.digits),
            ];
            let ysum = |p: usize| _mm256_loadu_si256(acts.sums[p][0].as_ptr().cast());
            let isum = join(isa, P, |p| {
                let isum = in_order(fours.map(|fours| fours[p]));
                match N {
                    18 => isa.eight_sub_shl::<3>(isum, ysum(p)),
                    22 => isa.eight_sub_shl::<4>(isum, ysum(p)),
                    _ => isum,
                }
            });
            // (d·dy)·isum, and with minimums + (m·dy)·ysum.
            let dy = isa.floats(acts.scales);
            let half = |i: usize, at: usize| u16::from_le_bytes([blocks[i][at], blocks[i][at + 1]]);
            let d = isa.halves(&from_fn(|i| half(i, 0)));
            let mut term = isa.mul(isa.mul(d, dy), isum);
            if matches!(N, 20 | 24) {
                let m = isa.halves(&from_fn(|i| half(i, 2)));
                term = isa.add(term, isa.mul(isa.mul(m, dy), join(isa, P, ysum)));
            }
            isa.store(term, terms);
        }
    }
}

impl<I: Products, const N: usize> Small<I, N> {
    /// The sums of fours of neighbours of blocks `2K` and `2K + 1`, a half each.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    #[inline(always)]
    unsafe fn two<const P: usize, const K: usize>(
        blocks: &[[u8; N]; STEP],
        digits: [&[[i8; 32]; STEP]; P],
    ) -> [__m256i; P] {
        prefetch(blocks, 2 * K);
        prefetch(blocks, 2 * K + 1);
        // SAFETY: the caller's.
        unsafe {
            let isa = Avx2::assume();
            let w = halves(&blocks[2 * K], &blocks[2 * K + 1]);
            let mut u = [isa.and(w, 15), isa.shr_and::<4>(w, 15)];
            if N >= 22 {
                let fifths = I::sixteens(fifth_bits(&blocks[2 * K]), fifth_bits(&blocks[2 * K + 1]));
                u = [isa.or(u[0], fifths[0]), isa.or(u[1], fifths[1])];
            }
            digits.map(|y| finished(I::dot_fours(u, [isa.digits(&y[2 * K]), isa.digits(&y[2 * K + 1])])))
        }
    }
}

/// Two blocks' nibbles.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn halves<const N: usize>(a: &[u8; N], b: &[u8; N]) -> __m256i {
    let nibbles = |block: &[u8; N]| {
        let bytes = block.last_chunk::<16>().unwrap_or(&[0; 16]);
        // SAFETY: the reference covers exactly 16 readable bytes; loadu needs no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    };
    _mm256_set_m128i(nibbles(b), nibbles(a))
}

/// A block's fifth bits.
#[inline(always)]
fn fifth_bits<const N: usize>(block: &[u8; N]) -> u32 {
    u32::from_le_bytes(*block.last_chunk::<20>().and_then(|rest| rest.first_chunk()).unwrap_or(&[0; 4]))
}

/// Four pairs of blocks' sums of fours, added up, in the blocks' order.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn in_order(v: [__m256i; 4]) -> __m256i {
    // The even blocks are in the low half.
    _mm256_permutevar8x32_epi32(transpose_add(&v), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}
