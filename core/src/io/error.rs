//! What can go wrong between a caller's reader and the core.

use core::fmt;
use embedded_io::ErrorKind;

/// The operation that failed.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoOp {
    /// Reading bytes.
    Read,
    /// Moving the reader's position.
    Seek,
    /// Asking for the length.
    Len,
}

/// A failed access to the reader. Offsets are absolute, in bytes.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoError {
    /// The reader reported an error.
    Io {
        /// What was asked of it.
        op: IoOp,
        /// What it answered.
        kind: ErrorKind,
        /// Where.
        offset: u64,
        /// How many bytes were still wanted.
        len: usize,
    },
    /// The bytes end inside what was asked for. The request began at `offset - have` and lacks `need - have` bytes.
    Truncated {
        /// Absolute offset of the first missing byte.
        offset: u64,
        /// Bytes asked for in all.
        need: u64,
        /// Bytes of these that are there.
        have: u64,
    },
    /// The reader broke its contract: it claimed more bytes than it was given room for, or a seek went elsewhere.
    Contract {
        /// What was asked of it.
        op: IoOp,
        /// Where.
        offset: u64,
        /// The number it returned.
        got: u64,
        /// The number it should have returned, or the largest that it may.
        want: u64,
    },
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            let (Self::Io { offset, .. } | Self::Truncated { offset, .. } | Self::Contract { offset, .. }) =
                *self;
            return write!(f, "reading has failed at byte {offset}");
        }
        match *self {
            Self::Io { op, kind, offset, len } => {
                write!(f, "{op:?} of {len} bytes at byte {offset} failed: {kind:?}")
            }
            Self::Truncated { offset, need, have } => {
                write!(f, "the data ends at byte {offset}: {need} bytes were asked for, {have} are there")
            }
            Self::Contract { op, offset, got, want } => {
                write!(f, "the reader broke its contract in {op:?} at byte {offset}: got {got}, want {want}")
            }
        }
    }
}

impl core::error::Error for IoError {}
