//! Panels of 8 rows in pairs, times pairs of tokens: a register holds 8 bytes of each of a pair, and one instruction
//! multiplies each row with each token.
//!
//! Until they are settled, sums of tokens `2i` and `2i + 1` lie together: those with rows 0..=3 where token `2i`'s belong,
//! those with rows 4..=7 where token `2i + 1`'s do, in the order row 0 token `2i`, row 0 token `2i + 1`, row 1 token `2i`
//! and so on.

use super::I8mm;
use crate::simd::dotprod::panel_as_neon;
use crate::simd::neon::Neon;
use crate::simd::{isa_ops, panel::PanelIsa};
use core::arch::aarch64::*;
use core::arch::asm;

const R: usize = 8;
type Ints = <Neon as PanelIsa<R>>::Ints;
type Floats = <Neon as PanelIsa<R>>::Floats;

/// Columns of a panel that hold weights; scales and minimums follow.
const WEIGHT_COLUMNS: usize = 64;

/// `acc` and the products of two rows of 8 weights with two tokens' digits.
#[target_feature(enable = "neon,i8mm")]
#[inline]
fn smmla(mut acc: int32x4_t, w: int8x16_t, y: int8x16_t) -> int32x4_t {
    // SAFETY: the function is compiled for the feature; the instruction reads and writes these registers only.
    unsafe {
        asm!(
            "smmla {acc:v}.4s, {w:v}.16b, {y:v}.16b",
            acc = inout(vreg) acc, w = in(vreg) w, y = in(vreg) y,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// Two tokens' 16 digits: the first 8 of both, the last 8 of both.
#[target_feature(enable = "neon")]
#[inline]
fn interleave(a: &[[i8; 4]; 4], b: &[[i8; 4]; 4]) -> [int8x16_t; 2] {
    // SAFETY: each array spans 16 bytes; the loads need no alignment.
    let (a, b) = unsafe { (vld1q_s8(a.as_ptr().cast()), vld1q_s8(b.as_ptr().cast())) };
    let (a, b) = (vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b));
    [vreinterpretq_s8_s64(vtrn1q_s64(a, b)), vreinterpretq_s8_s64(vtrn2q_s64(a, b))]
}

#[target_feature(enable = "neon,dotprod,i8mm")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "fours index weights and digits at once")]
fn dots<const S: usize, const T: usize>(
    mut part: [Ints; T],
    w: &[[[u8; 4]; R]; S],
    q: [&[[i8; 4]; S]; T],
) -> [Ints; T] {
    let fours = q.map(|q| q.as_chunks::<4>().0);
    let w: *const i8 = w.as_ptr().cast();
    for four in 0..S / 4 {
        for pair in 0..T / 2 {
            let y = interleave(&fours[2 * pair][four], &fours[2 * pair + 1][four]);
            for (eight, y) in y.into_iter().enumerate() {
                for i in 0..4 {
                    // SAFETY: the array spans `S` steps of 32 bytes, and four steps eight registers.
                    let w = unsafe { vld1q_s8(w.add(16 * (8 * four + 4 * eight + i))) };
                    let acc = &mut part[2 * pair + i / 2][i % 2];
                    *acc = smmla(*acc, w, y);
                }
            }
        }
    }
    part
}

/// Each row's scale in both of its places.
#[target_feature(enable = "neon")]
#[inline]
fn fold_all_scaled<const T: usize>(mut acc: [Ints; T], part: [Ints; T], scale: &[i32; R]) -> [Ints; T] {
    // SAFETY: the array spans 8 numbers; the loads cover its two halves.
    let (a, b) = unsafe { (vld1q_s32(scale.as_ptr()), vld1q_s32(scale.as_ptr().add(4))) };
    let scale = [[vzip1q_s32(a, a), vzip2q_s32(a, a)], [vzip1q_s32(b, b), vzip2q_s32(b, b)]];
    for (t, (acc, part)) in acc.iter_mut().zip(part).enumerate() {
        let scale = scale[t % 2];
        *acc = [vmlaq_s32(acc[0], part[0], scale[0]), vmlaq_s32(acc[1], part[1], scale[1])];
    }
    acc
}

#[target_feature(enable = "neon")]
#[inline]
fn settle<const T: usize>(mut acc: [Ints; T]) -> [Ints; T] {
    for pair in acc.as_chunks_mut::<2>().0 {
        let [a, b] = *pair;
        *pair = [
            [vuzp1q_s32(a[0], a[1]), vuzp1q_s32(b[0], b[1])],
            [vuzp2q_s32(a[0], a[1]), vuzp2q_s32(b[0], b[1])],
        ];
    }
    acc
}

/// Weights of 2 rows and 8 columns together, one pair of rows after the other.
#[target_feature(enable = "neon")]
#[inline]
fn pair_rows<const C: usize>(rows: &[[[u8; 4]; C]; R], panel: &mut [[[u8; 4]; R]; C], columns: usize) {
    assert!(columns <= C && columns.is_multiple_of(4));
    let to: *mut u64 = panel.as_mut_ptr().cast();
    for column in (0..columns).step_by(4) {
        for pair in 0..R / 2 {
            // SAFETY: a row has `C >= column + 4` elements of 4 bytes, so that 16 bytes can be read from `column` on. Two
            // columns of the panel take 64 bytes, which are its four pairs of rows.
            unsafe {
                let a = vld1q_u64(rows[2 * pair].as_ptr().add(column).cast());
                let b = vld1q_u64(rows[2 * pair + 1].as_ptr().add(column).cast());
                let to = to.add(4 * column + 2 * pair);
                vst1q_u64(to, vtrn1q_u64(a, b));
                vst1q_u64(to.add(8), vtrn2q_u64(a, b));
            }
        }
    }
}

impl PanelIsa<R> for I8mm {
    const TOKENS: usize = 4;
    const PART_PRODUCTS: usize = 0;
    const PAIRED_SCALES: bool = false;
    const SIGNED: bool = true;
    const PAIRS: bool = true;
    // 8 registers of integer sums, 8 of floats, a weight's and 4 of digits.
    const KEEP_SUMS: bool = true;
    type Weights = [int8x16_t; 2];
    type Digits = int8x16_t;
    type Part = Ints;
    type WidePart = Ints;
    type Ints = Ints;
    type Floats = Floats;

    panel_as_neon!();

    #[inline(always)]
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    ) {
        let weights = columns.min(WEIGHT_COLUMNS);
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe {
            pair_rows(rows, panel, weights);
            crate::simd::neon::panel::transpose(rows, panel, weights, columns);
        }
    }

    #[inline(always)]
    fn dots<const S: usize, const T: usize>(
        self,
        part: [Ints; T],
        w: &[[[u8; 4]; R]; S],
        q: [&[[i8; 4]; S]; T],
    ) -> [Ints; T] {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { dots(part, w, q) }
    }

    #[inline(always)]
    fn fold_all_scaled<const T: usize>(self, acc: [Ints; T], part: [Ints; T], scale: &[i32; R]) -> [Ints; T] {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { fold_all_scaled(acc, part, scale) }
    }

    #[inline(always)]
    fn settle<const T: usize>(self, acc: [Ints; T]) -> [Ints; T] {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { settle(acc) }
    }

    isa_ops! { I8mm, "neon,dotprod,i8mm";
        fn part() -> Ints { [vdupq_n_s32(0); 2] }
        fn dot(_part: Ints, _w: [int8x16_t; 2], _q: int8x16_t) -> Ints { unreachable!("pairs of tokens only") }
        fn fold_scaled(_acc: Ints, _part: Ints, _scale: Ints) -> Ints { unreachable!("pairs of tokens only") }
        fn fold(acc: Ints, p: Ints) -> Ints { [vaddq_s32(acc[0], p[0]), vaddq_s32(acc[1], p[1])] }
        fn wide_part() -> Ints { [vdupq_n_s32(0); 2] }
        fn wide_dot(_part: Ints, _w: [int8x16_t; 2], _q: int8x16_t) -> Ints { unreachable!("pairs of tokens only") }
        fn wide_sum(p: Ints) -> Ints { p }
    }
}
