//! Weights and activations as tiles want them.

use super::super::format::{SIGNED_BYTES, half_to_single};
use super::rows::RowFormat;
use super::{TILE, Term};
use crate::array::from_fn;
use crate::kernels::ActToken;
use crate::quant::SUPER_BLOCK_LEN;
use crate::simd::tiles::{Pairs, Quads, Rows, STEPS};
use core::arch::x86_64::*;

/// Weights in a step.
const STEP: usize = 64;
/// Bits of the lower half of a scale of 6 bits.
pub(super) const SCALE_BITS: u32 = 3;

/// One super-block of 16 rows.
#[repr(C, align(64))]
pub(super) struct Panel {
    /// Weights times their scales, in `P` planes a step, the higher first.
    weights: [Rows; 2 * STEPS],
    /// The minimum of each sum of 16 activations, twice.
    pub(super) mins: Pairs,
    /// `d` of each row.
    pub(super) d: [f32; TILE],
    /// `dmin` of each row.
    pub(super) m: [f32; TILE],
}

impl Panel {
    /// The weights in `P` planes, as they were [unpacked](Self::unpack).
    #[inline(always)]
    pub(super) fn planes<const P: usize>(&self) -> &[[Rows; P]; STEPS] {
        self.weights.as_chunks::<P>().0.first_chunk().expect("planes of all steps")
    }

    /// Unpacks a super-block of each row; row `r`'s is `block(r)`.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    pub(super) fn unpack<'a, F: RowFormat<B>, const B: usize, const P: usize>(
        &mut self,
        block: impl Fn(usize) -> &'a [u8; B],
    ) {
        let [mut d, mut m] = [[0u32; TILE]; 2];
        for r in 0..TILE {
            let block = block(r);
            // The row's next, which hardware does not see coming in sixteen streams at once.
            for line in 0..B.div_ceil(64) {
                _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(B + 64 * line).cast());
            }
            [d[r], m[r]] = F::head(block);
            let mut stored = [[0; 4]; SUPER_BLOCK_LEN / 4];
            F::row(block, &mut stored);
            let groups = F::groups(block);
            let (stored, _) = stored.as_flattened().as_chunks::<STEP>();
            let planes = self.weights.as_chunks_mut::<P>().0;
            for (step, stored) in stored.iter().enumerate() {
                if F::MAX_STORED == SIGNED_BYTES {
                    planes[step][0][r] = *stored;
                    continue;
                }
                // SAFETY: the array spans the 64 bytes, and the load needs no alignment.
                let stored = unsafe { _mm512_loadu_si512(stored.as_ptr().cast()) };
                let scales = spread::<F, B>(&groups.scale, step);
                if F::TERM != Term::MinusMins {
                    let [high, low] = scaled(stored, F::OFFSET as i8, scales);
                    put(high, &mut planes[step][0][r]);
                    put(low, &mut planes[step][P - 1][r]);
                } else if P == 2 {
                    // Both bytes of a word times a number that leaves them bytes.
                    let high = _mm512_srli_epi16::<SCALE_BITS>(scales);
                    let low = _mm512_and_si512(scales, _mm512_set1_epi16((1 << SCALE_BITS) - 1));
                    put(_mm512_mullo_epi16(stored, high), &mut planes[step][0][r]);
                    put(_mm512_mullo_epi16(stored, low), &mut planes[step][P - 1][r]);
                } else {
                    put(_mm512_mullo_epi16(stored, scales), &mut planes[step][0][r]);
                }
            }
            if F::TERM == Term::MinusMins {
                // Whole numbers below 64: their lower half as floats is zero, their upper half bfloat16.
                self.mins[r] = from_fn(|g| {
                    let bits = f32::from(groups.min[g * 4 / F::GROUP_STEPS]).to_bits();
                    bits | bits >> 16
                });
            }
        }
        let float = |bits| if F::HALVES { half_to_single(bits) } else { f32::from_bits(bits) };
        self.d = d.map(float);
        self.m = m.map(float);
    }
}

/// The scales of the 32 words of step `step`, each of which holds two weights of one group.
#[target_feature(enable = "avx512f,avx512bw,avx2")]
#[inline]
fn spread<F: RowFormat<B>, const B: usize>(scales: &[i8; 16], step: usize) -> __m512i {
    let group = const {
        let mut group = [[0i16; STEP / 2]; STEPS];
        let mut word = 0;
        while word < STEPS * STEP / 2 {
            group[word / (STEP / 2)][word % (STEP / 2)] = (word / (2 * F::GROUP_STEPS)) as i16;
            word += 1;
        }
        group
    };
    // SAFETY: the arrays span the 16 and the 64 bytes, and the loads need no alignment.
    let (scales, group) =
        unsafe { (_mm_loadu_si128(scales.as_ptr().cast()), _mm512_loadu_si512(group[step].as_ptr().cast())) };
    _mm512_permutexvar_epi16(group, _mm512_castsi256_si512(_mm256_cvtepi8_epi16(scales)))
}

