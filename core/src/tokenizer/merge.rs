//! Merging neighbours, best pair first, until none merges: what both kinds of BPE do.
//!
//! A heap holds the pairs that may merge, so n symbols cost O(n log n). An entry is not removed when a merge
//! makes it void; it is recognised when it comes up, because each symbol knows the key of the pair that it now
//! begins. Few symbols are searched instead: a word's pairs lie in one or two cache lines.

use super::EncodeError;
use crate::part;
use alloc::vec::Vec;

/// No symbol, no pair.
pub(super) const NONE: u32 = u32::MAX;
/// Up to this many symbols the best pair is searched for.
const SEARCH_MAX: usize = 24;

/// A piece of the text that is one token so far, linked to its neighbours.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    pub(super) start: u32,
    pub(super) len: u32,
    /// The token, if it is known.
    pub(super) id: u32,
    prev: u32,
    next: u32,
    /// How early the pair that this symbol begins merges, [`NONE`] if it does not. Lower is earlier.
    key: u32,
    /// The token that this merge gives.
    merged: u32,
}

/// Decides which neighbours merge.
pub(super) trait Pairs {
    /// When two neighbours merge (lower is earlier, never [`NONE`]) and what they give.
    fn pair(&self, left: &Symbol, right: &Symbol) -> Option<(u32, u32)>;
}

/// Memory for merging, kept from one word to the next.
#[derive(Default)]
pub(super) struct MergeScratch {
    symbols: Vec<Symbol>,
    heap: Vec<u64>,
}

impl MergeScratch {
    /// Forgets the symbols and makes room for `count`.
    pub(super) fn start(&mut self, count: usize) -> Result<(), EncodeError> {
        self.symbols.clear();
        self.symbols.try_reserve(count).map_err(|_| EncodeError::OutOfMemory { elements: count })
    }

    /// Appends a symbol; [`start`](Self::start) has made room for it.
    #[inline]
    pub(super) fn push(&mut self, start: usize, len: usize, id: u32) {
        let index = self.symbols.len();
        debug_assert!(index < self.symbols.capacity());
        let symbol = Symbol {
            start: start as u32,
            len: len as u32,
            id,
            prev: (index as u32).wrapping_sub(1),
            next: index as u32 + 1,
            key: NONE,
            merged: NONE,
        };
        part::push(&mut self.symbols, symbol);
    }

    /// Merges the symbols and returns those that are left, in order.
    pub(super) fn merge(&mut self, pairs: &impl Pairs) -> Result<impl Iterator<Item = &Symbol>, EncodeError> {
        let symbols = &mut self.symbols;
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        for left in 0..symbols.len() {
            update(symbols, left as u32, pairs);
        }
        if symbols.len() <= SEARCH_MAX {
            merge_by_search(symbols, pairs);
        } else {
            merge_by_heap(symbols, &mut self.heap, pairs)?;
        }
        let symbols: &[Symbol] = symbols;
        let mut at = 0u32;
        Ok(core::iter::from_fn(move || {
            let symbol = symbols.get(at as usize)?;
            at = symbol.next;
            Some(symbol)
        }))
    }
}

fn merge_by_search(symbols: &mut [Symbol], pairs: &impl Pairs) {
    loop {
        let (mut best, mut best_key, mut at) = (NONE, NONE, 0);
        while let Some(symbol) = symbols.get(at as usize) {
            if symbol.key < best_key {
                (best, best_key) = (at, symbol.key);
            }
            at = symbol.next;
        }
        if best == NONE {
            return;
        }
        apply(symbols, best, pairs);
    }
}

fn merge_by_heap(symbols: &mut [Symbol], heap: &mut Vec<u64>, pairs: &impl Pairs) -> Result<(), EncodeError> {
    heap.clear();
    // One entry a pair at first, and each of the fewer than n merges adds two.
    let most = symbols.len().saturating_mul(3);
    heap.try_reserve(most).map_err(|_| EncodeError::OutOfMemory { elements: most })?;
    let entry = |left: u32, key: u32| u64::from(key) << 32 | u64::from(left);
    for (left, symbol) in (0u32..).zip(symbols.iter()) {
        if symbol.key != NONE {
            push(heap, entry(left, symbol.key));
        }
    }
    while let Some(top) = pop(heap) {
        let left = top as u32;
        // A symbol that was swallowed has no key either.
        if symbols.get(left as usize).is_none_or(|symbol| symbol.key != (top >> 32) as u32) {
            continue;
        }
        let prev = apply(symbols, left, pairs);
        for changed in [prev, left] {
            if let Some(symbol) = symbols.get(changed as usize)
                && symbol.key != NONE
            {
                push(heap, entry(changed, symbol.key));
            }
        }
    }
    Ok(())
}

