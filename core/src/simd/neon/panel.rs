//! Panels of 8 rows, in pairs of registers of 4, for CPUs without the dot product instructions.

use super::Neon;
use super::columns::transpose;
use crate::simd::isa_ops;
use crate::simd::panel::PanelIsa;
use core::arch::aarch64::*;

const R: usize = 8;
type Ints = [int32x4_t; 2];
type Floats = [float32x4_t; 2];
/// Lanes `4i .. 4i + 4` of the whole belong to row `i`: one for each digit of a step.
type Part = [int16x8_t; 4];
/// Two lanes a row.
type WidePart = [int32x4_t; 4];

/// One i32 a row out of the four or two lanes that it has.
#[target_feature(enable = "neon")]
#[inline]
fn sum(p: WidePart) -> Ints {
    [vpaddq_s32(p[0], p[1]), vpaddq_s32(p[2], p[3])]
}

#[target_feature(enable = "neon")]
#[inline]
fn part_sum(p: Part) -> Ints {
    sum([vpaddlq_s16(p[0]), vpaddlq_s16(p[1]), vpaddlq_s16(p[2]), vpaddlq_s16(p[3])])
}

#[target_feature(enable = "neon")]
#[inline]
fn load_i32(x: &[i32; R]) -> Ints {
    // SAFETY: the array spans 8 numbers; the loads cover its two halves.
    unsafe { [vld1q_s32(x.as_ptr()), vld1q_s32(x.as_ptr().add(4))] }
}

impl PanelIsa<R> for Neon {
    // 16 registers of 16-bit parts, 2 of weights, the digits.
    const TOKENS: usize = 4;
    const PART_PRODUCTS: usize = 1;
    const PAIRED_SCALES: bool = false;
    type Columns = Self;
    type Weights = [int8x16_t; 2];
    type Digits = int8x16_t;
    type Part = Part;
    type WidePart = WidePart;
    type Ints = Ints;
    type Floats = Floats;

    #[inline(always)]
    fn columns(self) -> Self {
        self
    }

    #[inline(always)]
    fn transpose<const C: usize>(
        self,
        rows: &[[[u8; 4]; C]; R],
        panel: &mut [[[u8; 4]; R]; C],
        columns: usize,
    ) {
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { transpose(rows, panel, columns) }
    }

    isa_ops! { Neon, "neon";
        fn weights(w: &[[u8; 4]; R]) -> [int8x16_t; 2] {
            let p: *const i8 = w.as_ptr().cast();
            // SAFETY: the array spans 32 bytes; the loads cover its two halves.
            unsafe { [vld1q_s8(p), vld1q_s8(p.add(16))] }
        }
        fn digits(q: [i8; 4]) -> int8x16_t {
            vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(q.map(|q| q as u8))))
        }

        fn part() -> Part { [vdupq_n_s16(0); 4] }
        fn dot(p: Part, w: [int8x16_t; 2], q: int8x16_t) -> Part {
            [
                vmlal_s8(p[0], vget_low_s8(w[0]), vget_low_s8(q)),
                vmlal_high_s8(p[1], w[0], q),
                vmlal_s8(p[2], vget_low_s8(w[1]), vget_low_s8(q)),
                vmlal_high_s8(p[3], w[1], q),
            ]
        }
        fn fold_scaled(acc: Ints, p: Part, scale: Ints) -> Ints {
            let p = part_sum(p);
            [vmlaq_s32(acc[0], p[0], scale[0]), vmlaq_s32(acc[1], p[1], scale[1])]
        }
        fn fold(acc: Ints, p: Part) -> Ints {
            let p = part_sum(p);
            [vaddq_s32(acc[0], p[0]), vaddq_s32(acc[1], p[1])]
        }

        fn wide_part() -> WidePart { [vdupq_n_s32(0); 4] }
        fn wide_dot(p: WidePart, w: [int8x16_t; 2], q: int8x16_t) -> WidePart {
            [
                vpadalq_s16(p[0], vmull_s8(vget_low_s8(w[0]), vget_low_s8(q))),
                vpadalq_s16(p[1], vmull_high_s8(w[0], q)),
                vpadalq_s16(p[2], vmull_s8(vget_low_s8(w[1]), vget_low_s8(q))),
                vpadalq_s16(p[3], vmull_high_s8(w[1], q)),
            ]
        }
        fn wide_sum(p: WidePart) -> Ints { sum(p) }

        fn splat_i32(x: i32) -> Ints { [vdupq_n_s32(x); 2] }
        fn add_i32(a: Ints, b: Ints) -> Ints { [vaddq_s32(a[0], b[0]), vaddq_s32(a[1], b[1])] }
        fn load_i32(x: &[i32; R]) -> Ints { load_i32(x) }
        fn dot_pairs(acc: Ints, c: &[i32; R], s: i32) -> Ints {
            let s = vreinterpretq_s16_s32(vdupq_n_s32(s));
            let c = load_i32(c);
            let products = |c| (vmull_s16(vget_low_s16(c), vget_low_s16(s)), vmull_high_s16(c, s));
            let (a, b) = products(vreinterpretq_s16_s32(c[0]));
            let (c, d) = products(vreinterpretq_s16_s32(c[1]));
            let p = sum([a, b, c, d]);
            [vaddq_s32(acc[0], p[0]), vaddq_s32(acc[1], p[1])]
        }

        fn to_f32(x: Ints) -> Floats { [vcvtq_f32_s32(x[0]), vcvtq_f32_s32(x[1])] }
        fn splat_f32(x: f32) -> Floats { [vdupq_n_f32(x); 2] }
        fn load_f32(x: &[f32; R]) -> Floats {
            // SAFETY: the array spans 8 floats; the loads cover its two halves.
            unsafe { [vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4))] }
        }
        fn store_f32(x: Floats, to: &mut [f32; R]) {
            // SAFETY: the array spans 8 floats; the stores cover its two halves.
            unsafe {
                vst1q_f32(to.as_mut_ptr(), x[0]);
                vst1q_f32(to.as_mut_ptr().add(4), x[1]);
            }
        }
        fn add_f32(a: Floats, b: Floats) -> Floats { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])] }
        fn sub_f32(a: Floats, b: Floats) -> Floats { [vsubq_f32(a[0], b[0]), vsubq_f32(a[1], b[1])] }
        fn mul_f32(a: Floats, b: Floats) -> Floats { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }

        fn pair_sums(sums: &[i16; 16]) -> [i32; 4] {
            // SAFETY: the array spans 16 numbers; the loads cover its two halves.
            let (a, b) = unsafe { (vld1q_s16(sums.as_ptr()), vld1q_s16(sums.as_ptr().add(8))) };
            let sums = vreinterpretq_s32_s16(vpaddq_s16(a, b));
            let mut out = [0; 4];
            // SAFETY: the array spans 16 bytes.
            unsafe { vst1q_s32(out.as_mut_ptr(), sums) };
            out
        }
        fn prefetch(_at: *const u8) {}
    }
}
