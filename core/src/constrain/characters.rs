//! Characters of a string as they are spelled between its quotes: UTF-8, and escapes where JSON demands them.

use super::SchemaError;
use super::builder::{Builder, Edge, State};
use super::error::push;
use crate::sort::sort_by_key;
use alloc::vec::Vec;

/// Code points `first..=last`.
pub(super) type Range = (u32, u32);

/// Every character.
pub(super) const ANY: &[Range] = &[(0, 0x10_ffff)];

/// The characters that have an escape of one letter, and the letter. `/` needs none.
const SHORT: [(u32, u8); 7] =
    [(b'"' as u32, b'"'), (b'\\' as u32, b'\\'), (8, b'b'), (12, b'f'), (10, b'n'), (13, b'r'), (9, b't')];

/// Where the encoding gets longer, and the surrogates, which are no characters.
const PARTS: [Range; 5] =
    [(0, 0x7f), (0x80, 0x7ff), (0x800, 0xd7ff), (0xe000, 0xffff), (0x1_0000, 0x10_ffff)];

/// The state that reads one character of `ranges` and goes on with `next`; `None` if no character is in them.
pub(super) fn class(
    builder: &mut Builder,
    ranges: &[Range],
    next: State,
) -> Result<Option<State>, SchemaError> {
    let mut state = escapes(builder, ranges, next)?;
    for &(first, last) in ranges {
        for (low, high) in PARTS {
            let (first, last) = (first.max(low), last.min(high));
            if first > last {
                continue;
            }
            let part = if high == 0x7f {
                plain(builder, first as u8, last as u8, next)?
            } else {
                let (mut a, mut b) = ([0; 4], [0; 4]);
                let (Some(from), Some(to)) = (char::from_u32(first), char::from_u32(last)) else { continue };
                let (from, to) = (from.encode_utf8(&mut a).as_bytes(), to.encode_utf8(&mut b).as_bytes());
                Some(between(builder, from, to, (0x80, 0xbf), next)?)
            };
            state = match (state, part) {
                (Some(a), Some(b)) => Some(builder.union(a, b)?),
                (one, other) => one.or(other),
            };
        }
    }
    Ok(state)
}

/// ASCII characters that stand for themselves.
fn plain(builder: &mut Builder, first: u8, last: u8, next: State) -> Result<Option<State>, SchemaError> {
    let mut edges = [Edge { first: 0, last: 0, to: next }; 3];
    let mut count = 0usize;
    for (low, high) in [(0x20, 0x21), (0x23, 0x5b), (0x5d, 0x7f)] {
        let (first, last) = (first.max(low), last.min(high));
        if first <= last
            && let Some(edge) = edges.get_mut(count)
        {
            *edge = Edge { first, last, to: next };
            count = count.saturating_add(1);
        }
    }
    let edges = edges.get(..count).unwrap_or(&[]);
    if edges.is_empty() { Ok(None) } else { builder.state(false, edges).map(Some) }
}

/// The state that reads `\` and the rest of an escape.
fn escapes(builder: &mut Builder, ranges: &[Range], next: State) -> Result<Option<State>, SchemaError> {
    let within = |code: u32| ranges.iter().any(|&(first, last)| first <= code && code <= last);
    let mut letters: Vec<Edge> = Vec::new();
    // `\u000x` and `\u001x`, where no letter stands for the character.
    let mut tens = Vec::new();
    for ten in 0..2u8 {
        let mut ones = Vec::new();
        for one in 0..16u8 {
            let code = u32::from(ten << 4 | one);
            if within(code) && SHORT.iter().all(|&(other, _)| other != code) {
                push(&mut ones, edge(hex_digit(one), next))?;
            }
        }
        if !ones.is_empty() {
            let state = builder.state(false, &ones)?;
            push(&mut tens, edge(hex_digit(ten), state))?;
        }
    }
    if !tens.is_empty() {
        let state = builder.state(false, &tens)?;
        let state = builder.literal(b"00", state)?;
        push(&mut letters, edge(b'u', state))?;
    }
    for (code, letter) in SHORT {
        if within(code) {
            push(&mut letters, edge(letter, next))?;
        }
    }
    if letters.is_empty() {
        return Ok(None);
    }
    sort_by_key(&mut letters, |edge| edge.first);
    let state = builder.state(false, &letters)?;
    builder.literal(b"\\", state).map(Some)
}

const fn edge(byte: u8, to: State) -> Edge {
    Edge { first: byte, last: byte, to }
}

const fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0'.wrapping_add(value) } else { b'a'.wrapping_add(value).wrapping_sub(10) }
}

