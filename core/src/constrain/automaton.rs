//! The finished automaton: three flat lists, in memory or in flash.

use super::SchemaError;
use super::builder::{Builder, State};
use super::error::push;
use crate::part::{self, resize};
use alloc::vec::Vec;

/// A deterministic automaton over bytes without cycles, from every state of which the end can be reached.
///
/// States are ordered: edges lead to lower numbers only.
#[derive(Debug)]
pub(super) struct Automaton {
    /// The first edge of each state and one number more, times two; plus one where the text may end.
    pub(super) heads: Numbers,
    /// First and last byte of each edge, apart from the targets: a search reads only these.
    pub(super) spans: Spans,
    pub(super) targets: Numbers,
}

/// A list of numbers: made here, or 16 bits each, the lower byte first, somewhere in flash.
#[derive(Debug)]
pub(super) enum Numbers {
    Own(Vec<u32>),
    Compiled(&'static [[u8; 2]]),
}

impl Numbers {
    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<u32> {
        match self {
            Self::Own(list) => list.get(at).copied(),
            Self::Compiled(list) => list.get(at).map(|&number| u32::from(u16::from_le_bytes(number))),
        }
    }

    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Own(list) => list.len(),
            Self::Compiled(list) => list.len(),
        }
    }

    /// Bytes of memory.
    const fn bytes(&self) -> usize {
        match self {
            Self::Own(list) => list.capacity().saturating_mul(4),
            Self::Compiled(_) => 0,
        }
    }
}

/// A list of spans, made here or somewhere in flash.
#[derive(Debug)]
pub(super) enum Spans {
    Own(Vec<[u8; 2]>),
    Compiled(&'static [[u8; 2]]),
}

impl Spans {
    #[inline]
    pub(super) fn as_slice(&self) -> &[[u8; 2]] {
        match self {
            Self::Own(list) => list,
            Self::Compiled(list) => list,
        }
    }
}

impl Automaton {
    /// Keeps what can be reached from `root`, which becomes the highest state.
    pub(super) fn new(builder: &Builder, root: State) -> Result<Self, SchemaError> {
        const UNREACHED: u32 = u32::MAX;
        let mut number = Vec::new();
        let len = (root.0 as usize).saturating_add(1);
        let oom = |items: usize| SchemaError::OutOfMemory { bytes: items.saturating_mul(4) };
        number.try_reserve_exact(len).map_err(|_| oom(len))?;
        resize(&mut number, len, UNREACHED);
        if let Some(mark) = number.last_mut() {
            *mark = 0;
        }
        let (mut states, mut edges) = (0usize, 0usize);
        for state in (0..=root.0).rev() {
            if number.get(state as usize).is_none_or(|&mark| mark == UNREACHED) {
                continue;
            }
            states = states.saturating_add(1);
            for edge in builder.edges(State(state)) {
                edges = edges.saturating_add(1);
                if let Some(mark) = number.get_mut(edge.to.0 as usize) {
                    *mark = 0;
                }
            }
        }
        let (mut heads, mut spans, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        heads.try_reserve_exact(states.saturating_add(1)).map_err(|_| oom(states))?;
        spans.try_reserve_exact(edges).map_err(|_| oom(edges))?;
        targets.try_reserve_exact(edges).map_err(|_| oom(edges))?;
        let head = |edge: usize, accept: bool| (edge as u32) << 1 | u32::from(accept);
        for state in (0..=root.0).map(State) {
            let next = heads.len() as u32;
            match number.get_mut(state.0 as usize) {
                Some(mark) if *mark != UNREACHED => *mark = next,
                _ => continue,
            }
            push(&mut heads, head(targets.len(), builder.accepts(state)))?;
            for edge in builder.edges(state) {
                push(&mut spans, [edge.first, edge.last])?;
                push(&mut targets, number.get(edge.to.0 as usize).copied().unwrap_or(0))?;
            }
        }
        push(&mut heads, head(targets.len(), false))?;
        Ok(Self { heads: Numbers::Own(heads), spans: Spans::Own(spans), targets: Numbers::Own(targets) })
    }

    /// The number of states.
    pub(super) fn len(&self) -> usize {
        self.heads.len().saturating_sub(1)
    }

    /// The state before the first byte.
    pub(super) fn root(&self) -> u32 {
        self.len().saturating_sub(1) as u32
    }

    /// Whether the text may end in `state`.
    pub(super) fn accepts(&self, state: u32) -> bool {
        self.heads.get(state as usize).is_some_and(|head| head & 1 != 0)
    }

    /// Whether the text must end in `state`.
    pub(super) fn is_end(&self, state: u32) -> bool {
        self.range(state).is_empty()
    }

    fn range(&self, state: u32) -> core::ops::Range<usize> {
        let at = state as usize;
        let edge = |at: usize| self.heads.get(at).map_or(0, |head| (head >> 1) as usize);
        edge(at)..edge(at.saturating_add(1))
    }

    /// First byte, last byte and target of each edge of `state`, ascending.
    pub(super) fn edges(&self, state: u32) -> impl Iterator<Item = (u8, u8, u32)> + '_ {
        let range = self.range(state);
        let spans = self.spans.as_slice().get(range.clone()).unwrap_or(&[]);
        spans.iter().zip(range).map(|(&[first, last], at)| (first, last, self.targets.get(at).unwrap_or(0)))
    }

    /// The state after `byte`, if it may come.
    #[inline]
    pub(super) fn next(&self, state: u32, byte: u8) -> Option<u32> {
        let range = self.range(state);
        let spans = self.spans.as_slice().get(range.clone())?;
        // The spans ascend: the first that does not end before the byte is the only one that can hold it.
        let at = spans.iter().position(|&[_, last]| byte <= last)?;
        let [first, _] = *spans.get(at)?;
        if byte < first {
            return None;
        }
        self.targets.get(range.start.wrapping_add(at))
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        let spans = match &self.spans {
            Spans::Own(list) => list.capacity().saturating_mul(2),
            Spans::Compiled(_) => 0,
        };
        self.heads.bytes().saturating_add(self.targets.bytes()).saturating_add(spans)
    }

    /// Bytes of the shortest and of the longest text.
    pub(super) fn text_lengths(&self) -> Result<(usize, usize), SchemaError> {
        let mut lengths: Vec<(u32, u32)> = Vec::new();
        let bytes = self.len().saturating_mul(size_of::<(u32, u32)>());
        lengths.try_reserve_exact(self.len()).map_err(|_| SchemaError::OutOfMemory { bytes })?;
        for state in 0..self.len() as u32 {
            let (mut shortest, mut longest) = if self.accepts(state) { (0, 0) } else { (u32::MAX, 0) };
            for (_, _, to) in self.edges(state) {
                let (short, long) = lengths.get(to as usize).copied().unwrap_or((0, 0));
                shortest = shortest.min(short.saturating_add(1));
                longest = longest.max(long.saturating_add(1));
            }
            part::push(&mut lengths, (shortest, longest));
        }
        Ok(lengths.last().map_or((0, 0), |&(shortest, longest)| (shortest as usize, longest as usize)))
    }
}
