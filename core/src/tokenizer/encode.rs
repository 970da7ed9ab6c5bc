//! Text into tokens.

use super::merge::{MergeScratch, Pairs, Symbol};
#[cfg(feature = "special-tokens")]
use super::special::{PartitionScratch, partition};
use super::vocab::{NO_TOKEN, SPACE_MARK, Vocab, push_byte_chars};
use super::{EncodeError, Tokenizer, unicode};
use crate::part::append;
use alloc::vec::Vec;

/// Bytes of the longest text that can be encoded: three times as many still have 32-bit positions.
pub const MAX_TEXT_LEN: usize = 1 << 30;

/// What to do about special tokens. The default adds what the vocabulary asks for and takes the text as plain.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Put the beginning- and end-of-sequence tokens around the text, where the vocabulary asks for them.
    pub add_special: bool,
    /// Let names of control tokens in the text stand for these tokens. Never for text that a stranger wrote. Refused
    /// without the feature `special-tokens`.
    pub parse_special: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { add_special: true, parse_special: false }
    }
}

/// Memory that encoding needs, kept from one text to the next.
///
/// It grows with the longest piece that was encoded, some 30 bytes for each of its bytes; for SentencePiece it
/// also holds the text with its spaces marked, for texts with errors in UTF-8 the corrected text.
#[derive(Default)]
pub struct EncodeScratch {
    #[cfg(feature = "special-tokens")]
    partition: PartitionScratch,
    plain: PlainScratch,
}

/// What a text without special tokens takes of it.
#[derive(Default)]
struct PlainScratch {
    merge: MergeScratch,
    text: Vec<u8>,
    word: Vec<u8>,
}

/// Where tokens go.
pub(super) trait Sink {
    fn push(&mut self, token: u32) -> Result<(), EncodeError>;
}

/// Counts what it has no room for.
pub(super) struct SliceSink<'a> {
    pub(super) out: &'a mut [u32],
    pub(super) count: usize,
}

impl Sink for SliceSink<'_> {
    #[inline]
    fn push(&mut self, token: u32) -> Result<(), EncodeError> {
        if let Some(slot) = self.out.get_mut(self.count) {
            *slot = token;
        }
        self.count += 1;
        Ok(())
    }
}

impl Sink for &mut Vec<u32> {
    #[inline]
    fn push(&mut self, token: u32) -> Result<(), EncodeError> {
        if self.len() == self.capacity() {
            self.try_reserve(1).map_err(|_| EncodeError::OutOfMemory { elements: self.len() + 1 })?;
        }
        crate::part::push(self, token);
        Ok(())
    }
}

#[inline(never)]
pub(super) fn encode(
    tokenizer: &Tokenizer,
    text: &[u8],
    options: EncodeOptions,
    scratch: &mut EncodeScratch,
    out: &mut impl Sink,
) -> Result<(), EncodeError> {
    if text.len() > MAX_TEXT_LEN {
        return Err(EncodeError::TooLong { len: text.len(), max: MAX_TEXT_LEN });
    }
    let EncodeScratch {
        #[cfg(feature = "special-tokens")]
            partition: partition_scratch,
        plain: scratch,
    } = scratch;
    #[cfg(feature = "special-tokens")]
    let fragments =
        partition(&tokenizer.vocab, &tokenizer.specials, text, options.parse_special, partition_scratch)?;
    if let (true, Some(bos)) = (options.add_special, tokenizer.add_bos) {
        out.push(bos)?;
    }
    #[cfg(feature = "special-tokens")]
    {
        let mut after_special = true;
        for fragment in fragments {
            if fragment.token == NO_TOKEN {
                let text = text.get(fragment.start..fragment.end).unwrap_or(&[]);
                plain(tokenizer, text, after_special, scratch, out)?;
            } else {
                out.push(fragment.token)?;
            }
            after_special = fragment.token != NO_TOKEN;
        }
    }
    #[cfg(not(feature = "special-tokens"))]
    {
        if options.parse_special {
            return Err(EncodeError::NotCompiled { feature: "special-tokens" });
        }
        // The vocabulary has no token that every text may name: such are refused when they are built.
        if !text.is_empty() {
            plain(tokenizer, text, true, scratch, out)?;
        }
    }
    if let (true, Some(eos)) = (options.add_special, tokenizer.add_eos) {
        out.push(eos)?;
    }
    Ok(())
}

