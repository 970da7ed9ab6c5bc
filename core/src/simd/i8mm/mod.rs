//! aarch64 with the matrix multiplication instructions for bytes (`FEAT_I8MM`), which serve blocks of tokens. One token
//! is multiplied with the dot product instructions, floats with Advanced SIMD.

#![allow(unsafe_code, reason = "instructions that have no stable intrinsics, and calls into target features")]

#[cfg(feature = "batch")]
mod panel;

use super::dotprod::Dotprod;
use super::neon::Neon;

/// Proof that the CPU has Advanced SIMD, the dot product and the matrix multiplication instructions for bytes, and that
/// they are enabled.
#[derive(Clone, Copy, Debug)]
pub struct I8mm(Dotprod);

impl I8mm {
    /// Proof, inside a function that is compiled for these features.
    ///
    /// # Safety
    /// Elsewhere: the CPU has Advanced SIMD, `FEAT_DotProd` and `FEAT_I8MM`, and the operating system has enabled them.
    #[target_feature(enable = "neon,dotprod,i8mm")]
    #[inline]
    #[must_use]
    pub const fn assume() -> Self {
        Self(Dotprod::assume())
    }

    /// The part of it that is Advanced SIMD.
    #[must_use]
    pub const fn neon(self) -> Neon {
        self.0.neon()
    }
}
