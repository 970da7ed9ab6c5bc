//! Q4_K: 256 weights of 4 bits, sub-blocks of 32 with 6-bit scales and minimums.

use super::block::{Block, half, to_half};
use super::fit::{Search, nearest, with_min};
use bytemuck::{Pod, Zeroable};

/// `w = (d·scale)·q − dmin·min`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Q4KBlock {
    /// Scale of the scales, a little-endian half.
    pub d: [u8; 2],
    /// Scale of the minimums, a little-endian half.
    pub dmin: [u8; 2],
    /// Scales and minimums; see [`scale_min`].
    pub scales: [u8; 12],
    /// Byte `32n + i` has weight `64n + i` in its low nibble, `64n + 32 + i` in its high one.
    pub qs: [u8; 128],
}

const _: () = assert!(size_of::<Q4KBlock>() == 144);

/// Scale and minimum of sub-block `j`: of the first four in the lower six bits of bytes `j` and `j + 4`, of the
/// others with their low nibbles in byte `j + 4` and their upper two bits above those of the first four.
pub(super) fn scale_min(packed: &[u8; 12], j: usize) -> (u8, u8) {
    let at = |i: usize| packed.get(i).copied().unwrap_or(0);
    if j < 4 {
        (at(j) & 63, at(j + 4) & 63)
    } else {
        (at(j + 4) & 15 | at(j - 4) >> 6 << 4, at(j + 4) >> 4 | at(j) >> 6 << 4)
    }
}

/// What Q4_K and Q5_K have in common: the floats, the packed scales, and every weight's level.
pub(super) struct Fitted {
    pub(super) d: [u8; 2],
    pub(super) dmin: [u8; 2],
    pub(super) scales: [u8; 12],
    pub(super) levels: [[u8; 32]; 8],
}

/// Scales, minimums and levels of a super-block.
pub(super) fn fit(x: &[f32; 256], search: &Search) -> Fitted {
    let mut levels = [[0; 32]; 8];
    let (mut scales, mut mins) = ([0f32; 8], [0f32; 8]);
    let parts = x.as_chunks::<32>().0;
    for (j, x) in parts.iter().enumerate() {
        let mean_square = x.iter().map(|x| x * x).fold(0.0, |sum, x| sum + x) / 32.0;
        let typical = libm::sqrtf(mean_square);
        (scales[j], mins[j]) = with_min(x, &x.map(|x| typical + x.abs()), search, &mut levels[j]);
    }
    let largest = |x: &[f32; 8]| x.iter().fold(0f32, |max, &x| if x > max { x } else { max });
    let (max_scale, max_min) = (largest(&scales), largest(&mins));
    let to_six_bits = |max: f32, x: f32| if max > 0.0 { (nearest(63.0 / max * x) as u8).min(63) } else { 0 };
    let mut packed = [0; 12];
    for j in 0..8 {
        let (s, m) = (to_six_bits(max_scale, scales[j]), to_six_bits(max_min, mins[j]));
        if j < 4 {
            (packed[j], packed[j + 4]) = (s, m);
        } else {
            packed[j + 4] = s & 15 | (m & 15) << 4;
            packed[j - 4] |= s >> 4 << 6;
            packed[j] |= m >> 4 << 6;
        }
    }
    let (d, dmin) = (to_half(max_scale / 63.0), to_half(max_min / 63.0));
    for (j, (x, levels)) in parts.iter().zip(&mut levels).enumerate() {
        let (s, m) = scale_min(&packed, j);
        let (d, m) = (half(d) * f32::from(s), half(dmin) * f32::from(m));
        if d != 0.0 {
            *levels = x.map(|x| nearest((x + m) / d).clamp(0, search.levels) as u8);
        }
    }
    Fitted { d, dmin, scales: packed, levels }
}

const SEARCH: Search = Search { levels: 15, start: -1.0, step: 0.1, steps: 20, magnitude: false };

impl Block<256> for Q4KBlock {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let (d, dmin) = (half(self.d), half(self.dmin));
        for (j, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (s, m) = scale_min(&self.scales, j);
            let (d1, m1) = (d * f32::from(s), dmin * f32::from(m));
            for (out, q) in out.iter_mut().zip(&self.qs[j / 2 * 32..]) {
                *out = d1 * f32::from(q >> (4 * (j % 2)) & 15) - m1;
            }
        }
    }

    fn quantize(x: &[f32; 256]) -> Self {
        let Fitted { d, dmin, scales, levels } = fit(x, &SEARCH);
        let qs = core::array::from_fn(|i| levels[i / 32 * 2][i % 32] | levels[i / 32 * 2 + 1][i % 32] << 4);
        Self { d, dmin, scales, qs }
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), half(self.dmin)]
    }
}
