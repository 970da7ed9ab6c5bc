//! Columns that ask for the bytes ahead of those that are read.

use crate::simd::columns::Columns;
use crate::simd::panel::PanelIsa;

/// The columns of `I`. Each run asks for the line that lies `bytes` ahead of its end in every row.
///
/// The rows of a panel are as many streams, more than hardware sees coming. Asked for at once, the lines of the next blocks
/// would fill the core's buffers for misses, and the memory would idle while the present ones are unpacked: with few
/// tokens that is a quarter of the time.
#[derive(Clone, Copy)]
pub(super) struct Ahead<I> {
    pub(super) isa: I,
    pub(super) bytes: usize,
}

/// Whether the run at `at` of a block of `len` bytes asks. Between the ends of those that do, and from the end of one block to
/// the first of them in the next, are at most 64 bytes, whatever the format: no line is left out.
const fn asks(at: usize, len: usize) -> bool {
    matches!(at % 64, 16 | 32) || at + 32 == len
}

impl<I: PanelIsa<R>, const R: usize> Columns<R> for Ahead<I> {
    type Dwords = <I::Columns as Columns<R>>::Dwords;

    #[inline(always)]
    fn run<const B: usize>(self, blocks: &[&[u8; B]; R], at: usize) -> [Self::Dwords; 8] {
        if asks(at, B) {
            for block in blocks {
                self.isa.prefetch(block.as_ptr().wrapping_add(at + 31).wrapping_add(self.bytes));
            }
        }
        self.isa.columns().run(blocks, at)
    }

    #[inline(always)]
    fn and(self, x: Self::Dwords, mask: u32) -> Self::Dwords {
        self.isa.columns().and(x, mask)
    }

    #[inline(always)]
    fn or(self, a: Self::Dwords, b: Self::Dwords) -> Self::Dwords {
        self.isa.columns().or(a, b)
    }

    #[inline(always)]
    fn shl(self, x: Self::Dwords, bits: u32) -> Self::Dwords {
        self.isa.columns().shl(x, bits)
    }

    #[inline(always)]
    fn shr(self, x: Self::Dwords, bits: u32) -> Self::Dwords {
        self.isa.columns().shr(x, bits)
    }

    #[inline(always)]
    fn sub_bytes(self, x: Self::Dwords, offset: u8) -> Self::Dwords {
        self.isa.columns().sub_bytes(x, offset)
    }

    #[inline(always)]
    fn store(self, x: Self::Dwords, to: &mut [[u8; 4]; R]) {
        self.isa.columns().store(x, to);
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::PanelFormat;
    use super::super::k_quants::{Q2K, Q3K, Q4K, Q5K, Q6K};
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    /// Columns that note where runs that ask end.
    #[derive(Clone, Copy)]
    struct Noting<'a>(&'a RefCell<BTreeSet<usize>>);

    impl Columns<1> for Noting<'_> {
        type Dwords = ();

        fn run<const B: usize>(self, _: &[&[u8; B]; 1], at: usize) -> [(); 8] {
            if asks(at, B) {
                self.0.borrow_mut().insert(at + 31);
            }
            [(); 8]
        }
        fn and(self, (): (), _: u32) {}
        fn or(self, (): (), (): ()) {}
        fn shl(self, (): (), _: u32) {}
        fn shr(self, (): (), _: u32) {}
        fn sub_bytes(self, (): (), _: u8) {}
        fn store(self, (): (), _: &mut [[u8; 4]; 1]) {}
    }

    fn leaves_no_line_out<F: PanelFormat<B, 64>, const B: usize>() {
        let asked = RefCell::default();
        F::unpack(Noting(&asked), &[&[0; B]], &mut [[[0; 4]]; 64], &mut [[[0; 4]]; 8], 0);
        let asked: Vec<_> = asked.into_inner().into_iter().collect();
        assert!(asked[0] < 64, "{B}: {asked:?}");
        assert!(asked.windows(2).all(|two| two[1] - two[0] <= 64), "{B}: {asked:?}");
        assert_eq!(asked.last(), Some(&(B - 1)));
        assert_eq!(asked.len(), B.div_ceil(64), "and none is asked for twice: {asked:?}");
    }

    #[test]
    fn no_line_is_left_out() {
        leaves_no_line_out::<Q2K, 84>();
        leaves_no_line_out::<Q3K, 110>();
        leaves_no_line_out::<Q4K, 144>();
        leaves_no_line_out::<Q5K, 176>();
        leaves_no_line_out::<Q6K, 210>();
    }
}
