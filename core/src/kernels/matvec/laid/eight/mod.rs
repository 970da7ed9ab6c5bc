//! Eight blocks a step, in registers of 32 bytes: AVX2, and with AVX-VNNI or AVX-512 products that add themselves up.

mod products;
mod small;
mod supers;

pub(super) use small::{Q4_0, Q4_1, Q5_0, Q5_1};
pub(super) use supers::{Q4K, Q5K};

use core::arch::x86_64::__m256i;

/// Blocks in a step.
const STEP: usize = 8;

/// `x`, which has been computed where this stands: so it stays between its prefetches, and out of other blocks' way.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn finished(mut x: __m256i) -> __m256i {
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe { core::arch::asm!("/* {0} */", inout(ymm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}
