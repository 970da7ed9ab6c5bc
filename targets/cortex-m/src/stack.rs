//! The stack of `main`, painted to see later how deep it went.

#![allow(unsafe_code, reason = "symbols of the linker, stack pointers, and memory below them")]

use core::arch::asm;
use core::ptr;

/// What the stack is painted with.
const PAINT: u32 = 0xa5a5_a5a5;

// SAFETY: the linker script defines both; only their addresses are taken.
unsafe extern "C" {
    static __main_stack_bottom: u32;
    static __main_stack_top: u32;
}

fn bounds() -> (*const u32, *const u32) {
    (&raw const __main_stack_bottom, &raw const __main_stack_top)
}

/// Bytes below the stack that nothing may touch: more than any function takes at once.
const GUARD_BYTES: u32 = 4 << 10;

/// Forbids the bytes below the stack, by the first region of the MPU (Armv7-M ARM, B3.5).
#[cfg(not(armv8m))]
fn guard(bottom: *const u32) {
    const CTRL: *mut u32 = 0xe000_ed94 as *mut u32;
    const RBAR: *mut u32 = 0xe000_ed9c as *mut u32;
    const RASR: *mut u32 = 0xe000_eda0 as *mut u32;
    const VALID: u32 = 1 << 4;
    const NO_ACCESS_NO_CODE: u32 = 1 << 28;
    const ENABLE: u32 = 1;
    const ELSE_AS_WITHOUT_MPU: u32 = 1 << 2;
    let base = bottom.addr() as u32 - GUARD_BYTES;
    // SAFETY: the CPU has an MPU, whose registers these are; the region is aligned to its size, in RAM that nothing uses.
    unsafe {
        ptr::write_volatile(RBAR, base | VALID);
        ptr::write_volatile(RASR, NO_ACCESS_NO_CODE | (GUARD_BYTES.ilog2() - 1) << 1 | ENABLE);
        ptr::write_volatile(CTRL, ELSE_AS_WITHOUT_MPU | ENABLE);
        asm!("dsb", "isb", options(nostack, preserves_flags));
    }
}

/// Has the CPU fault before the stack pointer falls below `bottom` (Armv8-M ARM, B3.21).
#[cfg(armv8m)]
fn guard(bottom: *const u32) {
    // SAFETY: `main`, which is to run on this stack, begins above it.
    unsafe { asm!("msr psplim, {}", in(reg) bottom, options(nomem, nostack, preserves_flags)) }
}

/// Runs `main` on its own stack, and leaves the one that the CPU started with to faults. Called once, by `entry!`.
pub fn on_main_stack(main: extern "C" fn() -> !) -> ! {
    let (bottom, top) = bounds();
    let mut at = bottom.cast_mut();
    while at.cast_const() < top {
        // SAFETY: this part of RAM is in nobody's use: the linker places nothing there, and no code runs on it yet.
        unsafe { ptr::write_volatile(at, PAINT) };
        at = at.wrapping_add(1);
    }
    guard(bottom);
    // SAFETY: top is aligned to 8 and has the stack's memory below it; the thread's mode of the CPU may choose its stack
    // (CONTROL.SPSEL); main never returns, so nothing of the present stack is needed again.
    unsafe {
        asm!(
            "msr psp, {top}",
            "msr control, {thread_stack}",
            "isb",
            "bx {main}",
            top = in(reg) top,
            thread_stack = in(reg) 2,
            main = in(reg) main,
            options(noreturn)
        )
    }
}

/// Bytes of the stack that have been used at the deepest, and that there are.
#[must_use]
pub fn stack_figures() -> (usize, usize) {
    let (bottom, top) = bounds();
    let mut at = bottom;
    // SAFETY: from bottom to top there is RAM, painted before `main` began; volatile, as it changes under the compiler.
    while at < top && unsafe { ptr::read_volatile(at) } == PAINT {
        at = at.wrapping_add(1);
    }
    (top.addr() - at.addr(), top.addr() - bottom.addr())
}

/// Whether `address` is one that only a stack which has grown too long gets to.
pub(crate) fn is_below(address: u32) -> bool {
    let (bottom, _) = bounds();
    (address as usize) < bottom.addr() && address as usize >= bottom.addr() - GUARD_BYTES as usize
}

/// Where `main` was when an exception came, if its stack had room to say so.
pub(crate) fn interrupted_at() -> Option<u32> {
    /// The program counter's place among the eight words that the CPU saves.
    const PC: usize = 6;
    let (bottom, top) = bounds();
    let frame: *const u32;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, psp", out(reg) frame, options(nomem, nostack, preserves_flags)) }
    if frame < bottom || frame.wrapping_add(8) > top {
        return None;
    }
    // SAFETY: the frame lies in the stack's memory, aligned as stack pointers are.
    Some(unsafe { ptr::read_volatile(frame.wrapping_add(PC)) })
}