/// `text`, which is not empty and names no special token; `first`: at the beginning or after such a token.
fn plain(
    tokenizer: &Tokenizer,
    text: &[u8],
    first: bool,
    scratch: &mut PlainScratch,
    out: &mut impl Sink,
) -> Result<(), EncodeError> {
    let PlainScratch { merge, text: buffer, word } = scratch;
    if tokenizer.vocab.model.is_bpe() {
        let text = match core::str::from_utf8(text) {
            Ok(_) => text,
            Err(_) => {
                correct(text, buffer)?;
                buffer.as_slice()
            }
        };
        tokenizer.pre.split(text, &mut |piece| byte_level(tokenizer, piece, merge, word, out))
    } else {
        mark_spaces(text, tokenizer.add_space_prefix && first, buffer)?;
        sentence_piece(tokenizer, buffer, merge, out)
    }
}

/// `text` with U+2581 for each space, and one in front if `prefix`.
fn mark_spaces(text: &[u8], prefix: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let spaces = text.iter().filter(|&&b| b == b' ').count();
    let need = text.len() - spaces + (spaces + usize::from(prefix)) * SPACE_MARK.len();
    out.clear();
    out.try_reserve(need).map_err(|_| EncodeError::OutOfMemory { elements: need })?;
    if prefix {
        append(out, SPACE_MARK);
    }
    let mut words = text.split(|&b| b == b' ');
    append(out, words.next().unwrap_or(&[]));
    for word in words {
        append(out, SPACE_MARK);
        append(out, word);
    }
    Ok(())
}

/// `text` with U+FFFD for each byte that belongs to no code point.
fn correct(text: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let need = text.len() * 3;
    out.clear();
    out.try_reserve(need).map_err(|_| EncodeError::OutOfMemory { elements: need })?;
    let mut rest = text;
    while !rest.is_empty() {
        let (cp, len) = unicode::decode(rest);
        let (bytes, encoded) = unicode::encode(cp);
        append(out, bytes.get(..encoded).unwrap_or(&[]));
        rest = rest.get(len..).unwrap_or(&[]);
    }
    Ok(())
}

struct ByScore<'a> {
    vocab: &'a Vocab,
    text: &'a [u8],
}

impl Pairs for ByScore<'_> {
    #[inline]
    fn pair(&self, left: &Symbol, right: &Symbol) -> Option<(u32, u32)> {
        let len = (left.len + right.len) as usize;
        if len > self.vocab.longest {
            return None;
        }
        let start = left.start as usize;
        let id = self.vocab.find(self.text.get(start..start + len)?)?;
        let score = self.vocab.scores.get(id as usize).copied().unwrap_or(0.0);
        Some((earliness(score), id))
    }
}

/// A higher score is a lower number; the two zeros are one. Never all ones, for a score is not NaN.
fn earliness(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    !ascending
}

/// `text` has its spaces marked.
fn sentence_piece(
    tokenizer: &Tokenizer,
    text: &[u8],
    merge: &mut MergeScratch,
    out: &mut impl Sink,
) -> Result<(), EncodeError> {
    let mut start = 0;
    while start < text.len() {
        let end = if tokenizer.words_stand_alone { word_end(text, start) } else { text.len() };
        let word = text.get(start..end).unwrap_or(&[]);
        // Room for one symbol a byte would be three times too much for other scripts; their lead bytes count.
        let mut count = 0;
        let mut at = 0;
        while let Some(&lead) = word.get(at) {
            at += unicode::len_by_lead(lead);
            count += 1;
        }
        merge.start(count)?;
        let mut at = 0;
        while let Some(&lead) = word.get(at) {
            let len = unicode::len_by_lead(lead).min(word.len() - at);
            merge.push(at, len, NO_TOKEN);
            at += len;
        }
        for symbol in merge.merge(&ByScore { vocab: &tokenizer.vocab, text: word })? {
            let at = symbol.start as usize;
            let piece = word.get(at..at + symbol.len as usize).unwrap_or(&[]);
            let id = if symbol.id == NO_TOKEN { tokenizer.vocab.find(piece) } else { Some(symbol.id) };
            match id {
                Some(id) => out.push(id)?,
                None => piece.iter().try_for_each(|&byte| push_byte(tokenizer, byte, out))?,
            }
        }
        start = end;
    }
    Ok(())
}

