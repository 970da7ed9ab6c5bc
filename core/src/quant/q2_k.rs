//! Q2_K: 256 weights of 2 bits, groups of 16 with 4-bit scales and minimums.

use super::block::{Block, half, to_half};
use super::fit::{Search, nearest, with_min};
use bytemuck::{Pod, Zeroable};

/// `w = (d·scale)·q − dmin·min`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Q2KBlock {
    /// Of each group of 16: scale in the low nibble, minimum in the high one.
    pub scales: [u8; 16],
    /// Byte `32n + i` has weights `128n + i`, `+ 32`, `+ 64`, `+ 96`, lowest bits first.
    pub qs: [u8; 64],
    /// Scale of the scales, a little-endian half.
    pub d: [u8; 2],
    /// Scale of the minimums, a little-endian half.
    pub dmin: [u8; 2],
}

const _: () = assert!(size_of::<Q2KBlock>() == 84);

/// The byte, and the shift in it, of the two bits of weight `i`.
pub(super) const fn place(i: usize) -> (usize, usize) {
    (i / 128 * 32 + i % 32, i / 32 % 4 * 2)
}

const SEARCH: Search = Search { levels: 3, start: -0.5, step: 0.1, steps: 15, magnitude: true };

impl Block<256> for Q2KBlock {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let (d, dmin) = (half(self.d), half(self.dmin));
        for (g, (out, &s)) in out.as_chunks_mut::<16>().0.iter_mut().zip(&self.scales).enumerate() {
            let (dl, ml) = (d * f32::from(s & 15), dmin * f32::from(s >> 4));
            for (i, out) in out.iter_mut().enumerate() {
                let (byte, shift) = place(16 * g + i);
                *out = dl * f32::from(self.qs[byte] >> shift & 3) - ml;
            }
        }
    }

    fn quantize(x: &[f32; 256]) -> Self {
        let mut levels = [[0; 16]; 16];
        let (mut scales, mut mins) = ([0f32; 16], [0f32; 16]);
        let groups = x.as_chunks::<16>().0;
        for (g, x) in groups.iter().enumerate() {
            (scales[g], mins[g]) = with_min(x, &x.map(f32::abs), &SEARCH, &mut levels[g]);
        }
        let largest = |x: &[f32; 16]| x.iter().fold(0f32, |max, &x| if x > max { x } else { max });
        let (max_scale, max_min) = (largest(&scales), largest(&mins));
        let mut block = Self::zeroed();
        if max_scale > 0.0 {
            for (to, s) in block.scales.iter_mut().zip(scales) {
                *to = nearest(15.0 / max_scale * s) as u8;
            }
            block.d = to_half(max_scale / 15.0);
        }
        if max_min > 0.0 {
            for (to, m) in block.scales.iter_mut().zip(mins) {
                *to |= (nearest(15.0 / max_min * m) as u8) << 4;
            }
            block.dmin = to_half(max_min / 15.0);
        }
        for (g, x) in groups.iter().enumerate() {
            let d = half(block.d) * f32::from(block.scales[g] & 15);
            let m = half(block.dmin) * f32::from(block.scales[g] >> 4);
            for (i, &x) in x.iter().enumerate() {
                let q = if d == 0.0 { levels[g][i] } else { nearest((x + m) / d).clamp(0, 3) as u8 };
                let (byte, shift) = place(16 * g + i);
                block.qs[byte] |= q << shift;
            }
        }
        block
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), half(self.dmin)]
    }
}
