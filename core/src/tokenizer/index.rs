//! A compact hash index from content to item number, for tables that are built once.
//!
//! Four bytes a slot: 24 bits of item number and 8 bits of its hash, so that most probes of other items end
//! without touching the item. Nothing random is to be had here, so a vocabulary could be made to collide; a
//! chain longer than [`MAX_PROBES`] makes the build start again with another seed, and a lookup is bounded by it.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::error::{VocabError, VocabProblem};
use crate::part::resize;
use alloc::vec::Vec;

/// Items that an index can hold; the all-ones slot is empty.
pub(super) const MAX_ITEMS: u32 = (1 << 24) - 1;
/// Slots that a lookup may visit. At a load of 0.8 an honest table needs fewer than 70.
const MAX_PROBES: u32 = 192;
/// Seeds that are tried.
const SEEDS: u64 = 8;
const EMPTY: u32 = u32::MAX;
/// An odd number without structure (2^64 / golden ratio).
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The default has nothing in it.
#[derive(Default)]
pub(super) struct Index {
    slots: Vec<u32>,
    seed: u64,
}

impl Index {
    /// Indexes the items that `items` yields. Of equal items the first stays; `equal` compares two of them.
    /// Also returns how many were left out for being equal to an earlier one.
    pub(super) fn build<I: Iterator<Item = u32>>(
        key: &'static str,
        items: impl Fn() -> I,
        hash: impl Fn(u64, u32) -> u64,
        equal: impl Fn(u32, u32) -> bool,
    ) -> Result<(Self, u32), VocabError> {
        let count = items().count();
        let slots = count.saturating_mul(5).div_ceil(4).saturating_add(1).next_power_of_two();
        let mut index = Self { slots: Vec::new(), seed: 0 };
        index
            .slots
            .try_reserve_exact(slots)
            .map_err(|_| VocabError::OutOfMemory { what: key, bytes: slots.saturating_mul(4) })?;
        for seed in 1..=SEEDS {
            index.seed = seed.wrapping_mul(MIX);
            index.slots.clear();
            resize(&mut index.slots, slots, EMPTY);
            if let Some(duplicates) = items().try_fold(0u32, |duplicates, item| {
                let new = index.insert(item, hash(index.seed, item), |other| equal(other, item))?;
                Some(duplicates.saturating_add(u32::from(!new)))
            }) {
                return Ok((index, duplicates));
            }
        }
        Err(VocabError::BadVocab { key, problem: VocabProblem::Collisions })
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity().saturating_mul(4)
    }

    /// The seed to hash with before [`find`](Index::find).
    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    /// The item of this hash for which `equal` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut equal: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = hash as usize;
        for step in 0..=MAX_PROBES {
            at = at.wrapping_add(step as usize) & self.slots.len().wrapping_sub(1);
            let slot = *self.slots.get(at)?;
            if slot == EMPTY {
                return None;
            }
            if slot & 0xff00_0000 == tag && equal(slot & 0x00ff_ffff) {
                return Some(slot & 0x00ff_ffff);
            }
        }
        None
    }

    /// Whether `item` went in; `None` if no slot is within reach.
    fn insert(&mut self, item: u32, hash: u64, equal: impl Fn(u32) -> bool) -> Option<bool> {
        let tag = tag(hash);
        let mut at = hash as usize;
        for step in 0..=MAX_PROBES {
            // Triangular steps visit every slot of a power of two.
            at = at.wrapping_add(step as usize) & self.slots.len().wrapping_sub(1);
            let slot = self.slots.get_mut(at)?;
            if *slot == EMPTY {
                *slot = tag | item;
                return Some(true);
            }
            if *slot & 0xff00_0000 == tag && equal(*slot & 0x00ff_ffff) {
                return Some(false);
            }
        }
        None
    }
}

/// A hash of `bytes`: eight at a time, multiplied and folded.
#[inline]
pub(super) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut h = seed ^ (bytes.len() as u64).wrapping_mul(MIX);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        h = fold(h ^ word);
    }
    let rest = chunks.remainder().iter().rev().fold(0u64, |word, &b| word << 8 | u64::from(b));
    finish(fold(h ^ rest))
}

/// A hash of two ids.
#[inline]
pub(super) const fn hash_pair(seed: u64, left: u32, right: u32) -> u64 {
    finish(fold(seed ^ ((left as u64) << 32 | right as u64)))
}

const fn fold(x: u64) -> u64 {
    let x = x.wrapping_mul(MIX);
    (x ^ x >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

const fn finish(x: u64) -> u64 {
    x ^ x >> 32
}

const fn tag(hash: u64) -> u32 {
    // Away from the low bits, which choose the slot.
    (hash >> 32) as u32 & 0xff00_0000
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
    use std::collections::HashMap;

    #[test]
    fn finds_what_a_hash_map_finds_and_the_first_of_equals() {
        let words: Vec<std::string::String> =
            (0..5000u32).map(|i| std::format!("{}", i * i % 4001)).collect();
        let mut want = HashMap::new();
        for (i, w) in words.iter().enumerate() {
            want.entry(w.as_str()).or_insert(i as u32);
        }
        let word = |i: u32| words[i as usize].as_bytes();
        let (index, duplicates) =
            Index::build("k", || 0..5000, |s, i| hash_bytes(s, word(i)), |a, b| word(a) == word(b)).unwrap();
        assert_eq!(duplicates as usize, 5000 - want.len());
        for i in 0..6000 {
            let w = std::format!("{i}");
            let got = index.find(hash_bytes(index.seed(), w.as_bytes()), |j| word(j) == w.as_bytes());
            assert_eq!(got, want.get(w.as_str()).copied());
        }
    }

    #[test]
    fn items_that_always_collide_are_refused_in_bounded_time() {
        let result = Index::build("k", || 0..100_000, |_, _| 7, |_, _| false);
        let want = VocabError::BadVocab { key: "k", problem: VocabProblem::Collisions };
        assert_eq!(result.err(), Some(want));
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let (index, _) = Index::build("k", || 0..0, |_, _| 0, |_, _| false).unwrap();
        assert_eq!(index.find(3, |_| true), None);
    }

    #[test]
    fn a_bounded_number_of_probes_is_enough_for_many_items() {
        let n = 280_000u32;
        let (index, _) = Index::build("k", || 0..n, |s, i| hash_pair(s, i / 500, i), |a, b| a == b).unwrap();
        assert_eq!(index.seed(), MIX, "the first seed does");
        assert!((0..n).all(|i| index.find(hash_pair(index.seed(), i / 500, i), |j| i == j) == Some(i)));
    }
}
