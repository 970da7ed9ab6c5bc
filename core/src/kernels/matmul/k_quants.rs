//! The formats with super-blocks of 256 weights.

use super::format::{Groups, PanelFormat, SIGNED_BYTES, Term, half};
use crate::quant::SUPER_BLOCK_LEN;

type Weights = [[u8; 4]; SUPER_BLOCK_LEN / 4];

/// The lower halves of four bytes.
const FOUR_BITS: u32 = 0x0f0f_0f0f;

pub(super) struct Q2K;

impl PanelFormat<84, 64> for Q2K {
    const TERM: Term = Term::MinusMins;
    const MAX_STORED: usize = 3;
    const GROUP_STEPS: usize = 4;

    #[inline(always)]
    fn weights(block: &[u8; 84], to: &mut Weights) {
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
    fn floats(block: &[u8; 84]) -> [u32; 2] {
        [half(block, 80), half(block, 82)]
    }
}

pub(super) struct Q3K;

impl PanelFormat<110, 64> for Q3K {
    const TERM: Term = Term::Scale;
    const MAX_STORED: usize = 7;
    const OFFSET: i32 = 4;
    const GROUP_STEPS: usize = 4;

    #[inline(always)]
    fn weights(block: &[u8; 110], to: &mut Weights) {
        two_bits(&block[32..96], to);
        let mask = &block[..32];
        for (j, to) in to.as_flattened_mut().as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for i in 0..32 {
                to[i] |= (mask[i] >> j & 1) << 2;
            }
        }
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
    fn floats(block: &[u8; 110]) -> [u32; 2] {
        [half(block, 108), 0]
    }
}

pub(super) struct Q4K;

impl PanelFormat<144, 64> for Q4K {
    const TERM: Term = Term::MinusMins;
    const MAX_STORED: usize = 15;
    const GROUP_STEPS: usize = 8;
    const PACKED: usize = 40;

    #[inline(always)]
    fn pack(block: &[u8; 144], to: &mut [[u8; 4]]) {
        let (header, weights) = block.split_at(16);
        let to = to.as_flattened_mut();
        to[..128].copy_from_slice(weights);
        to[128..144].copy_from_slice(header);
    }
    #[inline(always)]
    fn unpack<const R: usize, const C: usize>(columns: &mut [[[u8; 4]; R]; C]) -> [[u32; R]; 2] {
        // Ahead of the weights lie the dwords that are still to be read.
        for m in 0..4 {
            for j in 0..8 {
                let packed = columns[C - 40 + 8 * m + j].map(u32::from_le_bytes);
                columns[16 * m + j] = packed.map(|w| (w & FOUR_BITS).to_le_bytes());
                columns[16 * m + 8 + j] = packed.map(|w| (w >> 4 & FOUR_BITS).to_le_bytes());
            }
        }
        header(columns)
    }

    #[inline(always)]
    fn weights(block: &[u8; 144], to: &mut Weights) {
        nibbles(&block[16..], to);
    }
    #[inline(always)]
    fn groups(block: &[u8; 144]) -> Groups {
        scales_and_minimums(&block[4..16])
    }
    #[inline(always)]
    fn floats(block: &[u8; 144]) -> [u32; 2] {
        [half(block, 0), half(block, 2)]
    }
}

pub(super) struct Q5K;

impl PanelFormat<176, 64> for Q5K {
    const TERM: Term = Term::MinusMins;
    const MAX_STORED: usize = 31;
    const GROUP_STEPS: usize = 8;
    const PACKED: usize = 48;

    #[inline(always)]
    fn pack(block: &[u8; 176], to: &mut [[u8; 4]]) {
        let to = to.as_flattened_mut();
        to[..160].copy_from_slice(&block[16..]);
        to[160..176].copy_from_slice(&block[..16]);
    }
    #[inline(always)]
    fn unpack<const R: usize, const C: usize>(columns: &mut [[[u8; 4]; R]; C]) -> [[u32; R]; 2] {
        const ONE_BIT: u32 = 0x0101_0101;
        // The weights' fifth bits, whose columns become weights.
        let bits: [[u32; R]; 8] = core::array::from_fn(|j| columns[C - 48 + j].map(u32::from_le_bytes));
        for m in 0..4 {
            for j in 0..8 {
                let packed = columns[C - 40 + 8 * m + j].map(u32::from_le_bytes);
                for r in 0..R {
                    let (w, bits) = (packed[r], bits[j][r] >> (2 * m));
                    let (low, high) = (bits & ONE_BIT, bits >> 1 & ONE_BIT);
                    columns[16 * m + j][r] = (w & FOUR_BITS | low << 4).to_le_bytes();
                    columns[16 * m + 8 + j][r] = (w >> 4 & FOUR_BITS | high << 4).to_le_bytes();
                }
            }
        }
        header(columns)
    }

    #[inline(always)]
    fn weights(block: &[u8; 176], to: &mut Weights) {
        nibbles(&block[48..], to);
        let bits = &block[16..48];
        for (j, to) in to.as_flattened_mut().as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for i in 0..32 {
                to[i] |= (bits[i] >> j & 1) << 4;
            }
        }
    }
    #[inline(always)]
    fn groups(block: &[u8; 176]) -> Groups {
        scales_and_minimums(&block[4..16])
    }
    #[inline(always)]
    fn floats(block: &[u8; 176]) -> [u32; 2] {
        [half(block, 0), half(block, 2)]
    }
}

pub(super) struct Q6K;

impl PanelFormat<210, 64> for Q6K {
    const TERM: Term = Term::Scale;
    const MAX_STORED: usize = 63;
    const OFFSET: i32 = 32;
    const GROUP_STEPS: usize = 4;

    #[inline(always)]
    fn weights(block: &[u8; 210], to: &mut Weights) {
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
    fn floats(block: &[u8; 210]) -> [u32; 2] {
        [half(block, 208), 0]
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

/// Scales and minimums of Q4_K and Q5_K out of the last 8 columns, where they stay; the bits of the floats.
#[inline(always)]
fn header<const R: usize, const C: usize>(columns: &mut [[[u8; 4]; R]; C]) -> [[u32; R]; 2] {
    let mut floats = [[0; R]; 2];
    for r in 0..R {
        let [d, a, b, c] = core::array::from_fn(|i| u32::from_le_bytes(columns[C - 8 + i][r]));
        floats[0][r] = d & 0xffff;
        floats[1][r] = d >> 16;
        let [[low, high], [min_low, min_high]] = six_bits(a, b, c);
        columns[C - 8][r] = low.to_le_bytes();
        columns[C - 7][r] = high.to_le_bytes();
        columns[C - 4][r] = min_low.to_le_bytes();
        columns[C - 3][r] = min_high.to_le_bytes();
    }
    floats
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

/// Eight 6-bit scales and as many minimums out of 12 bytes, four at a time: the first four of each are the low
/// six bits of a byte, the others have their low four bits in the last word, the high two above those six.
#[inline(always)]
const fn six_bits(a: u32, b: u32, c: u32) -> [[u32; 2]; 2] {
    const TWO: u32 = 0x3030_3030;
    const SIX: u32 = 0x3f3f_3f3f;
    [[a & SIX, c & FOUR_BITS | a >> 2 & TWO], [b & SIX, c >> 4 & FOUR_BITS | b >> 2 & TWO]]
}
