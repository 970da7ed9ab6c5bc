//! Q4_1: 32 weights of 4 bits, scale and minimum.

use super::block::{Block, half, inverse, range, to_half};
use bytemuck::{Pod, Zeroable};

/// `w = d·q + m`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types, reason = "the field's own name")]
pub struct Q4_1Block {
    /// Scale, a little-endian half.
    pub d: [u8; 2],
    /// Minimum, a little-endian half.
    pub m: [u8; 2],
    /// Weights 0 to 15 in the low nibbles, 16 to 31 in the high ones.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<Q4_1Block>() == 20);

impl Block<32> for Q4_1Block {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let (d, m) = (half(self.d), half(self.m));
        for (i, &q) in self.qs.iter().enumerate() {
            out[i] = f32::from(q & 15) * d + m;
            out[i + 16] = f32::from(q >> 4) * d + m;
        }
    }

    fn quantize(x: &[f32; 32]) -> Self {
        let (min, max) = range(x);
        let d = (max - min) / 15.0;
        let id = inverse(d);
        let level = |x: f32| (((x - min) * id + 0.5) as u8).min(15);
        let qs = core::array::from_fn(|i| level(x[i]) | level(x[i + 16]) << 4);
        Self { d: to_half(d), m: to_half(min), qs }
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), half(self.m)]
    }
}
