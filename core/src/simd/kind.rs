//! The names of the instruction sets.

use core::fmt;
use core::str::FromStr;

/// An instruction set that kernels are compiled for.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IsaKind {
    /// Portable code, the oracle of all others.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-VNNI beside AVX2.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI beside AVX2.
    Avx512,
    /// x86-64 with AMX's tiles of bytes and bfloat16 numbers beside those.
    Amx,
    /// aarch64 with Advanced SIMD, which every aarch64 application core has.
    Neon,
    /// aarch64 with the dot product instructions (`FEAT_DotProd`) beside Advanced SIMD.
    Dotprod,
    /// aarch64 with the matrix multiplication instructions for bytes (`FEAT_I8MM`) beside those.
    I8mm,
}

/// A name that is no [`IsaKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownIsa;

impl IsaKind {
    /// Every instruction set, slowest first.
    pub const ALL: [Self; 8] = [
        Self::Scalar,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Amx,
        Self::Neon,
        Self::Dotprod,
        Self::I8mm,
    ];

    /// The name that command lines use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
            Self::Neon => "neon",
            Self::Dotprod => "dotprod",
            Self::I8mm => "i8mm",
        }
    }
}

impl FromStr for IsaKind {
    type Err = UnknownIsa;

    fn from_str(s: &str) -> Result<Self, UnknownIsa> {
        Self::ALL.into_iter().find(|i| i.name() == s).ok_or(UnknownIsa)
    }
}

impl fmt::Display for IsaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such instruction set")
    }
}

impl core::error::Error for UnknownIsa {}
