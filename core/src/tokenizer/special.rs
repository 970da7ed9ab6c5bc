//! Tokens that stand for something other than their text: which there are, and where a text names them.

use super::error::{EncodeError, VocabError};
use super::vocab::{Attr, NO_TOKEN, Vocab};
use crate::part::{extend, push as list_push, resize};
use crate::sort::sort_by_key;
use alloc::vec::Vec;

/// Words of a bit for each pair of bytes.
const PAIR_WORDS: usize = 65536 / 64;

/// A part of the text: a token that it names, or text between such ([`NO_TOKEN`]).
#[derive(Clone, Copy)]
pub(super) struct Fragment {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) token: u32,
}

/// The tokens that text may name.
pub(super) struct Specials {
    /// Longest first, then lowest id.
    ids: Vec<u32>,
    /// The first two bytes of each token that has two, and its index in `ids`; ascending.
    by_start: Vec<(u16, u32)>,
    /// A bit for each pair of bytes with which a token begins.
    starts: Vec<u64>,
}

/// Memory for [`partition`], kept from one text to the next.
#[derive(Default)]
pub(super) struct PartitionScratch {
    fragments: Vec<Fragment>,
    next: Vec<Fragment>,
    /// Whether the text holds each special token.
    present: Vec<bool>,
    /// See [`position`].
    borders: Vec<u32>,
}

impl Specials {
    /// Of `ids`, none with an empty text, longest text first.
    pub(super) fn new<'a>(ids: Vec<u32>, text: impl Fn(u32) -> &'a [u8]) -> Result<Self, VocabError> {
        let oom = |bytes| VocabError::OutOfMemory { what: "special tokens", bytes };
        let mut by_start = Vec::new();
        by_start.try_reserve_exact(ids.len()).map_err(|_| oom(ids.len().saturating_mul(8)))?;
        let mut starts = Vec::new();
        if !ids.is_empty() {
            starts.try_reserve_exact(PAIR_WORDS).map_err(|_| oom(PAIR_WORDS * 8))?;
            resize(&mut starts, PAIR_WORDS, 0);
        }
        for (index, &id) in (0u32..).zip(&ids) {
            if let [a, b, ..] = *text(id) {
                let pair = u16::from_le_bytes([a, b]);
                list_push(&mut by_start, (pair, index));
                if let Some(word) = starts.get_mut(usize::from(pair / 64)) {
                    *word |= 1u64 << (pair % 64);
                }
            }
        }
        sort_by_key(&mut by_start, |entry| entry);
        Ok(Self { ids, by_start, starts })
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        self.ids.capacity() * 4 + self.by_start.capacity() * 8 + self.starts.capacity() * 8
    }

    /// Notes which tokens `text` holds: vocabularies have thousands, texts few.
    fn note_present(&self, vocab: &Vocab, text: &[u8], present: &mut Vec<bool>) -> Result<(), EncodeError> {
        let n = self.ids.len();
        present.clear();
        present.try_reserve(n).map_err(|_| EncodeError::OutOfMemory { elements: n })?;
        // The short ones begin with no pair; they are looked for anyway.
        extend(present, self.ids.iter().map(|&id| vocab.text_of(id).len() < 2));
        for (at, &pair) in text.array_windows().enumerate() {
            let pair = u16::from_le_bytes(pair);
            if self.starts.get(usize::from(pair / 64)).is_none_or(|word| word >> (pair % 64) & 1 == 0) {
                continue;
            }
            let rest = text.get(at..).unwrap_or(&[]);
            let first = self.by_start.partition_point(|&(start, _)| start < pair);
            let same =
                self.by_start.get(first..).unwrap_or(&[]).iter().take_while(|&&(start, _)| start == pair);
            for &(_, index) in same {
                if let (Some(&id), Some(seen)) =
                    (self.ids.get(index as usize), present.get_mut(index as usize))
                    && !*seen
                {
                    *seen = rest.starts_with(vocab.text_of(id));
                }
            }
        }
        Ok(())
    }
}

