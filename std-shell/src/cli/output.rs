//! Results on stdout, everything else on stderr, and how a command can fail.

use std::io::{ErrorKind, Write};
use std::path::Path;

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody reads stdout any more.
    ClosedPipe,
    /// Ctrl-C.
    Interrupted,
    /// Anything else, in one line.
    Because(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(e: E) -> Self {
        Self::Because(e.to_string())
    }
}

impl Failure {
    pub(super) fn because(cause: impl Into<String>) -> Self {
        Self::Because(cause.into())
    }
}

/// The failure `e`, said of the file at `path`.
pub(super) fn of_file<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> Failure {
    move |e| Failure::Because(format!("{}: {e}", path.display()))
}

/// Writes `text` to stdout at once.
pub(super) fn write(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => Failure::because(format!("cannot write to stdout: {e}")),
    })
}

/// Writes `text` to stderr. Unlike `eprint!` it does not panic where nobody reads that either.
pub(super) fn note(text: std::fmt::Arguments<'_>) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_fmt(text).and_then(|()| err.flush());
}

/// `text` for a terminal: what would not print, escape sequences of a hostile file among it, is escaped.
pub(super) fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_print_is_escaped() {
        assert_eq!(printable(b"blk.0 \xc3\xa9"), "blk.0 é");
        assert_eq!(printable(b"\x1b[2Ja\n"), "\\u{1b}[2Ja\\n");
    }
}
