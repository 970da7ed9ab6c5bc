//! Super-blocks of 256 weights.

use super::format::{BlockActs, BlockInts, Format, Layout, isum, min, msum, scale};
use crate::simd::ints::{Ints, STEP, SubBlocks, unpack_scales8};

/// Layout, stream and lengths of a super-block format.
macro_rules! super_block {
    ($bytes:literal) => {
        const LEN: usize = 256;
        const BYTES: usize = $bytes;
        const SUM_COUNT: usize = 16;
        type Block = [u8; $bytes];

        #[inline(always)]
        fn stream(bytes: &[u8]) -> (&[Self::Block], &[u8]) {
            bytes.as_chunks()
        }
    };
}

/// 16 or 32 or so many bytes of a block, from `at` on. The lengths are constants: nothing is checked at run time.
#[inline(always)]
fn part<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    block.get(at..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; N])
}

/// A half, and another one after it.
#[inline(always)]
fn two_halves(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*part(block, at))
}

/// A half.
#[inline(always)]
fn half(block: &[u8], at: usize) -> u32 {
    u32::from(u16::from_le_bytes(*part(block, at)))
}

/// The sixteen 6-bit scales of Q3_K, less 32, packed in 12 bytes.
#[inline(always)]
fn q3_scales(packed: &[u8; 12]) -> [i8; 16] {
    let [a, b, c] = [0, 4, 8].map(|at| u32::from_le_bytes(*part(packed, at)));
    let (low, high) = (0x0f0f_0f0f, 0x0303_0303);
    let words = [
        (a & low) | (c & high) << 4,
        (b & low) | ((c >> 2) & high) << 4,
        ((a >> 4) & low) | ((c >> 4) & high) << 4,
        ((b >> 4) & low) | ((c >> 6) & high) << 4,
    ];
    core::array::from_fn(|i| (words[i / 4] >> (8 * (i % 4))) as u8 as i8 - 32)
}

/// `term = (d·dy)·isum − (dmin·dy)·msum`.
#[inline(always)]
fn with_mins<I: Ints, const P: usize>(isa: I, t: &[BlockInts<I, P>; STEP], dy: I::Floats) -> I::Floats {
    let weights = isa.mul(isa.mul(scale(isa, t), dy), isum(isa, t, |_, sums| sums));
    isa.sub(weights, isa.mul(isa.mul(min(isa, t), dy), msum(isa, t)))
}

/// `term = (d·dy)·isum`.
#[inline(always)]
fn plain<I: Ints, const P: usize>(isa: I, t: &[BlockInts<I, P>; STEP], dy: I::Floats) -> I::Floats {
    isa.mul(isa.mul(scale(isa, t), dy), isum(isa, t, |_, sums| sums))
}

/// Two weight vectors with the digits of pieces `J` and `J + 1` of every plane, by the scales that go with them.
macro_rules! dots {
    ($dot:ident, $isa:ident, $t:ident, $y:ident, $s:tt, $($j:literal: $u:expr, $v:expr);*) => {
        $(dots!(@two $dot, $isa, $t, $y, $s, $j, $u, $v);)*
    };
    (@two $dot:ident, $isa:ident, $t:ident, $y:ident, ($($s:expr),*), $j:literal, $u:expr, $v:expr) => {
        let u = [$u, $v];
        for p in 0..P {
            let y = [$isa.digits(&$y[p][$j]), $isa.digits(&$y[p][$j + 1])];
            $t.isum[p] = $isa.$dot::<$j>($t.isum[p], u, y, $($s),*);
        }
    };
}

/// 2-bit weights, groups of 16 with 4-bit scales and minimums: `scales[16]`, `qs[64]`, `d`, `dmin`.
pub(super) struct Q2K;

impl Layout for Q2K {
    super_block!(84);
}

