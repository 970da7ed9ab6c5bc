//! Columns of 8 rows.

use super::Scalar;
use crate::array::map;
use crate::simd::columns::Columns;

const R: usize = 8;

impl Columns<R> for Scalar {
    type Dwords = [u32; R];

    #[inline(always)]
    fn run<const B: usize>(self, blocks: &[&[u8; B]; R], at: usize) -> [[u32; R]; 8] {
        let mut columns = [[0; R]; 8];
        for (r, block) in blocks.iter().enumerate() {
            for (column, dword) in columns.iter_mut().zip(block[at..].as_chunks().0) {
                column[r] = u32::from_le_bytes(*dword);
            }
        }
        columns
    }
    #[inline(always)]
    fn and(self, x: [u32; R], mask: u32) -> [u32; R] {
        map(&x, |x| x & mask)
    }
    #[inline(always)]
    fn or(self, mut a: [u32; R], b: [u32; R]) -> [u32; R] {
        for (a, b) in a.iter_mut().zip(b) {
            *a |= b;
        }
        a
    }
    #[inline(always)]
    fn shl(self, x: [u32; R], bits: u32) -> [u32; R] {
        map(&x, |x| x << bits)
    }
    #[inline(always)]
    fn shr(self, x: [u32; R], bits: u32) -> [u32; R] {
        map(&x, |x| x >> bits)
    }
    #[inline(always)]
    fn sub_bytes(self, x: [u32; R], offset: u8) -> [u32; R] {
        map(&x, |x| u32::from_ne_bytes(map(&x.to_ne_bytes(), |x| x.wrapping_sub(offset))))
    }
    #[inline(always)]
    fn store(self, x: [u32; R], to: &mut [[u8; 4]; R]) {
        *to = map(&x, u32::to_le_bytes);
    }
}
