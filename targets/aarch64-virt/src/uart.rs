//! The console: the board's PL011.

#![allow(unsafe_code, reason = "a device's registers")]

use core::fmt;
use core::ptr;

/// Data and flag registers (PL011 technical reference manual, 3.3).
const DATA: *mut u32 = 0x0900_0000 as *mut u32;
const FLAGS: *const u32 = 0x0900_0018 as *const u32;
const TRANSMIT_FULL: u32 = 1 << 5;

/// The board's first UART. QEMU needs no baud rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uart;

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: start.s maps these addresses as a device, where the board has the UART; its registers are 32 bits
            // wide and reading the flags changes nothing.
            while unsafe { ptr::read_volatile(FLAGS) } & TRANSMIT_FULL != 0 {}
            // SAFETY: as above; a write to the data register sends a byte.
            unsafe { ptr::write_volatile(DATA, u32::from(byte)) }
        }
        Ok(())
    }
}
