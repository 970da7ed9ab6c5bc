//! x86-64 with AVX-VNNI: AVX2 and instructions that add up products of bytes. Floats are AVX2's.

#![allow(unsafe_code, reason = "intrinsics that load and store, and calls into target features")]

mod ints;
#[cfg(feature = "batch")]
mod panel;
#[cfg(feature = "batch")]
mod six;

use super::avx2::Avx2;

/// Proof that the CPU has AVX-VNNI, AVX2, FMA and F16C, and that the operating system saves their registers.
#[derive(Clone, Copy, Debug)]
pub struct AvxVnni(Avx2);

impl AvxVnni {
    /// Proof, inside a function that is compiled for these features.
    ///
    /// # Safety
    /// Elsewhere: the CPU has AVX-VNNI, AVX2, FMA and F16C, and the operating system has enabled them.
    #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
    #[inline]
    #[must_use]
    pub const fn assume() -> Self {
        Self(Avx2::assume())
    }

    /// The part of it that is AVX2.
    #[must_use]
    pub const fn avx2(self) -> Avx2 {
        self.0
    }
}
