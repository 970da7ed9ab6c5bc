//! 32 bytes in two registers, eight blocks' floats in two others, whichever instructions multiply.

use crate::simd::dots::{Bytes32, Dots};
use crate::simd::ints::{Ints, STEP, SubBlocks};
use crate::simd::isa_ops;
use core::arch::aarch64::*;

/// 32 bytes as signed ones.
#[target_feature(enable = "neon")]
#[inline]
fn signed(x: uint8x16x2_t) -> Bytes32 {
    [vreinterpretq_s8_u8(x.0), vreinterpretq_s8_u8(x.1)]
}

/// Four vectors' sums.
#[target_feature(enable = "neon")]
#[inline]
fn transpose_add(v: &[int32x4_t]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]))
}

impl<D: Dots> Ints for D {
    type Bytes = uint8x16x2_t;
    type Sums = int32x4_t;
    type Scales16 = [i8; 16];
    type Eight = int32x4x2_t;
    type Floats = float32x4x2_t;
    type Picks = ();

    const UNROLL: bool = false;

    isa_ops! { D, "neon";
        fn bytes(p: &[u8; 32]) -> uint8x16x2_t {
            // SAFETY: the reference covers exactly 32 readable bytes; the load needs no alignment.
            unsafe { uint8x16x2_t(vld1q_u8(p.as_ptr()), vld1q_u8(p.as_ptr().add(16))) }
        }
        fn digits(p: &[i8; 32]) -> uint8x16x2_t {
            let p: *const u8 = p.as_ptr().cast();
            // SAFETY: the reference covers exactly 32 readable bytes; the load needs no alignment.
            unsafe { uint8x16x2_t(vld1q_u8(p), vld1q_u8(p.add(16))) }
        }
        fn nibbles(p: &[u8; 16]) -> uint8x16x2_t {
            // SAFETY: the reference covers exactly 16 readable bytes; the load needs no alignment.
            let x = unsafe { vld1q_u8(p.as_ptr()) };
            uint8x16x2_t(vandq_u8(x, vdupq_n_u8(15)), vshrq_n_u8::<4>(x))
        }
        fn sixteens(bits: u32) -> uint8x16x2_t {
            let bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
            let [a, b, c, d] = bits.to_le_bytes();
            let half = |low, high| {
                let spread = vcombine_u8(vdup_n_u8(low), vdup_n_u8(high));
                vandq_u8(vtstq_u8(spread, bit), vdupq_n_u8(16))
            };
            uint8x16x2_t(half(a, b), half(c, d))
        }
        fn and(a: uint8x16x2_t, mask: u8) -> uint8x16x2_t {
            let mask = vdupq_n_u8(mask);
            uint8x16x2_t(vandq_u8(a.0, mask), vandq_u8(a.1, mask))
        }
        fn or(a: uint8x16x2_t, b: uint8x16x2_t) -> uint8x16x2_t {
            uint8x16x2_t(vorrq_u8(a.0, b.0), vorrq_u8(a.1, b.1))
        }
        fn sums(x: i32) -> int32x4_t {
            vsetq_lane_s32::<0>(x, vdupq_n_s32(0))
        }
        fn scales16(s: &[i8; 16]) -> [i8; 16] {
            *s
        }
        fn dot_sums(s: [i8; 16], sums: &[i16; 16]) -> int32x4_t {
            // SAFETY: each reference covers exactly 16 numbers; the loads need no alignment.
            let (s, a, b) =
                unsafe { (vld1q_s8(s.as_ptr()), vld1q_s16(sums.as_ptr()), vld1q_s16(sums.as_ptr().add(8))) };
            let (low, high) = (vmovl_s8(vget_low_s8(s)), vmovl_high_s8(s));
            let acc = vmull_s16(vget_low_s16(low), vget_low_s16(a));
            let acc = vmlal_high_s16(acc, low, a);
            let acc = vmlal_s16(acc, vget_low_s16(high), vget_low_s16(b));
            vmlal_high_s16(acc, high, b)
        }
        fn reduce(sums: &[int32x4_t; STEP]) -> int32x4x2_t {
            int32x4x2_t(transpose_add(&sums[..4]), transpose_add(&sums[4..]))
        }
        fn eight(x: &[i16; STEP]) -> int32x4x2_t {
            // SAFETY: the reference covers exactly 8 numbers; the load needs no alignment.
            let x = unsafe { vld1q_s16(x.as_ptr()) };
            int32x4x2_t(vmovl_s16(vget_low_s16(x)), vmovl_high_s16(x))
        }
        fn to_f32(x: int32x4x2_t) -> float32x4x2_t {
            float32x4x2_t(vcvtq_f32_s32(x.0), vcvtq_f32_s32(x.1))
        }
        fn halves(h: &[u16; STEP]) -> float32x4x2_t {
            // SAFETY: the reference covers exactly 8 halves; the load needs no alignment.
            let h = vreinterpretq_f16_u16(unsafe { vld1q_u16(h.as_ptr()) });
            float32x4x2_t(vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h))
        }
        fn floats(x: &[f32; STEP]) -> float32x4x2_t {
            // SAFETY: the reference covers exactly 8 floats; the loads need no alignment.
            unsafe { float32x4x2_t(vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4))) }
        }
        fn splat(x: f32) -> float32x4x2_t {
            float32x4x2_t(vdupq_n_f32(x), vdupq_n_f32(x))
        }
        fn add(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
            float32x4x2_t(vaddq_f32(a.0, b.0), vaddq_f32(a.1, b.1))
        }
        fn sub(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
            float32x4x2_t(vsubq_f32(a.0, b.0), vsubq_f32(a.1, b.1))
        }
        fn mul(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
            float32x4x2_t(vmulq_f32(a.0, b.0), vmulq_f32(a.1, b.1))
        }
        fn store(x: float32x4x2_t, to: &mut [f32; STEP]) {
            // SAFETY: the reference covers exactly 8 floats; the stores need no alignment.
            unsafe {
                vst1q_f32(to.as_mut_ptr(), x.0);
                vst1q_f32(to.as_mut_ptr().add(4), x.1);
            }
        }
        fn prefetch(p: *const u8, near: usize, far: usize) {
            // SAFETY: a prefetch touches no memory that it may not; no other state changes.
            unsafe {
                core::arch::asm!(
                    "prfm pldl1keep, [{near}]", "prfm pldl3keep, [{far}]",
                    near = in(reg) p.wrapping_add(near), far = in(reg) p.wrapping_add(far),
                    options(nostack, preserves_flags, readonly)
                );
            }
        }
    }

    #[inline(always)]
    fn shr_and<const N: i32>(self, a: uint8x16x2_t, mask: u8) -> uint8x16x2_t {
        #[target_feature(enable = "neon")]
        #[inline]
        fn op<const N: i32>(a: uint8x16x2_t, mask: u8) -> uint8x16x2_t {
            // A shift by a variable takes 0 too, and a constant one becomes immediate.
            let (by, mask) = (vdupq_n_s8(-(N as i8)), vdupq_n_u8(mask));
            uint8x16x2_t(vandq_u8(vshlq_u8(a.0, by), mask), vandq_u8(vshlq_u8(a.1, by), mask))
        }
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { op::<N>(a, mask) }
    }

    #[inline(always)]
    fn shl_and<const N: i32>(self, a: uint8x16x2_t, mask: u8) -> uint8x16x2_t {
        #[target_feature(enable = "neon")]
        #[inline]
        fn op<const N: i32>(a: uint8x16x2_t, mask: u8) -> uint8x16x2_t {
            let (by, mask) = (vdupq_n_s8(N as i8), vdupq_n_u8(mask));
            uint8x16x2_t(vandq_u8(vshlq_u8(a.0, by), mask), vandq_u8(vshlq_u8(a.1, by), mask))
        }
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { op::<N>(a, mask) }
    }

    #[inline(always)]
    fn picks(self) {}

    #[inline(always)]
    fn dot(self, acc: int32x4_t, u: uint8x16x2_t, y: uint8x16x2_t) -> int32x4_t {
        // SAFETY: a proof of `Dots` exists only where Advanced SIMD is available.
        let (u, y) = unsafe { (signed(u), signed(y)) };
        self.dot32(acc, u, y)
    }

    #[inline(always)]
    fn dot_signed(self, acc: int32x4_t, w: uint8x16x2_t, y: uint8x16x2_t) -> int32x4_t {
        // SAFETY: as in `dot`.
        let (w, y) = unsafe { (signed(w), signed(y)) };
        self.dot16_any(self.dot16_any(acc, w[0], y[0]), w[1], y[1])
    }

    #[inline(always)]
    fn dot_signed_top(self, acc: int32x4_t, w: uint8x16x2_t, y: uint8x16x2_t) -> int32x4_t {
        self.dot_signed(acc, w, y)
    }

    #[inline(always)]
    fn dot_grouped<const J: usize>(
        self,
        acc: int32x4_t,
        u: [uint8x16x2_t; 2],
        y: [uint8x16x2_t; 2],
        s: [i8; 16],
        (): (),
    ) -> int32x4_t {
        // SAFETY: as in `dot`.
        unsafe {
            let (u0, u1, y0, y1) = (signed(u[0]), signed(u[1]), signed(y[0]), signed(y[1]));
            let acc = vmlaq_n_s32(acc, self.first16(u0[0], y0[0]), i32::from(s[2 * J]));
            let acc = vmlaq_n_s32(acc, self.first16(u0[1], y0[1]), i32::from(s[2 * J + 1]));
            let acc = vmlaq_n_s32(acc, self.first16(u1[0], y1[0]), i32::from(s[2 * J + 2]));
            vmlaq_n_s32(acc, self.first16(u1[1], y1[1]), i32::from(s[2 * J + 3]))
        }
    }

    #[inline(always)]
    fn sub_shl<const N: i32>(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        #[target_feature(enable = "neon")]
        #[inline]
        fn op<const N: i32>(a: int32x4_t, b: int32x4_t) -> int32x4_t {
            vmlsq_n_s32(a, b, 1 << N)
        }
        // SAFETY: a value of this type exists only where the feature is available.
        unsafe { op::<N>(a, b) }
    }

    #[inline(always)]
    fn eight_sub_shl<const N: i32>(self, a: int32x4x2_t, b: int32x4x2_t) -> int32x4x2_t {
        int32x4x2_t(self.sub_shl::<N>(a.0, b.0), self.sub_shl::<N>(a.1, b.1))
    }
}

