//! What can go wrong while a session is saved or restored.

use crate::io::IoError;
use crate::model::TensorName;
use core::fmt;
use embedded_io::ErrorKind;

/// A part of a saved session with a checksum of its own.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedPart {
    /// The fixed fields at the beginning.
    Header,
    /// The tokens.
    Tokens,
    /// Keys and values of a layer, counted from 0.
    Layer(u32),
}

/// Why a session could not be saved, or a saved one not restored. Offsets count from the saved session's first byte.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SavedError {
    /// Work begun is not done.
    Busy,
    /// The weights, of which the fingerprint takes a sample, could not be read.
    Weights {
        /// The matrix; empty for a norm or bias.
        tensor: TensorName,
        /// Why.
        error: IoError,
    },
    /// The writer failed.
    Write {
        /// What it answered; `WriteZero` if it took nothing.
        kind: ErrorKind,
        /// Where.
        offset: u64,
        /// Bytes that were still to be written; 0 if it could not flush.
        len: usize,
    },
    /// The reader failed.
    Read {
        /// What it answered.
        kind: ErrorKind,
        /// Where.
        offset: u64,
        /// Bytes that were still wanted.
        len: usize,
    },
    /// The reader or writer claimed more bytes than it was given.
    Contract {
        /// Where.
        offset: u64,
        /// The bytes that it claimed.
        got: usize,
        /// The most that it may.
        most: usize,
    },
    /// The bytes end inside `part`.
    Truncated {
        /// The part.
        part: SavedPart,
        /// The first byte that is missing.
        offset: u64,
    },
    /// The first eight bytes are not those of a saved session.
    BadMagic {
        /// What they are.
        got: [u8; 8],
    },
    /// A version other than [`SAVED_VERSION`](super::SAVED_VERSION).
    UnsupportedVersion {
        /// The version.
        version: u32,
    },
    /// A part is not what was saved: its checksum or a fixed field is wrong.
    Corrupt {
        /// The part.
        part: SavedPart,
        /// Where the part ends and its checksum begins.
        offset: u64,
    },
    /// The session was saved with another model.
    OtherModel {
        /// The fingerprint in the file.
        got: u64,
        /// This model's.
        want: u64,
    },
    /// The session was saved with other [`Limits`](crate::model::Limits), under which the cache has other content.
    OtherLimits {
        /// Which: `"kv"` or `"mode"`.
        limit: &'static str,
    },
    /// There are more positions than the context has.
    ContextFull {
        /// Positions saved.
        need: usize,
        /// Positions that there are.
        have: usize,
    },
    /// A number among the tokens is none of the model's.
    BadToken {
        /// Its position.
        index: usize,
        /// The number.
        token: u32,
        /// Tokens in the vocabulary.
        vocab_size: usize,
    },
    /// The live session leaves no room in the cache, and the scratch is too small.
    BufferTooSmall {
        /// Bytes of scratch that are enough.
        need: usize,
        /// Bytes given.
        have: usize,
    },
}

impl fmt::Display for SavedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the saved session is refused");
        }
        match self {
            Self::Header => f.write_str("the header"),
            Self::Tokens => f.write_str("the tokens"),
            Self::Layer(i) => write!(f, "layer {i}"),
        }
    }
}

impl fmt::Display for SavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the saved session is refused");
        }
        match *self {
            Self::Busy => f.write_str("earlier work is not done"),
            Self::Weights { tensor, error } => write!(f, "reading `{tensor}` for the fingerprint: {error}"),
            Self::Write { kind, offset, len } => {
                write!(f, "writing {len} bytes at byte {offset} of the saved session failed: {kind:?}")
            }
            Self::Read { kind, offset, len } => {
                write!(f, "reading {len} bytes at byte {offset} of the saved session failed: {kind:?}")
            }
            Self::Contract { offset, got, most } => write!(
                f,
                "the reader or writer of the saved session broke its contract at byte {offset}: {got} bytes of {most}"
            ),
            Self::Truncated { part, offset } => {
                write!(f, "the saved session ends at byte {offset}, inside {part}")
            }
            Self::BadMagic { got } => {
                write!(f, "not a saved session: it starts with \"{}\"", got.escape_ascii())
            }
            Self::UnsupportedVersion { version } => {
                write!(
                    f,
                    "version {version} of saved sessions is not supported, only {}",
                    super::SAVED_VERSION
                )
            }
            Self::Corrupt { part, offset } => {
                write!(f, "the saved session is damaged: {part}, which ends at byte {offset}, has changed")
            }
            Self::OtherModel { got, want } => {
                write!(f, "the session was saved with another model ({got:016x}, this one is {want:016x})")
            }
            Self::OtherLimits { limit } => write!(f, "the session was saved with another {limit}"),
            Self::ContextFull { need, have } => {
                write!(f, "the saved session has {need} positions, the context {have}")
            }
            Self::BadToken { index, token, vocab_size } => {
                write!(f, "number {token} at place {index} is no token: the vocabulary has {vocab_size}")
            }
            Self::BufferTooSmall { need, have } => {
                write!(f, "restoring beside the live session needs {need} bytes of scratch; {have} are there")
            }
        }
    }
}

impl core::error::Error for SavedError {}
