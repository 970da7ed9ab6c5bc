//! Instruction sets: which there are, the proof that a CPU has one, and its operations.
//!
//! A value of [`Scalar`], [`avx2::Avx2`], [`avxvnni::AvxVnni`], [`avx512::Avx512`], `amx::Amx` (with the feature `batch`),
//! [`neon::Neon`], `dotprod::Dotprod` or `i8mm::I8mm` (those with the feature `dotprod`) is proof that the CPU has the features
//! that its type names; operations are methods on that proof. The traits say what the kernels need, shaped after the data:
//! `Ints` for blocks of small integers (`Dots` is what of it differs on aarch64), `PanelIsa`, `Columns` and `Tiles` for batches of
//! tokens, `Lanes` for sixteen f32. Kernels are written once over them; an entry
//! point with `#[target_feature]` instantiates them for each instruction set, so that everything inlines into it.

#[cfg(feature = "batch")]
pub(crate) mod columns;
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod detected;
#[cfg(target_arch = "x86_64")]
pub(crate) mod frame;
pub(crate) mod ints;
mod kind;
pub mod lanes;
#[cfg(feature = "batch")]
pub(crate) mod panel;
mod scalar;
#[cfg(all(target_arch = "x86_64", feature = "batch"))]
pub(crate) mod tiles;
#[cfg(target_arch = "x86_64")]
mod vnni;

#[cfg(all(target_arch = "x86_64", feature = "batch"))]
pub mod amx;
#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "x86_64")]
pub mod avxvnni;
#[cfg(all(target_arch = "aarch64", feature = "dotprod"))]
pub mod dotprod;
#[cfg(target_arch = "aarch64")]
pub(crate) mod dots;
#[cfg(all(target_arch = "aarch64", feature = "dotprod"))]
pub mod i8mm;
#[cfg(target_arch = "aarch64")]
pub mod neon;

pub use kind::{IsaKind, UnknownIsa};
pub use lanes::Lanes;
pub use scalar::Scalar;

/// Safe operations of an instruction set: the one unsafe call lives here. The body of each is safe code inside a
/// function with the matching `#[target_feature]`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! isa_ops {
    ($isa:ty, $feature:literal; $($(#[$attr:meta])* fn $name:ident($($arg:ident: $t:ty),* $(,)?) $(-> $r:ty)? $body:block)*) => {
        $($(#[$attr])* #[inline(always)]
        fn $name(self $(, $arg: $t)*) $(-> $r)? {
            #[target_feature(enable = $feature)]
            #[inline]
            fn op($($arg: $t),*) $(-> $r)? $body
            // SAFETY: a value of this type exists only where the feature is available.
            unsafe { op($($arg),*) }
        })*
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use isa_ops;
