//! Faults and interrupts: none is expected, each ends the run.

#![allow(unsafe_code, reason = "handlers, and registers that say what happened")]

use crate::exit::fail;
use crate::stack;
use barre_firmware::text::{Hex, Text};
use core::ptr;
use cortex_m_rt::exception;

/// Configurable fault status and addresses (Armv7-M ARM, B3.2.15 to B3.2.18).
const CFSR: *const u32 = 0xe000_ed28 as *const u32;
const MMFAR: *const u32 = 0xe000_ed34 as *const u32;
const BFAR: *const u32 = 0xe000_ed38 as *const u32;

// No trampoline: where a stack has overflowed there is no frame to be handed over.
// SAFETY: this ends the run, so nothing that it interrupts goes on.
#[exception(trampoline = false)]
unsafe fn HardFault() -> ! {
    /// Saving or restoring registers has failed; the stack's limit was passed (Armv8-M).
    const STACKING: u32 = 0x3c3c;
    const STACK_LIMIT: u32 = 1 << 20;
    // SAFETY: every Cortex-M with configurable faults has these registers, and reading them changes nothing.
    let (status, memory, bus) =
        unsafe { (ptr::read_volatile(CFSR), ptr::read_volatile(MMFAR), ptr::read_volatile(BFAR)) };
    let address = if status & 1 << 15 != 0 { bus } else { memory };
    let what = match status {
        s if s & (STACKING | STACK_LIMIT) != 0 || stack::is_below(address) => "no room on the stack",
        s if s & 0xff != 0 => "memory protection",
        s if s & 0xff00 != 0 => "no such memory",
        s if s & 0xffff_0000 != 0 => "no such instruction, or not allowed",
        _ => "hard fault",
    };
    let at = stack::interrupted_at().unwrap_or(0);
    fail(format_args!(
        "fault: {} at {}, address {}, status {}",
        Text(what),
        Hex(at.into()),
        Hex(address.into()),
        Hex(status.into())
    ))
}

// SAFETY: as above.
#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    fail(format_args!("fault: interrupt {} has no handler", Hex(number as u16 as u64)))
}
