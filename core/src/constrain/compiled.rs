//! A schema's automaton as bytes, to be used where they lie.
//!
//! `barS`, the version, then of 32 bits each: states, edges, bytes of the shortest and of the longest output; then of 16 bits
//! each: for every state its first edge times two, plus one where the text may end; the number of edges times two; for
//! every edge its target, then for every edge its first and last byte, 8 bits each. Lower bytes come first, and no
//! address needs to be aligned.

use super::automaton::{Automaton, Numbers, Spans};
use super::{Schema, SchemaError};
use crate::part::append;
use alloc::vec::Vec;

/// The first eight bytes: what it is, and the version of the format.
const MAGIC: [u8; 8] = *b"barS\x01\0\0\0";
const HEADER: usize = MAGIC.len() + 4 * 4;

impl Schema {
    /// The compiled schema as bytes for [`from_compiled`](Self::from_compiled).
    ///
    /// # Errors
    /// [`SchemaError::Compiled`] if it has more than 32,767 states or transitions; [`SchemaError::OutOfMemory`].
    pub fn to_compiled(&self) -> Result<Vec<u8>, SchemaError> {
        let Automaton { heads, spans, targets } = &self.automaton;
        let (states, edges) = (self.automaton.len(), targets.len());
        let mut out = Vec::new();
        let bytes = length(states, edges).ok_or(SchemaError::Compiled)?;
        out.try_reserve_exact(bytes).map_err(|_| SchemaError::OutOfMemory { bytes })?;
        append(&mut out, &MAGIC);
        for number in [states, edges, self.min_bytes, self.max_bytes] {
            append(&mut out, &u32::try_from(number).map_err(|_| SchemaError::Compiled)?.to_le_bytes());
        }
        for (list, len) in [(heads, heads.len()), (targets, edges)] {
            for number in (0..len).filter_map(|at| list.get(at)) {
                append(&mut out, &u16::try_from(number).map_err(|_| SchemaError::Compiled)?.to_le_bytes());
            }
        }
        append(&mut out, spans.as_slice().as_flattened());
        Ok(out)
    }

    /// The schema that [`to_compiled`](Self::to_compiled) gave these bytes for. Nothing is allocated.
    ///
    /// Bytes that have been changed may describe an automaton that admits something else; it never leads to a panic or
    /// to an output without end.
    ///
    /// # Errors
    /// [`SchemaError::Compiled`] if they are not a whole compiled schema of this version.
    pub fn from_compiled(bytes: &'static [u8]) -> Result<Self, SchemaError> {
        Self::view(bytes).ok_or(SchemaError::Compiled)
    }

    fn view(bytes: &'static [u8]) -> Option<Self> {
        let (header, lists) = bytes.split_at_checked(HEADER)?;
        let (magic, numbers) = header.split_first_chunk()?;
        let &[states, edges, min_bytes, max_bytes] = numbers.as_chunks().0 else { return None };
        let [states, edges, min_bytes, max_bytes] =
            [states, edges, min_bytes, max_bytes].map(|number| u32::from_le_bytes(number) as usize);
        if *magic != MAGIC {
            return None;
        }
        if length(states, edges)? != bytes.len() {
            return None;
        }
        let (heads, rest) = lists.as_chunks().0.split_at_checked(states.checked_add(1)?)?;
        let (targets, spans) = rest.split_at_checked(edges)?;
        let automaton = Automaton {
            heads: Numbers::Compiled(heads),
            spans: Spans::Compiled(spans),
            targets: Numbers::Compiled(targets),
        };
        // The order of states is what makes every output end.
        let ordered = |state: u32| automaton.edges(state).all(|(_, _, to)| to < state);
        (0..states as u32).all(ordered).then_some(Self { automaton, min_bytes, max_bytes })
    }
}

/// Bytes of a compiled schema, if it can be one.
fn length(states: usize, edges: usize) -> Option<usize> {
    const MOST: usize = i16::MAX as usize;
    if states == 0 || states > MOST || edges > MOST {
        return None;
    }
    let heads = states.checked_add(1)?.checked_mul(2)?;
    edges.checked_mul(4)?.checked_add(heads)?.checked_add(HEADER)
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

    const TEXT: &[u8] = br#"{"type": "object", "properties": {"on": {"type": "boolean"},
        "at": {"type": "integer", "minimum": 0, "maximum": 599}}, "required": ["on"]}"#;

    fn compiled() -> &'static mut [u8] {
        Schema::parse(TEXT).unwrap().to_compiled().unwrap().leak()
    }

    #[test]
    fn a_compiled_schema_is_the_schema() {
        let schema = Schema::parse(TEXT).unwrap();
        let bytes = compiled();
        let again = Schema::from_compiled(bytes).unwrap();
        assert_eq!(
            (again.states(), again.min_bytes(), again.max_bytes(), again.bytes()),
            (schema.states(), schema.min_bytes(), schema.max_bytes(), 0)
        );
        assert_eq!(again.to_compiled().unwrap(), bytes);
        for text in [r#"{"on":true}"#, r#"{"on":false,"at":599}"#, r#"{"on":true,"at":600}"#, "{}", ""] {
            assert_eq!(again.admits(text.as_bytes()), schema.admits(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_no_compiled_schema_is_refused() {
        let whole = &*compiled();
        for len in 0..whole.len() {
            assert_eq!(Schema::from_compiled(&whole[..len]).err(), Some(SchemaError::Compiled), "{len}");
        }
        for at in 0..16 {
            let bytes = compiled();
            bytes[at] ^= 1;
            assert_eq!(Schema::from_compiled(bytes).err(), Some(SchemaError::Compiled), "{at}");
        }
        // An edge to a later state: no output would end.
        let bytes = compiled();
        let states = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
        let targets = HEADER + 2 * (states + 1);
        bytes[targets..targets + 2].copy_from_slice(&(states as u16 - 1).to_le_bytes());
        assert_eq!(Schema::from_compiled(bytes).err(), Some(SchemaError::Compiled));
        let large = Schema::parse(br#"{"type": "string", "maxLength": 9000}"#).unwrap();
        assert_eq!(large.to_compiled(), Err(SchemaError::Compiled));
    }
}
