//! Blocks of 32 weights.

use super::format::{BlockActs, BlockInts, Format, Layout, isum, join, min, scale};
use crate::simd::ints::{Ints, STEP};

/// Layout, stream and lengths of a format with blocks of 32.
macro_rules! block {
    ($bytes:literal) => {
        const LEN: usize = 32;
        const BYTES: usize = $bytes;
        const SUM_COUNT: usize = 1;
        type Block = [u8; $bytes];

        #[inline(always)]
        fn stream(bytes: &[u8]) -> (&[Self::Block], &[u8]) {
            bytes.as_chunks()
        }
    };
}

/// So many bytes of a block, from `at` on. The lengths are constants: nothing is checked at run time.
#[inline(always)]
fn part<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    block.get(at..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; N])
}

#[inline(always)]
fn half(block: &[u8]) -> u32 {
    u32::from(u16::from_le_bytes(*part(block, 0)))
}

#[inline(always)]
fn two_halves(block: &[u8]) -> u32 {
    u32::from_le_bytes(*part(block, 0))
}

/// `Σ u·y` of an unsigned block.
#[inline(always)]
fn unsigned<I: Ints, F: Layout, const P: usize>(
    isa: I,
    u: I::Bytes,
    acts: &BlockActs<'_, F>,
    column: usize,
    d: u32,
) -> BlockInts<I, P> {
    let mut t = BlockInts::new(isa, d);
    for p in 0..P {
        let [y] = acts.digits(p, column);
        t.isum[p] = isa.dot(isa.sums(0), u, isa.digits(y));
    }
    t
}

/// `term = (d·dy)·isum`.
#[inline(always)]
fn plain<I: Ints, F: Layout, const P: usize>(
    isa: I,
    t: &[BlockInts<I, P>; STEP],
    _: &BlockActs<'_, F>,
    _: usize,
    dy: I::Floats,
) -> I::Floats {
    isa.mul(isa.mul(scale(isa, t), dy), isum(isa, t, |_, sums| sums))
}

/// `term = (d·dy)·isum` of weights that were taken `1 << N` too large: the rest goes through the digits' sums.
#[inline(always)]
fn centred<I: Ints, F: Layout, const P: usize, const N: i32>(
    isa: I,
    t: &[BlockInts<I, P>; STEP],
    acts: &BlockActs<'_, F>,
    column: usize,
    dy: I::Floats,
) -> I::Floats {
    let fixed = isum(isa, t, |p, sums| isa.eight_sub_shl::<N>(sums, isa.eight(acts.sums_from(p, column))));
    isa.mul(isa.mul(scale(isa, t), dy), fixed)
}

/// `term = (d·dy)·isum + (m·dy)·ysum`.
#[inline(always)]
fn with_min<I: Ints, F: Layout, const P: usize>(
    isa: I,
    t: &[BlockInts<I, P>; STEP],
    acts: &BlockActs<'_, F>,
    column: usize,
    dy: I::Floats,
) -> I::Floats {
    let weights = isa.mul(isa.mul(scale(isa, t), dy), isum(isa, t, |_, sums| sums));
    let ysum = join(isa, P, |p| isa.eight(acts.sums_from(p, column)));
    isa.add(weights, isa.mul(isa.mul(min(isa, t), dy), ysum))
}

/// Nibbles, and a fifth bit from `bits`.
#[inline(always)]
fn five_bits<I: Ints>(isa: I, nibbles: &[u8; 16], bits: &[u8; 4]) -> I::Bytes {
    isa.or(isa.nibbles(nibbles), isa.sixteens(u32::from_le_bytes(*bits)))
}

macro_rules! format {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $terms:expr,
        |$isa:ident, $block:ident, $acts:ident, $column:ident| $body:expr) => {
        $(#[$doc])*
        #[allow(non_camel_case_types, reason = "the field's own names")]
        pub(super) struct $name;

        impl Layout for $name {
            block!($bytes);
        }

        impl<I: Ints> Format<I> for $name {
            #[inline(always)]
            fn block<const P: usize>(
                $isa: I,
                _: I::Picks,
                $block: &[u8; $bytes],
                $acts: &BlockActs<'_, Self>,
                $column: usize,
            ) -> BlockInts<I, P> {
                $body
            }

            #[inline(always)]
            fn terms<const P: usize>(
                isa: I,
                t: &[BlockInts<I, P>; STEP],
                acts: &BlockActs<'_, Self>,
                column: usize,
                dy: I::Floats,
            ) -> I::Floats {
                $terms(isa, t, acts, column, dy)
            }
        }
    };
}

format! {
    /// 4-bit weights less 8: `d`, `qs[16]`.
    Q4_0, 18, centred::<I, Self, P, 3>, |isa, block, acts, column| {
        unsigned(isa, isa.nibbles(part(block, 2)), acts, column, half(block))
    }
}

format! {
    /// 4-bit weights and a minimum: `d`, `m`, `qs[16]`.
    Q4_1, 20, with_min, |isa, block, acts, column| {
        unsigned(isa, isa.nibbles(part(block, 4)), acts, column, two_halves(block))
    }
}

format! {
    /// 5-bit weights less 16: `d`, `qh[4]`, `qs[16]`.
    Q5_0, 22, centred::<I, Self, P, 4>, |isa, block, acts, column| {
        unsigned(isa, five_bits(isa, part(block, 6), part(block, 2)), acts, column, half(block))
    }
}

format! {
    /// 5-bit weights and a minimum: `d`, `m`, `qh[4]`, `qs[16]`.
    Q5_1, 24, with_min, |isa, block, acts, column| {
        unsigned(isa, five_bits(isa, part(block, 8), part(block, 4)), acts, column, two_halves(block))
    }
}

format! {
    /// 8-bit weights: `d`, `qs[32]`.
    Q8_0, 34, plain, |isa, block, acts, column| {
        let mut t = BlockInts::new(isa, half(block));
        let w = isa.bytes(part(block, 2));
        for p in 0..P {
            let [y] = acts.digits(p, column);
            let (none, y) = (isa.sums(0), isa.digits(y));
            // The top plane's digits are never -128.
            t.isum[p] = if p == 0 { isa.dot_signed_top(none, w, y) } else { isa.dot_signed(none, w, y) };
        }
        t
    }
}
