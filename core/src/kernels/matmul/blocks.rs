//! The formats with blocks of 32 weights.

use super::format::{PanelFormat, SIGNED_BYTES, Term, half};
use crate::quant::BLOCK_LEN;

type Weights = [[u8; 4]; BLOCK_LEN / 4];

/// Low nibbles are weights 0..16, high ones 16..32.
#[inline(always)]
fn nibbles(q: &[u8], to: &mut Weights) {
    let to = to.as_flattened_mut();
    let q = &q[..16];
    for i in 0..16 {
        to[i] = q[i] & 15;
        to[16 + i] = q[i] >> 4;
    }
}

/// Adds 16 to the weights whose bit is set, eight at a time.
#[inline(always)]
fn fifth_bits(bits: &[u8], to: &mut Weights) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    for (&bits, to) in bits[..4].iter().zip(to.as_flattened_mut().as_chunks_mut::<8>().0) {
        // Byte i keeps bit i of the eight, then has its top bit set if that was not zero; nothing carries.
        let own = (u64::from(bits) * EACH) & 0x8040_2010_0804_0201;
        let fifth = ((own + 0x7f * EACH) >> 3) & (0x10 * EACH);
        *to = (u64::from_le_bytes(*to) | fifth).to_le_bytes();
    }
}

pub(super) struct Q4_0;

impl PanelFormat<18, 8> for Q4_0 {
    const TERM: Term = Term::Scale;
    const MAX_STORED: usize = 15;
    const OFFSET: i32 = 8;
    const GROUP_STEPS: usize = 8;

    #[inline(always)]
    fn weights(block: &[u8; 18], to: &mut Weights) {
        nibbles(&block[2..], to);
    }
    #[inline(always)]
    fn floats(block: &[u8; 18]) -> [u32; 2] {
        [half(block, 0), 0]
    }
}

pub(super) struct Q4_1;

impl PanelFormat<20, 8> for Q4_1 {
    const TERM: Term = Term::PlusMin;
    const MAX_STORED: usize = 15;
    const GROUP_STEPS: usize = 8;

    #[inline(always)]
    fn weights(block: &[u8; 20], to: &mut Weights) {
        nibbles(&block[4..], to);
    }
    #[inline(always)]
    fn floats(block: &[u8; 20]) -> [u32; 2] {
        [half(block, 0), half(block, 2)]
    }
}

pub(super) struct Q5_0;

impl PanelFormat<22, 8> for Q5_0 {
    const TERM: Term = Term::Scale;
    const MAX_STORED: usize = 31;
    const OFFSET: i32 = 16;
    const GROUP_STEPS: usize = 8;

    #[inline(always)]
    fn weights(block: &[u8; 22], to: &mut Weights) {
        nibbles(&block[6..], to);
        fifth_bits(&block[2..6], to);
    }
    #[inline(always)]
    fn floats(block: &[u8; 22]) -> [u32; 2] {
        [half(block, 0), 0]
    }
}

pub(super) struct Q5_1;

impl PanelFormat<24, 8> for Q5_1 {
    const TERM: Term = Term::PlusMin;
    const MAX_STORED: usize = 31;
    const GROUP_STEPS: usize = 8;

    #[inline(always)]
    fn weights(block: &[u8; 24], to: &mut Weights) {
        nibbles(&block[8..], to);
        fifth_bits(&block[4..8], to);
    }
    #[inline(always)]
    fn floats(block: &[u8; 24]) -> [u32; 2] {
        [half(block, 0), half(block, 2)]
    }
}

pub(super) struct Q8_0;

impl PanelFormat<34, 8> for Q8_0 {
    const TERM: Term = Term::Scale;
    const MAX_STORED: usize = SIGNED_BYTES;
    const GROUP_STEPS: usize = 8;

    #[inline(always)]
    fn weights(block: &[u8; 34], to: &mut Weights) {
        to.as_flattened_mut().copy_from_slice(&block[2..]);
    }
    #[inline(always)]
    fn floats(block: &[u8; 34]) -> [u32; 2] {
        [half(block, 0), 0]
    }
}
