//! Q5_K: 256 weights of 5 bits, sub-blocks of 32 with 6-bit scales and minimums.

use super::block::{Block, half};
use super::fit::Search;
use super::q4_k::{Fitted, fit, scale_min};
use bytemuck::{Pod, Zeroable};

/// `w = (d·scale)·q − dmin·min`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Q5KBlock {
    /// Scale of the scales, a little-endian half.
    pub d: [u8; 2],
    /// Scale of the minimums, a little-endian half.
    pub dmin: [u8; 2],
    /// Scales and minimums, packed as in Q4_K.
    pub scales: [u8; 12],
    /// Fifth bits: bit `j` of byte `i` is weight `32j + i`'s.
    pub qh: [u8; 32],
    /// The lower four bits, as in Q4_K.
    pub qs: [u8; 128],
}

const _: () = assert!(size_of::<Q5KBlock>() == 176);

const SEARCH: Search = Search { levels: 31, start: -0.5, step: 0.1, steps: 15, magnitude: false };

impl Block<256> for Q5KBlock {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let (d, dmin) = (half(self.d), half(self.dmin));
        for (j, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (s, m) = scale_min(&self.scales, j);
            let (d1, m1) = (d * f32::from(s), dmin * f32::from(m));
            for ((out, q), h) in out.iter_mut().zip(&self.qs[j / 2 * 32..]).zip(&self.qh) {
                *out = d1 * f32::from(q >> (4 * (j % 2)) & 15 | (h >> j & 1) << 4) - m1;
            }
        }
    }

    fn quantize(x: &[f32; 256]) -> Self {
        let Fitted { d, dmin, scales, levels } = fit(x, &SEARCH);
        let level = |j: usize, i: usize| levels[j][i];
        let qs = core::array::from_fn(|i| {
            level(i / 32 * 2, i % 32) & 15 | (level(i / 32 * 2 + 1, i % 32) & 15) << 4
        });
        let qh = core::array::from_fn(|i| (0..8).fold(0, |bits, j| bits | (level(j, i) >> 4) << j));
        Self { d, dmin, scales, qh, qs }
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), half(self.dmin)]
    }
}