/// Appends `text` as it is spelled between quotes.
pub(super) fn spell(text: &[u8], out: &mut Vec<u8>) -> Result<(), SchemaError> {
    for &byte in text {
        if let Some(&(_, letter)) = SHORT.iter().find(|&&(code, _)| code == u32::from(byte)) {
            push(out, b'\\')?;
            push(out, letter)?;
        } else if byte < 0x20 {
            for byte in [b'\\', b'u', b'0', b'0', hex_digit(byte >> 4), hex_digit(byte & 15)] {
                push(out, byte)?;
            }
        } else {
            push(out, byte)?;
        }
    }
    Ok(())
}

/// The state that reads a text of the length of `low` and `high`, not before `low` and not after `high` in the order
/// of bytes, each byte but the first in `free`, and goes on with `next`. `low` and `high` are such texts.
///
/// From the last byte to the first there are only four states at each place: nothing of `low` and `high` matters any
/// more, only `low` does, only `high`, or both, which have been the same so far.
pub(super) fn between(
    builder: &mut Builder,
    low: &[u8],
    high: &[u8],
    free: (u8, u8),
    next: State,
) -> Result<State, SchemaError> {
    let (mut any, mut above, mut below, mut both) = (next, next, next, next);
    for (place, (&low, &high)) in low.iter().zip(high).enumerate().rev() {
        let middle = |first: Option<u8>, last: Option<u8>| match (first, last) {
            (Some(first), Some(last)) if first <= last => Some(Edge { first, last, to: any }),
            _ => None,
        };
        let mut make = |parts: [Option<Edge>; 3]| {
            let mut edges = [edge(0, next); 3];
            let mut count = 0usize;
            for (slot, part) in edges.iter_mut().zip(parts.into_iter().flatten()) {
                *slot = part;
                count = count.saturating_add(1);
            }
            builder.state(false, edges.get(..count).unwrap_or(&[]))
        };
        let new_both = if low == high {
            make([Some(edge(low, both)), None, None])?
        } else {
            let inner = middle(low.checked_add(1), high.checked_sub(1));
            make([Some(edge(low, above)), inner, Some(edge(high, below))])?
        };
        if place == 0 {
            return Ok(new_both);
        }
        let new_above = make([Some(edge(low, above)), middle(low.checked_add(1), Some(free.1)), None])?;
        let new_below = make([middle(Some(free.0), high.checked_sub(1)), Some(edge(high, below)), None])?;
        any = make([middle(Some(free.0), Some(free.1)), None, None])?;
        (above, below, both) = (new_above, new_below, new_both);
    }
    Ok(both)
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]
mod tests {
    use super::super::builder::END;
    use super::*;

    fn accepted(builder: &Builder, state: State, bytes: &[u8]) -> bool {
        let end = bytes.iter().try_fold(state, |state, &byte| {
            builder.edges(state).iter().find(|e| e.first <= byte && byte <= e.last).map(|e| e.to)
        });
        end.is_some_and(|state| builder.accepts(state))
    }

    #[test]
    fn classes_hold_their_characters_in_one_spelling() {
        let classes: [&[Range]; 6] = [
            ANY,
            &[(0x09, 0x0c), (0x1e, 0x24)],
            &[(0x7f, 0x801)],
            &[(0xd000, 0xf000), (0x61, 0x61)],
            &[(0xe9, 0xe9), (0xea, 0x10_3042)],
            &[(0x22, 0x22)],
        ];
        for ranges in classes {
            let mut b = Builder::new(1 << 16).unwrap();
            let state = class(&mut b, ranges, END).unwrap().unwrap();
            for code in 0..=0x11_0000 {
                let Some(c) = char::from_u32(code) else { continue };
                let want = ranges.iter().any(|&(first, last)| first <= code && code <= last);
                let mut spelled = Vec::new();
                let mut utf8 = [0; 4];
                spell(c.encode_utf8(&mut utf8).as_bytes(), &mut spelled).unwrap();
                assert_eq!(accepted(&b, state, &spelled), want, "{code:x} in {ranges:x?}");
            }
            for bad in
                [&b"\x80"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\\u000a", b"\n", b"\""]
            {
                assert!(!accepted(&b, state, bad), "{bad:x?}");
            }
        }
        let mut b = Builder::new(100).unwrap();
        assert_eq!(class(&mut b, &[(0xd800, 0xdfff)], END), Ok(None));
    }

    #[test]
    fn any_character_takes_few_states() {
        let mut b = Builder::new(1000).unwrap();
        let root = class(&mut b, ANY, END).unwrap().unwrap();
        let kept = super::super::automaton::Automaton::new(&b, root).unwrap();
        assert_eq!(kept.len(), 15);
    }
}
