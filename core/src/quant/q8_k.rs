//! Q8_K: 256 weights of 8 bits under one f32 scale, with sums of each 16.

use super::block::{Block, extreme};
use super::fit::nearest;
use bytemuck::{Pod, Zeroable};

/// `w = d·q`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Q8KBlock {
    /// Scale, a little-endian f32.
    pub d: [u8; 4],
    /// Weights.
    pub qs: [i8; 256],
    /// Sums of each 16 weights, little-endian i16.
    pub bsums: [[u8; 2]; 16],
}

const _: () = assert!(size_of::<Q8KBlock>() == 292);

impl Block<256> for Q8KBlock {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let d = f32::from_le_bytes(self.d);
        *out = self.qs.map(|q| d * f32::from(q));
    }

    fn quantize(x: &[f32; 256]) -> Self {
        let max = extreme(x);
        if max == 0.0 {
            return Self::zeroed();
        }
        let inverse = -127.0 / max;
        let qs = x.map(|x| nearest(inverse * x).min(127) as i8);
        let sum = |g: usize| qs[16 * g..][..16].iter().map(|&q| i16::from(q)).sum::<i16>();
        Self { d: (1.0 / inverse).to_le_bytes(), qs, bsums: core::array::from_fn(|g| sum(g).to_le_bytes()) }
    }

    fn floats(&self) -> [f32; 2] {
        [f32::from_le_bytes(self.d), 0.0]
    }
}
