//! Blocks of 32 weights under one scale and nothing else, sixteen a step in AVX-512's registers of 64 bytes.
//!
//! Sixteen blocks' partial sums are added up by one transposition, and their floats fill one register, so that a block
//! costs half the instructions of eight at a time. Of super-blocks, sixteen at a time read the second-level cache half as
//! fast again as eight, and memory a tenth slower, which is where weights are.

use super::{Acts, Format, prefetch};
use crate::part::copy;
use crate::quant::WeightFormat;
use bytemuck::Pod;
use core::arch::x86_64::*;

/// Blocks in a step.
pub(super) const STEP: usize = 16;

type Digits = [i8; 32];

/// Where the nibbles of four blocks of 9 words are, in 64 bytes and in the 64 bytes that begin 4 words later.
const NIBBLES: [i16; 32] = {
    let mut words = [0; 32];
    let mut i = 0;
    while i < 32 {
        let word = 9 * (i / 8) + 1 + i % 8;
        words[i] = if word < 32 { word as i16 } else { (32 + word - 4) as i16 };
        i += 1;
    }
    words
};

/// 4-bit weights less 8: `d`, `qs[16]`.
pub(super) struct Q4_0;

impl Q4_0 {
    /// The partial sums of blocks `4K` to `4K + 3`, a quarter each.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    fn four<const P: usize, const K: usize>(
        blocks: &[[u8; 18]; STEP],
        acts: &Acts<'_, Self, P, STEP, 1>,
    ) -> [__m512i; P] {
        let zero = _mm512_setzero_si512();
        let four = _mm512_set1_epi8(0x0f);
        for i in 0..4 {
            prefetch(blocks, 4 * K + i);
        }
        // Four blocks of 9 words: without the first of each.
        let (b, ahead) = (load64(blocks, 72 * K), load64(blocks, 72 * K + 8));
        let b = _mm512_permutex2var_epi16(b, load64(&NIBBLES, 0), ahead);
        let low = _mm512_and_si512(b, four);
        let high = _mm512_and_si512(_mm512_srli_epi16::<4>(b), four);
        let mut sums = [zero; P];
        for p in 0..P {
            let y = acts.digits[p];
            let sum = _mm512_dpbusd_epi32(zero, low, load64(y, 128 * K));
            sums[p] = finished(_mm512_dpbusd_epi32(sum, high, load64(y, 128 * K + 64)));
        }
        sums
    }
}

impl Format<STEP, 1> for Q4_0 {
    const FORMAT: WeightFormat = WeightFormat::Q4_0;
    type Block = [u8; 18];
    type Digits = Digits;
    type Sums = i16;
    type LaidSum = i32;

    fn takes(blocks: usize) -> bool {
        blocks.is_multiple_of(4)
    }

    /// Of four blocks, those of the low nibbles, then those of the high ones.
    #[inline(always)]
    fn lay_out(from: &[Digits], to: &mut [Digits]) {
        let (from, to) = (from.as_chunks::<4>().0, to.as_chunks_mut::<4>().0);
        for (to, from) in to.iter_mut().zip(from) {
            let to = to.as_flattened_mut().as_chunks_mut::<16>().0;
            for (i, block) in from.iter().enumerate() {
                let (low, high) = block.split_at(16);
                to[i].copy_from_slice(low);
                to[4 + i].copy_from_slice(high);
            }
        }
    }

    #[inline(always)]
    fn sum(from: &i16, _: usize) -> i32 {
        i32::from(*from)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    unsafe fn terms<const P: usize>(
        blocks: &[[u8; 18]; STEP],
        acts: &Acts<'_, Self, P, STEP, 1>,
        terms: &mut [f32; STEP],
    ) {
        let [a, b, c, d] = [
            Self::four::<P, 0>(blocks, acts),
            Self::four::<P, 1>(blocks, acts),
            Self::four::<P, 2>(blocks, acts),
            Self::four::<P, 3>(blocks, acts),
        ];
        // Quarter `r` of vector `k` was block `4k + r`, and is place `k` of quarter `r` now.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let mut isum = [_mm512_setzero_si512(); P];
        for p in 0..P {
            isum[p] = _mm512_permutexvar_epi32(order, add_neighbours(&[a[p], b[p], c[p], d[p]]));
        }
        store(terms, with_excess::<3, P>(scales18(blocks), &isum, &acts.sums, acts.scales));
    }
}

/// 8-bit weights: `d`, `qs[32]`.
pub(super) struct Q8_0;

impl Q8_0 {
    /// The partial sums of blocks `8E` to `8E + 7`: in the first two quarters the even ones', in the others the odd ones'.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    fn eight<const P: usize, const E: usize>(
        blocks: &[[u8; 34]; STEP],
        acts: &Acts<'_, Self, P, STEP, 1>,
    ) -> [__m512i; P] {
        let zero = _mm512_setzero_si512();
        // The multiplier takes the weights unsigned: 128 too large.
        let top = _mm512_set1_epi8(-128);
        let mut v = [[zero; 4]; P];
        for k in 0..4 {
            let i = 8 * E + 2 * k;
            prefetch(blocks, i);
            prefetch(blocks, i + 1);
            let b = _mm512_castsi256_si512(load32(&blocks[i], 2));
            let b = _mm512_xor_si512(_mm512_inserti64x4::<1>(b, load32(&blocks[i + 1], 2)), top);
            for p in 0..P {
                v[p][k] = finished(_mm512_dpbusd_epi32(zero, b, load64(acts.digits[p], 32 * i)));
            }
        }
        let mut sums = [zero; P];
        for p in 0..P {
            sums[p] = add_neighbours(&v[p]);
        }
        sums
    }
}

