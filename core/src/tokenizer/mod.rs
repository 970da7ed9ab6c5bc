//! Text into tokens and back: SentencePiece (`llama`) and byte-level BPE (`gpt2`) vocabularies of GGUF files.
//!
//! The behaviour is llama.cpp's, token for token. Built once, a [`Tokenizer`] is a handful of flat tables: the
//! texts in one block with 32-bit ends, hash indices of 4 bytes a slot, no `String` a token. It never changes, so
//! it may be shared; what encoding needs besides lies in an [`EncodeScratch`].

// Whatever text and vocabulary are, nothing here may panic; the modules that read a file deny plain arithmetic too.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod builder;
mod byte_chars;
mod decode;
mod encode;
mod error;
mod from_gguf;
mod index;
mod keys;
mod merge;
mod names;
mod pretokenize;
#[cfg(feature = "special-tokens")]
mod special;
mod unicode;
mod unicode_table;
mod vocab;

pub use builder::{MAX_TOKEN_LEN, MAX_VOCAB_TEXT, VocabBuilder};
pub use decode::{DecodeOptions, Decoder};
pub use encode::{EncodeOptions, EncodeScratch, MAX_TEXT_LEN};
pub use error::{EncodeError, VocabError, VocabProblem};
pub use keys::Role;
pub use vocab::Piece;

use alloc::string::String;
use alloc::vec::Vec;
use encode::SliceSink;
use pretokenize::PreTokenizer;
#[cfg(feature = "special-tokens")]
use special::Specials;
use vocab::Vocab;

/// A vocabulary, ready to encode and decode.
pub struct Tokenizer {
    vocab: Vocab,
    pre: PreTokenizer,
    ids: SpecialIds,
    /// Tokens that end generation, ascending.
    eog: Vec<u32>,
    #[cfg(feature = "special-tokens")]
    specials: Specials,
    suppressed: Vec<u32>,
    /// The token to put first, if one is.
    add_bos: Option<u32>,
    add_eos: Option<u32>,
    add_space_prefix: bool,
    /// No token spans two words, so that words can be encoded one at a time.
    words_stand_alone: bool,
    notes: Notes,
}

/// Ids that the file gives; each is the id of a token. There are no default ids.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "as `Role`")]
pub struct SpecialIds {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unknown: Option<u32>,
    pub padding: Option<u32>,
    pub separator: Option<u32>,
    pub mask: Option<u32>,
    pub end_of_turn: Option<u32>,
    pub end_of_message: Option<u32>,
    pub fim_prefix: Option<u32>,
    pub fim_suffix: Option<u32>,
    pub fim_middle: Option<u32>,
    pub fim_pad: Option<u32>,
    pub fim_repo: Option<u32>,
    pub fim_separator: Option<u32>,
}

/// Oddities of a vocabulary that are accepted.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notes {
    /// The file names no pre-tokenizer for its byte-level BPE, so that llama.cpp's "default" is used.
    pub pre_tokenizer_assumed: bool,
    /// Tokens with the text of an earlier one. Encoding never gives them.
    pub tokens_repeated: u32,
    /// Tokens without text. Encoding never gives them.
    pub tokens_empty: u32,
    /// Bytes that no token stands for. SentencePiece has the unknown token for them; byte-level BPE leaves them out
    /// of what it encodes, as llama.cpp does (Falcon's vocabulary has none for most control characters).
    pub bytes_missing: u32,
    /// Merges left out because a half or the whole is no token.
    pub merges_ignored: u32,
    /// Merges of a pair that an earlier one merges.
    pub merges_repeated: u32,
}

impl Tokenizer {
    /// Encodes `text` into `out` and returns the number of tokens. `scratch` may be new or of an earlier call,
    /// with any vocabulary; it is the only memory that grows.
    ///
    /// `text` need not be UTF-8. Bytes that belong to no character become U+FFFD in byte-level BPE, and the
    /// tokens of these bytes in SentencePiece, as in llama.cpp.
    ///
    /// # Errors
    /// [`EncodeError::BufferTooSmall`] with the exact number of tokens (`out` then holds the first of them),
    /// [`EncodeError::TooLong`], [`EncodeError::OutOfMemory`] of the scratch.
    pub fn encode_into(
        &self,
        text: &[u8],
        options: EncodeOptions,
        scratch: &mut EncodeScratch,
        out: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let room = out.len();
        let mut sink = SliceSink { out, count: 0 };
        encode::encode(self, text, options, scratch, &mut sink)?;
        match sink.count {
            need if need > room => Err(EncodeError::BufferTooSmall { need }),
            count => Ok(count),
        }
    }

