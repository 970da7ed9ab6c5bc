//! Building the automaton from its end.
//!
//! A part of a schema is compiled as "this part, then what follows", where what follows is a state that exists
//! already. Equal states are made once (the hash-consing of binary decision diagrams), so the automaton is
//! deterministic and minimal at every moment, and a state is always younger than those it leads to: there is no
//! cycle, and walking the states in order meets every successor first.

use super::SchemaError;
use super::error::push;
use crate::part::resize;
use alloc::vec::Vec;

/// The state after the last byte.
pub(super) const END: State = State(0);

/// A state by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State(pub(super) u32);

/// Bytes `first..=last` lead to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) first: u8,
    pub(super) last: u8,
    pub(super) to: State,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    /// Which edges are the state's.
    first: u32,
    end: u32,
    accept: bool,
}

/// States and what is needed to make each only once.
#[derive(Debug)]
pub(super) struct Builder {
    heads: Vec<Head>,
    edges: Vec<Edge>,
    /// States by the hash of their content, [`State`] + 1 or 0; a power of two, at most half full.
    slots: Vec<u32>,
    unions: PairMap,
    /// Unions that wait for unions of their successors.
    todo: Vec<(State, State)>,
    max_states: usize,
    steps: usize,
    /// The part of the schema at work, for errors.
    pub(super) offset: usize,
}

/// Steps for each state that the limit allows. Building is finite but may be exponential in the schema's length; the
/// product bounds its time.
const STEPS_PER_STATE: usize = 16;
/// Edges for each state that the limit allows, on average.
const EDGES_PER_STATE: usize = 8;

impl Builder {
    pub(super) fn new(max_states: usize) -> Result<Self, SchemaError> {
        let steps = max_states.saturating_mul(STEPS_PER_STATE);
        let mut builder = Self {
            heads: Vec::new(),
            edges: Vec::new(),
            slots: Vec::new(),
            unions: PairMap::default(),
            todo: Vec::new(),
            max_states,
            steps,
            offset: 0,
        };
        builder.state(true, &[])?;
        Ok(builder)
    }

    /// Counts one step of work.
    pub(super) fn step(&mut self) -> Result<(), SchemaError> {
        self.steps = self.steps.checked_sub(1).ok_or(SchemaError::Limit {
            what: "steps of compiling the schema",
            max: self.max_states.saturating_mul(STEPS_PER_STATE),
            offset: self.offset,
        })?;
        Ok(())
    }

    pub(super) fn accepts(&self, state: State) -> bool {
        self.heads.get(state.0 as usize).is_some_and(|head| head.accept)
    }

    /// The edges of `state`, ascending.
    pub(super) fn edges(&self, state: State) -> &[Edge] {
        let Some(head) = self.heads.get(state.0 as usize) else { return &[] };
        self.edges.get(head.first as usize..head.end as usize).unwrap_or(&[])
    }

    /// The state with these edges, which ascend and do not overlap.
    pub(super) fn state(&mut self, accept: bool, edges: &[Edge]) -> Result<State, SchemaError> {
        self.step()?;
        let start = self.edges.len();
        for &edge in edges {
            // Only one spelling of the same content may exist.
            if self.edges.len() > start
                && let Some(before) = self.edges.last_mut()
                && before.to == edge.to
                && before.last.checked_add(1) == Some(edge.first)
            {
                before.last = edge.last;
            } else {
                push(&mut self.edges, edge)?;
            }
        }
        if self.slots.len() < self.heads.len().saturating_add(1).saturating_mul(2) {
            self.grow()?;
        }
        let content = self.edges.get(start..).unwrap_or(&[]);
        let mut slot = hash(accept, content);
        let mask = self.slots.len().saturating_sub(1);
        while let Some(&taken) = self.slots.get(slot & mask)
            && let Some(old) = taken.checked_sub(1).map(State)
        {
            if self.accepts(old) == accept && self.edges(old) == content {
                self.edges.truncate(start);
                return Ok(old);
            }
            slot = slot.wrapping_add(1);
        }
        let (number, end) = (u32::try_from(self.heads.len()), u32::try_from(self.edges.len()));
        let (Ok(number), Ok(end)) = (number, end) else {
            return Err(self.too_many());
        };
        // States of many edges are rare; the limit is one on memory.
        let max_edges = self.max_states.saturating_mul(EDGES_PER_STATE);
        if self.heads.len() >= self.max_states || number == u32::MAX || self.edges.len() > max_edges {
            return Err(self.too_many());
        }
        push(&mut self.heads, Head { first: start as u32, end, accept })?;
        if let Some(free) = self.slots.get_mut(slot & mask) {
            *free = number.saturating_add(1);
        }
        Ok(State(number))
    }

    const fn too_many(&self) -> SchemaError {
        SchemaError::Limit {
            what: "states of the schema's automaton",
            max: self.max_states,
            offset: self.offset,
        }
    }