/// 64 weights (`stored - offset`) times the scales of their pairs, `256·high + low`.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn scaled(stored: __m512i, offset: i8, scales: __m512i) -> [__m512i; 2] {
    let weights = _mm512_sub_epi8(stored, _mm512_set1_epi8(offset));
    let odd = _mm512_mullo_epi16(_mm512_srai_epi16::<8>(weights), scales);
    let even = _mm512_mullo_epi16(_mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(weights)), scales);
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    [
        _mm512_mask_blend_epi8(ODD, _mm512_srli_epi16::<8>(even), odd),
        _mm512_mask_blend_epi8(ODD, even, _mm512_slli_epi16::<8>(odd)),
    ]
}

/// Stores 64 bytes.
#[target_feature(enable = "avx512f")]
#[inline]
fn put(x: __m512i, to: &mut [u8; STEP]) {
    // SAFETY: the array spans the 64 bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), x) }
}

/// One super-block of 16 tokens.
#[repr(C, align(64))]
pub(super) struct Columns {
    pub(super) quads: [Quads; STEPS],
    /// The sums of 16 activations each: `64·high`, `low`.
    pub(super) sums: Pairs,
    /// The scale of each token's super-block.
    pub(super) d: [f32; TILE],
}

impl Columns {
    /// Brings super-block `block` of the tokens into columns, the sums only where they are read.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    pub(super) fn pack(&mut self, block: usize, tokens: &[ActToken<'_>; TILE], sums: bool) {
        // Sixteen times four digits, four times.
        let digits: [&[[[i8; 4]; TILE]; STEPS]; TILE] = from_fn(|t| {
            let digits = &tokens[t].q[block * SUPER_BLOCK_LEN..][..SUPER_BLOCK_LEN];
            let steps = digits.as_chunks::<4>().0.as_chunks::<TILE>().0;
            steps.first_chunk().expect("a super-block has as many steps")
        });
        for (step, quads) in self.quads.iter_mut().enumerate() {
            transpose(|t| &digits[t][step], quads);
        }
        if sums {
            let mut rows = [[0u32; TILE]; TILE];
            for (to, token) in rows.iter_mut().zip(tokens) {
                let sums = token.sums[block * TILE..].first_chunk::<TILE>().expect("16 sums a super-block");
                *to = sums.map(|sum| {
                    // At most 2048 in magnitude, so that high and low are within -32..=32: few enough bits for bfloat16.
                    let high = (sum + 32) & !63;
                    let upper = |x: i16| f32::from(x).to_bits() >> 16;
                    upper(high) | upper(sum - high) << 16
                });
            }
            transpose(|t| &rows[t], &mut self.sums);
        }
        self.d = from_fn(|t| tokens[t].d[block]);
    }
}

/// `to[c][r] = row(r)[c]`, of numbers of four bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
#[inline]
pub(super) fn transpose<'a, T: 'a>(row: impl Fn(usize) -> &'a [T; TILE], to: &mut [[T; TILE]; TILE]) {
    const { assert!(size_of::<T>() == 4) };
    let mut x = [_mm512_setzero_si512(); TILE];
    for (r, x) in x.iter_mut().enumerate() {
        // SAFETY: a row spans 64 bytes, and the load needs no alignment.
        *x = unsafe { _mm512_loadu_si512(row(r).as_ptr().cast()) };
    }
    // Squares of 2x2 dwords, then of 2x2 pairs, in each 128 bits; then the 128 bits themselves.
    let mut y = x;
    for i in (0..TILE).step_by(2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for i in (0..TILE).step_by(4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    // Now x[4a + c] holds, in its 128 bits number b, column 4b + c of rows 4a to 4a + 3.
    for c in 0..4 {
        let [a, b] = [(x[c], x[4 + c]), (x[8 + c], x[12 + c])];
        let even = [_mm512_shuffle_i32x4::<0x88>(a.0, a.1), _mm512_shuffle_i32x4::<0x88>(b.0, b.1)];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(a.0, a.1), _mm512_shuffle_i32x4::<0xdd>(b.0, b.1)];
        for (at, column) in [
            (c, _mm512_shuffle_i32x4::<0x88>(even[0], even[1])),
            (8 + c, _mm512_shuffle_i32x4::<0xdd>(even[0], even[1])),
            (4 + c, _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1])),
            (12 + c, _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1])),
        ] {
            // SAFETY: a row spans 64 bytes, and the store needs no alignment.
            unsafe { _mm512_storeu_si512(to[at].as_mut_ptr().cast(), column) };
        }
    }
}
