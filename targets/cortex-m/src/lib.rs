//! The boards: QEMU's `mps2-an386` (Cortex-M4F) and `mps2-an505` (Cortex-M33), 32-bit CPUs without an operating system.
//!
//! cortex-m-rt starts the CPU; the `main` that an image names in [`entry!`] runs on a stack of its own below all other
//! memory, faults on another. A panic, a fault and an error of `main` print and end the emulator with an exit code
//! other than 0.

#![no_std]
#![deny(unsafe_code)]

mod console;
mod exit;
mod fault;
#[cfg(feature = "defmt")]
mod log;
mod mem;
mod stack;

pub use console::Console;
pub use exit::{fail, main_returned};
pub use stack::{on_main_stack, stack_figures};

use barre_firmware::demo::Failure;

/// Names the image's `main`: `fn() -> Result<(), Failure>`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(export_name = "main")]
        extern "C" fn barre_start() -> ! {
            extern "C" fn run() -> ! {
                let main: fn() -> Result<(), $crate::Error> = $main;
                $crate::main_returned(main())
            }
            $crate::on_main_stack(run)
        }
    };
}

/// Why an image's `main` gives up.
pub type Error = Failure;
