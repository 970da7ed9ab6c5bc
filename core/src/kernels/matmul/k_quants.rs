//! The formats with super-blocks of 256 weights.

use super::format::{Groups, PanelFormat, SIGNED_BYTES, Term, half};
use crate::array::{from_fn, map};
use crate::quant::SUPER_BLOCK_LEN;

type Weights = [[u8; 4]; SUPER_BLOCK_LEN / 4];

/// The lower halves of four bytes.
const FOUR_BITS: u32 = 0x0f0f_0f0f;
/// The lowest two bits of four bytes.
const TWO_BITS: u32 = 0x0303_0303;

/// A column's dwords. One column after the other, each by a loop of its own: of loops over columns the compiler makes vectors
/// across them, and `array::from_fn` becomes a call.
#[inline(always)]
fn put<const R: usize>(column: &mut [[u8; 4]; R], dword: impl Fn(usize) -> u32) {
    for (r, to) in column.iter_mut().enumerate() {
        *to = dword(r).to_le_bytes();
    }
}

/// Four bytes, each below 128, less `offset` each: a borrow ends at the bit above them.
#[inline(always)]
const fn less(bytes: u32, offset: u8) -> u32 {
    const ABOVE: u32 = 0x8080_8080;
    ((bytes | ABOVE) - u32::from_ne_bytes([offset; 4])) ^ ABOVE
}

/// The dwords that begin in the middle of `low` and end in that of `high`.
#[inline(always)]
fn halfway<const R: usize>(low: [u32; R], high: [u32; R]) -> [u32; R] {
    let mut between = [0; R];
    for (r, to) in between.iter_mut().enumerate() {
        *to = low[r] >> 16 | high[r] << 16;
    }
    between
}

pub(super) struct Q2K;

impl PanelFormat<84, 64> for Q2K {
    const TERM: Term = Term::MinusMins;
    const MAX_STORED: usize = 3;
    const GROUP_STEPS: usize = 4;
    const RUNS: &'static [usize] = &[16, 48, 52, 0];

    #[inline(always)]
    fn unpack<const R: usize, const C: usize>(columns: &mut [[[u8; 4]; R]; C], _offset: u8) -> [[u32; R]; 2] {
        let halves = map(&columns[C - 9], u32::from_le_bytes);
        for n in 0..2 {
            for j in 0..8 {
                let packed = map(&columns[C - 32 + 8 * n + j], u32::from_le_bytes);
                put(&mut columns[32 * n + j], |r| packed[r] & TWO_BITS);
                put(&mut columns[32 * n + 8 + j], |r| packed[r] >> 2 & TWO_BITS);
                put(&mut columns[32 * n + 16 + j], |r| packed[r] >> 4 & TWO_BITS);
                put(&mut columns[32 * n + 24 + j], |r| packed[r] >> 6 & TWO_BITS);
            }
        }
        let mut part = |i: usize| {
            let both = map(&columns[C - 8 + i], u32::from_le_bytes);
            put(&mut columns[C - 8 + i], |r| both[r] & FOUR_BITS);
            put(&mut columns[C - 4 + i], |r| both[r] >> 4 & FOUR_BITS);
        };
        part(0);
        part(1);
        part(2);
        part(3);
        [map(&halves, |x| x & 0xffff), map(&halves, |x| x >> 16)]
    }

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
    const RUNS: &'static [usize] = &[0, 32, 64, 78];

