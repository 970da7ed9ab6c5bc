//! Why a schema is refused, and why a token is.

use crate::gguf::Name;
use core::fmt;

/// Why a schema is refused. `offset` is the byte of the schema's text where the fault begins.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is no JSON.
    Syntax {
        /// Where.
        offset: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// A keyword, or a name in a place of keywords, that this crate does not know. Passing over it would widen what
    /// the schema allows.
    UnknownKeyword {
        /// The keyword.
        keyword: Name,
        /// Where.
        offset: usize,
    },
    /// A keyword of JSON Schema that is understood but not in this place or not with this value.
    Unsupported {
        /// What it is.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// A keyword's value is not of the right type or out of range.
    WrongValue {
        /// The keyword.
        keyword: &'static str,
        /// What its value must be.
        want: &'static str,
        /// Where.
        offset: usize,
    },
    /// A pattern that cannot be used.
    Pattern {
        /// What is wrong.
        problem: &'static str,
        /// Where the pattern's text begins.
        offset: usize,
        /// The byte of the pattern, its escapes resolved.
        at: usize,
    },
    /// No value is valid against this part.
    NoValue {
        /// Where.
        offset: usize,
    },
    /// A `$ref` that leads nowhere, or to itself.
    BadReference {
        /// Whether it leads to itself.
        recursive: bool,
        /// Where.
        offset: usize,
    },
    /// More than the [`SchemaLimits`](super::SchemaLimits) allow.
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        max: usize,
        /// Where it became too much.
        offset: usize,
    },
    /// What should be a compiled schema is none of this version, or not whole; or a schema is too large to be compiled:
    /// more than 32,767 states or transitions.
    Compiled,
    /// `bytes` more could not be allocated.
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the schema is refused");
        }
        match *self {
            Self::Syntax { offset, expected } => write!(f, "byte {offset}: not JSON, expected {expected}"),
            Self::UnknownKeyword { keyword, offset } => {
                write!(f, "byte {offset}: the keyword `{keyword}` is not supported")
            }
            Self::Unsupported { what, offset } => write!(f, "byte {offset}: {what} is not supported"),
            Self::WrongValue { keyword, want, offset } => {
                write!(f, "byte {offset}: `{keyword}` must be {want}")
            }
            Self::Pattern { problem, offset, at } => {
                write!(f, "byte {offset}: the pattern cannot be used: {problem} (at its byte {at})")
            }
            Self::NoValue { offset } => write!(f, "byte {offset}: no value satisfies this part"),
            Self::BadReference { recursive: true, offset } => {
                write!(
                    f,
                    "byte {offset}: the reference leads to itself, so that no bound on the output exists"
                )
            }
            Self::BadReference { recursive: false, offset } => {
                write!(f, "byte {offset}: the reference leads nowhere; `#/$defs/NAME` is expected")
            }
            Self::Limit { what, max, offset } => write!(f, "byte {offset}: more than {max} {what}"),
            Self::Compiled => {
                f.write_str("not a whole compiled schema of this version, or too large for one")
            }
            Self::OutOfMemory { bytes } => {
                write!(f, "out of memory: {bytes} more bytes were needed for the schema")
            }
        }
    }
}

impl core::error::Error for SchemaError {}

/// Why an output cannot be constrained, or cannot go on.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConstrainError {
    /// The vocabulary has no token that ends the text, or cannot spell any output of the schema.
    Vocabulary,
    /// The output cannot be completed with the tokens left.
    Budget {
        /// Tokens left.
        left: usize,
        /// Tokens that the shortest completion takes.
        need: usize,
    },
    /// The number of logits is not that of the vocabulary.
    LogitsLen {
        /// The logits.
        got: usize,
        /// The vocabulary's tokens.
        want: usize,
    },
    /// A logit is NaN or +∞.
    NonFiniteLogits {
        /// The first such.
        index: usize,
    },
    /// Every token that may come has the logit −∞.
    AllMasked,
    /// A token that must not come here.
    Refused {
        /// The token.
        token: u32,
    },
    /// `bytes` more could not be allocated.
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
}

impl fmt::Display for ConstrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the output is refused");
        }
        match *self {
            Self::Vocabulary => {
                f.write_str("the vocabulary's tokens cannot spell any output that the schema allows")
            }
            Self::Budget { left, need } => {
                write!(
                    f,
                    "the shortest output of the schema takes {need} more tokens, there is room for {left}"
                )
            }
            Self::LogitsLen { got, want } => write!(f, "{got} logits for {want} tokens"),
            Self::NonFiniteLogits { index } => write!(f, "logit {index} is not a finite number"),
            Self::AllMasked => f.write_str("every token that the schema allows has the logit -inf"),
            Self::Refused { token } => write!(f, "token {token} leaves the schema"),
            Self::OutOfMemory { bytes } => {
                write!(f, "out of memory: {bytes} more bytes were needed for the constraint")
            }
        }
    }
}

impl core::error::Error for ConstrainError {}

/// Appends `item` if memory can be had.
pub(super) fn push<T>(list: &mut alloc::vec::Vec<T>, item: T) -> Result<(), SchemaError> {
    list.try_reserve(1).map_err(|_| SchemaError::OutOfMemory { bytes: size_of::<T>() })?;
    crate::part::push(list, item);
    Ok(())
}