/// Cuts `text` at the special tokens in it, as llama.cpp does: longer tokens first, each from left to right, none
/// within another. Control tokens and the unknown token count with `parse_special` only, user-defined ones always.
pub(super) fn partition<'a>(
    vocab: &Vocab,
    specials: &Specials,
    text: &[u8],
    parse_special: bool,
    scratch: &'a mut PartitionScratch,
) -> Result<&'a [Fragment], EncodeError> {
    let PartitionScratch { fragments, next, present, borders } = scratch;
    fragments.clear();
    if text.is_empty() {
        return Ok(fragments);
    }
    push(fragments, Fragment { start: 0, end: text.len(), token: NO_TOKEN })?;
    let relevant = |id: u32| parse_special || !vocab.attr(id).is_hidden();
    if !specials.ids.iter().any(|&id| relevant(id)) {
        return Ok(fragments);
    }
    specials.note_present(vocab, text, present)?;
    for (&id, &present) in specials.ids.iter().zip(present.iter()) {
        if !present || !relevant(id) {
            continue;
        }
        let token = vocab.text_of(id);
        next.clear();
        for &fragment in fragments.iter() {
            if fragment.token != NO_TOKEN {
                push(next, fragment)?;
                continue;
            }
            let mut start = fragment.start;
            while let Some(at) = position(text.get(start..fragment.end).unwrap_or(&[]), token, borders)? {
                let at = start + at;
                if at > start {
                    push(next, Fragment { start, end: at, token: NO_TOKEN })?;
                }
                start = at + token.len();
                push(next, Fragment { start: at, end: start, token: id })?;
                if vocab.attr(id).has(Attr::RSTRIP) {
                    let rest = text.get(start..fragment.end).unwrap_or(&[]);
                    start += rest.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0x0b).count();
                }
            }
            if start < fragment.end {
                push(next, Fragment { start, end: fragment.end, token: NO_TOKEN })?;
            }
        }
        core::mem::swap(fragments, next);
    }
    Ok(fragments)
}

/// Needles up to this long are compared at every place.
const SHORT: usize = 64;

/// Where in `text` the `needle`, which is not empty, first is: in linear time, whatever the two are, for both come from
/// strangers. Longer needles are searched for by Knuth, Morris and Pratt (1977), with a table in `borders`.
fn position(text: &[u8], needle: &[u8], borders: &mut Vec<u32>) -> Result<Option<usize>, EncodeError> {
    let n = needle.len();
    if n <= SHORT {
        return Ok(text.windows(n.max(1)).position(|window| window == needle));
    }
    borders.clear();
    borders.try_reserve(n).map_err(|_| EncodeError::OutOfMemory { elements: n })?;
    list_push(borders, 0);
    let mut matched = 0;
    for &byte in needle.iter().skip(1) {
        matched = longer(needle, borders, matched, byte);
        list_push(borders, matched as u32);
    }
    matched = 0;
    for (at, &byte) in text.iter().enumerate() {
        matched = longer(needle, borders, matched, byte);
        if matched == n {
            return Ok(Some(at + 1 - n));
        }
    }
    Ok(None)
}

/// How much of the needle ends with `byte`, where `matched` bytes of it ended before. `borders[i]` is the length of the
/// longest beginning of the needle's first `i + 1` bytes that also ends them, and is not all of them.
fn longer(needle: &[u8], borders: &[u32], mut matched: usize, byte: u8) -> usize {
    while matched > 0 && needle.get(matched) != Some(&byte) {
        matched = borders.get(matched - 1).map_or(0, |&border| border as usize);
    }
    matched + usize::from(needle.get(matched) == Some(&byte))
}

fn push(to: &mut Vec<Fragment>, fragment: Fragment) -> Result<(), EncodeError> {
    to.try_reserve(1).map_err(|_| EncodeError::OutOfMemory { elements: to.len() + 1 })?;
    list_push(to, fragment);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn a_long_needle_is_found_where_the_plain_search_finds_it() {
        let mut state = 1u64;
        let mut bit = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b'a' + (state >> 60 == 0) as u8
        };
        let text: Vec<u8> = (0..4000).map(|_| bit()).collect();
        let mut borders = vec![7; 3];
        for len in [1, 5, SHORT, SHORT + 1, 100, 300] {
            for start in [0, 17, 1000, 4000 - len] {
                let mut needle = text.iter().copied().skip(start).take(len).collect::<Vec<u8>>();
                for _ in 0..2 {
                    let want = text.windows(len).position(|window| window == needle);
                    assert_eq!(position(&text, &needle, &mut borders).ok(), Some(want));
                    if let Some(last) = needle.last_mut() {
                        *last ^= 3;
                    }
                }
            }
        }
    }
}