impl<I: Ints> Format<I> for Q2K {
    #[inline(always)]
    fn block<const P: usize>(
        isa: I,
        picks: I::Picks,
        block: &[u8; 84],
        acts: &BlockActs<'_, Self>,
        column: usize,
    ) -> BlockInts<I, P> {
        let mut t = BlockInts::new(isa, two_halves(block, 80));
        let packed: &[u8; 16] = part(block, 0);
        let s = isa.scales16(&packed.map(|b| (b & 15).cast_signed()));
        let m = isa.scales16(&packed.map(|b| (b >> 4).cast_signed()));
        let y: [&[[i8; 32]; 8]; P] = core::array::from_fn(|p| acts.digits(p, column));
        let b = isa.bytes(part(block, 16));
        dots!(dot_grouped, isa, t, y, (s, picks), 0: isa.and(b, 3), isa.shr_and::<2>(b, 3); 2: isa.shr_and::<4>(b, 3),
            isa.shr_and::<6>(b, 3));
        let b = isa.bytes(part(block, 48));
        dots!(dot_grouped, isa, t, y, (s, picks), 4: isa.and(b, 3), isa.shr_and::<2>(b, 3); 6: isa.shr_and::<4>(b, 3),
            isa.shr_and::<6>(b, 3));
        for p in 0..P {
            t.msum[p] = isa.dot_sums(m, acts.sums(p, column));
        }
        t
    }

    #[inline(always)]
    fn terms<const P: usize>(
        isa: I,
        t: &[BlockInts<I, P>; STEP],
        _: &BlockActs<'_, Self>,
        _: usize,
        dy: I::Floats,
    ) -> I::Floats {
        with_mins(isa, t, dy)
    }
}

/// 3-bit weights less 4, groups of 16 with 6-bit scales less 32: `hmask[32]`, `qs[64]`, `scales[12]`, `d`.
pub(super) struct Q3K;

impl Layout for Q3K {
    super_block!(110);
}

impl<I: Ints> Format<I> for Q3K {
    #[inline(always)]
    fn block<const P: usize>(
        isa: I,
        picks: I::Picks,
        block: &[u8; 110],
        acts: &BlockActs<'_, Self>,
        column: usize,
    ) -> BlockInts<I, P> {
        let mut t = BlockInts::new(isa, half(block, 108));
        let s = isa.scales16(&q3_scales(part(block, 96)));
        let h = isa.bytes(part(block, 0));
        let y: [&[[i8; 32]; 8]; P] = core::array::from_fn(|p| acts.digits(p, column));
        let b = isa.bytes(part(block, 32));
        dots!(dot_grouped, isa, t, y, (s, picks),
            0: isa.or(isa.and(b, 3), isa.shl_and::<2>(h, 4)),
            isa.or(isa.shr_and::<2>(b, 3), isa.shl_and::<1>(h, 4));
            2: isa.or(isa.shr_and::<4>(b, 3), isa.and(h, 4)),
            isa.or(isa.shr_and::<6>(b, 3), isa.shr_and::<1>(h, 4)));
        let b = isa.bytes(part(block, 64));
        dots!(dot_grouped, isa, t, y, (s, picks),
            4: isa.or(isa.and(b, 3), isa.shr_and::<2>(h, 4)),
            isa.or(isa.shr_and::<2>(b, 3), isa.shr_and::<3>(h, 4));
            6: isa.or(isa.shr_and::<4>(b, 3), isa.shr_and::<4>(h, 4)),
            isa.or(isa.shr_and::<6>(b, 3), isa.shr_and::<5>(h, 4)));
        for p in 0..P {
            // Each weight was taken 4 too large.
            t.isum[p] = isa.sub_shl::<2>(t.isum[p], isa.dot_sums(s, acts.sums(p, column)));
        }
        t
    }

    #[inline(always)]
    fn terms<const P: usize>(
        isa: I,
        t: &[BlockInts<I, P>; STEP],
        _: &BlockActs<'_, Self>,
        _: usize,
        dy: I::Floats,
    ) -> I::Floats {
        plain(isa, t, dy)
    }
}

