//! The formats with super-blocks of 256 weights.

use super::format::{PanelFormat, SIGNED_BYTES, Term};
use crate::quant::SUPER_BLOCK_LEN;
use crate::simd::columns::{Column, Columns};
use core::ops::{BitAnd, BitOr, Shr};

type Weights = [[u8; 4]; SUPER_BLOCK_LEN / 4];

/// The lower halves of four bytes.
const FOUR_BITS: u32 = 0x0f0f_0f0f;
/// The lowest two bits of four bytes.
const TWO_BITS: u32 = 0x0303_0303;

/// The dwords that begin in the middle of `low` and end in that of `high`.
#[inline(always)]
fn halfway<I: Columns<R>, const R: usize>(low: Column<I, R>, high: Column<I, R>) -> Column<I, R> {
    low >> 16 | high << 16
}

pub(super) struct Q2K;

impl PanelFormat<84, 64> for Q2K {
    const TERM: Term = Term::MinusMins;
    const MAX_STORED: usize = 3;
    const GROUP_STEPS: usize = 4;

    #[inline(always)]
    fn unpack<I: Columns<R>, const R: usize>(
        isa: I,
        blocks: &[&[u8; 84]; R],
        weights: &mut [[[u8; 4]; R]; 64],
        groups: &mut [[[u8; 4]; R]; 8],
        _offset: u8,
    ) -> [Column<I, R>; 2] {
        for n in 0..2 {
            let packed = Column::run(isa, blocks, 16 + 32 * n);
            for j in 0..8 {
                (packed[j] & TWO_BITS).store(&mut weights[32 * n + j]);
                (packed[j] >> 2 & TWO_BITS).store(&mut weights[32 * n + 8 + j]);
                (packed[j] >> 4 & TWO_BITS).store(&mut weights[32 * n + 16 + j]);
                (packed[j] >> 6 & TWO_BITS).store(&mut weights[32 * n + 24 + j]);
            }
        }
        let both = Column::run(isa, blocks, 0);
        for i in 0..4 {
            (both[i] & FOUR_BITS).store(&mut groups[i]);
            (both[i] >> 4 & FOUR_BITS).store(&mut groups[4 + i]);
        }
        let halves = Column::run(isa, blocks, 52)[7];
        [halves & 0xffff, halves >> 16]
    }
}

pub(super) struct Q3K;

impl PanelFormat<110, 64> for Q3K {
    const TERM: Term = Term::Scale;
    const MAX_STORED: usize = 7;
    const OFFSET: i32 = 4;
    const GROUP_STEPS: usize = 4;

    #[inline(always)]
    fn unpack<I: Columns<R>, const R: usize>(
        isa: I,
        blocks: &[&[u8; 110]; R],
        weights: &mut [[[u8; 4]; R]; 64],
        groups: &mut [[[u8; 4]; R]; 8],
        offset: u8,
    ) -> [Column<I, R>; 2] {
        const THIRD_BIT: u32 = 0x0404_0404;
        // The weights' third bits, set where a weight is not negative.
        let bits = Column::run(isa, blocks, 0);
        for n in 0..2 {
            let packed = Column::run(isa, blocks, 32 + 32 * n as usize);
            for j in 0..8 {
                for s in 0..4 {
                    let third = bits[j] >> (4 * n + s) << 2 & THIRD_BIT;
                    let weight = (packed[j] >> (2 * s) & TWO_BITS | third).less(offset);
                    weight.store(&mut weights[(32 * n + 8 * s) as usize + j]);
                }
            }
        }
        let [.., e, f, g, h] = Column::run(isa, blocks, 78);
        let (a, b, c) = (halfway(e, f), halfway(f, g), halfway(g, h));
        let scale =
            |low: Column<I, R>, high: Column<I, R>| (low & FOUR_BITS | (high & TWO_BITS) << 4).less(32);
        scale(a, c).store(&mut groups[0]);
        scale(b, c >> 2).store(&mut groups[1]);
        scale(a >> 4, c >> 4).store(&mut groups[2]);
        scale(b >> 4, c >> 6).store(&mut groups[3]);
        [h >> 16; 2]
    }
}

pub(super) struct Q4K;

impl PanelFormat<144, 64> for Q4K {
    const TERM: Term = Term::MinusMins;
    const MAX_STORED: usize = 15;
    const GROUP_STEPS: usize = 8;

    #[inline(always)]
    fn unpack<I: Columns<R>, const R: usize>(
        isa: I,
        blocks: &[&[u8; 144]; R],
        weights: &mut [[[u8; 4]; R]; 64],
        groups: &mut [[[u8; 4]; R]; 8],
        _offset: u8,
    ) -> [Column<I, R>; 2] {
        for m in 0..4 {
            let packed = Column::run(isa, blocks, 16 + 32 * m);
            for j in 0..8 {
                (packed[j] & FOUR_BITS).store(&mut weights[16 * m + j]);
                (packed[j] >> 4 & FOUR_BITS).store(&mut weights[16 * m + 8 + j]);
            }
        }
        header(Column::run(isa, blocks, 0), groups)
    }
}

