//! Q6_K: 256 weights of 6 bits less 32, groups of 16 with 8-bit scales.

use super::block::{Block, extreme, half, to_half};
use super::fit::{nearest, symmetric};
use bytemuck::{Pod, Zeroable};

/// `w = (d·scale)·(q − 32)`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Q6KBlock {
    /// The lower four bits: byte `64n + i` has weight `128n + i` in its low nibble, `128n + 64 + i` in its high one.
    pub ql: [u8; 128],
    /// The upper two: byte `32n + i` has weights `128n + i`, `+ 32`, `+ 64`, `+ 96`, lowest bits first.
    pub qh: [u8; 64],
    /// Scales of the groups of 16.
    pub scales: [i8; 16],
    /// Scale of the scales, a little-endian half.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<Q6KBlock>() == 210);

/// Of weight `i`: the byte of its low bits and the shift in it, the byte of its high bits and the shift in it.
const fn places(i: usize) -> ((usize, usize), (usize, usize)) {
    let low = (i / 128 * 64 + i % 64, i / 64 % 2 * 4);
    let high = (i / 128 * 32 + i % 32, i / 32 % 4 * 2);
    (low, high)
}

impl Block<256> for Q6KBlock {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let d = half(self.d);
        for (i, out) in out.iter_mut().enumerate() {
            let ((low, low_shift), (high, high_shift)) = places(i);
            let (low, high) = (self.ql.get(low).copied(), self.qh.get(high).copied());
            let q = low.unwrap_or(0) >> low_shift & 15 | (high.unwrap_or(0) >> high_shift & 3) << 4;
            let scale = self.scales.get(i / 16).copied().unwrap_or(0);
            *out = d * f32::from(scale) * (i32::from(q) - 32) as f32;
        }
    }

    fn quantize(x: &[f32; 256]) -> Self {
        let groups = x.as_chunks::<16>().0;
        let fits: [_; 16] = core::array::from_fn(|g| symmetric(&groups[g], 32));
        let scales = fits.map(|(scale, _)| scale);
        let max = extreme(&scales);
        let mut block = Self::zeroed();
        if max.abs() < 1e-15 {
            return block;
        }
        let inverse = -128.0 / max;
        block.d = to_half(1.0 / inverse);
        block.scales = scales.map(|s| nearest(inverse * s).min(127) as i8);
        for (i, &x) in x.iter().enumerate() {
            let d = half(block.d) * f32::from(block.scales[i / 16]);
            let q =
                if d == 0.0 { fits[i / 16].1[i % 16] } else { (nearest(x / d).clamp(-32, 31) + 32) as u8 };
            let ((low, low_shift), (high, high_shift)) = places(i);
            block.ql[low] |= (q & 15) << low_shift;
            block.qh[high] |= (q >> 4) << high_shift;
        }
        block
    }

    fn floats(&self) -> [f32; 2] {
        [half(self.d), 0.0]
    }
}
