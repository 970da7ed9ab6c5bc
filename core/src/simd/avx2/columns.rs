//! Columns of 16 rows, two registers each.

use super::Avx2;
use super::panel::{Pair, R};
use crate::array::from_fn;
use crate::simd::columns::{Columns, run};
use crate::simd::isa_ops;
use crate::simd::panel::all;
use core::arch::x86_64::*;

/// Transposes 8 columns of 8 rows.
#[target_feature(enable = "avx2")]
#[inline]
fn square(rows: &[&[u8; 32]; 8]) -> [__m256i; 8] {
    let mut v = [_mm256_setzero_si256(); 8];
    for (v, row) in v.iter_mut().zip(rows) {
        // SAFETY: the array spans 32 bytes; the load needs no alignment.
        *v = unsafe { _mm256_loadu_si256(row.as_ptr().cast()) };
    }
    let mut a = v;
    for i in 0..4 {
        a[2 * i] = _mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    // b[4i + j]: columns j (lower half) and j + 4 (upper half) of rows 4i..4i + 4.
    let mut b = a;
    for i in 0..2 {
        for j in 0..2 {
            b[4 * i + 2 * j] = _mm256_unpacklo_epi64(a[4 * i + j], a[4 * i + 2 + j]);
            b[4 * i + 2 * j + 1] = _mm256_unpackhi_epi64(a[4 * i + j], a[4 * i + 2 + j]);
        }
    }
    for j in 0..4 {
        v[j] = _mm256_permute2x128_si256::<0x20>(b[j], b[4 + j]);
        v[4 + j] = _mm256_permute2x128_si256::<0x31>(b[j], b[4 + j]);
    }
    v
}

/// `panel[c][r] = rows[r][c]` for the first `columns` (a multiple of 8) columns; `R` is a multiple of 8.
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn transpose<const R: usize, const C: usize>(
    rows: &[[[u8; 4]; C]; R],
    panel: &mut [[[u8; 4]; R]; C],
    columns: usize,
) {
    for (c, to) in panel[..columns].as_chunks_mut::<8>().0.iter_mut().enumerate() {
        for row in (0..R).step_by(8) {
            let run = |i: usize| rows[row + i].as_flattened()[32 * c..].first_chunk().expect("whole squares");
            for (to, column) in to.iter_mut().zip(square(&from_fn(run))) {
                let to: &mut [[u8; 4]; 8] = to[row..].first_chunk_mut().expect("whole squares");
                // SAFETY: the array spans 32 bytes; the store needs no alignment.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), column) };
            }
        }
    }
}

impl Columns<R> for Avx2 {
    type Dwords = Pair;

    #[inline(always)]
    fn run<const B: usize>(self, blocks: &[&[u8; B]; R], at: usize) -> [Pair; 8] {
        let rows: [_; R] = from_fn(|r| run(blocks[r], at));
        let (low, high) = rows.split_at(8);
        // SAFETY: a value of this type exists only where the feature is available.
        let (low, high) = unsafe { (square(all(low)), square(all(high))) };
        from_fn(|i| [low[i], high[i]])
    }

    isa_ops! { Avx2, "avx2";
        fn and(x: Pair, mask: u32) -> Pair {
            let mask = _mm256_set1_epi32(mask as i32);
            [_mm256_and_si256(x[0], mask), _mm256_and_si256(x[1], mask)]
        }
        fn or(a: Pair, b: Pair) -> Pair { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
        fn shl(x: Pair, bits: u32) -> Pair {
            let bits = _mm_cvtsi32_si128(bits as i32);
            [_mm256_sll_epi32(x[0], bits), _mm256_sll_epi32(x[1], bits)]
        }
        fn shr(x: Pair, bits: u32) -> Pair {
            let bits = _mm_cvtsi32_si128(bits as i32);
            [_mm256_srl_epi32(x[0], bits), _mm256_srl_epi32(x[1], bits)]
        }
        fn sub_bytes(x: Pair, offset: u8) -> Pair {
            let offset = _mm256_set1_epi8(offset as i8);
            [_mm256_sub_epi8(x[0], offset), _mm256_sub_epi8(x[1], offset)]
        }
        fn store(x: Pair, to: &mut [[u8; 4]; R]) {
            let to = to.as_flattened_mut().as_mut_ptr();
            // SAFETY: the array spans 64 bytes; the stores cover its two halves and need no alignment.
            unsafe {
                _mm256_storeu_si256(to.cast(), x[0]);
                _mm256_storeu_si256(to.add(32).cast(), x[1]);
            }
        }
    }
}
