//! Panels of 8 rows in pairs, times pairs of tokens: a register holds 8 bytes of each of a pair, and one instruction
//! multiplies each row with each token.
//!
//! Until they are settled, sums of tokens `2i` and `2i + 1` lie together: those with rows 0..=3 where token `2i`'s belong,
//! those with rows 4..=7 where token `2i + 1`'s do, in the order row 0 token `2i`, row 0 token `2i + 1`, row 1 token `2i`
//! and so on.

use super::I8mm;
use crate::simd::dotprod::{panel_as_neon, parts};
use crate::simd::neon::Neon;
use crate::simd::{isa_ops, panel::PanelIsa};
use core::arch::aarch64::*;
use core::arch::asm;

const R: usize = 8;
type Ints = <Neon as PanelIsa<R>>::Ints;
type Floats = <Neon as PanelIsa<R>>::Floats;

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

/// Two tokens' digits of eight steps, 8 of both in each register.
#[target_feature(enable = "neon")]
#[inline]
fn eight_steps(a: &[[i8; 4]; 8], b: &[[i8; 4]; 8]) -> [int8x16_t; 4] {
    // SAFETY: each array spans 32 bytes; the loads need no alignment.
    let int64x2x4_t(p, q, r, s) =
        unsafe { vld4q_lane_s64::<1>(b.as_ptr().cast(), vld4q_dup_s64(a.as_ptr().cast())) };
    [p, q, r, s].map(|x| vreinterpretq_s8_s64(x))
}

/// The same of four steps.
#[target_feature(enable = "neon")]
#[inline]
fn four_steps(a: &[[i8; 4]; 4], b: &[[i8; 4]; 4]) -> [int8x16_t; 2] {
    // SAFETY: each array spans 16 bytes; the loads need no alignment.
    let int64x2x2_t(p, q) =
        unsafe { vld2q_lane_s64::<1>(b.as_ptr().cast(), vld2q_dup_s64(a.as_ptr().cast())) };
    [p, q].map(|x| vreinterpretq_s8_s64(x))
}

/// Two steps of the panel times two tokens' 8 digits of each pair of `y`.
#[target_feature(enable = "neon,i8mm")]
#[inline]
fn two_steps<const T: usize>(part: &mut [Ints; T], w: &[[[u8; 4]; R]; 2], y: impl Fn(usize) -> int8x16_t) {
    // SAFETY: the array spans 64 bytes; the load needs no alignment.
    let int8x16x4_t(a, b, c, d) = unsafe { vld1q_s8_x4(w.as_ptr().cast()) };
    for (pair, part) in part.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let y = y(pair);
        part[0] = [smmla(part[0][0], a, y), smmla(part[0][1], b, y)];
        part[1] = [smmla(part[1][0], c, y), smmla(part[1][1], d, y)];
    }
}

#[target_feature(enable = "neon,dotprod,i8mm")]
#[inline]
fn dots<const S: usize, const T: usize>(
    mut part: [Ints; T],
    w: &[[[u8; 4]; R]; S],
    q: [&[[i8; 4]; S]; T],
) -> [Ints; T] {
    let (w, pairs) = (w.as_chunks::<2>().0, q.as_chunks::<2>().0);
    if S == 8 {
        let mut y = [[vdupq_n_s8(0); 4]; T];
        for (y, [a, b]) in y.iter_mut().zip(pairs) {
            if let (Some(a), Some(b)) = (a.first_chunk(), b.first_chunk()) {
                *y = eight_steps(a, b);
            }
        }
        for (i, w) in w.iter().enumerate() {
            two_steps(&mut part, w, |pair| y[pair][i]);
        }
    } else {
        let mut y = [[vdupq_n_s8(0); 2]; T];
        for (y, [a, b]) in y.iter_mut().zip(pairs) {
            if let (Some(a), Some(b)) = (a.first_chunk(), b.first_chunk()) {
                *y = four_steps(a, b);
            }
        }
        for (i, w) in w.iter().enumerate() {
            two_steps(&mut part, w, |pair| y[pair][i]);
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

/// The same out of columns.
#[target_feature(enable = "neon")]
#[inline]
fn pair_columns(columns: &mut [[[u8; 4]; R]]) {
    for two in columns.as_chunks_mut::<2>().0 {
        let p: *mut i32 = two.as_mut_ptr().cast();
        // SAFETY: two columns take 64 bytes, which the loads and stores cover.
        unsafe {
            let int32x4x4_t(a0, a1, b0, b1) = vld1q_s32_x4(p);
            let pairs =
                int32x4x4_t(vzip1q_s32(a0, b0), vzip2q_s32(a0, b0), vzip1q_s32(a1, b1), vzip2q_s32(a1, b1));
            vst1q_s32_x4(p, pairs);
        }
    }
}

impl PanelIsa<R> for I8mm {
    const TOKENS: usize = 4;
    const PART_PRODUCTS: usize = 0;
    const PAIRED_SCALES: bool = false;
    const SIGNED: bool = true;
    const PAIRS: bool = true;
    // 8 registers of integer sums, 8 of floats, 4 of weights and 8 of digits.
    const KEPT_STEPS: usize = 64;
    type Columns = Neon;
    type Weights = [int8x16_t; 2];
    type Digits = int8x16_t;
    type Part = Ints;
    type WidePart = Ints;
    type Ints = Ints;
    type Floats = Floats;

    panel_as_neon!();

    #[inline(always)]
    fn columns(self) -> Neon {
        self.neon()
    }

    #[inline(always)]
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    ) {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { pair_rows(rows, panel, columns) }
    }

    #[inline(always)]
    fn arrange(self, columns: &mut [[[u8; 4]; R]]) {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { pair_columns(columns) }
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

    #[inline(always)]
    fn parts<const T: usize>(self) -> [Ints; T] {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { parts() }
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