/// The end of the word at `start`: leading marks and all up to the next mark. Its characters are those that the
/// splitting by lead bytes sees, so that no character of a text with errors is cut.
fn word_end(text: &[u8], start: usize) -> usize {
    let (mut at, mut in_word) = (start, false);
    while let Some(&lead) = text.get(at) {
        let len = unicode::len_by_lead(lead);
        let is_mark = lead == SPACE_MARK[0] && text.get(at..at + len) == Some(SPACE_MARK);
        if is_mark && in_word {
            return at;
        }
        in_word |= !is_mark;
        at += len;
    }
    text.len()
}

struct ByRank<'a>(&'a Vocab);

impl Pairs for ByRank<'_> {
    #[inline]
    fn pair(&self, left: &Symbol, right: &Symbol) -> Option<(u32, u32)> {
        self.0.merge(left.id, right.id)
    }
}

fn byte_level(
    tokenizer: &Tokenizer,
    piece: &[u8],
    merge: &mut MergeScratch,
    word: &mut Vec<u8>,
    out: &mut impl Sink,
) -> Result<(), EncodeError> {
    let vocab = &tokenizer.vocab;
    if let [byte] = *piece {
        return push_byte(tokenizer, byte, out);
    }
    if tokenizer.pre.ignores_merges() && piece.len() <= vocab.longest {
        word.clear();
        push_byte_chars(piece, word).map_err(|elements| EncodeError::OutOfMemory { elements })?;
        if let Some(id) = vocab.find(word) {
            return out.push(id);
        }
    }
    merge.start(piece.len())?;
    for (at, &byte) in piece.iter().enumerate() {
        merge.push(at, 1, vocab.byte_ids.get(usize::from(byte)).copied().unwrap_or(NO_TOKEN));
    }
    for symbol in merge.merge(&ByRank(vocab))? {
        match symbol.id {
            NO_TOKEN => push_byte(tokenizer, piece.get(symbol.start as usize).copied().unwrap_or(0), out)?,
            id => out.push(id)?,
        }
    }
    Ok(())
}

/// The byte's token. SentencePiece has the unknown token for a byte without one; byte-level BPE leaves it out, as
/// llama.cpp does, even where there is an unknown token.
fn push_byte(tokenizer: &Tokenizer, byte: u8, out: &mut impl Sink) -> Result<(), EncodeError> {
    let id = tokenizer.vocab.byte_ids.get(usize::from(byte)).copied().filter(|&id| id != NO_TOKEN);
    let unknown = if tokenizer.vocab.model.is_bpe() { None } else { tokenizer.ids.unknown };
    id.or(unknown).map_or(Ok(()), |id| out.push(id))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn scores_order_as_numbers_do_backwards() {
        let scores = [f32::INFINITY, 3.5, 1e-40, 0.0, -1e-40, -2.0, -1e10, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|s| earliness(s[0]) < earliness(s[1])));
        assert_eq!(earliness(0.0), earliness(-0.0));
        assert!(earliness(f32::NEG_INFINITY) < u32::MAX);
    }

    #[test]
    fn words_end_before_marks() {
        let text = "▁▁ab▁c".as_bytes();
        assert_eq!(word_end(text, 0), 8);
        assert_eq!(word_end(text, 8), 12);
        // 0xE0 takes the two bytes after it, which are then no mark.
        assert_eq!(word_end(b"\xe0\xe2\x96\x81a", 0), 5);
    }
}
