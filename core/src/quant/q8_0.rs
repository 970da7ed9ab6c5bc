//! Q8_0: 32 weights of 8 bits, one scale.

use super::block::{Block, extreme, half, inverse, to_half};
use bytemuck::{Pod, Zeroable};

/// `w = d·q`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types, reason = "the field's own name")]
pub struct Q8_0Block {
    /// Scale, a little-endian half.
    pub d: [u8; 2],
    /// Weights.
    pub qs: [i8; 32],
}

const _: () = assert!(size_of::<Q8_0Block>() == 34);

impl Block<32> for Q8_0Block {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let d = half(self.d);
        *out = self.qs.map(|q| f32::from(q) * d);
    }

    fn quantize(x: &[f32; 32]) -> Self {
        let d = extreme(x).abs() / 127.0;
        let id = inverse(d);
        Self { d: to_half(d), qs: x.map(|x| libm::roundf(x * id) as i8) }
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), 0.0]
    }
}