    /// Appends the tokens of `text` to `out`, which grows as needed. Otherwise as
    /// [`encode_into`](Self::encode_into).
    ///
    /// # Errors
    /// [`EncodeError::TooLong`], [`EncodeError::OutOfMemory`].
    pub fn encode(
        &self,
        text: &[u8],
        options: EncodeOptions,
        scratch: &mut EncodeScratch,
        mut out: &mut Vec<u32>,
    ) -> Result<(), EncodeError> {
        encode::encode(self, text, options, scratch, &mut out)
    }

    /// Appends the text of `tokens` to `out`. For text that comes token by token there is [`Decoder`].
    ///
    /// # Errors
    /// [`EncodeError::OutOfMemory`]; `out` then holds the text's beginning.
    pub fn decode(
        &self,
        tokens: &[u32],
        options: DecodeOptions,
        out: &mut String,
    ) -> Result<(), EncodeError> {
        let mut decoder = Decoder::new(options);
        let mut result = Ok(());
        let mut emit = |text: &str| match out.try_reserve(text.len()) {
            Ok(()) if result.is_ok() => out.push_str(text),
            Ok(()) => {}
            Err(_) => result = Err(EncodeError::OutOfMemory { elements: text.len() }),
        };
        for &token in tokens {
            decoder.push(self, token, &mut emit);
        }
        decoder.finish(&mut emit);
        result
    }

    /// The bytes that `token` stands for, a special token's name included. An id that no token has has none.
    /// They need not be whole characters.
    #[must_use]
    pub fn piece(&self, token: u32) -> Piece<'_> {
        self.vocab.piece(token)
    }

    /// The text of `token` as the file has it.
    #[must_use]
    pub fn token_text(&self, token: u32) -> &[u8] {
        self.vocab.text_of(token)
    }

    /// The lowest token whose text in the file is `text`.
    #[must_use]
    pub fn token_named(&self, text: &[u8]) -> Option<u32> {
        self.vocab.find(text)
    }

    /// The number of tokens; ids are below it.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.vocab.len()
    }

    /// False: there is no vocabulary without tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The special tokens' ids.
    #[must_use]
    pub const fn special_ids(&self) -> &SpecialIds {
        &self.ids
    }

    /// Whether `token` ends a text or a turn, by its part in the file or by a well-known name.
    #[must_use]
    pub fn is_end_of_generation(&self, token: u32) -> bool {
        self.eog.binary_search(&token).is_ok()
    }

    /// The tokens that end generation, ascending.
    #[must_use]
    pub fn end_of_generation(&self) -> &[u32] {
        &self.eog
    }

    /// Whether `token` is a control token or the unknown token: hidden in text, and not parsed in it unless asked.
    #[must_use]
    pub fn is_control(&self, token: u32) -> bool {
        self.vocab.attr(token).is_hidden()
    }

    /// The tokens that the file says should never be sampled, ascending.
    #[must_use]
    pub fn suppressed(&self) -> &[u32] {
        &self.suppressed
    }

    /// The token that encoding puts first with [`EncodeOptions::add_special`], if any.
    #[must_use]
    pub const fn added_bos(&self) -> Option<u32> {
        self.add_bos
    }

    /// The token that encoding puts last with [`EncodeOptions::add_special`], if any.
    #[must_use]
    pub const fn added_eos(&self) -> Option<u32> {
        self.add_eos
    }

    /// What is odd about the vocabulary.
    #[must_use]
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Bytes of memory that the tables hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = self.vocab.bytes() + (self.eog.capacity() + self.suppressed.capacity()) * 4;
        #[cfg(feature = "special-tokens")]
        let bytes = bytes + self.specials.bytes();
        bytes
    }
}