/// Merges the pair that `left` begins and updates the two pairs that it is now in. Returns its left neighbour.
fn apply(symbols: &mut [Symbol], left: u32, pairs: &impl Pairs) -> u32 {
    let Some(&Symbol { next: right, merged, prev, .. }) = symbols.get(left as usize) else { return NONE };
    let Some(swallowed) = symbols.get_mut(right as usize) else { return NONE };
    swallowed.key = NONE;
    let (len, next) = (swallowed.len, swallowed.next);
    if let Some(symbol) = symbols.get_mut(left as usize) {
        symbol.len += len;
        symbol.id = merged;
        symbol.next = next;
    }
    if let Some(symbol) = symbols.get_mut(next as usize) {
        symbol.prev = left;
    }
    update(symbols, prev, pairs);
    update(symbols, left, pairs);
    prev
}

/// Asks anew whether the pair that `left` begins merges.
#[inline]
fn update(symbols: &mut [Symbol], left: u32, pairs: &impl Pairs) {
    let Some(symbol) = symbols.get(left as usize) else { return };
    let pair = symbols.get(symbol.next as usize).and_then(|right| pairs.pair(symbol, right));
    let (key, merged) = pair.unwrap_or((NONE, NONE));
    if let Some(symbol) = symbols.get_mut(left as usize) {
        symbol.key = key;
        symbol.merged = merged;
    }
}

/// Adds to a heap that has room: no entry is above a smaller one, those below number i are 2i + 1 and 2i + 2. The
/// standard library's would bring its growth, which can panic.
fn push(heap: &mut Vec<u64>, entry: u64) {
    let mut at = heap.len();
    part::push(heap, entry);
    while let Some(above) = at.checked_sub(1).map(|n| n / 2)
        && let Some(&larger) = heap.get(above)
        && entry < larger
    {
        put(heap, at, larger);
        at = above;
    }
    put(heap, at, entry);
}

/// Takes the smallest entry.
fn pop(heap: &mut Vec<u64>) -> Option<u64> {
    let last = heap.pop()?;
    let Some(&least) = heap.first() else { return Some(last) };
    // The last entry sinks from the top, past whichever is the smaller of two.
    let mut at = 0;
    while let Some(&left) = heap.get(2 * at + 1) {
        let right = heap.get(2 * at + 2).copied().unwrap_or(u64::MAX);
        let (below, smaller) = if right < left { (2 * at + 2, right) } else { (2 * at + 1, left) };
        if last <= smaller {
            break;
        }
        put(heap, at, smaller);
        at = below;
    }
    put(heap, at, last);
    Some(least)
}

#[inline]
fn put(heap: &mut [u64], at: usize, entry: u64) {
    if let Some(place) = heap.get_mut(at) {
        *place = entry;
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    /// Merges equal or neighbouring small numbers; later sums first for some, so that voided entries occur.
    struct Sums;

    impl Pairs for Sums {
        fn pair(&self, left: &Symbol, right: &Symbol) -> Option<(u32, u32)> {
            let sum = left.id + right.id;
            (sum < 40).then_some((sum * 7919 % 13, sum))
        }
    }

    #[test]
    fn the_heap_gives_back_in_order_what_it_was_given() {
        let mut seed = 5u64;
        for n in 0..130 {
            let mut heap = Vec::with_capacity(n);
            let mut want = Vec::new();
            for i in 0..n {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                push(&mut heap, seed >> 60);
                want.push(seed >> 60);
                // Takes one out now and then, so that it also shrinks in between.
                if i % 3 == 2 {
                    want.sort_unstable();
                    assert_eq!(pop(&mut heap), Some(want.remove(0)));
                }
            }
            want.sort_unstable();
            assert!(core::iter::from_fn(|| pop(&mut heap)).eq(want));
        }
    }

    #[test]
    fn the_heap_gives_what_the_search_gives() {
        let mut seed = 1u32;
        for n in 0..200 {
            let mut a = MergeScratch::default();
            a.start(n).unwrap();
            for i in 0..n {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                a.push(i, 1, seed >> 29);
            }
            if let Some(last) = a.symbols.last_mut() {
                last.next = NONE;
            }
            for i in 0..n {
                update(&mut a.symbols, i as u32, &Sums);
            }
            let (mut by_search, mut by_heap) = (a.symbols.clone(), a.symbols.clone());
            merge_by_search(&mut by_search, &Sums);
            merge_by_heap(&mut by_heap, &mut a.heap, &Sums).unwrap();
            let ids = |s: &[Symbol]| {
                let mut at = 0u32;
                core::iter::from_fn(|| {
                    let symbol = s.get(at as usize)?;
                    at = symbol.next;
                    Some((symbol.start, symbol.len, symbol.id))
                })
                .collect::<Vec<_>>()
            };
            assert_eq!(ids(&by_search), ids(&by_heap));
            assert_eq!(ids(&by_heap).iter().map(|s| s.1).sum::<u32>(), n as u32);
        }
    }
}
