//! What the CPU can do, and the kernels for it.

#![allow(unsafe_code, reason = "system registers, and the proof that they make")]

use barre_core::kernels::Kernels;
use barre_core::simd::{dotprod::Dotprod, i8mm::I8mm, neon::Neon};
use core::arch::asm;
use core::fmt;

/// The features that kernels may need, from the CPU's own registers (Arm ARM, D19.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Advanced SIMD.
    pub neon: bool,
    /// Products of four bytes, added up: `sdot`, `udot`.
    pub dotprod: bool,
    /// Products of 2 × 8 matrices of bytes: `smmla`, `usmmla`.
    pub i8mm: bool,
}

macro_rules! register {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: the register exists on every AArch64 CPU, may be read at EL1, and reading it changes nothing.
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) }
        value
    }};
}

impl Features {
    /// Asks this core. All cores of the board are of one kind.
    #[must_use]
    pub fn of_this_core() -> Self {
        let field = |register: u64, lowest: u32| register >> lowest & 0xf;
        Self {
            // 0xf: none. 0 and 1: present, without and with half-precision arithmetic.
            neon: field(register!("id_aa64pfr0_el1"), 20) != 0xf,
            dotprod: field(register!("id_aa64isar0_el1"), 44) >= 1,
            i8mm: field(register!("id_aa64isar1_el1"), 52) >= 1,
        }
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (has, name) in [(self.neon, "neon"), (self.dotprod, " dotprod"), (self.i8mm, " i8mm")] {
            f.write_str(if has { name } else { "" })?;
        }
        Ok(())
    }
}

/// The best kernels that the core has for these features. The one place to name a new instruction set.
///
/// There is no portable fallback: the compiler uses Advanced SIMD for this image's other code too, and the kernels that
/// no CPU here would run are the larger part of an image.
///
/// # Errors
/// [`NoSimd`].
pub fn kernels(features: Features) -> Result<Kernels, NoSimd> {
    if !features.neon {
        return Err(NoSimd);
    }
    // SAFETY: the CPU says that it has what each proof stands for, and start.s has turned the traps of Advanced SIMD off,
    // to which all of it belongs.
    Ok(unsafe {
        match features {
            Features { dotprod: true, i8mm: true, .. } => Kernels::i8mm(I8mm::assume()),
            Features { dotprod: true, .. } => Kernels::dotprod(Dotprod::assume()),
            _ => Kernels::neon(Neon::assume()),
        }
    })
}

/// The CPU has no Advanced SIMD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSimd;

impl fmt::Display for NoSimd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the CPU has no Advanced SIMD")
    }
}

impl core::error::Error for NoSimd {}
