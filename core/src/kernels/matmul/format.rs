//! What the batch multiplication needs to know of a block format.

use crate::simd::columns::{Column, Columns};

/// A [`PanelFormat::MAX_STORED`] that stands for weights in -128..=127, stored as they are.
pub(super) const SIGNED_BYTES: usize = 255;

/// What a block adds to a row's sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// `(d·dy)·isum`
    Scale,
    /// `(d·dy)·isum + (m·dy)·ysum`
    PlusMin,
    /// `(d·dy)·isum − (dmin·dy)·msum`
    MinusMins,
}

/// A format whose blocks take `B` bytes and hold `4·N` weights.
pub(super) trait PanelFormat<const B: usize, const N: usize> {
    /// What a block adds.
    const TERM: Term;
    /// Weights are stored in the panel as unsigned numbers up to this, or [`SIGNED_BYTES`].
    const MAX_STORED: usize;
    /// Stored number minus weight.
    const OFFSET: i32 = 0;
    /// Steps of four weights that share an integer scale; `N` if the block has no integer scales.
    const GROUP_STEPS: usize;
    /// Whether floats are halves (else singles).
    const HALVES: bool = true;

    /// Unpacks a super-block with scales of each row: columns of weights, less `offset`, and of scales and, from the fifth
    /// on, minimums; the rows' halves `d` and, where the format has minimums, `dmin`.
    fn unpack<I: Columns<R>, const R: usize>(
        isa: I,
        blocks: &[&[u8; B]; R],
        weights: &mut [[[u8; 4]; R]; N],
        groups: &mut [[[u8; 4]; R]; 8],
        offset: u8,
    ) -> [Column<I, R>; 2] {
        let _ = (isa, blocks, weights, groups, offset);
        unreachable!("a format without scales")
    }

    /// The weights, in order, four a step, of a block without scales.
    fn weights(block: &[u8; B], to: &mut [[u8; 4]; N]) {
        let _ = (block, to);
        unreachable!("a format with scales")
    }
    /// Bits of the floats `d` and, where the format has minimums, `m` of a block without scales.
    fn floats(block: &[u8; B]) -> [u32; 2] {
        let _ = block;
        unreachable!("a format with scales")
    }
}

/// The half at `at`.
#[inline(always)]
pub(super) fn half<const B: usize>(block: &[u8; B], at: usize) -> u32 {
    u32::from(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// [`f16_to_f32`](crate::quant::float::f16_to_f32) without branches, so that a loop over rows becomes vector code.
#[inline(always)]
pub(super) fn half_to_single(h: u32) -> f32 {
    /// 2^112: the difference of the exponents' biases.
    const REBIAS: f32 = f32::from_bits(0x7780_0000);
    let magnitude = h & 0x7fff;
    // Exact for subnormals too.
    let finite = (f32::from_bits(magnitude << 13) * REBIAS).to_bits();
    let quiet = if magnitude > 0x7c00 { 0x0040_0000 } else { 0 };
    let special = 0x7f80_0000 | magnitude << 13 | quiet;
    let bits = if magnitude >= 0x7c00 { special } else { finite };
    f32::from_bits(bits | (h & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::float::f16_to_f32;

    #[test]
    fn halves_convert_as_the_reference_does() {
        for h in 0..=u16::MAX {
            assert_eq!(half_to_single(u32::from(h)).to_bits(), f16_to_f32(h).to_bits(), "{h:04x}");
        }
    }
}
