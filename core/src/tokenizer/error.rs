//! What can be wrong with a vocabulary, and why text could not be encoded.

use crate::gguf::{GgufError, Name};
use core::fmt;

/// Why a vocabulary is refused.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum VocabError {
    /// A key is missing or of the wrong type, or the reader failed.
    Gguf(GgufError),
    /// A tokenizer model or pre-tokenizer that this crate does not know; none is put in its place.
    UnsupportedTokenizer {
        /// The metadata key that names it.
        key: &'static str,
        /// The name.
        name: Name,
    },
    /// This build leaves that kind of vocabulary or of token out.
    NotCompiled {
        /// The metadata key that asks for it.
        key: &'static str,
        /// The feature of `barre-core` that brings it.
        feature: &'static str,
    },
    /// A key that this kind of vocabulary needs is absent.
    MissingKey {
        /// The metadata key.
        key: &'static str,
    },
    /// The value of a metadata key contradicts the rest of the vocabulary.
    BadVocab {
        /// The metadata key.
        key: &'static str,
        /// What is wrong.
        problem: VocabProblem,
    },
    /// A merge that is not two non-empty texts with one space between them.
    BadMerge {
        /// Its index in `tokenizer.ggml.merges`.
        index: u64,
    },
    /// More than this crate's limits allow.
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        got: u64,
        /// How much is allowed.
        max: u64,
    },
    /// Memory for a table could not be had.
    OutOfMemory {
        /// The table.
        what: &'static str,
        /// Bytes asked for.
        bytes: usize,
    },
}

/// What is wrong with a vocabulary's key.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VocabProblem {
    /// The array has fewer elements than there are tokens.
    Len {
        /// Its elements.
        got: u64,
        /// The tokens.
        want: u64,
    },
    /// A token id that no token has.
    Id {
        /// The id.
        id: u64,
        /// The number of tokens.
        n: u64,
    },
    /// The flag asks for a token whose id the file does not give.
    NoId {
        /// The key of the id.
        id_key: &'static str,
    },
    /// A token of type "byte" whose text is not `<0xHH>`.
    ByteToken {
        /// Its id.
        id: u32,
    },
    /// No token stands for this byte, and no unknown token takes its place.
    MissingByte {
        /// The byte.
        byte: u8,
    },
    /// A score that is not a number.
    Score {
        /// The token's id.
        id: u32,
    },
    /// There is no token at all.
    Empty,
    /// The texts collide under every hash tried: no honest vocabulary does that.
    Collisions,
}

impl fmt::Display for VocabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the vocabulary is refused");
        }
        match *self {
            Self::Gguf(e) => write!(f, "{e}"),
            Self::UnsupportedTokenizer { key, name } => {
                write!(f, "{key} is `{name}`, which is not supported")
            }
            Self::NotCompiled { key, feature } => {
                write!(f, "{key}: this build leaves out what the vocabulary needs (feature `{feature}`)")
            }
            Self::MissingKey { key } => write!(f, "key `{key}` is missing"),
            Self::BadVocab { key, problem } => write!(f, "{key}: {problem}"),
            Self::BadMerge { index } => {
                write!(f, "tokenizer.ggml.merges: merge {index} is not two texts with a space between them")
            }
            Self::Limit { what, got, max } => write!(f, "{got} {what} exceed the limit of {max}"),
            Self::OutOfMemory { what, bytes } => write!(f, "out of memory: {bytes} bytes for {what}"),
        }
    }
}

impl fmt::Display for VocabProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("refused");
        }
        match *self {
            Self::Len { got, want } => write!(f, "{got} elements for {want} tokens"),
            Self::Id { id, n } => write!(f, "there is no token {id} among {n}"),
            Self::NoId { id_key } => write!(f, "true, but `{id_key}` is missing"),
            Self::ByteToken { id } => write!(f, "token {id} is a byte but its text is not <0xHH>"),
            Self::MissingByte { byte } => write!(f, "no token for byte 0x{byte:02X} and no unknown token"),
            Self::Score { id } => write!(f, "the score of token {id} is not a number"),
            Self::Empty => write!(f, "no tokens"),
            Self::Collisions => write!(f, "the texts collide under every hash"),
        }
    }
}

impl core::error::Error for VocabError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Gguf(e) => Some(e),
            _ => None,
        }
    }
}

impl From<GgufError> for VocabError {
    fn from(e: GgufError) -> Self {
        Self::Gguf(e)
    }
}

/// Why text could not be encoded.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The text is longer than [`MAX_TEXT_LEN`](super::MAX_TEXT_LEN).
    TooLong {
        /// Its bytes.
        len: usize,
        /// The bytes allowed.
        max: usize,
    },
    /// The caller's buffer is too small.
    BufferTooSmall {
        /// The exact number of tokens that the text has.
        need: usize,
    },
    /// The scratch memory or the output could not grow.
    OutOfMemory {
        /// Elements asked for.
        elements: usize,
    },
    /// This build leaves out what the options ask for.
    NotCompiled {
        /// The feature of `barre-core` that brings it.
        feature: &'static str,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the text is not encoded");
        }
        match *self {
            Self::TooLong { len, max } => write!(f, "a text of {len} bytes exceeds the limit of {max}"),
            Self::BufferTooSmall { need } => write!(f, "the text has {need} tokens, the buffer is smaller"),
            Self::OutOfMemory { elements } => write!(f, "out of memory for {elements} elements"),
            Self::NotCompiled { feature } => write!(f, "this build leaves out the feature `{feature}`"),
        }
    }
}

impl core::error::Error for EncodeError {}
