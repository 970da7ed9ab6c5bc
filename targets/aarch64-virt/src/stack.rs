//! How deep the first core's stack went.

#![allow(unsafe_code, reason = "symbols of start.s, and memory below the stack pointer")]

use core::ptr;

/// What start.s paints the stack with.
const PAINT: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// Bytes of the first core's stack that have been used at the deepest, and that there are.
#[must_use]
pub fn stack_figures() -> (usize, usize) {
    unsafe extern "C" {
        /// Bottom and top.
        static barre_stack0: [*const u64; 2];
    }
    // SAFETY: start.s defines it, two constants in flash.
    let [bottom, top] = unsafe { barre_stack0 };
    let mut at = bottom;
    // SAFETY: from bottom to top the stack is mapped, aligned to a page; volatile, as it changes under the compiler.
    while at < top && unsafe { ptr::read_volatile(at) } == PAINT {
        at = at.wrapping_add(1);
    }
    (top.addr() - at.addr(), top.addr() - bottom.addr())
}
