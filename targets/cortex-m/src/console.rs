//! The console: the terminal of whoever debugs.

use core::fmt;
use semihosting::io::{self, Stdout, Write as _};

/// Standard output of the debugger or emulator. Without one there is nowhere to write.
pub struct Console(Option<Stdout>);

impl Console {
    /// Opens it.
    #[must_use]
    pub fn open() -> Self {
        Self(io::stdout().ok())
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let out = self.0.as_mut().ok_or(fmt::Error)?;
        out.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}
