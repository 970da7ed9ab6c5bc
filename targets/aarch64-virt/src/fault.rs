//! Synchronous exceptions, interrupts and system errors: none is expected, each ends the run.

#![allow(unsafe_code, reason = "a symbol that start.s calls")]

use crate::exit::fail;
use crate::power;
use barre_firmware::text::{Hex, Text};
use core::sync::atomic::{AtomicBool, Ordering};

static FAULTED: AtomicBool = AtomicBool::new(false);

/// `start.s` comes here from every vector, on the core's fault stack, with the vector's number and the registers that
/// say what happened and where.
// SAFETY: start.s is the only other place with this name, and it calls it as it is declared.
#[unsafe(no_mangle)]
extern "C" fn barre_fault(vector: u64, syndrome: u64, at: u64, address: u64) -> ! {
    if FAULTED.swap(true, Ordering::Relaxed) {
        // Telling of a fault has failed, or another core is telling of its own.
        power::off();
    }
    let what = match syndrome >> 26 {
        0x20 | 0x21 => "instruction abort",
        0x22 | 0x26 => "misaligned program counter or stack pointer",
        0x24 | 0x25 => "data abort",
        0x00 => "undefined instruction",
        _ => "exception",
    };
    fail(format_args!(
        "fault: {} at {}, address {}, syndrome {}, vector {}",
        Text(what),
        Hex(at),
        Hex(address),
        Hex(syndrome),
        Hex(vector)
    ))
}
