//! Matrix times one token on aarch64: a vector's lanes are rows.
//!
//! The cores at hand are limited by instructions, not by the memory's requests in flight, so what counts is work a block
//! that can be done once for several rows: the activations' loads, and the float step, which takes four rows at once and
//! keeps their accumulators in a register. Rows are streams of their own; four or eight of them are what the cores'
//! prefetchers follow by themselves.
//!
//! Sums of products run on from block to block (of small blocks) or from group to group (of super-blocks). Clearing them
//! would cost an instruction for each; differences cost one for four: of small blocks' totals after they are reduced, and
//! of super-blocks' scales, `Σ s_j·(c_j − c_(j−1)) = Σ (s_j − s_(j+1))·c_j`, before they are multiplied with. Everything
//! wraps at 32 bits, and the results fit them.

// It loads lanes of 4 and 8 bytes from any address, which faults where the MMU is off, as it may be without an operating
// system.
#[cfg(not(target_os = "none"))]
mod eight;
mod small;
mod supers;

#[cfg(not(target_os = "none"))]
pub(super) use eight::scratch_bytes;
#[cfg(target_os = "none")]
use small as eight;

use super::{Entry, Table};
use crate::kernels::table::compiled;
use crate::kernels::{ActToken, Mode};
use core::arch::aarch64::*;
use core::arch::asm;

macro_rules! table {
    ($name:ident, $isa:ty, $feature:literal, $q4_0:ident, $q8_0:ident) => {
        pub(in crate::kernels) static $name: Table = {
            macro_rules! entry {
                ($kernel:ident, $format:ident) => {{
                    #[target_feature(enable = $feature)]
                    fn entry(weights: &[u8], act: &ActToken<'_>, out: &mut [f32], scratch: &mut [u8]) {
                        let isa = <$isa>::assume();
                        match act.planes {
                            1 => $kernel::rows::<$isa, $kernel::$format, 1>(isa, weights, act, out, scratch),
                            _ => $kernel::rows::<$isa, $kernel::$format, { Mode::MOST_PLANES }>(
                                isa, weights, act, out, scratch,
                            ),
                        }
                    }
                    Some(entry as Entry)
                }};
            }
            compiled([
                None,
                None,
                None,
                entry!($q4_0, Q4_0),
                entry!(small, Q4_1),
                entry!(small, Q5_0),
                entry!(small, Q5_1),
                entry!($q8_0, Q8_0),
                entry!(supers, Q2K),
                entry!(supers, Q3K),
                entry!(supers, Q4K),
                entry!(supers, Q5K),
                entry!(supers, Q6K),
                entry!(supers, Q8K),
            ])
        };
    };
}

table!(NEON, crate::simd::neon::Neon, "neon", small, small);
table!(DOTPROD, crate::simd::dotprod::Dotprod, "neon,dotprod", eight, eight);

/// The sums of four vectors.
///
/// # Safety
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn reduce(a: int32x4_t, b: int32x4_t, c: int32x4_t, d: int32x4_t) -> int32x4_t {
    // SAFETY: the caller's.
    unsafe { vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)) }
}

/// 32 bytes at any address.
///
/// # Safety
/// They are readable, and the CPU has Advanced SIMD.
#[inline(always)]
unsafe fn load(p: *const u8) -> [int8x16_t; 2] {
    // SAFETY: the caller's; ld1 of bytes needs no alignment.
    unsafe { [vld1q_s8(p.cast()), vld1q_s8(p.add(16).cast())] }
}

/// `x`, which the optimizer cannot see through. It would widen each of its numbers anew where one
/// is multiplied with.
///
/// # Safety
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn opaque(mut x: int32x4_t) -> int32x4_t {
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe { asm!("/* {x:v} */", x = inout(vreg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}

/// `joined·256 + x`, or the first plane's `x`.
///
/// # Safety
/// The CPU has Advanced SIMD.
#[inline(always)]
unsafe fn join(plane: usize, joined: float32x4_t, x: int32x4_t) -> float32x4_t {
    // SAFETY: the caller's.
    unsafe {
        let x = vcvtq_f32_s32(x);
        if plane == 0 { x } else { vaddq_f32(vmulq_n_f32(joined, 256.0), x) }
    }
}
