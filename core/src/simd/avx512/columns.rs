//! Columns of 32 rows, two registers each.

use super::Avx512;
use super::panel::{Pair, R};
use crate::array::from_fn;
use crate::simd::columns::{Columns, run};
use crate::simd::isa_ops;
use crate::simd::panel::all;
use core::arch::x86_64::*;

/// Transposes 8 columns of 16 rows.
#[target_feature(enable = "avx512f")]
#[inline]
fn columns_of_16(rows: &[&[u8; 32]; 16]) -> [__m512i; 8] {
    let mut v = [_mm512_setzero_si512(); 8];
    for (i, v) in v.iter_mut().enumerate() {
        // SAFETY: the arrays span 32 bytes; the loads need no alignment.
        let (low, high) = unsafe {
            (_mm256_loadu_si256(rows[i].as_ptr().cast()), _mm256_loadu_si256(rows[8 + i].as_ptr().cast()))
        };
        *v = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
    }
    let mut a = v;
    for i in 0..4 {
        a[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    // b[4i + j]: columns j and j + 4 of rows 4i..4i + 4, then of rows 4i + 8..4i + 12.
    let mut b = a;
    for i in 0..2 {
        for j in 0..2 {
            b[4 * i + 2 * j] = _mm512_unpacklo_epi64(a[4 * i + j], a[4 * i + 2 + j]);
            b[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(a[4 * i + j], a[4 * i + 2 + j]);
        }
    }
    let low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    for j in 0..4 {
        v[j] = _mm512_permutex2var_epi64(b[j], low, b[4 + j]);
        v[4 + j] = _mm512_permutex2var_epi64(b[j], high, b[4 + j]);
    }
    v
}

impl Columns<R> for Avx512 {
    type Dwords = Pair;

    #[inline(always)]
    fn run<const B: usize>(self, blocks: &[&[u8; B]; R], at: usize) -> [Pair; 8] {
        let rows: [_; R] = from_fn(|r| run(blocks[r], at));
        let (low, high) = rows.split_at(16);
        // SAFETY: a value of this type exists only where the feature is available.
        let (low, high) = unsafe { (columns_of_16(all(low)), columns_of_16(all(high))) };
        from_fn(|i| [low[i], high[i]])
    }

    isa_ops! { Avx512, "avx512f,avx512bw";
        fn and(x: Pair, mask: u32) -> Pair {
            let mask = _mm512_set1_epi32(mask as i32);
            [_mm512_and_si512(x[0], mask), _mm512_and_si512(x[1], mask)]
        }
        fn or(a: Pair, b: Pair) -> Pair { [_mm512_or_si512(a[0], b[0]), _mm512_or_si512(a[1], b[1])] }
        fn shl(x: Pair, bits: u32) -> Pair {
            let bits = _mm_cvtsi32_si128(bits as i32);
            [_mm512_sll_epi32(x[0], bits), _mm512_sll_epi32(x[1], bits)]
        }
        fn shr(x: Pair, bits: u32) -> Pair {
            let bits = _mm_cvtsi32_si128(bits as i32);
            [_mm512_srl_epi32(x[0], bits), _mm512_srl_epi32(x[1], bits)]
        }
        fn sub_bytes(x: Pair, offset: u8) -> Pair {
            let offset = _mm512_set1_epi8(offset as i8);
            [_mm512_sub_epi8(x[0], offset), _mm512_sub_epi8(x[1], offset)]
        }
        fn store(x: Pair, to: &mut [[u8; 4]; R]) {
            let to = to.as_flattened_mut().as_mut_ptr();
            // SAFETY: the array spans 128 bytes; the stores cover its two halves and need no alignment.
            unsafe {
                _mm512_storeu_si512(to.cast(), x[0]);
                _mm512_storeu_si512(to.add(64).cast(), x[1]);
            }
        }
    }
}
