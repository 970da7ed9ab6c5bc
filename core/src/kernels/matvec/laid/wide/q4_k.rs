//! Super-blocks of 256 4-bit weights.
//!
//! A vector of partial sums is a block's. In the quarters of a vector of headers are those of blocks `k`, `k + 4`,
//! `k + 8` and `k + 12`; transpositions bring both into the blocks' order.

use super::super::{Acts, Format, prefetch};
use super::{STEP, add_neighbours, add_quarters, floats, load16, load64, store};
use crate::quant::WeightFormat;
use core::arch::x86_64::*;

type Block = [u8; 144];
type Digits = [i8; 256];

/// Where a block's pairs of scales lie in a vector of four blocks' scales: of block `quarter`, pairs `2h` and `2h + 1`,
/// eight times each.
const PAIRS: [[[i32; 16]; 2]; 4] = {
    let mut all = [[[0; 16]; 2]; 4];
    let mut n = 0;
    while n < 4 * 2 * 16 {
        let (quarter, h, i) = (n / 32, n / 16 % 2, n % 16);
        all[quarter][h][i] = (4 * quarter + 2 * h + i / 8) as i32;
        n += 1;
    }
    all
};

/// Sub-blocks of 32 with 6-bit scales and minimums: `d`, `dmin`, `scales[12]`, `qs[128]`. Of one plane of digits only:
/// with three the registers do not suffice, and it is slower than by eight blocks.
pub(in super::super) struct Q4K;

impl Format<STEP, 1> for Q4K {
    const FORMAT: WeightFormat = WeightFormat::Q4_K;
    type Block = Block;
    type Digits = Digits;
    type Sums = [i16; 16];
    type LaidSum = [i16; 8];

    fn takes(_: usize, planes: usize) -> bool {
        planes == 1
    }

    /// Of each 64 bytes of weights first the low nibbles' two pieces of 32, then the high ones'.
    #[inline(always)]
    fn lay_out(from: &[Digits], to: &mut [Digits]) {
        for (to, from) in to.iter_mut().zip(from) {
            let (to, from) = (to.as_chunks_mut::<32>().0, from.as_chunks::<32>().0);
            for (to, i) in to.iter_mut().zip([0, 2, 1, 3, 4, 6, 5, 7]) {
                *to = from[i];
            }
        }
    }

    /// Of 32 digits: at most 32 · 128 = 4,096.
    #[inline(always)]
    fn sum(from: &[i16; 16], _: usize) -> [i16; 8] {
        core::array::from_fn(|i| from[2 * i] + from[2 * i + 1])
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    // Inlined into the loop of its caller it reads memory at seven tenths of the speed, as a call at nine.
    #[inline(never)]
    unsafe fn terms<const P: usize>(
        blocks: &[Block; STEP],
        acts: &Acts<'_, Self, P, STEP, 1>,
        terms: &mut [f32; STEP],
    ) {
        let (digits, [sums]) = (acts.digits[0], acts.sums[0]);
        let h = Headers::of(blocks, sums);
        let isum = add_quarters(&[
            quarter::<0>(blocks, digits, &h.scales),
            quarter::<1>(blocks, digits, &h.scales),
            quarter::<2>(blocks, digits, &h.scales),
            quarter::<3>(blocks, digits, &h.scales),
        ]);
        // (d·dy)·isum − (dmin·dy)·msum.
        let dy = floats(acts.scales);
        let weights = _mm512_mul_ps(_mm512_mul_ps(h.d, dy), _mm512_cvtepi32_ps(isum));
        let mins = _mm512_mul_ps(_mm512_mul_ps(h.dmin, dy), _mm512_cvtepi32_ps(h.msum));
        store(terms, _mm512_sub_ps(weights, mins));
    }
}

/// Sixteen headers: `d` and `dmin`, the minimums' products with the sums of digits, and, by vectors of four blocks, the
/// scales in 16 bits each.
struct Headers {
    d: __m512,
    dmin: __m512,
    msum: __m512i,
    scales: [__m512i; 4],
}

impl Headers {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    fn of(blocks: &[Block; STEP], sums: &[[i16; 8]; STEP]) -> Self {
        let zero = _mm512_setzero_si512();
        let six = _mm512_set1_epi8(0x3f);
        // Words of the header: two halves, then a, b, c; see `unpack_scales8`.
        let low_bits = _mm512_set1_epi64(0x0f0f_0f0f_3f3f_3f3f);
        let shifts = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4));
        let (mut words, mut scales, mut mins) = ([zero; 4], [zero; 4], [zero; 4]);
        for k in 0..4 {
            let h = quarters(blocks, k);
            let low = _mm512_srlv_epi32(_mm512_shuffle_epi32::<0b11_10_11_01>(h), shifts);
            let high = _mm512_srli_epi32::<2>(_mm512_shuffle_epi32::<0b10_00_01_00>(h));
            let both = _mm512_and_si512(_mm512_ternarylogic_epi32::<0xca>(low_bits, low, high), six);
            words[k] = h;
            scales[k] = _mm512_unpacklo_epi8(both, zero);
            mins[k] = _mm512_madd_epi16(_mm512_unpackhi_epi8(both, zero), quarters(sums, k));
        }
        let halves = _mm512_unpacklo_epi64(
            _mm512_unpacklo_epi32(words[0], words[1]),
            _mm512_unpacklo_epi32(words[2], words[3]),
        );
        Self {
            d: _mm512_cvtph_ps(_mm512_cvtepi32_epi16(halves)),
            dmin: _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(halves))),
            msum: add_neighbours(&mins),
            scales,
        }
    }
}

/// The first 16 bytes of blocks `k`, `k + 4`, `k + 8` and `k + 12`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn quarters<T: bytemuck::Pod>(blocks: &[T; STEP], k: usize) -> __m512i {
    let v = _mm512_castsi128_si512(load16(&blocks[k], 0));
    let v = _mm512_inserti32x4::<1>(v, load16(&blocks[k + 4], 0));
    let v = _mm512_inserti32x4::<2>(v, load16(&blocks[k + 8], 0));
    _mm512_inserti32x4::<3>(v, load16(&blocks[k + 12], 0))
}

/// The partial sums of blocks `4R` to `4R + 3`, in the quarters' places.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
fn quarter<const R: usize>(
    blocks: &[Block; STEP],
    digits: &[Digits; STEP],
    scales: &[__m512i; 4],
) -> __m512i {
    let zero = _mm512_setzero_si512();
    let (low, high) = (_mm512_set1_epi8(0x0f), _mm512_set1_epi8(0xf0_u8.cast_signed()));
    let mut v = [zero; 4];
    for k in 0..4 {
        let i = 4 * R + k;
        prefetch(blocks, i);
        for half in 0..2 {
            let (w, at) = (load64(&blocks[i], 16 + 64 * half), 128 * half);
            let l = _mm512_dpbusd_epi32(zero, _mm512_and_si512(w, low), load64(&digits[i], at));
            // The high nibbles stay where they are, which makes their sums 16 times too large: of four at most
            // 16 · 4 · 15 · 128. A shift by 12 more has them in the words' high halves.
            let h = _mm512_dpbusd_epi32(zero, _mm512_and_si512(w, high), load64(&digits[i], at + 64));
            let both = _mm512_mask_blend_epi16(0x5555_5555, _mm512_slli_epi32::<12>(h), l);
            let s = _mm512_permutexvar_epi32(load64(&PAIRS[R][half], 0), scales[k]);
            v[k] = _mm512_dpwssd_epi32(v[k], both, s);
        }
    }
    add_neighbours(&v)
}
