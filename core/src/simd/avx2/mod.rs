//! x86-64 with AVX2, FMA and F16C.

#![allow(unsafe_code, reason = "intrinsics that load and store, and calls into target features")]

#[cfg(feature = "batch")]
mod columns;
#[cfg(feature = "batch")]
mod four;
mod ints;
pub(in crate::simd) mod lanes;
#[cfg(feature = "batch")]
mod panel;

#[cfg(feature = "batch")]
pub(crate) use columns::transpose;
pub(crate) use ints::{Shuffle, transpose_add};

/// Proof that the CPU has AVX2, FMA and F16C and that the operating system saves their registers.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// Proof, inside a function that is compiled for these features.
    ///
    /// # Safety
    /// Elsewhere: the CPU has AVX2, FMA and F16C, and the operating system has enabled it.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    #[must_use]
    pub const fn assume() -> Self {
        Self(())
    }
}
