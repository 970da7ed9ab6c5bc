//! Columns of 8 rows, two registers each.

use super::Neon;
use crate::array::from_fn;
use crate::simd::columns::{Columns, run};
use crate::simd::isa_ops;
use core::arch::aarch64::*;

const R: usize = 8;
type Dwords = [uint32x4_t; 2];

/// Transposes 4 columns of 4 rows.
#[target_feature(enable = "neon")]
#[inline]
fn square(rows: [&[u8; 16]; 4]) -> [uint32x4_t; 4] {
    let mut v = [vdupq_n_u32(0); 4];
    for (v, row) in v.iter_mut().zip(rows) {
        // SAFETY: the array spans 16 bytes.
        *v = vreinterpretq_u32_u8(unsafe { vld1q_u8(row.as_ptr()) });
    }
    let wide = |x| vreinterpretq_u64_u32(x);
    let (a, b) = (wide(vtrn1q_u32(v[0], v[1])), wide(vtrn1q_u32(v[2], v[3])));
    let (c, d) = (wide(vtrn2q_u32(v[0], v[1])), wide(vtrn2q_u32(v[2], v[3])));
    let dwords = |x| vreinterpretq_u32_u64(x);
    [dwords(vtrn1q_u64(a, b)), dwords(vtrn1q_u64(c, d)), dwords(vtrn2q_u64(a, b)), dwords(vtrn2q_u64(c, d))]
}

/// `panel[c][r] = rows[r][c]` for the first `columns`, a multiple of 4.
#[target_feature(enable = "neon")]
#[inline]
pub(crate) fn transpose<const C: usize>(
    rows: &[[[u8; 4]; C]; R],
    panel: &mut [[[u8; 4]; R]; C],
    columns: usize,
) {
    for (c, to) in panel[..columns].as_chunks_mut::<4>().0.iter_mut().enumerate() {
        for row in [0, 4] {
            let run = |i: usize| rows[row + i].as_flattened()[16 * c..].first_chunk();
            let columns = square(from_fn(|i| run(i).expect("whole squares")));
            for (to, column) in to.iter_mut().zip(columns) {
                let to: &mut [[u8; 4]; 4] = to[row..].first_chunk_mut().expect("whole squares");
                // SAFETY: the array spans 16 bytes.
                unsafe { vst1q_u8(to.as_mut_ptr().cast(), vreinterpretq_u8_u32(column)) };
            }
        }
    }
}

impl Columns<R> for Neon {
    type Dwords = Dwords;

    #[inline(always)]
    fn run<const B: usize>(self, blocks: &[&[u8; B]; R], at: usize) -> [Dwords; 8] {
        let quarter = |row: usize, c: usize| {
            let rows = from_fn(|i| &run(blocks[row + i], at).as_chunks().0[c]);
            // SAFETY: a value of this type exists only where the feature is available.
            unsafe { square(rows) }
        };
        let (a, b, c, d) = (quarter(0, 0), quarter(4, 0), quarter(0, 1), quarter(4, 1));
        [
            [a[0], b[0]],
            [a[1], b[1]],
            [a[2], b[2]],
            [a[3], b[3]],
            [c[0], d[0]],
            [c[1], d[1]],
            [c[2], d[2]],
            [c[3], d[3]],
        ]
    }

    isa_ops! { Neon, "neon";
        fn and(x: Dwords, mask: u32) -> Dwords {
            let mask = vdupq_n_u32(mask);
            [vandq_u32(x[0], mask), vandq_u32(x[1], mask)]
        }
        fn or(a: Dwords, b: Dwords) -> Dwords { [vorrq_u32(a[0], b[0]), vorrq_u32(a[1], b[1])] }
        fn shl(x: Dwords, bits: u32) -> Dwords {
            let bits = vdupq_n_s32(bits as i32);
            [vshlq_u32(x[0], bits), vshlq_u32(x[1], bits)]
        }
        fn shr(x: Dwords, bits: u32) -> Dwords {
            let bits = vdupq_n_s32(-(bits as i32));
            [vshlq_u32(x[0], bits), vshlq_u32(x[1], bits)]
        }
        fn sub_bytes(x: Dwords, offset: u8) -> Dwords {
            let offset = vdupq_n_u8(offset);
            let less = |x| vreinterpretq_u32_u8(vsubq_u8(vreinterpretq_u8_u32(x), offset));
            [less(x[0]), less(x[1])]
        }
        fn store(x: Dwords, to: &mut [[u8; 4]; R]) {
            let to = to.as_flattened_mut().as_mut_ptr();
            // SAFETY: the array spans 32 bytes; the stores cover its two halves.
            unsafe {
                vst1q_u8(to, vreinterpretq_u8_u32(x[0]));
                vst1q_u8(to.add(16), vreinterpretq_u8_u32(x[1]));
            }
        }
    }
}