impl Format<STEP, 1> for Q8_0 {
    const FORMAT: WeightFormat = WeightFormat::Q8_0;
    type Block = [u8; 34];
    type Digits = Digits;
    type Sums = i16;
    type LaidSum = i32;

    fn takes(_: usize) -> bool {
        true
    }

    #[inline(always)]
    fn lay_out(from: &[Digits], to: &mut [Digits]) {
        copy(to, from);
    }

    #[inline(always)]
    fn sum(from: &i16, _: usize) -> i32 {
        i32::from(*from)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    unsafe fn terms<const P: usize>(
        blocks: &[[u8; 34]; STEP],
        acts: &Acts<'_, Self, P, STEP, 1>,
        terms: &mut [f32; STEP],
    ) {
        let eights = [Self::eight::<P, 0>(blocks, acts), Self::eight::<P, 1>(blocks, acts)];
        // A block's sums are two quarters, the even blocks' the first two.
        let order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
        let mut isum = [_mm512_setzero_si512(); P];
        for p in 0..P {
            let (a, b) = (eights[0][p], eights[1][p]);
            let sum =
                _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
            isum[p] = _mm512_permutexvar_epi32(order, sum);
        }
        store(terms, with_excess::<7, P>(scales34(blocks), &isum, &acts.sums, acts.scales));
    }
}

/// Words of 128 bytes, `apart` from each other from word 0 on, in the `N` places from `at` on.
const fn every<const N: usize>(apart: usize, at: usize) -> [i16; 32] {
    let mut words = [0; 32];
    let mut i = 0;
    while i < N {
        words[at + i] = (apart * i) as i16;
        i += 1;
    }
    words
}

/// The scales of blocks of 18 bytes, eight of which begin in 128 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn scales18(blocks: &[[u8; 18]; STEP]) -> __m512 {
    const PLACES: [[i16; 32]; 2] = [every::<8>(9, 0), every::<8>(9, 8)];
    let eight = |i: usize| {
        let at = 144 * i;
        _mm512_permutex2var_epi16(load64(blocks, at), load64(&PLACES[i], 0), load64(blocks, at + 64))
    };
    let both = _mm512_mask_blend_epi16(0xff00, eight(0), eight(1));
    _mm512_cvtph_ps(_mm512_castsi512_si256(both))
}

/// The scales of blocks of 34 bytes, four of which begin in 128 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn scales34(blocks: &[[u8; 34]; STEP]) -> __m512 {
    const PLACES: [[i16; 32]; 4] =
        [every::<4>(17, 0), every::<4>(17, 4), every::<4>(17, 8), every::<4>(17, 12)];
    let four = |i: usize| {
        let at = 136 * i;
        _mm512_permutex2var_epi16(load64(blocks, at), load64(&PLACES[i], 0), load64(blocks, at + 64))
    };
    let low = _mm512_mask_blend_epi16(0xf0, four(0), four(1));
    let high = _mm512_mask_blend_epi16(0xf000, four(2), four(3));
    _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_mask_blend_epi16(0xff00, low, high)))
}

/// `term = (d·dy)·(isum − excess·sum)`, the planes joined: each weight was taken `2^SHIFT` too large.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn with_excess<const SHIFT: u32, const P: usize>(
    d: __m512,
    isum: &[__m512i; P],
    sums: &[[&[i32; STEP]; 1]; P],
    scales: &[f32; STEP],
) -> __m512 {
    let mut planes = *isum;
    for p in 0..P {
        planes[p] = _mm512_sub_epi32(planes[p], _mm512_slli_epi32::<SHIFT>(load64(sums[p][0], 0)));
    }
    _mm512_mul_ps(_mm512_mul_ps(d, floats(scales)), join(&planes))
}

/// Bytes `at..at + 64`. The places are constants: nothing is checked at run time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load64<T: Pod>(bytes: &T, at: usize) -> __m512i {
    let Some(bytes) = bytemuck::bytes_of(bytes).get(at..).and_then(<[u8]>::first_chunk::<64>) else {
        return _mm512_setzero_si512();
    };
    // SAFETY: the reference covers exactly 64 readable bytes; loadu needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Bytes `at..at + 32`, as above.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn load32<T: Pod>(bytes: &T, at: usize) -> __m256i {
    let Some(bytes) = bytemuck::bytes_of(bytes).get(at..).and_then(<[u8]>::first_chunk::<32>) else {
        return _mm256_setzero_si256();
    };
    // SAFETY: the reference covers exactly 32 readable bytes; loadu needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Sixteen floats.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn floats(x: &[f32; STEP]) -> __m512 {
    // SAFETY: the reference covers exactly 16 floats; loadu needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

/// Writes sixteen floats.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn store(to: &mut [f32; STEP], x: __m512) {
    // SAFETY: the reference covers exactly 16 floats; storeu needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
}

/// Four vectors' sums of four neighbours: in each quarter, place `i` is vector `i`'s.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn add_neighbours(v: &[__m512i; 4]) -> __m512i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
}

/// `f = f·256 + i`, most significant plane first; one plane is its own integer.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn join<const P: usize>(planes: &[__m512i; P]) -> __m512 {
    let mut joined = _mm512_cvtepi32_ps(planes[0]);
    for plane in &planes[1..] {
        joined = _mm512_add_ps(_mm512_mul_ps(joined, _mm512_set1_ps(256.0)), _mm512_cvtepi32_ps(*plane));
    }
    joined
}

/// `x`, which has been computed where this stands: so it stays between its prefetches.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn finished(mut x: __m512i) -> __m512i {
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe { core::arch::asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}
