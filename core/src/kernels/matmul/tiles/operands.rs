//! Weights and activations as tiles want them.

use super::super::format::{PanelFormat, half_to_single};
use super::{TILE, Term};
use crate::kernels::ActToken;
use crate::quant::SUPER_BLOCK_LEN;
use crate::simd::tiles::{Pairs, Quads, Rows, STEPS};
use core::arch::x86_64::*;

/// Weights in a step.
const STEP: usize = 64;

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
    pub(super) fn unpack<'a, F: PanelFormat<B, 64>, const B: usize, const P: usize>(
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
            [d[r], m[r]] = F::floats(block);
            let mut stored = [[0; 4]; SUPER_BLOCK_LEN / 4];
            F::weights(block, &mut stored);
            let groups = F::groups(block);
            // One scale and minimum for each 16 weights.
            let spread = |x: &[i8; 16]| -> [i16; 16] {
                core::array::from_fn(|g| {
                    i16::from(match F::GROUP_STEPS {
                        4 => x[g],
                        8 => x[g / 2],
                        _ => 1,
                    })
                })
            };
            let (stored, _) = stored.as_flattened().as_chunks::<32>();
            let planes = self.weights.as_chunks_mut::<P>().0;
            for (half, (stored, scales)) in
                stored.iter().zip(spread(&groups.scale).as_chunks::<2>().0).enumerate()
            {
                let products = scaled(stored, F::OFFSET as i16, *scales);
                let planes = &mut planes[half / 2];
                let at = 32 * (half % 2);
                if P == 2 {
                    // 128·high + low, with low in -64..64.
                    let high = _mm512_srai_epi16::<7>(_mm512_add_epi16(products, _mm512_set1_epi16(64)));
                    let low = _mm512_sub_epi16(products, _mm512_slli_epi16::<7>(high));
                    narrow(high, &mut planes[0][r], at);
                    narrow(low, &mut planes[P - 1][r], at);
                } else {
                    narrow(products, &mut planes[0][r], at);
                }
            }
            if F::TERM == Term::MinusMins {
                // Whole numbers below 64: their lower half as floats is zero, their upper half bfloat16.
                self.mins[r] = spread(&groups.min).map(|min| {
                    let bits = f32::from(min).to_bits();
                    bits | bits >> 16
                });
            }
        }
        let float = |bits| if F::HALVES { half_to_single(bits) } else { f32::from_bits(bits) };
        self.d = d.map(float);
        self.m = m.map(float);
    }
}

/// 32 weights times their scales, of which each serves 16.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn scaled(stored: &[u8; 32], offset: i16, scales: [i16; 2]) -> __m512i {
    // SAFETY: the array spans the 32 bytes, and the load needs no alignment.
    let stored = unsafe { _mm256_loadu_si256(stored.as_ptr().cast()) };
    // Signed bytes, where they are stored so, have no offset; the others are below 128.
    let weights = _mm512_sub_epi16(_mm512_cvtepi8_epi16(stored), _mm512_set1_epi16(offset));
    let scales = [_mm256_set1_epi16(scales[0]), _mm256_set1_epi16(scales[1])];
    _mm512_mullo_epi16(weights, _mm512_inserti64x4::<1>(_mm512_castsi256_si512(scales[0]), scales[1]))
}

/// Stores 32 numbers as bytes, which hold them.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn narrow(x: __m512i, to: &mut [i8; STEP], at: usize) {
    let to = to[at..].first_chunk_mut::<32>().expect("half a row");
    // SAFETY: the array spans the 32 bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi16_epi8(x)) }
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
    /// Brings super-block `block` of tokens `token(0)` to `token(15)` into columns, the sums only where they are read.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    pub(super) fn pack<'a>(&mut self, block: usize, token: impl Fn(usize) -> ActToken<'a>, sums: bool) {
        let tokens: [ActToken<'_>; TILE] = core::array::from_fn(token);
        for (step, quads) in self.quads.iter_mut().enumerate() {
            let at = block * SUPER_BLOCK_LEN + step * STEP;
            transpose(
                |t| {
                    tokens[t].q[at..]
                        .first_chunk::<STEP>()
                        .expect("whole super-blocks")
                        .as_chunks::<4>()
                        .0
                        .first_chunk()
                        .expect("sixteen times four")
                },
                quads,
            );
        }
        if sums {
            let mut rows = [[0u32; TILE]; TILE];
            for (to, token) in rows.iter_mut().zip(&tokens) {
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
        self.d = core::array::from_fn(|t| tokens[t].d[block]);
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