pub(super) struct Q5K;

impl PanelFormat<176, 64> for Q5K {
    const TERM: Term = Term::MinusMins;
    const MAX_STORED: usize = 31;
    const GROUP_STEPS: usize = 8;

    #[inline(always)]
    fn unpack<I: Columns<R>, const R: usize>(
        isa: I,
        blocks: &[&[u8; 176]; R],
        weights: &mut [[[u8; 4]; R]; 64],
        groups: &mut [[[u8; 4]; R]; 8],
        _offset: u8,
    ) -> [Column<I, R>; 2] {
        const ONE_BIT: u32 = 0x0101_0101;
        // The weights' fifth bits.
        let bits = Column::run(isa, blocks, 16);
        for m in 0..4 {
            let packed = Column::run(isa, blocks, 48 + 32 * m as usize);
            for j in 0..8 {
                let bits = bits[j] >> (2 * m);
                let (low, high) = ((bits & ONE_BIT) << 4, (bits >> 1 & ONE_BIT) << 4);
                (packed[j] & FOUR_BITS | low).store(&mut weights[16 * m as usize + j]);
                (packed[j] >> 4 & FOUR_BITS | high).store(&mut weights[16 * m as usize + 8 + j]);
            }
        }
        header(Column::run(isa, blocks, 0), groups)
    }
}

pub(super) struct Q6K;

impl PanelFormat<210, 64> for Q6K {
    const TERM: Term = Term::Scale;
    const MAX_STORED: usize = 63;
    const OFFSET: i32 = 32;
    const GROUP_STEPS: usize = 4;

    #[inline(always)]
    fn unpack<I: Columns<R>, const R: usize>(
        isa: I,
        blocks: &[&[u8; 210]; R],
        weights: &mut [[[u8; 4]; R]; 64],
        groups: &mut [[[u8; 4]; R]; 8],
        offset: u8,
    ) -> [Column<I, R>; 2] {
        const TWO: u32 = TWO_BITS << 4;
        for n in 0..2 {
            let (a, b, high) = (
                Column::run(isa, blocks, 64 * n),
                Column::run(isa, blocks, 64 * n + 32),
                Column::run(isa, blocks, 128 + 32 * n),
            );
            for j in 0..8 {
                let at = 32 * n + j;
                let weight =
                    |low: Column<I, R>, high: Column<I, R>| (low & FOUR_BITS | high & TWO).less(offset);
                weight(a[j], high[j] << 4).store(&mut weights[at]);
                weight(b[j], high[j] << 2).store(&mut weights[at + 8]);
                weight(a[j] >> 4, high[j]).store(&mut weights[at + 16]);
                weight(b[j] >> 4, high[j] >> 2).store(&mut weights[at + 24]);
            }
        }
        let [.., a, b, c, e, f] = Column::run(isa, blocks, 178);
        halfway(a, b).store(&mut groups[0]);
        halfway(b, c).store(&mut groups[1]);
        halfway(c, e).store(&mut groups[2]);
        halfway(e, f).store(&mut groups[3]);
        [f >> 16; 2]
    }
}

pub(super) struct Q8K;

impl PanelFormat<292, 64> for Q8K {
    const TERM: Term = Term::Scale;
    const MAX_STORED: usize = SIGNED_BYTES;
    const GROUP_STEPS: usize = 64;
    const HALVES: bool = false;

    #[inline(always)]
    fn weights(block: &[u8; 292], to: &mut Weights) {
        to.as_flattened_mut().copy_from_slice(&block[4..260]);
    }
    #[inline(always)]
    fn floats(block: &[u8; 292]) -> [u32; 2] {
        [u32::from_le_bytes([block[0], block[1], block[2], block[3]]), 0]
    }
}

/// Scales and minimums of Q4_K and Q5_K out of a block's first dwords; the bits of the floats.
#[inline(always)]
fn header<I: Columns<R>, const R: usize>(
    [d, a, b, c, ..]: [Column<I, R>; 8],
    groups: &mut [[[u8; 4]; R]; 8],
) -> [Column<I, R>; 2] {
    let [[low, high], [min_low, min_high]] = six_bits(a, b, c);
    low.store(&mut groups[0]);
    high.store(&mut groups[1]);
    min_low.store(&mut groups[4]);
    min_high.store(&mut groups[5]);
    [d & 0xffff, d >> 16]
}

/// Eight 6-bit scales and as many minimums out of 12 bytes, four at a time: the first four of each are the low
/// six bits of a byte, the others have their low four bits in the last word, the high two above those six.
#[inline(always)]
pub(super) fn six_bits<D>(a: D, b: D, c: D) -> [[D; 2]; 2]
where
    D: Copy + BitAnd<u32, Output = D> + BitOr<Output = D> + Shr<u32, Output = D>,
{
    const TWO: u32 = 0x3030_3030;
    const SIX: u32 = 0x3f3f_3f3f;
    [[a & SIX, c & FOUR_BITS | a >> 2 & TWO], [b & SIX, c >> 4 & FOUR_BITS | b >> 2 & TWO]]
}
