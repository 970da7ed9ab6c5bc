//! The ways out.

use crate::{Console, Error};
use barre_firmware::text::{Number, Text};
use core::fmt::{self, Write as _};
use core::panic::PanicInfo;

/// Prints what went wrong and ends the emulator with exit code 1.
pub fn fail(why: fmt::Arguments<'_>) -> ! {
    // There is nowhere else to say it if the console refuses.
    let _ = writeln!(Console::open(), "\n{why}");
    semihosting::process::exit(1)
}

/// Ends the emulator as `main` ended: 0, or 1 and the error.
pub fn main_returned(result: Result<(), Error>) -> ! {
    match result {
        Ok(()) => semihosting::process::exit(0),
        Err(e) => fail(format_args!("error: {e}")),
    }
}

/// Prints where, and with the feature `messages` why: the standard library's words for its panics are 2 KB.
#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    if cfg!(feature = "messages") {
        fail(format_args!("{info}"))
    }
    match info.location() {
        Some(at) => fail(format_args!("panicked at {}:{}", Text(at.file()), Number(at.line().into()))),
        None => fail(format_args!("panicked")),
    }
}