impl<D: Dots> SubBlocks for D {
    isa_ops! { D, "neon";
        fn dot_mins(m: &[u8; 8], sums: &[i16; 16]) -> int32x4_t {
            // SAFETY: the reference covers exactly 16 numbers; the load needs no alignment.
            let sums = unsafe { vpaddq_s16(vld1q_s16(sums.as_ptr()), vld1q_s16(sums.as_ptr().add(8))) };
            // Sums of 32 digits are at most 4,096.
            let m = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(u64::from_le_bytes(*m))));
            vmlal_high_s16(vmull_s16(vget_low_s16(m), vget_low_s16(sums)), m, sums)
        }
    }

    #[inline(always)]
    fn dot_scaled<const J: usize>(
        self,
        acc: int32x4_t,
        u: [uint8x16x2_t; 2],
        y: [uint8x16x2_t; 2],
        s: &[u8; 8],
    ) -> int32x4_t {
        // SAFETY: a proof of `Dots` exists only where Advanced SIMD is available.
        unsafe {
            let acc = vmlaq_n_s32(acc, self.first32(signed(u[0]), signed(y[0])), i32::from(s[J]));
            vmlaq_n_s32(acc, self.first32(signed(u[1]), signed(y[1])), i32::from(s[J + 1]))
        }
    }
}
