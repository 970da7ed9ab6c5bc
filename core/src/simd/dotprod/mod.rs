//! aarch64 with the dot product instructions (`FEAT_DotProd`): what multiplies small integers. Floats are Advanced
//! SIMD's.

#![allow(unsafe_code, reason = "instructions that have no stable intrinsics, and calls into target features")]

#[cfg(feature = "batch")]
pub(crate) mod panel;

#[cfg(feature = "batch")]
pub(crate) use panel::{panel_as_neon, parts};

use super::dots::{Bytes32, Dots};
use super::isa_ops;
use super::neon::Neon;
#[cfg(not(feature = "batch"))]
use core::arch::aarch64::vdupq_n_s32;
use core::arch::aarch64::{int8x16_t, int32x4_t};
use core::arch::asm;

/// Proof that the CPU has Advanced SIMD and the dot product instructions, and that they are enabled.
#[derive(Clone, Copy, Debug)]
pub struct Dotprod(Neon);

impl Dotprod {
    /// Proof, inside a function that is compiled for these features.
    ///
    /// # Safety
    /// Elsewhere: the CPU has Advanced SIMD and `FEAT_DotProd`, and the operating system has enabled them.
    #[target_feature(enable = "neon,dotprod")]
    #[inline]
    #[must_use]
    pub const fn assume() -> Self {
        Self(Neon::assume())
    }

    /// The part of it that is Advanced SIMD.
    #[must_use]
    pub const fn neon(self) -> Neon {
        self.0
    }
}

/// `acc[i] + Σ a[4i + j]·b[4i + j]` over `j` in 0..4.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn sdot(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the function is compiled for the feature; the instruction reads and writes these registers only.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {a:v}.16b, {b:v}.16b",
            acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}

impl Dots for Dotprod {
    isa_ops! { Dotprod, "neon,dotprod";
        fn dot32(run: int32x4_t, u: Bytes32, y: Bytes32) -> int32x4_t {
            sdot(sdot(run, u[0], y[0]), u[1], y[1])
        }
        #[cfg(feature = "batch")]
        fn dot16(run: int32x4_t, u: int8x16_t, y: int8x16_t) -> int32x4_t {
            sdot(run, u, y)
        }
        fn dot16_any(run: int32x4_t, w: int8x16_t, y: int8x16_t) -> int32x4_t {
            sdot(run, w, y)
        }
        #[cfg(not(feature = "batch"))]
        fn first32(u: Bytes32, y: Bytes32) -> int32x4_t {
            sdot(sdot(vdupq_n_s32(0), u[0], y[0]), u[1], y[1])
        }
        #[cfg(not(feature = "batch"))]
        fn first16(u: int8x16_t, y: int8x16_t) -> int32x4_t {
            sdot(vdupq_n_s32(0), u, y)
        }
    }
}
