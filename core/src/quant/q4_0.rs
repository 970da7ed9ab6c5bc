//! Q4_0: 32 weights of 4 bits less 8, one scale.

use super::block::{Block, extreme, half, inverse, to_half};
use bytemuck::{Pod, Zeroable};

/// `w = d·(q − 8)`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types, reason = "the field's own name")]
pub struct Q4_0Block {
    /// Scale, a little-endian half.
    pub d: [u8; 2],
    /// Weights 0 to 15 in the low nibbles, 16 to 31 in the high ones.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<Q4_0Block>() == 18);

impl Block<32> for Q4_0Block {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let d = half(self.d);
        for (i, &q) in self.qs.iter().enumerate() {
            out[i] = (i32::from(q & 15) - 8) as f32 * d;
            out[i + 16] = (i32::from(q >> 4) - 8) as f32 * d;
        }
    }

    fn quantize(x: &[f32; 32]) -> Self {
        let d = extreme(x) / -8.0;
        let id = inverse(d);
        let level = |x: f32| ((x * id + 8.5) as u8).min(15);
        Self { d: to_half(d), qs: core::array::from_fn(|i| level(x[i]) | level(x[i + 16]) << 4) }
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), 0.0]
    }
}
