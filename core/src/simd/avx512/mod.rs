//! x86-64 with AVX-512 F, BW, DQ, VL and VNNI.

#![allow(unsafe_code, reason = "intrinsics that load and store, and calls into target features")]

#[cfg(feature = "batch")]
mod columns;
mod ints;
mod lanes;
#[cfg(feature = "batch")]
mod panel;
#[cfg(feature = "batch")]
mod six;

use super::avx2::Avx2;

/// Proof that the CPU has AVX-512 F, BW, DQ, VL and VNNI, and AVX2, FMA and F16C, and that the operating system saves
/// their registers.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(Avx2);

impl Avx512 {
    /// Proof, inside a function that is compiled for these features.
    ///
    /// # Safety
    /// Elsewhere: the CPU has AVX-512 F, BW, DQ, VL and VNNI, AVX2, FMA and F16C, and the operating system has enabled
    /// them.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
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
