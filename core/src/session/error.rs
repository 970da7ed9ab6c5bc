//! What can go wrong while a model is at work.

use crate::io::IoError;
use crate::kernels::MatmulError;
use crate::model::{TensorName, WeightError};
use core::fmt;

/// A failed call of a session's.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The arena is shorter than the plan says.
    BufferTooSmall {
        /// Bytes that the plan asks for.
        need: usize,
        /// Bytes given.
        have: usize,
    },
    /// The arena does not start at a multiple of `align`.
    Misaligned {
        /// Bytes.
        align: usize,
    },
    /// The plan was made for another model, or for other kernels.
    ForeignPlan,
    /// A norm, bias or table of factors could not be read.
    Vector(IoError),
    /// A weight matrix could not be read.
    Weights {
        /// The matrix.
        tensor: TensorName,
        /// Why.
        error: IoError,
    },
    /// The plan says that weights are mapped or lent, but the reader does neither.
    NotMapped {
        /// The first such matrix.
        tensor: TensorName,
    },
    /// A multiplication was refused: the plan was made for another model or other kernels.
    Matmul {
        /// The matrix.
        tensor: TensorName,
        /// Why.
        error: MatmulError,
    },
    /// There are no tokens to take in.
    NoTokens,
    /// The tokens do not fit the context.
    ContextFull {
        /// Positions that they would take, with those already taken.
        need: usize,
        /// Positions that there are.
        have: usize,
    },
    /// A number is no token of the model's.
    BadToken {
        /// Its place among the tokens given.
        index: usize,
        /// The number.
        token: u32,
        /// Tokens in the vocabulary.
        vocab_size: usize,
    },
    /// Earlier work is not done.
    Busy,
    /// The session has not come that far.
    BadPosition {
        /// The position asked for.
        position: usize,
        /// Positions taken in.
        have: usize,
    },
}

impl From<WeightError> for SessionError {
    fn from(e: WeightError) -> Self {
        match e {
            WeightError::Io { tensor, error } => Self::Weights { tensor: tensor.name(), error },
            WeightError::NotMapped { tensor } => Self::NotMapped { tensor: tensor.name() },
            WeightError::Matmul { tensor, error } => Self::Matmul { tensor: tensor.name(), error },
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the session has failed");
        }
        match *self {
            Self::BufferTooSmall { need, have } => {
                write!(f, "the arena has {have} bytes; the plan needs {need}")
            }
            Self::Misaligned { align } => write!(f, "the arena is not aligned to {align} bytes"),
            Self::ForeignPlan => f.write_str("the plan was made for another model"),
            Self::Vector(e) => write!(f, "reading norms and biases: {e}"),
            Self::Weights { tensor, error } => write!(f, "reading `{tensor}`: {error}"),
            Self::NotMapped { tensor } => {
                write!(f, "`{tensor}` is planned as mapped or lent, but the reader has no view of it")
            }
            Self::Matmul { tensor, error } => write!(f, "multiplying `{tensor}`: {error}"),
            Self::NoTokens => f.write_str("no tokens were given"),
            Self::ContextFull { need, have } => {
                write!(f, "the context is full: {need} positions are needed, there are {have}")
            }
            Self::BadToken { index, token, vocab_size } => {
                write!(f, "number {token} at place {index} is no token: the vocabulary has {vocab_size}")
            }
            Self::Busy => f.write_str("earlier work is not done"),
            Self::BadPosition { position, have } => {
                write!(f, "position {position} has not been reached; the session has {have}")
            }
        }
    }
}

impl core::error::Error for SessionError {}