/// 4-bit weights, sub-blocks of 32 with 6-bit scales and minimums: `d`, `dmin`, `scales[12]`, `qs[128]`.
pub(super) struct Q4K;

impl Layout for Q4K {
    super_block!(144);
}

impl<I: SubBlocks> Format<I> for Q4K {
    #[inline(always)]
    fn block<const P: usize>(
        isa: I,
        _: I::Picks,
        block: &[u8; 144],
        acts: &BlockActs<'_, Self>,
        column: usize,
    ) -> BlockInts<I, P> {
        let mut t = BlockInts::new(isa, two_halves(block, 0));
        let (s, m) = unpack_scales8(part(block, 0));
        let y: [&[[i8; 32]; 8]; P] = core::array::from_fn(|p| acts.digits(p, column));
        let [a, b, c, d] = [16, 48, 80, 112].map(|at| isa.bytes(part(block, at)));
        for p in 0..P {
            t.msum[p] = isa.dot_mins(&m, acts.sums(p, column));
        }
        dots!(dot_scaled, isa, t, y, (&s),
            0: isa.and(a, 15), isa.shr_and::<4>(a, 15); 2: isa.and(b, 15), isa.shr_and::<4>(b, 15);
            4: isa.and(c, 15), isa.shr_and::<4>(c, 15); 6: isa.and(d, 15), isa.shr_and::<4>(d, 15));
        t
    }

    #[inline(always)]
    fn terms<const P: usize>(
        isa: I,
        t: &[BlockInts<I, P>; STEP],
        _: &BlockActs<'_, Self>,
        _: usize,
        dy: I::Floats,
    ) -> I::Floats {
        with_mins(isa, t, dy)
    }
}

/// 5-bit weights, sub-blocks of 32 with 6-bit scales and minimums: `d`, `dmin`, `scales[12]`, `qh[32]`, `qs[128]`.
pub(super) struct Q5K;

impl Layout for Q5K {
    super_block!(176);
}

impl<I: SubBlocks> Format<I> for Q5K {
    #[inline(always)]
    fn block<const P: usize>(
        isa: I,
        _: I::Picks,
        block: &[u8; 176],
        acts: &BlockActs<'_, Self>,
        column: usize,
    ) -> BlockInts<I, P> {
        let mut t = BlockInts::new(isa, two_halves(block, 0));
        let (s, m) = unpack_scales8(part(block, 0));
        let y: [&[[i8; 32]; 8]; P] = core::array::from_fn(|p| acts.digits(p, column));
        let h = isa.bytes(part(block, 16));
        let [a, b, c, d] = [48, 80, 112, 144].map(|at| isa.bytes(part(block, at)));
        for p in 0..P {
            t.msum[p] = isa.dot_mins(&m, acts.sums(p, column));
        }
        dots!(dot_scaled, isa, t, y, (&s),
            0: isa.or(isa.and(a, 15), isa.shl_and::<4>(h, 16)),
            isa.or(isa.shr_and::<4>(a, 15), isa.shl_and::<3>(h, 16));
            2: isa.or(isa.and(b, 15), isa.shl_and::<2>(h, 16)),
            isa.or(isa.shr_and::<4>(b, 15), isa.shl_and::<1>(h, 16));
            4: isa.or(isa.and(c, 15), isa.and(h, 16)),
            isa.or(isa.shr_and::<4>(c, 15), isa.shr_and::<1>(h, 16));
            6: isa.or(isa.and(d, 15), isa.shr_and::<2>(h, 16)),
            isa.or(isa.shr_and::<4>(d, 15), isa.shr_and::<3>(h, 16)));
        t
    }

    #[inline(always)]
    fn terms<const P: usize>(
        isa: I,
        t: &[BlockInts<I, P>; STEP],
        _: &BlockActs<'_, Self>,
        _: usize,
        dy: I::Floats,
    ) -> I::Floats {
        with_mins(isa, t, dy)
    }
}

/// 6-bit weights less 32, groups of 16 with 8-bit scales: `ql[128]`, `qh[64]`, `scales[16]`, `d`.
pub(super) struct Q6K;

