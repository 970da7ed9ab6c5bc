//! What unpacking a panel needs of an instruction set: vectors of dwords, whose lanes are the rows of the panel.

use core::ops::{BitAnd, BitOr, Shl, Shr};

/// Operations on one dword each of `R` rows.
pub(crate) trait Columns<const R: usize>: Copy {
    /// One u32 a row.
    type Dwords: Copy;

    /// The 8 dwords from byte `at` of each block on, transposed.
    fn run<const B: usize>(self, blocks: &[&[u8; B]; R], at: usize) -> [Self::Dwords; 8];
    /// `x & mask`.
    fn and(self, x: Self::Dwords, mask: u32) -> Self::Dwords;
    /// `a | b`.
    fn or(self, a: Self::Dwords, b: Self::Dwords) -> Self::Dwords;
    /// `x << bits`, of which there are fewer than 32.
    fn shl(self, x: Self::Dwords, bits: u32) -> Self::Dwords;
    /// `x >> bits`, of which there are fewer than 32.
    fn shr(self, x: Self::Dwords, bits: u32) -> Self::Dwords;
    /// Each byte less `offset`, wrapping.
    fn sub_bytes(self, x: Self::Dwords, offset: u8) -> Self::Dwords;
    /// The dwords' bytes, least significant first.
    fn store(self, x: Self::Dwords, to: &mut [[u8; 4]; R]);
}

/// One dword of each row.
#[derive(Clone, Copy)]
pub(crate) struct Column<I: Columns<R>, const R: usize>(I, I::Dwords);

impl<I: Columns<R>, const R: usize> Column<I, R> {
    /// The 8 dwords from byte `at` of each block on.
    #[inline(always)]
    pub(crate) fn run<const B: usize>(isa: I, blocks: &[&[u8; B]; R], at: usize) -> [Self; 8] {
        let dwords = isa.run(blocks, at);
        let mut columns = [Self(isa, dwords[0]); 8];
        for (column, dwords) in columns.iter_mut().zip(dwords) {
            column.1 = dwords;
        }
        columns
    }

    /// Each byte less `offset`, wrapping.
    #[inline(always)]
    pub(crate) fn less(self, offset: u8) -> Self {
        Self(self.0, self.0.sub_bytes(self.1, offset))
    }

    /// The dwords' bytes, least significant first.
    #[inline(always)]
    pub(crate) fn store(self, to: &mut [[u8; 4]; R]) {
        self.0.store(self.1, to);
    }
}

impl<I: Columns<R>, const R: usize> BitAnd<u32> for Column<I, R> {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, mask: u32) -> Self {
        Self(self.0, self.0.and(self.1, mask))
    }
}

impl<I: Columns<R>, const R: usize> BitOr for Column<I, R> {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(self.0, self.0.or(self.1, other.1))
    }
}

impl<I: Columns<R>, const R: usize> Shl<u32> for Column<I, R> {
    type Output = Self;
    #[inline(always)]
    fn shl(self, bits: u32) -> Self {
        Self(self.0, self.0.shl(self.1, bits))
    }
}

impl<I: Columns<R>, const R: usize> Shr<u32> for Column<I, R> {
    type Output = Self;
    #[inline(always)]
    fn shr(self, bits: u32) -> Self {
        Self(self.0, self.0.shr(self.1, bits))
    }
}

/// The 32 bytes at `at` of a block.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(super) fn run<const B: usize>(block: &[u8; B], at: usize) -> &[u8; 32] {
    block[at..].first_chunk().expect("a run lies in its block")
}
