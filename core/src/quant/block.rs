//! What every block format can do.

use super::float::{f16_to_f32, f32_to_f16};

/// A block of `LEN` weights as it lies in a file: bytes without alignment, every pattern of which is a block.
pub trait Block<const LEN: usize>: bytemuck::Pod {
    /// The weights, with GGML's operations in GGML's order.
    fn dequantize(&self, out: &mut [f32; LEN]);

    /// The block nearest to the finite numbers `x`, as GGML's reference quantizer finds it.
    fn quantize(x: &[f32; LEN]) -> Self;

    /// The block's floats: its scale, and its minimum or minimums' scale (0 where there is none).
    fn floats(&self) -> [f32; 2];
}

/// The f32 of a little-endian half.
pub(super) const fn half(bytes: [u8; 2]) -> f32 {
    f16_to_f32(u16::from_le_bytes(bytes))
}

/// The little-endian half nearest to `x`.
pub(super) const fn to_half(x: f32) -> [u8; 2] {
    f32_to_f16(x).to_le_bytes()
}

/// The element of the largest magnitude, the first of several; 0 of none.
pub(super) fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |max: f32, &x| if x.abs() > max.abs() { x } else { max })
}

/// The smallest and the largest element.
pub(super) fn range(x: &[f32]) -> (f32, f32) {
    x.iter().fold((f32::MAX, f32::MIN), |(min, max), &x| {
        (if x < min { x } else { min }, if x > max { x } else { max })
    })
}

/// `1 / x`, or 0 of 0.
pub(super) fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}
