//! The tables of a built vocabulary.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::byte_chars::{byte_of, char_of};
use super::index::{Index, hash_bytes, hash_pair};
use super::unicode;
use crate::part::append;
use alloc::vec::Vec;

/// No token.
pub(super) const NO_TOKEN: u32 = u32::MAX;
/// SentencePiece's space, U+2581.
pub(super) const SPACE_MARK: &[u8; 3] = b"\xe2\x96\x81";

/// What kind of token an id is: a set, because known names make a token special whatever its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attr(u8);

impl Attr {
    pub(super) const UNDEFINED: Self = Self(0);
    pub(super) const NORMAL: Self = Self(1);
    pub(super) const UNKNOWN: Self = Self(2);
    pub(super) const CONTROL: Self = Self(4);
    pub(super) const USER_DEFINED: Self = Self(8);
    pub(super) const BYTE: Self = Self(16);
    /// Whitespace after the token belongs to it.
    #[cfg(feature = "special-tokens")]
    pub(super) const RSTRIP: Self = Self(32);

    /// Of `tokenizer.ggml.token_type`; a number without meaning (and "unused") gives no text and matches no text
    /// as a special token.
    pub(super) const fn of_type(number: i32) -> Self {
        match number {
            1 => Self::NORMAL,
            2 => Self::UNKNOWN,
            3 => Self::CONTROL,
            4 => Self::USER_DEFINED,
            6 => Self::BYTE,
            _ => Self::UNDEFINED,
        }
    }

    pub(super) const fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[cfg(feature = "special-tokens")]
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Hidden unless asked for, and parsed in text only when asked for.
    pub(super) const fn is_hidden(self) -> bool {
        self.has(Self::CONTROL.with(Self::UNKNOWN))
    }
}

/// How text becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// `llama`: SentencePiece's BPE by score, with byte fallback.
    SentencePiece,
    /// `gpt2`: byte-level BPE by merge rank, on pieces that a pre-tokenizer cuts.
    Bpe,
}

impl Model {
    /// Whether it is [`Bpe`](Self::Bpe); known when compiling a build that has one kind only, so that the code of the
    /// other is left out.
    pub(super) const fn is_bpe(self) -> bool {
        cfg!(feature = "bpe-llama3") && (!cfg!(feature = "spm") || matches!(self, Self::Bpe))
    }

    /// Whether this build has it.
    pub(super) const fn is_compiled(self) -> bool {
        match self {
            Self::SentencePiece => cfg!(feature = "spm"),
            Self::Bpe => cfg!(feature = "bpe-llama3"),
        }
    }

    /// The feature of this crate that brings it.
    pub(super) const fn feature(self) -> &'static str {
        match self {
            Self::SentencePiece => "spm",
            Self::Bpe => "bpe-llama3",
        }
    }
}

/// A merge; its index among the kept ones is its rank.
pub(super) struct Merge {
    pub(super) left: u32,
    pub(super) right: u32,
    pub(super) result: u32,
}

/// Tokens, their texts as the file has them, and how to find them.
pub(super) struct Vocab {
    pub(super) model: Model,
    /// All texts, one after the other.
    pub(super) text: Vec<u8>,
    /// Where each token's text ends.
    pub(super) ends: Vec<u32>,
    pub(super) attrs: Vec<Attr>,
    /// Empty if the file has none; then all are 0.
    pub(super) scores: Vec<f32>,
    pub(super) merges: Vec<Merge>,
    pub(super) by_text: Index,
    pub(super) by_pair: Index,
    /// The token of each byte, [`NO_TOKEN`] if it has none.
    pub(super) byte_ids: [u32; 256],
    /// Bytes of the longest text.
    pub(super) longest: usize,
}

impl Vocab {
    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Bytes of memory that the tables hold.
    pub(super) fn bytes(&self) -> usize {
        self.text
            .capacity()
            .saturating_add(self.ends.capacity().saturating_mul(4))
            .saturating_add(self.attrs.capacity())
            .saturating_add(self.scores.capacity().saturating_mul(4))
            .saturating_add(self.merges.capacity().saturating_mul(size_of::<Merge>()))
            .saturating_add(self.by_text.bytes())
            .saturating_add(self.by_pair.bytes())
    }

    /// The text of `id`, empty for an id that no token has.
    #[inline]
    pub(super) fn text_of(&self, id: u32) -> &[u8] {
        text_of(&self.text, &self.ends, id)
    }

    pub(super) fn attr(&self, id: u32) -> Attr {
        self.attrs.get(id as usize).copied().unwrap_or(Attr::UNDEFINED)
    }

