//! Q5_1: 32 weights of 5 bits, scale and minimum.

use super::block::{Block, half, inverse, range, to_half};
use super::q5_0::{levels, pack};
use bytemuck::{Pod, Zeroable};

/// `w = d·q + m`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types, reason = "the field's own name")]
pub struct Q5_1Block {
    /// Scale, a little-endian half.
    pub d: [u8; 2],
    /// Minimum, a little-endian half.
    pub m: [u8; 2],
    /// Fifth bits: bit `i` of the little-endian word is weight `i`'s.
    pub qh: [u8; 4],
    /// Weights 0 to 15 in the low nibbles, 16 to 31 in the high ones.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<Q5_1Block>() == 24);

impl Block<32> for Q5_1Block {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let (d, m) = (half(self.d), half(self.m));
        *out = levels(self.qh, &self.qs).map(|q| f32::from(q) * d + m);
    }

    fn quantize(x: &[f32; 32]) -> Self {
        let (min, max) = range(x);
        let d = (max - min) / 31.0;
        let id = inverse(d);
        let (qh, qs) = pack(&x.map(|x| (((x - min) * id + 0.5) as u8).min(31)));
        Self { d: to_half(d), m: to_half(min), qh, qs }
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), half(self.m)]
    }
}
