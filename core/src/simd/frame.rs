//! Where the frames of functions with many vectors lie.

#![allow(unsafe_code, reason = "the compiler has no attribute for it")]

use core::arch::asm;
use core::mem::MaybeUninit;

#[repr(align(64))]
struct Line {
    _bytes: [u8; 64],
}

/// Has the frame of the function that this is inlined into begin at a cache line. The compiler aligns spill slots of
/// vectors to 16 bytes otherwise, and what was spilled across two lines comes back later: 1 to 4 % of the batch kernels' time.
#[inline(always)]
pub(crate) fn align_to_line() {
    let line = MaybeUninit::<Line>::uninit();
    // SAFETY: no instruction at all; the operand is the address of what the frame has to hold therefore.
    unsafe { asm!("/* {0} */", in(reg) line.as_ptr().addr(), options(nomem, nostack, preserves_flags)) };
}