    #[inline(always)]
    fn unpack<const R: usize, const C: usize>(columns: &mut [[[u8; 4]; R]; C], offset: u8) -> [[u32; R]; 2] {
        const THIRD_BIT: u32 = 0x0404_0404;
        // The weights' third bits, whose columns become weights; set where a weight is not negative.
        let bits: [[u32; R]; 8] = from_fn(|j| map(&columns[C - 32 + j], u32::from_le_bytes));
        for n in 0..2 {
            for j in 0..8 {
                let packed = map(&columns[C - 24 + 8 * n + j], u32::from_le_bytes);
                let (at, bits) = (32 * n + j, &bits[j]);
                let weight = |r: usize, s: usize| {
                    let third = bits[r] >> (4 * n + s) << 2 & THIRD_BIT;
                    less(packed[r] >> (2 * s) & TWO_BITS | third, offset)
                };
                put(&mut columns[at], |r| weight(r, 0));
                put(&mut columns[at + 8], |r| weight(r, 1));
                put(&mut columns[at + 16], |r| weight(r, 2));
                put(&mut columns[at + 24], |r| weight(r, 3));
            }
        }
        let tail = |i: usize| map(&columns[C - 8 + i], u32::from_le_bytes);
        let (a, b, c) = (halfway(tail(4), tail(5)), halfway(tail(5), tail(6)), halfway(tail(6), tail(7)));
        let d = map(&tail(7), |x| x >> 16);
        let scale = |low: u32, high: u32| less(low & FOUR_BITS | (high & TWO_BITS) << 4, 32);
        put(&mut columns[C - 8], |r| scale(a[r], c[r]));
        put(&mut columns[C - 7], |r| scale(b[r], c[r] >> 2));
        put(&mut columns[C - 6], |r| scale(a[r] >> 4, c[r] >> 4));
        put(&mut columns[C - 5], |r| scale(b[r] >> 4, c[r] >> 6));
        [d, [0; R]]
    }

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
    const RUNS: &'static [usize] = &[16, 48, 80, 112, 0];

    #[inline(always)]
    fn unpack<const R: usize, const C: usize>(columns: &mut [[[u8; 4]; R]; C], _offset: u8) -> [[u32; R]; 2] {
        for m in 0..4 {
            for j in 0..8 {
                let packed = map(&columns[C - 40 + 8 * m + j], u32::from_le_bytes);
                put(&mut columns[16 * m + j], |r| packed[r] & FOUR_BITS);
                put(&mut columns[16 * m + 8 + j], |r| packed[r] >> 4 & FOUR_BITS);
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
    const RUNS: &'static [usize] = &[16, 48, 80, 112, 144, 0];

    #[inline(always)]
    fn unpack<const R: usize, const C: usize>(columns: &mut [[[u8; 4]; R]; C], _offset: u8) -> [[u32; R]; 2] {
        const ONE_BIT: u32 = 0x0101_0101;
        // The weights' fifth bits, whose columns become weights.
        let bits: [[u32; R]; 8] = from_fn(|j| map(&columns[C - 48 + j], u32::from_le_bytes));
        for m in 0..4 {
            for j in 0..8 {
                let packed = map(&columns[C - 40 + 8 * m + j], u32::from_le_bytes);
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
    const RUNS: &'static [usize] = &[0, 32, 64, 96, 128, 160, 178];

    #[inline(always)]
    fn unpack<const R: usize, const C: usize>(columns: &mut [[[u8; 4]; R]; C], offset: u8) -> [[u32; R]; 2] {
        const TWO: u32 = TWO_BITS << 4;
        for n in 0..2 {
            for j in 0..8 {
                let packed = |i: usize| map(&columns[C - 56 + i + j], u32::from_le_bytes);
                let (a, b, high) = (packed(16 * n), packed(16 * n + 8), packed(32 + 8 * n));
                let at = 32 * n + j;
                let bits = |low: u32, high: u32| less(low & FOUR_BITS | high & TWO, offset);
                put(&mut columns[at], |r| bits(a[r], high[r] << 4));
                put(&mut columns[at + 8], |r| bits(b[r], high[r] << 2));
                put(&mut columns[at + 16], |r| bits(a[r] >> 4, high[r]));
                put(&mut columns[at + 24], |r| bits(b[r] >> 4, high[r] >> 2));
            }
        }
        let tail = |i: usize| map(&columns[C - 8 + i], u32::from_le_bytes);
        let d = map(&tail(7), |x| x >> 16);
        let (a, b) = (halfway(tail(3), tail(4)), halfway(tail(4), tail(5)));
        let (c, e) = (halfway(tail(5), tail(6)), halfway(tail(6), tail(7)));
        put(&mut columns[C - 8], |r| a[r]);
        put(&mut columns[C - 7], |r| b[r]);
        put(&mut columns[C - 6], |r| c[r]);
        put(&mut columns[C - 5], |r| e[r]);
        [d, [0; R]]
    }

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
        let [d, a, b, c] = from_fn(|i| u32::from_le_bytes(columns[C - 8 + i][r]));
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