    /// The state that reads `bytes` and goes on with `next`.
    pub(super) fn literal(&mut self, bytes: &[u8], next: State) -> Result<State, SchemaError> {
        let mut state = next;
        for &byte in bytes.iter().rev() {
            state = self.state(false, &[Edge { first: byte, last: byte, to: state }])?;
        }
        Ok(state)
    }

    /// The state that accepts what either accepts.
    pub(super) fn union(&mut self, a: State, b: State) -> Result<State, SchemaError> {
        // Its own stack: the common beginning of two parts may be as long as a string.
        self.todo.clear();
        push(&mut self.todo, (a, b))?;
        let mut edges = Vec::new();
        while let Some(&(a, b)) = self.todo.last() {
            self.step()?;
            if self.known_union(a, b).is_none() {
                let waiting = self.todo.len();
                self.merge(a, b, &mut edges)?;
                if self.todo.len() > waiting {
                    continue;
                }
                let state = self.state(self.accepts(a) || self.accepts(b), &edges)?;
                self.unions.insert(pair(a, b), state.0)?;
            }
            self.todo.pop();
        }
        // It was the first to be pushed, so it is known now.
        Ok(self.known_union(a, b).unwrap_or(a))
    }

    fn known_union(&self, a: State, b: State) -> Option<State> {
        if a == b { Some(a) } else { self.unions.find(pair(a, b)).map(State) }
    }

