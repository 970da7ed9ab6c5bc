//! Sixteen f32 in four registers.
//!
//! Multiply and add stay apart: no `vfma`, no `vmla`, which may fuse.

use super::Neon;
use crate::simd::isa_ops;
use crate::simd::lanes::{Lanes, ROUND};
use core::arch::aarch64::*;

type F = [float32x4_t; 4];

/// Four results of one operation on all registers.
macro_rules! each {
    ($op:ident($($v:ident),*)) => { [$op($($v[0]),*), $op($($v[1]),*), $op($($v[2]),*), $op($($v[3]),*)] };
}

#[target_feature(enable = "neon")]
#[inline]
fn load_halves(p: &[u8; 32]) -> [uint16x8_t; 2] {
    // SAFETY: the reference covers 32 bytes, of which each load reads 16; ld1 of bytes needs no alignment.
    unsafe {
        [vreinterpretq_u16_u8(vld1q_u8(p.as_ptr())), vreinterpretq_u16_u8(vld1q_u8(p.as_ptr().add(16)))]
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn larger(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vbslq_f32(vcgtq_f32(a, b), a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn smaller(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vbslq_f32(vcltq_f32(a, b), a, b)
}

/// `2^k`, for `k` in the normal range.
#[target_feature(enable = "neon")]
#[inline]
fn pow2(k: int32x4_t) -> float32x4_t {
    vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(k, vdupq_n_s32(127))))
}

/// The integer in the low bits of `t`, its half rounded down.
#[target_feature(enable = "neon")]
#[inline]
fn low_half(t: float32x4_t) -> int32x4_t {
    vshrq_n_s32::<1>(integer(t))
}

/// The rest.
#[target_feature(enable = "neon")]
#[inline]
fn high_half(t: float32x4_t) -> int32x4_t {
    vsubq_s32(integer(t), low_half(t))
}

#[target_feature(enable = "neon")]
#[inline]
fn integer(t: float32x4_t) -> int32x4_t {
    vsubq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(ROUND.to_bits().cast_signed()))
}

/// `lane[i] += lane[i + 8]`, then 4.
#[target_feature(enable = "neon")]
#[inline]
fn fold(v: F) -> float32x4_t {
    vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]))
}

/// `lane[i] += lane[i + 2]` of two folded units: two lanes of `a`, two of `b`.
#[target_feature(enable = "neon")]
#[inline]
fn fold_pair(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    let (a, b) = (vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b));
    vaddq_f32(vreinterpretq_f32_f64(vtrn1q_f64(a, b)), vreinterpretq_f32_f64(vtrn2q_f64(a, b)))
}

impl Lanes for Neon {
    type F = F;
    type Folded = float32x4_t;

    isa_ops! { Neon, "neon";
        fn splat(x: f32) -> F {
            [vdupq_n_f32(x); 4]
        }

        fn load(p: &[f32; 16]) -> F {
            let p = p.as_ptr();
            // SAFETY: the reference covers 16 floats, of which each load reads 4.
            unsafe { [vld1q_f32(p), vld1q_f32(p.add(4)), vld1q_f32(p.add(8)), vld1q_f32(p.add(12))] }
        }

        fn load_f32(p: &[u8; 64]) -> F {
            let p = p.as_ptr();
            // SAFETY: the reference covers 64 bytes, of which each load reads 16; ld1 of bytes needs no alignment.
            let v = unsafe { [vld1q_u8(p), vld1q_u8(p.add(16)), vld1q_u8(p.add(32)), vld1q_u8(p.add(48))] };
            each!(vreinterpretq_f32_u8(v))
        }

        fn load_f16(p: &[u8; 32]) -> F {
            let [a, b] = load_halves(p);
            let (a, b) = (vreinterpretq_f16_u16(a), vreinterpretq_f16_u16(b));
            [
                vcvt_f32_f16(vget_low_f16(a)),
                vcvt_high_f32_f16(a),
                vcvt_f32_f16(vget_low_f16(b)),
                vcvt_high_f32_f16(b),
            ]
        }

        fn load_bf16(p: &[u8; 32]) -> F {
            let [a, b] = load_halves(p);
            let v = [
                vshll_n_u16::<16>(vget_low_u16(a)),
                vshll_high_n_u16::<16>(a),
                vshll_n_u16::<16>(vget_low_u16(b)),
                vshll_high_n_u16::<16>(b),
            ];
            each!(vreinterpretq_f32_u32(v))
        }

        fn load_i8(p: &[i8; 16]) -> F {
            // SAFETY: the reference covers 16 bytes.
            let v = unsafe { vld1q_s8(p.as_ptr()) };
            let (lo, hi) = (vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v));
            let v = [
                vmovl_s16(vget_low_s16(lo)),
                vmovl_high_s16(lo),
                vmovl_s16(vget_low_s16(hi)),
                vmovl_high_s16(hi),
            ];
            each!(vcvtq_f32_s32(v))
        }

