//! Products in 16 bits, of which two or four are summed before they are widened.

use super::Neon;
use crate::simd::dots::{Bytes32, Dots};
use crate::simd::isa_ops;
use core::arch::aarch64::*;

impl Dots for Neon {
    isa_ops! { Neon, "neon";
        fn dot32(run: int32x4_t, u: Bytes32, y: Bytes32) -> int32x4_t {
            // A place takes four products: at most 4 · 63 · 128 = 32,256.
            let p = vmull_s8(vget_low_s8(u[0]), vget_low_s8(y[0]));
            let p = vmlal_high_s8(p, u[0], y[0]);
            let p = vmlal_s8(p, vget_low_s8(u[1]), vget_low_s8(y[1]));
            vpadalq_s16(run, vmlal_high_s8(p, u[1], y[1]))
        }
        #[cfg(feature = "batch")]
        fn dot16(run: int32x4_t, u: int8x16_t, y: int8x16_t) -> int32x4_t {
            // A place takes two products: at most 2 · 128 · 127 = 32,512.
            vpadalq_s16(run, vmlal_high_s8(vmull_s8(vget_low_s8(u), vget_low_s8(y)), u, y))
        }
        fn dot16_any(run: int32x4_t, w: int8x16_t, y: int8x16_t) -> int32x4_t {
            vpadalq_s16(vpadalq_s16(run, vmull_s8(vget_low_s8(w), vget_low_s8(y))), vmull_high_s8(w, y))
        }
        #[cfg(not(feature = "batch"))]
        fn first32(u: Bytes32, y: Bytes32) -> int32x4_t {
            let p = vmull_s8(vget_low_s8(u[0]), vget_low_s8(y[0]));
            let p = vmlal_high_s8(p, u[0], y[0]);
            let p = vmlal_s8(p, vget_low_s8(u[1]), vget_low_s8(y[1]));
            vpaddlq_s16(vmlal_high_s8(p, u[1], y[1]))
        }
        #[cfg(not(feature = "batch"))]
        fn first16(u: int8x16_t, y: int8x16_t) -> int32x4_t {
            vpaddlq_s16(vmlal_high_s8(vmull_s8(vget_low_s8(u), vget_low_s8(y)), u, y))
        }
    }
}