    /// The edges of the union of `a` and `b`, unless unions of successors are missing: these are put on the stack.
    fn merge(&mut self, a: State, b: State, out: &mut Vec<Edge>) -> Result<(), SchemaError> {
        out.clear();
        let (mut i, mut j) = (0, 0);
        let mut from = 0u8;
        loop {
            let (x, y) = (self.edges(a).get(i).copied(), self.edges(b).get(j).copied());
            let start_of = |edge: Option<Edge>| edge.map(|e| e.first.max(from));
            let (first, last) = match (start_of(x), start_of(y)) {
                (None, None) => return Ok(()),
                (Some(s), None) | (None, Some(s)) => (s, u8::MAX),
                // Up to where the other begins, if it begins later.
                (Some(s), Some(t)) if s == t => (s, u8::MAX),
                (Some(s), Some(t)) => (s.min(t), s.max(t).saturating_sub(1)),
            };
            let here = |edge: Option<Edge>| edge.filter(|e| e.first <= first);
            let (x, y) = (here(x), here(y));
            let last = [x, y].into_iter().flatten().map(|e| e.last).fold(last, u8::min);
            let to = match (x, y) {
                (Some(x), Some(y)) => match self.known_union(x.to, y.to) {
                    None => {
                        push(&mut self.todo, (x.to, y.to))?;
                        END
                    }
                    Some(state) => state,
                },
                (Some(e), None) | (None, Some(e)) => e.to,
                (None, None) => return Ok(()),
            };
            push(out, Edge { first, last, to })?;
            i = i.saturating_add(usize::from(x.is_some_and(|e| e.last == last)));
            j = j.saturating_add(usize::from(y.is_some_and(|e| e.last == last)));
            match last.checked_add(1) {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    fn grow(&mut self) -> Result<(), SchemaError> {
        let len = self.slots.len().saturating_mul(2).max(64);
        self.slots.clear();
        zeros(&mut self.slots, len)?;
        let mask = len.saturating_sub(1);
        for number in 0..self.heads.len() as u32 {
            let mut slot = hash(self.accepts(State(number)), self.edges(State(number)));
            while self.slots.get(slot & mask).is_some_and(|&taken| taken != 0) {
                slot = slot.wrapping_add(1);
            }
            if let Some(free) = self.slots.get_mut(slot & mask) {
                *free = number.saturating_add(1);
            }
        }
        Ok(())
    }
}

fn pair(a: State, b: State) -> (u32, u32) {
    (a.0.min(b.0), a.0.max(b.0))
}

fn zeros(list: &mut Vec<u32>, len: usize) -> Result<(), SchemaError> {
    list.try_reserve_exact(len).map_err(|_| SchemaError::OutOfMemory { bytes: len.saturating_mul(4) })?;
    resize(list, len, 0);
    Ok(())
}

/// Multiplication spreads the bits upwards, so the upper half is the better hash.
const fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

fn hash(accept: bool, edges: &[Edge]) -> usize {
    let hash = edges.iter().fold(u64::from(accept), |hash, e| {
        mix(hash, u64::from(e.to.0) << 16 | u64::from(e.first) << 8 | u64::from(e.last))
    });
    (mix(hash, 0) >> 32) as usize
}

/// Pairs of numbers to numbers.
#[derive(Debug, Default)]
pub(super) struct PairMap {
    /// Three words an entry, the value plus 1 or 0; a power of two of entries, at most half of them taken.
    slots: Vec<[u32; 3]>,
    len: usize,
}

impl PairMap {
    pub(super) fn find(&self, key: (u32, u32)) -> Option<u32> {
        let [_, _, value] = self.slots.get(self.place(key)?)?;
        value.checked_sub(1)
    }

    pub(super) fn insert(&mut self, key: (u32, u32), value: u32) -> Result<(), SchemaError> {
        if self.slots.len() <= self.len.saturating_mul(2) {
            let len = self.slots.len().saturating_mul(2).max(64);
            let mut larger = Self::default();
            let bytes = len.saturating_mul(size_of::<[u32; 3]>());
            larger.slots.try_reserve_exact(len).map_err(|_| SchemaError::OutOfMemory { bytes })?;
            resize(&mut larger.slots, len, [0; 3]);
            for entry in self.slots.iter().filter(|entry| entry[2] != 0) {
                larger.put(*entry);
            }
            larger.len = self.len;
            *self = larger;
        }
        self.put([key.0, key.1, value.saturating_add(1)]);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    fn put(&mut self, entry: [u32; 3]) {
        if let Some(place) = self.place((entry[0], entry[1]))
            && let Some(slot) = self.slots.get_mut(place)
        {
            *slot = entry;
        }
    }

    /// Where `key` is, or would be.
    fn place(&self, key: (u32, u32)) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut place = (mix(mix(0, u64::from(key.0) << 32 | u64::from(key.1)), 0) >> 32) as usize & mask;
        while self.slots.get(place).is_some_and(|&[a, b, value]| value != 0 && (a, b) != key) {
            place = place.wrapping_add(1) & mask;
        }
        Some(place)
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

    fn accepted(builder: &Builder, state: State, bytes: &[u8]) -> bool {
        let mut state = state;
        for &byte in bytes {
            match builder.edges(state).iter().find(|e| e.first <= byte && byte <= e.last) {
                Some(edge) => state = edge.to,
                None => return false,
            }
        }
        builder.accepts(state)
    }

    #[test]
    fn equal_states_are_made_once() {
        let mut b = Builder::new(100).unwrap();
        let abc = b.literal(b"abc", END).unwrap();
        assert_eq!((abc, b.heads.len()), (b.literal(b"abc", END).unwrap(), 4));
        let split = [Edge { first: 1, last: 4, to: abc }, Edge { first: 5, last: 9, to: abc }];
        let whole = [Edge { first: 1, last: 9, to: abc }];
        assert_eq!(b.state(false, &split), b.state(false, &whole));
        assert_ne!(b.state(false, &whole), b.state(true, &whole));
    }

    #[test]
    fn a_union_accepts_both_and_nothing_else() {
        let mut b = Builder::new(1 << 16).unwrap();
        let words = ["set", "setting", "on", "off", "", "o", "\u{ff}"];
        let mut all = b.literal(words[0].as_bytes(), END).unwrap();
        for word in &words[1..] {
            let one = b.literal(word.as_bytes(), END).unwrap();
            all = b.union(one, all).unwrap();
        }
        let range = b.state(false, &[Edge { first: b'a', last: b'p', to: END }]).unwrap();
        all = b.union(all, range).unwrap();
        for word in words.iter().copied().chain(["a", "p"]) {
            assert!(accepted(&b, all, word.as_bytes()), "{word}");
        }
        for word in ["se", "sett", "onn", "of", "q", "aa"] {
            assert!(!accepted(&b, all, word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn deep_unions_need_no_stack_and_limits_hold() {
        let mut b = Builder::new(1 << 20).unwrap();
        let long = std::vec![b'x'; 200_000];
        let (one, two) = (b.literal(&long, END).unwrap(), b.literal(&long[1..], END).unwrap());
        let both = b.union(one, two).unwrap();
        assert!(
            accepted(&b, both, &long) && accepted(&b, both, &long[1..]) && !accepted(&b, both, &long[2..])
        );
        let mut b = Builder::new(100).unwrap();
        b.offset = 7;
        let what = "states of the schema's automaton";
        assert_eq!(b.literal(&long, END), Err(SchemaError::Limit { what, max: 100, offset: 7 }));
        let mut b = Builder::new(100).unwrap();
        let one = b.literal(b"a", END).unwrap();
        let work = (0..10_000).try_for_each(|_| b.literal(b"a", END).map(|again| assert_eq!(one, again)));
        assert!(matches!(work, Err(SchemaError::Limit { max: 1600, .. })));
    }

    #[test]
    fn pairs_are_found_again() {
        let mut map = PairMap::default();
        assert_eq!(map.find((1, 2)), None);
        for i in 0..5000 {
            map.insert((i % 70, i / 70), i).unwrap();
        }
        assert!((0..5000).all(|i| map.find((i % 70, i / 70)) == Some(i)));
        assert_eq!(map.find((70, 0)), None);
    }
}
