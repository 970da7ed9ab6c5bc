//! Q5_0: 32 weights of 5 bits less 16, one scale.

use super::block::{Block, extreme, half, inverse, to_half};
use bytemuck::{Pod, Zeroable};

/// `w = d·(q − 16)`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types, reason = "the field's own name")]
pub struct Q5_0Block {
    /// Scale, a little-endian half.
    pub d: [u8; 2],
    /// Fifth bits: bit `i` of the little-endian word is weight `i`'s.
    pub qh: [u8; 4],
    /// Weights 0 to 15 in the low nibbles, 16 to 31 in the high ones.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<Q5_0Block>() == 22);

/// Weights 0 to 31 from their nibbles and fifth bits.
pub(super) fn levels(qh: [u8; 4], qs: &[u8; 16]) -> [u8; 32] {
    let bits = u32::from_le_bytes(qh);
    core::array::from_fn(|i| {
        let nibble = if i < 16 { qs[i] & 15 } else { qs[i - 16] >> 4 };
        nibble | ((bits >> i) as u8 & 1) << 4
    })
}

/// The inverse of [`levels`].
pub(super) fn pack(levels: &[u8; 32]) -> ([u8; 4], [u8; 16]) {
    let bits = (0..32).fold(0, |bits, i| bits | u32::from(levels[i] >> 4 & 1) << i);
    (bits.to_le_bytes(), core::array::from_fn(|i| levels[i] & 15 | (levels[i + 16] & 15) << 4))
}

impl Block<32> for Q5_0Block {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let d = half(self.d);
        *out = levels(self.qh, &self.qs).map(|q| (i32::from(q) - 16) as f32 * d);
    }

    fn quantize(x: &[f32; 32]) -> Self {
        let d = extreme(x) / -16.0;
        let id = inverse(d);
        let (qh, qs) = pack(&x.map(|x| ((x * id + 16.5) as u8).min(31)));
        Self { d: to_half(d), qh, qs }
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), 0.0]
    }
}
