//! aarch64 with Advanced SIMD.

#![allow(unsafe_code, reason = "intrinsics that load and store, and calls into target features")]

#[cfg(feature = "batch")]
mod columns;
mod dots;
#[cfg(not(feature = "batch"))]
mod ints;
mod lanes;
#[cfg(feature = "batch")]
mod panel;

/// Proof that the CPU has Advanced SIMD and that it is enabled.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Neon {
    /// Proof, inside a function that is compiled for Advanced SIMD.
    ///
    /// # Safety
    /// Elsewhere: the CPU has Advanced SIMD, and the operating system has enabled it.
    #[target_feature(enable = "neon")]
    #[inline]
    #[must_use]
    pub const fn assume() -> Self {
        Self(())
    }
}
