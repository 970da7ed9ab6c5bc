//! Q3_K: 256 weights of 3 bits less 4, groups of 16 with 6-bit scales less 32.

use super::block::{Block, extreme, half, to_half};
use super::fit::{nearest, refined};
use super::q2_k::place;
use bytemuck::{Pod, Zeroable};

/// `w = (d·(scale − 32))·(q − 4)`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Q3KBlock {
    /// Third bits: bit `j` of byte `i` is weight `32j + i`'s.
    pub hmask: [u8; 32],
    /// The lower two bits, as in Q2_K.
    pub qs: [u8; 64],
    /// Scales: low nibbles of groups 0 to 7 and high ones of 8 to 15 in bytes 0 to 7, upper two bits in 8 to 11.
    pub scales: [u8; 12],
    /// Scale of the scales, a little-endian half.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<Q3KBlock>() == 110);

impl Q3KBlock {
    /// The scale of group `g`, less 32.
    fn scale(&self, g: usize) -> i32 {
        let low = if g < 8 { self.scales[g] & 15 } else { self.scales[g - 8] >> 4 };
        let high = self.scales[8 + g % 4] >> (2 * (g / 4)) & 3;
        i32::from(low | high << 4) - 32
    }
}

impl Block<256> for Q3KBlock {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let d = half(self.d);
        for (g, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let dl = d * self.scale(g) as f32;
            for (i, out) in out.iter_mut().enumerate() {
                let i = 16 * g + i;
                let (byte, shift) = place(i);
                let high = self.hmask[i % 32] >> (i / 32) & 1;
                *out = dl * (i32::from(self.qs[byte] >> shift & 3 | high << 2) - 4) as f32;
            }
        }
    }

    fn quantize(x: &[f32; 256]) -> Self {
        let groups = x.as_chunks::<16>().0;
        let fits: [_; 16] = core::array::from_fn(|g| refined(&groups[g], 4));
        let scales = fits.map(|(scale, _)| scale);
        let max = extreme(&scales);
        let mut block = Self::zeroed();
        if max != 0.0 {
            let inverse = -32.0 / max;
            for (g, &s) in scales.iter().enumerate() {
                let l = (nearest(inverse * s).clamp(-32, 31) + 32) as u8;
                block.scales[g % 8] |= (l & 15) << (4 * (g / 8));
                block.scales[8 + g % 4] |= (l >> 4) << (2 * (g / 4));
            }
            block.d = to_half(1.0 / inverse);
        }
        for (g, x) in groups.iter().enumerate() {
            let d = half(block.d) * block.scale(g) as f32;
            for (i, &x) in x.iter().enumerate() {
                let q = if d == 0.0 { fits[g].1[i] } else { (nearest(x / d).clamp(-4, 3) + 4) as u8 };
                let i = 16 * g + i;
                let (byte, shift) = place(i);
                block.qs[byte] |= (q & 3) << shift;
                block.hmask[i % 32] |= (q >> 2) << (i / 32);
            }
        }
        block
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), 0.0]
    }
}
