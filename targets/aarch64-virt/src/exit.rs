//! The ways out.

use crate::{Error, Uart};
use core::fmt::{self, Write as _};
use core::panic::PanicInfo;

/// Prints what went wrong and ends the emulator with exit code 1.
pub fn fail(why: fmt::Arguments<'_>) -> ! {
    // There is nowhere else to say it if the console refuses.
    let _ = writeln!(Uart, "\n{why}");
    semihosting::process::exit(1)
}

/// Ends the emulator as `main` ended: 0, or 1 and the error.
pub fn main_returned(result: Result<(), Error>) -> ! {
    match result {
        Ok(()) => semihosting::process::exit(0),
        Err(e) => fail(format_args!("error: {e}")),
    }
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    fail(format_args!("{info}"))
}