        fn splat_f16(h: [u8; 2]) -> F {
            [vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(u16::from_le_bytes(h)))); 4]
        }

        fn store(v: F, p: &mut [f32; 16]) {
            let p = p.as_mut_ptr();
            // SAFETY: the reference covers 16 floats, of which each store writes 4.
            unsafe {
                vst1q_f32(p, v[0]);
                vst1q_f32(p.add(4), v[1]);
                vst1q_f32(p.add(8), v[2]);
                vst1q_f32(p.add(12), v[3]);
            }
        }

        fn store_f32(v: F, p: &mut [u8; 64]) {
            let (p, v) = (p.as_mut_ptr(), each!(vreinterpretq_u8_f32(v)));
            // SAFETY: the reference covers 64 bytes, of which each store writes 16; st1 of bytes needs no alignment.
            unsafe {
                vst1q_u8(p, v[0]);
                vst1q_u8(p.add(16), v[1]);
                vst1q_u8(p.add(32), v[2]);
                vst1q_u8(p.add(48), v[3]);
            }
        }

        fn store_f16(v: F, p: &mut [u8; 32]) {
            let a = vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(v[0]), v[1]));
            let b = vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(v[2]), v[3]));
            // SAFETY: the reference covers 32 bytes, of which each store writes 16; st1 of bytes needs no alignment.
            unsafe {
                vst1q_u8(p.as_mut_ptr(), a);
                vst1q_u8(p.as_mut_ptr().add(16), b);
            }
        }

        fn add(a: F, b: F) -> F {
            each!(vaddq_f32(a, b))
        }

        fn sub(a: F, b: F) -> F {
            each!(vsubq_f32(a, b))
        }

        fn mul(a: F, b: F) -> F {
            each!(vmulq_f32(a, b))
        }

        fn div(a: F, b: F) -> F {
            each!(vdivq_f32(a, b))
        }

        // FMAX has its own rules for NaN and zeros, so a comparison selects.
        fn max(a: F, b: F) -> F {
            each!(larger(a, b))
        }

        fn min(a: F, b: F) -> F {
            each!(smaller(a, b))
        }

        fn pow2_halves(t: F) -> (F, F) {
            let (low, high) = (each!(low_half(t)), each!(high_half(t)));
            (each!(pow2(low)), each!(pow2(high)))
        }

        fn sum(v: F) -> f32 {
            let v = fold(v);
            let v = vadd_f32(vget_low_f32(v), vget_high_f32(v));
            vpadds_f32(v)
        }

        fn fold2(a: F, b: F) -> float32x4_t {
            fold_pair(fold(a), fold(b))
        }

        fn sum_folded(ab: float32x4_t, cd: float32x4_t) -> [f32; 4] {
            let v = vpaddq_f32(ab, cd);
            let mut sums = [0.0; 4];
            // SAFETY: the array is 4 floats long.
            unsafe { vst1q_f32(sums.as_mut_ptr(), v) };
            sums
        }

        fn prefetch(p: &[u8], offset: usize) {
            let p = p.as_ptr().wrapping_add(offset);
            // SAFETY: a prefetch reads nothing, faults at no address.
            unsafe {
                core::arch::asm!("prfm pldl2keep, [{p}]", p = in(reg) p, options(nostack, readonly, preserves_flags));
            }
        }
    }
}
