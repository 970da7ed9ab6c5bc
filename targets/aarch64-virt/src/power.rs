//! The firmware interface (PSCI, Arm DEN 0022): starting a core, turning the machine off.

#![allow(unsafe_code, reason = "calls to the firmware")]

use core::arch::asm;

const CPU_ON: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;

/// Calls `function`; QEMU's virt board answers to `hvc` where there is neither EL2 nor EL3.
///
/// # Safety
/// Function and arguments are such that what they start is sound.
unsafe fn call(function: u64, a: u64, b: u64, c: u64) -> i64 {
    let result: u64;
    // SAFETY: by the SMC calling convention, x0 to x17 may change and nothing else.
    unsafe {
        asm!(
            "hvc #0",
            inout("x0") function => result,
            inout("x1") a => _, inout("x2") b => _, inout("x3") c => _,
            out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
            out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nostack)
        );
    }
    result.cast_signed()
}

/// Starts core `core` at `entry`, a physical address, with MMU and caches off.
///
/// # Safety
/// `entry` sets the core up, uses no other core's stack, and never returns.
pub(crate) unsafe fn start_core(core: u64, entry: u64) -> Result<(), i64> {
    // SAFETY: the caller answers for what the core does.
    match unsafe { call(CPU_ON, core, entry, 0) } {
        0 => Ok(()),
        refused => Err(refused),
    }
}

/// Turns the machine off.
pub(crate) fn off() -> ! {
    // SAFETY: nothing happens after that.
    unsafe { call(SYSTEM_OFF, 0, 0, 0) };
    loop {
        core::hint::spin_loop();
    }
}
