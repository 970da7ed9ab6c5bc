//! Blocks unpacked a row at a time, as tiles take them.

use super::super::format::{PanelFormat, half};
use super::super::k_quants::{Q2K, Q3K, Q4K, Q5K, Q6K, Q8K, six_bits};
use crate::quant::SUPER_BLOCK_LEN;

type Weights = [[u8; 4]; SUPER_BLOCK_LEN / 4];

/// Integer scales and minimums of a super-block, one a group, then nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Groups {
    /// Scales.
    pub(super) scale: [i8; 16],
    /// Minimums.
    pub(super) min: [i8; 16],
}

/// A format with super-blocks of `B` bytes.
pub(super) trait RowFormat<const B: usize>: PanelFormat<B, 64> {
    /// The block's weights in order, four a step.
    fn row(block: &[u8; B], to: &mut Weights);
    /// The scales and minimums of its groups.
    fn groups(_block: &[u8; B]) -> Groups {
        Groups::default()
    }
    /// Bits of the floats `d` and `dmin`, if it has that.
    fn head(block: &[u8; B]) -> [u32; 2];
}

impl RowFormat<84> for Q2K {
    #[inline(always)]
    fn row(block: &[u8; 84], to: &mut Weights) {
        two_bits(&block[16..80], to);
    }

    #[inline(always)]
    fn groups(block: &[u8; 84]) -> Groups {
        let mut groups = Groups::default();
        for (g, &byte) in block[..16].iter().enumerate() {
            groups.scale[g] = (byte & 15) as i8;
            groups.min[g] = (byte >> 4) as i8;
        }
        groups
    }

    #[inline(always)]
    fn head(block: &[u8; 84]) -> [u32; 2] {
        [half(block, 80), half(block, 82)]
    }
}

impl RowFormat<110> for Q3K {
    #[inline(always)]
    fn row(block: &[u8; 110], to: &mut Weights) {
        two_bits(&block[32..96], to);
        add_bits::<2>(&block[..32], to);
    }

    #[inline(always)]
    fn groups(block: &[u8; 110]) -> Groups {
        let s = &block[96..108];
        let mut groups = Groups::default();
        for g in 0..16 {
            let low = if g < 8 { s[g] & 15 } else { s[g - 8] >> 4 };
            let high = s[8 + g % 4] >> (2 * (g / 4)) & 3;
            groups.scale[g] = (low | high << 4) as i8 - 32;
        }
        groups
    }

    #[inline(always)]
    fn head(block: &[u8; 110]) -> [u32; 2] {
        [half(block, 108), 0]
    }
}

impl RowFormat<144> for Q4K {
    #[inline(always)]
    fn row(block: &[u8; 144], to: &mut Weights) {
        nibbles(&block[16..], to);
    }

    #[inline(always)]
    fn groups(block: &[u8; 144]) -> Groups {
        scales_and_minimums(&block[4..16])
    }

    #[inline(always)]
    fn head(block: &[u8; 144]) -> [u32; 2] {
        [half(block, 0), half(block, 2)]
    }
}

impl RowFormat<176> for Q5K {
    #[inline(always)]
    fn row(block: &[u8; 176], to: &mut Weights) {
        nibbles(&block[48..], to);
        add_bits::<4>(&block[16..48], to);
    }

    #[inline(always)]
    fn groups(block: &[u8; 176]) -> Groups {
        scales_and_minimums(&block[4..16])
    }

    #[inline(always)]
    fn head(block: &[u8; 176]) -> [u32; 2] {
        [half(block, 0), half(block, 2)]
    }
}

impl RowFormat<210> for Q6K {
    #[inline(always)]
    fn row(block: &[u8; 210], to: &mut Weights) {
        for (n, to) in to.as_flattened_mut().as_chunks_mut::<128>().0.iter_mut().enumerate() {
            let (low, high) = (&block[64 * n..][..64], &block[128 + 32 * n..][..32]);
            for i in 0..32 {
                to[i] = low[i] & 15 | (high[i] & 3) << 4;
                to[32 + i] = low[32 + i] & 15 | (high[i] >> 2 & 3) << 4;
                to[64 + i] = low[i] >> 4 | (high[i] >> 4 & 3) << 4;
                to[96 + i] = low[32 + i] >> 4 | (high[i] >> 6) << 4;
            }
        }
    }

    #[inline(always)]
    fn groups(block: &[u8; 210]) -> Groups {
        let mut groups = Groups::default();
        for (scale, &byte) in groups.scale.iter_mut().zip(&block[192..208]) {
            *scale = byte as i8;
        }
        groups
    }

    #[inline(always)]
    fn head(block: &[u8; 210]) -> [u32; 2] {
        [half(block, 208), 0]
    }
}

impl RowFormat<292> for Q8K {
    #[inline(always)]
    fn row(block: &[u8; 292], to: &mut Weights) {
        Self::weights(block, to);
    }

    #[inline(always)]
    fn head(block: &[u8; 292]) -> [u32; 2] {
        Self::floats(block)
    }
}

/// In each 32 bytes the low nibbles are 32 weights, the high ones the next 32.
#[inline(always)]
fn nibbles(q: &[u8], to: &mut Weights) {
    for (q, to) in q[..128].as_chunks::<32>().0.iter().zip(to.as_flattened_mut().as_chunks_mut::<64>().0) {
        for i in 0..32 {
            to[i] = q[i] & 15;
            to[32 + i] = q[i] >> 4;
        }
    }
}

/// In each 32 bytes the lowest two bits are 32 weights, the next two the next 32, and so on.
#[inline(always)]
fn two_bits(q: &[u8], to: &mut Weights) {
    for (q, to) in q[..64].as_chunks::<32>().0.iter().zip(to.as_flattened_mut().as_chunks_mut::<128>().0) {
        for i in 0..32 {
            to[i] = q[i] & 3;
            to[32 + i] = q[i] >> 2 & 3;
            to[64 + i] = q[i] >> 4 & 3;
            to[96 + i] = q[i] >> 6;
        }
    }
}

/// Bit `AT` of the weights: the lowest bits of 32 bytes are those of the first 32 weights, the next bits of the next 32, and so on.
#[inline(always)]
fn add_bits<const AT: usize>(bits: &[u8], to: &mut Weights) {
    let bits = &bits[..32];
    for (j, to) in to.as_flattened_mut().as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for i in 0..32 {
            to[i] |= (bits[i] >> j & 1) << AT;
        }
    }
}

/// The scales and minimums of one block of Q4_K or Q5_K.
#[inline(always)]
fn scales_and_minimums(s: &[u8]) -> Groups {
    let word = |i: usize| u32::from_le_bytes([s[i], s[i + 1], s[i + 2], s[i + 3]]);
    let halves = six_bits(word(0), word(4), word(8));
    let mut groups = Groups::default();
    for (to, [low, high]) in [&mut groups.scale, &mut groups.min].into_iter().zip(halves) {
        for i in 0..4 {
            to[i] = low.to_le_bytes()[i] as i8;
            to[4 + i] = high.to_le_bytes()[i] as i8;
        }
    }
    groups
}
