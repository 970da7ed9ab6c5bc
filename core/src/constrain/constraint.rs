//! The state of one output.

use super::{ConstrainError, Schema, TokenIndex};
use crate::part::{push, resize};
use alloc::vec::Vec;

/// Keeps one output within a [`Schema`]. Allocates when made and never again.
///
/// Besides the place in the automaton it knows from each state a short way to the end: the shortest in tokens, but for
/// strings of a required length, where a shorter one may be missed. So an output with room for only so many tokens is
/// led to its end in time.
#[derive(Clone, Debug)]
pub struct Constraint<'a> {
    schema: &'a Schema,
    index: &'a TokenIndex<'a>,
    /// From each state the tokens of a short way to a place where the text may end; [`NEVER`] if the vocabulary has
    /// no way.
    to_end: Vec<u16>,
    /// A bit for each token that may come, meaningless between calls.
    allowed: Vec<u64>,
    state: u32,
    /// A token that ends generation has been accepted.
    ended: bool,
}

const NEVER: u16 = u16::MAX;

/// Tokens of each first byte that are looked at for a short way to the end. All that fit a literal are fewer; inside of
/// a string nearly every token of a vocabulary fits, at each of its characters.
const LOOK_AT: usize = 32;

impl<'a> Constraint<'a> {
    /// A constraint before the first token. It takes two bytes for each state of the schema and a bit for each token.
    ///
    /// # Errors
    /// [`ConstrainError::Vocabulary`] if no tokens spell any output; [`ConstrainError::OutOfMemory`].
    pub fn new(schema: &'a Schema, index: &'a TokenIndex<'a>) -> Result<Self, ConstrainError> {
        let automaton = &schema.automaton;
        let states = automaton.len();
        let mut to_end: Vec<u16> = Vec::new();
        let oom = |bytes| ConstrainError::OutOfMemory { bytes };
        to_end.try_reserve_exact(states).map_err(|_| oom(states.saturating_mul(2)))?;
        // Edges lead to lower states, so what a state needs is there.
        for state in 0..states as u32 {
            let mut fewest = if automaton.accepts(state) { 0 } else { NEVER };
            // Some tokens of each first byte tell enough, unless all of these lead to dead ends.
            for most in [LOOK_AT, usize::MAX] {
                if fewest < NEVER {
                    break;
                }
                index.walk(automaton, state, most, |_, to| {
                    let rest = to_end.get(to as usize).copied().unwrap_or(NEVER);
                    fewest = fewest.min(rest.saturating_add(1));
                });
            }
            push(&mut to_end, fewest);
        }
        let words = (index.tokenizer().len() as usize).div_ceil(64);
        let mut allowed = Vec::new();
        allowed.try_reserve_exact(words).map_err(|_| oom(words.saturating_mul(8)))?;
        resize(&mut allowed, words, 0);
        let constraint = Self { schema, index, to_end, allowed, state: automaton.root(), ended: false };
        if constraint.min_tokens().is_none() {
            return Err(ConstrainError::Vocabulary);
        }
        Ok(constraint)
    }

    /// Sets the logits of all tokens to −∞ that must not come next: those that leave the schema, and those after
    /// which `tokens_left` tokens, the next one included, would not reach the end. A token that ends generation is
    /// left where the output is complete, and is then the only one if nothing can follow.
    ///
    /// It comes before the sampler, whatever that does. At least one logit stays finite.
    ///
    /// # Errors
    /// [`ConstrainError::LogitsLen`]; [`ConstrainError::NonFiniteLogits`], also for a token that must not come;
    /// [`ConstrainError::Budget`] if the shortest way to the end is longer than `tokens_left`;
    /// [`ConstrainError::AllMasked`]. `logits` are then as they were, but for `AllMasked`.
    pub fn mask(&mut self, logits: &mut [f32], tokens_left: usize) -> Result<(), ConstrainError> {
        let want = self.index.tokenizer().len() as usize;
        if logits.len() != want {
            return Err(ConstrainError::LogitsLen { got: logits.len(), want });
        }
        // NaN is not below infinity either.
        if let Some(index) = logits.iter().position(|&x| !x.lt(&f32::INFINITY)) {
            return Err(ConstrainError::NonFiniteLogits { index });
        }
        let need = self.min_tokens().unwrap_or(0);
        if need > tokens_left {
            return Err(ConstrainError::Budget { left: tokens_left, need });
        }
        let Self { schema, index, to_end, allowed, state, ended } = self;
        allowed.fill(0);
        let mut allow = |token: u32| {
            if let Some(word) = allowed.get_mut(token as usize / 64) {
                *word |= 1 << (token % 64);
            }
        };
        if let Some(left_after) = tokens_left.checked_sub(1)
            && !*ended
        {
            let most = u16::try_from(left_after).unwrap_or(NEVER).min(NEVER.wrapping_sub(1));
            index.walk(&schema.automaton, *state, usize::MAX, |token, to| {
                if to_end.get(to as usize).is_some_and(|&need| need <= most) {
                    allow(token);
                }
            });
        }
        if *ended || schema.automaton.accepts(*state) {
            index.tokenizer().end_of_generation().iter().copied().for_each(allow);
        }
        let mut any = false;
        for (chunk, &word) in logits.chunks_mut(64).zip(&*allowed) {
            if word == 0 {
                chunk.fill(f32::NEG_INFINITY);
                continue;
            }
            for (bit, logit) in chunk.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *logit = f32::NEG_INFINITY;
                }
                any |= *logit > f32::NEG_INFINITY;
            }
        }
        if any { Ok(()) } else { Err(ConstrainError::AllMasked) }
    }

    /// Goes on by `token`.
    ///
    /// # Errors
    /// [`ConstrainError::Refused`] if it must not come here; nothing has changed then.
    pub fn accept(&mut self, token: u32) -> Result<(), ConstrainError> {
        let refused = ConstrainError::Refused { token };
        if self.index.tokenizer().is_end_of_generation(token) {
            if !self.is_complete() {
                return Err(refused);
            }
            self.ended = true;
            return Ok(());
        }
        if self.ended {
            return Err(refused);
        }
        let next = self.index.follow(&self.schema.automaton, self.state, token).ok_or(refused)?;
        if self.to_end.get(next as usize).is_none_or(|&need| need == NEVER) {
            return Err(refused);
        }
        self.state = next;
        Ok(())
    }

    /// Whether the output so far is a whole one.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.schema.automaton.accepts(self.state)
    }

    /// Whether the output is a whole one and cannot go on: there is no need to ask the model for the end.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.ended || self.is_complete() && self.schema.automaton.is_end(self.state)
    }

    /// So many tokens are enough to complete the output; `None` if this vocabulary has none that do.
    #[must_use]
    pub fn min_tokens(&self) -> Option<usize> {
        self.to_end.get(self.state as usize).filter(|&&need| need != NEVER).map(|&need| usize::from(need))
    }

    /// Begins another output.
    pub fn reset(&mut self) {
        self.state = self.schema.automaton.root();
        self.ended = false;
    }

    /// Bytes of memory that this constraint holds, besides its schema and index.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lists = self.to_end.capacity().saturating_mul(2);
        lists.saturating_add(self.allowed.capacity().saturating_mul(8)).saturating_add(size_of::<Self>())
    }
}