    /// The lowest id with this text. The empty text is never found.
    #[inline]
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        self.by_text.find(hash_bytes(self.by_text.seed(), text), |id| self.text_of(id) == text)
    }

    /// The rank and the result of merging two tokens.
    #[inline]
    pub(super) fn merge(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let mut result = NO_TOKEN;
        let rank = self.by_pair.find(hash_pair(self.by_pair.seed(), left, right), |rank| {
            self.merges.get(rank as usize).is_some_and(|m| {
                result = m.result;
                m.left == left && m.right == right
            })
        })?;
        Some((rank, result))
    }

    /// The bytes that `id` stands for in running text.
    pub(super) fn piece(&self, id: u32) -> Piece<'_> {
        let (attr, text) = (self.attr(id), self.text_of(id));
        let special = Attr::CONTROL.with(Attr::UNKNOWN).with(Attr::USER_DEFINED);
        let form = if attr.has(special) {
            Form::Literal
        } else if attr.has(Attr::NORMAL) {
            if self.model.is_bpe() { Form::ByteChars } else { Form::Marked }
        } else if attr.has(Attr::BYTE) {
            return Piece {
                rest: &[],
                form: Form::Literal,
                pending: parse_byte(text).map(|b| ([b, 0, 0, 0], 1)),
            };
        } else {
            return Piece { rest: &[], form: Form::Literal, pending: None };
        };
        Piece { rest: text, form, pending: None }
    }
}

/// The text of `id` in the tables that the vocabulary is built from.
#[inline]
pub(super) fn text_of<'a>(text: &'a [u8], ends: &[u32], id: u32) -> &'a [u8] {
    let start = match (id as usize).checked_sub(1) {
        None => 0,
        Some(before) => ends.get(before).copied().unwrap_or(0),
    };
    let end = ends.get(id as usize).copied().unwrap_or(start);
    text.get(start as usize..end as usize).unwrap_or(&[])
}

/// The byte of `<0xHH>`.
pub(super) fn parse_byte(text: &[u8]) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match *text {
        [b'<', b'0', b'x', a, b, b'>'] => Some(digit(a)? << 4 | digit(b)?),
        _ => None,
    }
}

/// `text` in the characters that byte-level vocabularies store.
pub(super) fn push_byte_chars(text: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let need = text.len().saturating_mul(2);
    out.try_reserve(need).map_err(|_| need)?;
    for &b in text {
        let (bytes, len) = unicode::encode(char_of(b));
        append(out, bytes.get(..len).unwrap_or(&[]));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Form {
    /// The text as it is.
    Literal,
    /// U+2581 is a space.
    Marked,
    /// Each character is a byte; one that is none stands for itself.
    ByteChars,
}

/// The bytes of one token's text, in order. Made by [`Tokenizer::piece`](super::Tokenizer::piece).
#[derive(Clone)]
pub struct Piece<'a> {
    rest: &'a [u8],
    form: Form,
    /// Bytes to give before `rest`, and how many.
    pending: Option<([u8; 4], usize)>,
}

impl Iterator for Piece<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let Some((bytes, len)) = self.pending.take() {
            let [a, b, c, d] = bytes;
            if len > 1 {
                self.pending = Some(([b, c, d, 0], len.saturating_sub(1)));
            }
            return Some(a);
        }
        let (&first, after) = self.rest.split_first()?;
        match self.form {
            Form::Marked => {
                if let Some(after) = self.rest.strip_prefix(SPACE_MARK) {
                    self.rest = after;
                    return Some(b' ');
                }
                self.rest = after;
                Some(first)
            }
            Form::ByteChars if cfg!(feature = "bpe-llama3") => {
                let (cp, len) = unicode::decode(self.rest);
                let (whole, rest) = self.rest.split_at_checked(len)?;
                self.rest = rest;
                if let Some(byte) = byte_of(cp) {
                    return Some(byte);
                }
                let mut bytes = [0; 4];
                for (to, from) in bytes.iter_mut().zip(whole.iter().skip(1)) {
                    *to = *from;
                }
                if len > 1 {
                    self.pending = Some((bytes, len.saturating_sub(1)));
                }
                Some(first)
            }
            Form::Literal | Form::ByteChars => {
                self.rest = after;
                Some(first)
            }
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]
mod tests {
    use super::*;

    fn bytes(text: &[u8], form: Form) -> Vec<u8> {
        Piece { rest: text, form, pending: None }.collect()
    }

    #[test]
    fn pieces_in_each_form() {
        assert_eq!(bytes("▁a▁ b".as_bytes(), Form::Marked), b" a  b");
        assert_eq!(bytes("▁a".as_bytes(), Form::Literal), "▁a".as_bytes());
        assert_eq!(
            bytes("Ġaé｜x".as_bytes(), Form::ByteChars),
            [b" a\xe9".as_slice(), "｜x".as_bytes()].concat()
        );
        assert_eq!(bytes(b"\xe2\x96", Form::Marked), b"\xe2\x96");
    }

    #[test]
    fn byte_tokens_are_exactly_two_hexadecimal_digits() {
        assert_eq!(parse_byte(b"<0x0A>"), Some(10));
        assert_eq!(parse_byte(b"<0xff>"), Some(255));
        for bad in ["<0x-1>", "<0xZZ>", "<0x100>", "<0x+1>", "<0x1>", "0x11", ""] {
            assert_eq!(parse_byte(bad.as_bytes()), None, "{bad}");
        }
    }
}
