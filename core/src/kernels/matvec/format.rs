//! What a format tells the kernel: how a block becomes integers, and eight blocks' integers become terms.

use crate::array::from_fn;
use crate::kernels::{ActToken, WRAP};
use crate::part::holds;
use crate::simd::ints::{Ints, STEP};
use core::marker::PhantomData;

/// A block format's measures.
pub(super) trait Layout {
    /// Weights in a block.
    const LEN: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Sums of digits that the activations have for a block.
    const SUM_COUNT: usize;
    /// A block's bytes.
    type Block;

    /// The blocks in `bytes`, and what is left over.
    fn stream(bytes: &[u8]) -> (&[Self::Block], &[u8]);
}

/// A block format, as the row kernel of an instruction set sees it.
pub(super) trait Format<I: Ints>: Layout {
    /// The integers and scales of `block`, which meets activation block `column`.
    fn block<const P: usize>(
        isa: I,
        picks: I::Picks,
        block: &Self::Block,
        acts: &BlockActs<'_, Self>,
        column: usize,
    ) -> BlockInts<I, P>
    where
        Self: Sized;

    /// The terms of eight blocks, whose first meets activation block `column`; `dy` are the activations' scales.
    fn terms<const P: usize>(
        isa: I,
        t: &[BlockInts<I, P>; STEP],
        acts: &BlockActs<'_, Self>,
        column: usize,
        dy: I::Floats,
    ) -> I::Floats
    where
        Self: Sized;
}

/// Integers and scales of one block.
#[derive(Clone, Copy)]
pub(super) struct BlockInts<I: Ints, const P: usize> {
    /// Partial sums of scale · weight · digit, by plane.
    pub(super) isum: [I::Sums; P],
    /// Partial sums of minimum · sum of digits, by plane, where the format has minimums in its sub-blocks.
    pub(super) msum: [I::Sums; P],
    /// Scale, and minimum or minimum's scale, as halves; a scale that is f32, as its bits.
    pub(super) d: u32,
}

impl<I: Ints, const P: usize> BlockInts<I, P> {
    /// Nothing but a scale.
    #[inline(always)]
    pub(super) fn new(isa: I, d: u32) -> Self {
        let none = isa.sums(0);
        Self { isum: [none; P], msum: [none; P], d }
    }
}

/// The scales `d`.
#[inline(always)]
pub(super) fn scale<I: Ints, const P: usize>(isa: I, t: &[BlockInts<I, P>; STEP]) -> I::Floats {
    isa.halves(&from_fn(|i| t[i].d as u16))
}

/// The minimums `m`, or their scales.
#[inline(always)]
pub(super) fn min<I: Ints, const P: usize>(isa: I, t: &[BlockInts<I, P>; STEP]) -> I::Floats {
    isa.halves(&from_fn(|i| (t[i].d >> 16) as u16))
}

/// `isum` of every block, as `fix(plane, sums)` corrects it, planes joined.
#[inline(always)]
pub(super) fn isum<I: Ints, const P: usize>(
    isa: I,
    t: &[BlockInts<I, P>; STEP],
    fix: impl Fn(usize, I::Eight) -> I::Eight,
) -> I::Floats {
    let none = isa.sums(0);
    join(isa, P, |p| fix(p, isa.reduce(&from_fn(|i| *t[i].isum.get(p).unwrap_or(&none)))))
}

/// `msum` of every block, planes joined.
#[inline(always)]
pub(super) fn msum<I: Ints, const P: usize>(isa: I, t: &[BlockInts<I, P>; STEP]) -> I::Floats {
    let none = isa.sums(0);
    join(isa, P, |p| isa.reduce(&from_fn(|i| *t[i].msum.get(p).unwrap_or(&none))))
}

/// `f = f·256 + i`, most significant plane first; one plane is its own integer.
#[inline(always)]
pub(super) fn join<I: Ints>(isa: I, planes: usize, plane: impl Fn(usize) -> I::Eight) -> I::Floats {
    let mut joined = isa.to_f32(plane(0));
    for p in 1..planes {
        joined = isa.add(isa.mul(joined, isa.splat(256.0)), isa.to_f32(plane(p)));
    }
    joined
}

/// One token's activations, block by block.
pub(super) struct BlockActs<'a, F: ?Sized> {
    pub(super) blocks: usize,
    planes: usize,
    k: usize,
    q: &'a [i8],
    sum_count: usize,
    sums: &'a [i16],
    d: &'a [f32],
    format: PhantomData<F>,
}

#[allow(unsafe_code, reason = "checks in the innermost loop would cost as much as a tenth of it")]
impl<'a, F: Layout> BlockActs<'a, F> {
    /// `None` if `act` does not have `blocks` blocks of the format's length.
    #[inline(always)]
    pub(super) fn new(act: &ActToken<'a>, blocks: usize) -> Option<Self> {
        let &ActToken { k, planes, q, sums, d, .. } = act;
        let sum_count = F::SUM_COUNT * blocks + if F::SUM_COUNT == 1 { WRAP } else { 0 };
        let fits = k == blocks * F::LEN
            && q.len() == planes * k
            && d.len() == blocks + WRAP
            && sums.len() == planes * sum_count;
        holds(fits, "a token's activations").then_some(Self {
            blocks,
            planes,
            k,
            q,
            sum_count,
            sums,
            d,
            format: PhantomData,
        })
    }

    /// Digits of block `column` in plane `p`, in pieces of 32, of which a block has `N`.
    #[inline(always)]
    pub(super) fn digits<const N: usize>(&self, p: usize, column: usize) -> &'a [[i8; 32]; N] {
        const { assert!(32 * N == F::LEN) };
        debug_assert!(p < self.planes && column < self.blocks);
        // SAFETY: `q` has `planes` times `blocks` times `LEN` digits, as `new` has checked; the row loop counts
        // `column` from 0 to `blocks`, and `p` is below the number of planes that it was made for.
        unsafe { &*self.q.as_ptr().add(p * self.k + column * F::LEN).cast() }
    }

    /// Sums of the digits of block `column` in plane `p`, of which a block has `N`.
    #[inline(always)]
    pub(super) fn sums<const N: usize>(&self, p: usize, column: usize) -> &'a [i16; N] {
        const { assert!(N == F::SUM_COUNT) };
        debug_assert!(p < self.planes && column < self.blocks);
        // SAFETY: as in `digits`; `sums` has `planes` times `sum_count`, at least `N` a block, as `new` has checked.
        unsafe { &*self.sums.as_ptr().add(p * self.sum_count + column * N).cast() }
    }

    /// The digits' sums of eight blocks from `column` on, of a format with one sum a block.
    #[inline(always)]
    pub(super) fn sums_from(&self, p: usize, column: usize) -> &'a [i16; STEP] {
        const { assert!(F::SUM_COUNT == 1 && STEP <= WRAP) };
        debug_assert!(p < self.planes && column < self.blocks);
        // SAFETY: as in `sums`; the `WRAP` sums after the last block's are there for the last columns.
        unsafe { &*self.sums.as_ptr().add(p * self.sum_count + column).cast() }
    }

    /// The scales of eight blocks from `column` on.
    #[inline(always)]
    pub(super) fn scales_from(&self, column: usize) -> &'a [f32; STEP] {
        debug_assert!(column < self.blocks);
        // SAFETY: `d` has `blocks + WRAP` scales, as `new` has checked, and `column` is below `blocks`.
        unsafe { &*self.d.as_ptr().add(column).cast() }
    }
}