impl Layout for Q6K {
    super_block!(210);
}

impl<I: Ints> Format<I> for Q6K {
    #[inline(always)]
    fn block<const P: usize>(
        isa: I,
        picks: I::Picks,
        block: &[u8; 210],
        acts: &BlockActs<'_, Self>,
        column: usize,
    ) -> BlockInts<I, P> {
        let mut t = BlockInts::new(isa, half(block, 208));
        let s = isa.scales16(bytemuck::cast_ref(part::<16>(block, 192)));
        let y: [&[[i8; 32]; 8]; P] = core::array::from_fn(|p| acts.digits(p, column));
        let (a, b, h) = (isa.bytes(part(block, 0)), isa.bytes(part(block, 32)), isa.bytes(part(block, 128)));
        dots!(dot_grouped, isa, t, y, (s, picks),
            0: isa.or(isa.and(a, 15), isa.shl_and::<4>(h, 48)),
            isa.or(isa.and(b, 15), isa.shl_and::<2>(h, 48));
            2: isa.or(isa.shr_and::<4>(a, 15), isa.and(h, 48)),
            isa.or(isa.shr_and::<4>(b, 15), isa.shr_and::<2>(h, 48)));
        let (a, b, h) = (isa.bytes(part(block, 64)), isa.bytes(part(block, 96)), isa.bytes(part(block, 160)));
        dots!(dot_grouped, isa, t, y, (s, picks),
            4: isa.or(isa.and(a, 15), isa.shl_and::<4>(h, 48)),
            isa.or(isa.and(b, 15), isa.shl_and::<2>(h, 48));
            6: isa.or(isa.shr_and::<4>(a, 15), isa.and(h, 48)),
            isa.or(isa.shr_and::<4>(b, 15), isa.shr_and::<2>(h, 48)));
        for p in 0..P {
            // Each weight was taken 32 too large.
            t.isum[p] = isa.sub_shl::<5>(t.isum[p], isa.dot_sums(s, acts.sums(p, column)));
        }
        t
    }

    #[inline(always)]
    fn terms<const P: usize>(
        isa: I,
        t: &[BlockInts<I, P>; STEP],
        _: &BlockActs<'_, Self>,
        _: usize,
        dy: I::Floats,
    ) -> I::Floats {
        plain(isa, t, dy)
    }
}

/// 8-bit weights under one f32 scale: `d`, `qs[256]`, sums that multiplying by digits has no use for.
pub(super) struct Q8K;

impl Layout for Q8K {
    super_block!(292);
}

impl<I: Ints> Format<I> for Q8K {
    #[inline(always)]
    fn block<const P: usize>(
        isa: I,
        _: I::Picks,
        block: &[u8; 292],
        acts: &BlockActs<'_, Self>,
        column: usize,
    ) -> BlockInts<I, P> {
        let mut t = BlockInts::new(isa, u32::from_le_bytes(*part(block, 0)));
        let qs: &[u8; 256] = part(block, 4);
        let y: [&[[i8; 32]; 8]; P] = core::array::from_fn(|p| acts.digits(p, column));
        for (j, w) in qs.as_chunks().0.iter().enumerate() {
            let w = isa.bytes(w);
            for p in 0..P {
                let y = isa.digits(&y[p][j]);
                // The top plane's digits are never -128.
                let sum = t.isum[p];
                t.isum[p] = if p == 0 { isa.dot_signed_top(sum, w, y) } else { isa.dot_signed(sum, w, y) };
            }
        }
        t
    }

    #[inline(always)]
    fn terms<const P: usize>(
        isa: I,
        t: &[BlockInts<I, P>; STEP],
        _: &BlockActs<'_, Self>,
        _: usize,
        dy: I::Floats,
    ) -> I::Floats {
        let d = isa.floats(&core::array::from_fn(|i| f32::from_bits(t[i].d)));
        isa.mul(isa.mul(d, dy), isum(isa, t, |_, sums| sums))
    }
}
