//! Tokens into text, as they come.

use super::Tokenizer;
use super::vocab::Attr;

/// What of the tokens becomes text.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Show control tokens and the unknown token by their names; else they have no text.
    pub show_special: bool,
    /// Take away the space that SentencePiece put in front of the text. Right for a text decoded from its start,
    /// wrong for what a model adds to a prompt. Vocabularies that put none in front ignore it.
    pub strip_space: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { show_special: false, strip_space: true }
    }
}

/// Turns tokens into text one by one and never gives half a character: up to three bytes wait for the rest.
/// Bytes that turn out to belong to no character become U+FFFD.
#[derive(Clone, Debug)]
pub struct Decoder {
    options: DecodeOptions,
    /// Whether a leading space is still to be taken away.
    at_start: bool,
    tail: [u8; 4],
    tail_len: usize,
}

/// Bytes given at once.
const CHUNK: usize = 64;

impl Decoder {
    /// A decoder before its first token.
    #[must_use]
    pub const fn new(options: DecodeOptions) -> Self {
        Self { options, at_start: options.strip_space, tail: [0; 4], tail_len: 0 }
    }

    /// Gives `emit` the text that `token` completes, in one or more parts, or none. An id that no token has is no
    /// text.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32, mut emit: impl FnMut(&str)) {
        let mut chunk = Chunk { bytes: [0; CHUNK], len: 0, emit: &mut emit };
        let attr = tokenizer.vocab.attr(token);
        if attr.is_hidden() && !self.options.show_special {
            return;
        }
        let special = attr.has(Attr::CONTROL.with(Attr::UNKNOWN).with(Attr::USER_DEFINED));
        for byte in tokenizer.vocab.piece(token) {
            let skip = self.at_start && byte == b' ' && tokenizer.add_space_prefix && !special;
            self.at_start = false;
            if !skip {
                self.byte(byte, &mut chunk);
            }
        }
        chunk.flush();
    }

    /// Ends the text: bytes that still wait become one U+FFFD. The decoder is then as new.
    pub fn finish(&mut self, mut emit: impl FnMut(&str)) {
        if self.tail_len > 0 {
            emit("\u{fffd}");
        }
        *self = Self::new(self.options);
    }

    fn byte(&mut self, byte: u8, chunk: &mut Chunk<'_>) {
        let [lead, ..] = self.tail;
        if self.tail_len > 0 {
            if continues(lead, self.tail_len, byte) {
                if let Some(slot) = self.tail.get_mut(self.tail_len) {
                    *slot = byte;
                }
                self.tail_len += 1;
                if self.tail_len == char_len(lead) {
                    chunk.push(self.tail.get(..self.tail_len).unwrap_or(&[]));
                    self.tail_len = 0;
                }
                return;
            }
            chunk.push("\u{fffd}".as_bytes());
            self.tail_len = 0;
        }
        match char_len(byte) {
            1 => chunk.push(&[byte]),
            0 => chunk.push("\u{fffd}".as_bytes()),
            _ => {
                self.tail = [byte, 0, 0, 0];
                self.tail_len = 1;
            }
        }
    }
}

/// Whole characters on their way out.
struct Chunk<'a> {
    bytes: [u8; CHUNK],
    len: usize,
    emit: &'a mut dyn FnMut(&str),
}

impl Chunk<'_> {
    fn push(&mut self, character: &[u8]) {
        if self.len + character.len() > CHUNK {
            self.flush();
        }
        for &byte in character {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
    }

    fn flush(&mut self) {
        if let Ok(text) = core::str::from_utf8(self.bytes.get(..self.len).unwrap_or(&[]))
            && !text.is_empty()
        {
            (self.emit)(text);
        }
        self.len = 0;
    }
}

/// Bytes of the character that `lead` begins, 0 if it begins none.
const fn char_len(lead: u8) -> usize {
    match lead {
        0x00..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 0,
    }
}

/// Whether `byte` may be number `at` (from 0) of a character that begins with `lead`.
const fn continues(lead: u8, at: usize, byte: u8) -> bool {
    match (lead, at) {
        (0xe0, 1) => matches!(byte, 0xa0..=0xbf),
        (0xed, 1) => matches!(byte, 0x80..=0x9f),
        (0xf0, 1) => matches!(byte, 0x90..=0xbf),
        (0xf4, 1) => matches!(byte, 0x80..=0x8f),
        _ => matches!(byte, 0x80..=0xbf),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn any_bytes_give_what_lossy_decoding_gives() {
        let parts: [&[u8]; 14] = [
            b"a",
            "é".as_bytes(),
            "字".as_bytes(),
            "💡".as_bytes(),
            b"\x80",
            b"\xc0",
            b"\xed\xa0",
            b"\xf4\x90",
            b"\xe2\x82",
            b"\xf0\x9f\x92",
            b"\xff",
            b"\xc3",
            b"\n",
            b"\xf5",
        ];
        let mut seed = 7u32;
        for _ in 0..20_000 {
            let mut bytes = std::vec::Vec::new();
            for _ in 0..6 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.extend_from_slice(parts[(seed >> 16) as usize % parts.len()]);
            }
            let mut got = String::new();
            let mut decoder = Decoder::new(DecodeOptions::default());
            for &byte in &bytes {
                let mut emit = |s: &str| got.push_str(s);
                let mut chunk = Chunk { bytes: [0; CHUNK], len: 0, emit: &mut emit };
                decoder.byte(byte, &mut chunk);
                chunk.flush();
            }
            decoder.finish(|s| got.push_str(s));
            assert_eq!(got, String::from_utf8_lossy(&bytes), "{bytes:02x?}");
        }
    }
}
