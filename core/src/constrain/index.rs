//! A vocabulary's bytes in sorted order, so that tokens with a common beginning are walked together.

use super::ConstrainError;
use super::automaton::Automaton;
use crate::part::{append, extend, push};
use crate::sort::sort_by_key;
use crate::tokenizer::Tokenizer;
use alloc::vec::Vec;

/// Bytes of the longest token that is used; longer ones, rows of spaces most of them, are never chosen.
const MAX_LEN: usize = 255;

/// The tokens of a vocabulary that stand for text, sorted by their bytes. Some 12 bytes a token.
///
/// Tokens that end generation, control tokens, the unknown token and those that the file says should never be sampled
/// are not among them.
pub struct TokenIndex<'t> {
    tokenizer: &'t Tokenizer,
    ids: Vec<u32>,
    /// How many bytes each token begins with that the one before it begins with too.
    shared: Vec<u8>,
    /// Where the other bytes of each token begin in `tails`, and the end.
    starts: Vec<u32>,
    tails: Vec<u8>,
    /// The first token of each first byte, and the end.
    buckets: [u32; 257],
}

impl core::fmt::Debug for TokenIndex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TokenIndex").field("tokens", &self.ids.len()).field("bytes", &self.bytes()).finish()
    }
}

impl<'t> TokenIndex<'t> {
    /// Sorts the tokens of `tokenizer`. While it works it takes twice the memory that it holds in the end.
    ///
    /// # Errors
    /// [`ConstrainError::OutOfMemory`].
    pub fn new(tokenizer: &'t Tokenizer) -> Result<Self, ConstrainError> {
        // The tokens' bytes one after the other, and where each token's are.
        let mut bytes: Vec<u8> = Vec::new();
        let mut places: Vec<(u32, u32, u8)> = Vec::new();
        for token in 0..tokenizer.len() {
            let start = bytes.len();
            let Some(len) = text_len(tokenizer, token) else { continue };
            reserve(&mut bytes, len)?;
            extend(&mut bytes, tokenizer.piece(token));
            reserve(&mut places, 1)?;
            // A vocabulary's text is limited to less than 32 bits.
            push(&mut places, (token, start as u32, len as u8));
        }
        let text = |(_, start, len): (u32, u32, u8)| {
            let start = start as usize;
            bytes.get(start..start.saturating_add(usize::from(len))).unwrap_or(&[])
        };
        // Equal texts by id: the order must not depend on the sort.
        sort_by_key(&mut places, |place| (text(place), place.0));

        let n = places.len();
        let mut index = Self {
            tokenizer,
            ids: Vec::new(),
            shared: Vec::new(),
            starts: Vec::new(),
            tails: Vec::new(),
            buckets: [0; 257],
        };
        reserve(&mut index.ids, n)?;
        reserve(&mut index.shared, n)?;
        reserve(&mut index.starts, n.saturating_add(1))?;
        let (mut before, mut tails): (&[u8], usize) = (&[], 0);
        for &place in &places {
            let text = text(place);
            let shared = before.iter().zip(text).take_while(|(a, b)| a == b).count();
            push(&mut index.starts, tails as u32);
            push(&mut index.ids, place.0);
            push(&mut index.shared, shared as u8);
            tails = tails.saturating_add(text.len().saturating_sub(shared));
            if let Some(&first) = text.first()
                && let Some(count) = index.buckets.get_mut(usize::from(first).saturating_add(1))
            {
                *count = count.saturating_add(1);
            }
            before = text;
        }
        push(&mut index.starts, tails as u32);
        reserve(&mut index.tails, tails)?;
        for (&place, &shared) in places.iter().zip(&index.shared) {
            append(&mut index.tails, text(place).get(usize::from(shared)..).unwrap_or(&[]));
        }
        let mut sum = 0u32;
        for bucket in &mut index.buckets {
            sum = sum.saturating_add(*bucket);
            *bucket = sum;
        }
        Ok(index)
    }

    /// The vocabulary.
    #[must_use]
    pub const fn tokenizer(&self) -> &'t Tokenizer {
        self.tokenizer
    }

    /// Bytes of memory that the index holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ids
            .capacity()
            .saturating_add(self.starts.capacity())
            .saturating_mul(4)
            .saturating_add(self.shared.capacity())
            .saturating_add(self.tails.capacity())
            .saturating_add(size_of::<Self>())
    }

    /// Calls `visit` with each token that may come in `state`, and the state after it; of each first byte only with
    /// the first `most` of them.
    #[inline]
    pub(super) fn walk(
        &self,
        automaton: &Automaton,
        state: u32,
        most: usize,
        mut visit: impl FnMut(u32, u32),
    ) {
        // The states after each byte of the token at work.
        let mut path = [state; MAX_LEN + 1];
        for byte in automaton.edges(state).flat_map(|(first, last, _)| first..=last) {
            let bucket = |byte: usize| self.buckets.get(byte).map_or(0, |&at| at as usize);
            let end = bucket(usize::from(byte).saturating_add(1));
            let mut at = bucket(usize::from(byte));
            let mut left = most;
            while at < end && left > 0 {
                let mut depth = self.shared.get(at).map_or(0, |&n| usize::from(n));
                let mut state = path.get(depth).copied();
                for &byte in self.tail(at) {
                    state = state.and_then(|state| automaton.next(state, byte));
                    let Some(state) = state else { break };
                    depth = depth.wrapping_add(1);
                    if let Some(slot) = path.get_mut(depth) {
                        *slot = state;
                    }
                }
                at = at.wrapping_add(1);
                match state {
                    Some(state) => {
                        left = left.wrapping_sub(1);
                        visit(self.ids.get(at.wrapping_sub(1)).copied().unwrap_or(0), state);
                    }
                    None => {
                        // The byte after the first `depth` is a dead end, and so it is for every token that shares it.
                        let rest = self.shared.get(at..end).unwrap_or(&[]);
                        let dead = rest.iter().position(|&n| usize::from(n) <= depth);
                        at = at.wrapping_add(dead.unwrap_or(rest.len()));
                    }
                }
            }
        }
    }

    fn tail(&self, at: usize) -> &[u8] {
        match self.starts.get(at..at.wrapping_add(2)) {
            Some(&[start, end]) => self.tails.get(start as usize..end as usize).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// The state after `token`, if it is one of this index and may come in `state`.
    pub(super) fn follow(&self, automaton: &Automaton, state: u32, token: u32) -> Option<u32> {
        text_len(self.tokenizer, token)?;
        self.tokenizer.piece(token).try_fold(state, |state, byte| automaton.next(state, byte))
    }
}

/// Bytes of the text of `token`, if it may be chosen for its text.
fn text_len(tokenizer: &Tokenizer, token: u32) -> Option<usize> {
    if tokenizer.is_control(token)
        || tokenizer.is_end_of_generation(token)
        || tokenizer.suppressed().binary_search(&token).is_ok()
    {
        return None;
    }
    let len = tokenizer.piece(token).take(MAX_LEN.saturating_add(1)).count();
    (1..=MAX_LEN).contains(&len).then_some(len)
}

fn reserve<T>(list: &mut Vec<T>, more: usize) -> Result<(), ConstrainError> {
    let bytes = more.saturating_mul(size_of::<T>());
    list.try_reserve(more).map_err(|_| ConstrainError::OutOfMemory { bytes })
}
