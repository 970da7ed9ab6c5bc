//! Regular expressions with bounds: the part of ECMA-262 that describes finitely many texts.

use super::SchemaError;
use super::builder::{Builder, State};
use super::characters::{Range, class};
use super::error::push;
use crate::sort::sort_by_key;
use alloc::vec::Vec;

/// Upper bound of a repetition count, as in most engines.
const MAX_REPEAT: u32 = 1000;
const NONE: u32 = u32::MAX;

/// A parsed pattern, from `^` to `$`.
#[derive(Debug)]
pub(super) struct Pattern {
    nodes: Vec<Node>,
    ranges: Vec<Range>,
    root: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// The next part of the same sequence or choice.
    next: u32,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One character of `ranges[first..end]`.
    Class { first: u32, end: u32 },
    /// The parts from `first` on, one after the other.
    Sequence { first: u32 },
    /// One of the parts from `first` on.
    Choice { first: u32 },
    /// `part`, `min` to `max` times.
    Repeat { part: u32, min: u32, max: u32 },
}

impl Pattern {
    /// Parses `text`; groups nest at most `depth` levels. `offset` is for errors.
    pub(super) fn parse(text: &str, depth: usize, offset: usize) -> Result<Self, SchemaError> {
        let mut parser = Parser {
            rest: text,
            len: text.len(),
            offset,
            depth,
            max_depth: depth,
            out: Self { nodes: Vec::new(), ranges: Vec::new(), root: NONE },
        };
        if !parser.take('^') {
            return Err(parser.problem("it must begin with `^`"));
        }
        let root = parser.sequence()?;
        if parser.peek() == Some('|') {
            return Err(parser.problem("a choice outside of a group leaves an end open"));
        }
        if !parser.take('$') {
            return Err(parser.problem("it must end with `$`"));
        }
        if parser.peek().is_some() {
            return Err(parser.problem("`$` belongs at the end only"));
        }
        parser.out.root = root;
        Ok(parser.out)
    }

    /// The fewest and the most characters of a text.
    pub(super) fn lengths(&self) -> (u64, u64) {
        self.lengths_of(self.root)
    }

    fn lengths_of(&self, id: u32) -> (u64, u64) {
        match self.node(id).kind {
            Kind::Class { .. } => (1, 1),
            Kind::Sequence { first } => self
                .chain(first)
                .map(|part| self.lengths_of(part))
                .fold((0, 0), |sum, one| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1))),
            Kind::Choice { first } => self
                .chain(first)
                .map(|part| self.lengths_of(part))
                .fold((u64::MAX, 0), |all, one| (all.0.min(one.0), all.1.max(one.1))),
            Kind::Repeat { part, min, max } => {
                let one = self.lengths_of(part);
                (one.0.saturating_mul(u64::from(min)), one.1.saturating_mul(u64::from(max)))
            }
        }
    }

    /// The state that reads a text of the pattern and goes on with `next`; `None` if there is no such text.
    pub(super) fn build(&self, builder: &mut Builder, next: State) -> Result<Option<State>, SchemaError> {
        self.build_part(self.root, builder, next)
    }

    fn build_part(&self, id: u32, builder: &mut Builder, next: State) -> Result<Option<State>, SchemaError> {
        builder.step()?;
        match self.node(id).kind {
            Kind::Class { first, end } => {
                let ranges = self.ranges.get(first as usize..end as usize).unwrap_or(&[]);
                class(builder, ranges, next)
            }
            Kind::Sequence { first } => {
                let mut parts = Vec::new();
                for part in self.chain(first) {
                    push(&mut parts, part)?;
                }
                let mut state = Some(next);
                while let (Some(part), Some(after)) = (parts.pop(), state) {
                    state = self.build_part(part, builder, after)?;
                }
                Ok(state)
            }
            Kind::Choice { first } => {
                let mut state = None;
                for part in self.chain(first) {
                    let one = self.build_part(part, builder, next)?;
                    state = match (state, one) {
                        (Some(a), Some(b)) => Some(builder.union(a, b)?),
                        (a, b) => a.or(b),
                    };
                }
                Ok(state)
            }
            Kind::Repeat { part, min, max } => {
                let mut state = next;
                for optional in (min..max).map(|_| true).chain((0..min).map(|_| false)) {
                    builder.step()?;
                    state = match (self.build_part(part, builder, state)?, optional) {
                        (Some(once), true) => builder.union(once, next)?,
                        (Some(once), false) => once,
                        (None, true) => next,
                        (None, false) => return Ok(None),
                    };
                }
                Ok(Some(state))
            }
        }
    }

    fn node(&self, id: u32) -> Node {
        let absent = Node { kind: Kind::Sequence { first: NONE }, next: NONE };
        self.nodes.get(id as usize).copied().unwrap_or(absent)
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |id: u32| (id != NONE).then_some(id);
        core::iter::successors(some(first), move |&id| some(self.node(id).next))
    }
}

struct Parser<'a> {
    rest: &'a str,
    len: usize,
    offset: usize,
    depth: usize,
    max_depth: usize,
    out: Pattern,
}

impl Parser<'_> {
    fn problem(&self, problem: &'static str) -> SchemaError {
        SchemaError::Pattern { problem, offset: self.offset, at: self.len.saturating_sub(self.rest.len()) }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn pop(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn add(&mut self, kind: Kind) -> Result<u32, SchemaError> {
        let id = self.out.nodes.len() as u32;
        push(&mut self.out.nodes, Node { kind, next: NONE })?;
        Ok(id)
    }

    /// Puts `part` after `last` in a chain that begins with `first`.
    fn link(&mut self, first: &mut u32, last: &mut u32, part: u32) {
        match self.out.nodes.get_mut(*last as usize) {
            Some(before) => before.next = part,
            None => *first = part,
        }
        *last = part;
    }

    /// Up to `|`, `)`, `$` or the end.
    fn sequence(&mut self) -> Result<u32, SchemaError> {
        let (mut first, mut last) = (NONE, NONE);
        while !matches!(self.peek(), None | Some('|' | ')' | '$')) {
            let atom = self.atom()?;
            let part = self.repeated(atom)?;
            self.link(&mut first, &mut last, part);
        }
        self.add(Kind::Sequence { first })
    }

    fn choice(&mut self) -> Result<u32, SchemaError> {
        let (mut first, mut last) = (NONE, NONE);
        loop {
            let part = self.sequence()?;
            self.link(&mut first, &mut last, part);
            if !self.take('|') {
                return self.add(Kind::Choice { first });
            }
        }
    }

    fn atom(&mut self) -> Result<u32, SchemaError> {
        let start = self.out.ranges.len();
        let before = self.rest;
        match self.pop() {
            Some('(') => return self.group(),
            Some('[') => self.brackets()?,
            Some('.') => self.add_all_but(&[(0x0a, 0x0a), (0x0d, 0x0d), (0x2028, 0x2029)])?,
            Some('\\') => {
                if let Some(code) = self.escape()? {
                    push(&mut self.out.ranges, (code, code))?;
                }
            }
            Some('^' | '*' | '+' | '?' | '{' | '}' | ']') => {
                self.rest = before;
                return Err(self.problem("a character with a meaning of its own needs a `\\` here"));
            }
            Some(c) => push(&mut self.out.ranges, (u32::from(c), u32::from(c)))?,
            None => return Err(self.problem("it ends too early")),
        }
        self.add(Kind::Class { first: start as u32, end: self.out.ranges.len() as u32 })
    }

    fn group(&mut self) -> Result<u32, SchemaError> {
        if self.peek() == Some('?') && !self.rest.starts_with("?:") {
            return Err(self.problem("of groups with `(?` only `(?:` is supported"));
        }
        if self.take('?') {
            self.take(':');
        }
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(SchemaError::Limit {
                what: "nested levels",
                max: self.max_depth,
                offset: self.offset,
            });
        };
        self.depth = depth;
        let part = self.choice()?;
        if !self.take(')') {
            return Err(self.problem("`)` is missing"));
        }
        self.depth = depth.saturating_add(1);
        Ok(part)
    }

    /// `atom` with the count that follows it, if one does.
    fn repeated(&mut self, atom: u32) -> Result<u32, SchemaError> {
        const UNBOUNDED: &str = "a repetition without an upper bound; `{0,N}` has one";
        let (min, max) = match self.peek() {
            Some('?') => {
                self.pop();
                (0, 1)
            }
            Some('*' | '+') => return Err(self.problem(UNBOUNDED)),
            Some('{') => {
                self.pop();
                let min = self.count()?;
                let max = match self.take(',') {
                    true if self.peek() == Some('}') => return Err(self.problem(UNBOUNDED)),
                    true => self.count()?,
                    false => min,
                };
                if !self.take('}') {
                    return Err(self.problem("`}` is missing"));
                }
                if min > max {
                    return Err(self.problem("a repetition whose bounds are the wrong way round"));
                }
                (min, max)
            }
            _ => return Ok(atom),
        };
        if matches!(self.peek(), Some('?' | '*' | '+' | '{')) {
            return Err(self.problem("a count of a count"));
        }
        self.add(Kind::Repeat { part: atom, min, max })
    }

    fn count(&mut self) -> Result<u32, SchemaError> {
        let mut count = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            let n = count.unwrap_or(0u32).saturating_mul(10).saturating_add(digit);
            if n > MAX_REPEAT {
                return Err(self.problem("a repetition of more than 1000 times"));
            }
            count = Some(n);
            self.pop();
        }
        count.ok_or_else(|| self.problem("a count is missing"))
    }

    /// The rest of a class in brackets.
    fn brackets(&mut self) -> Result<(), SchemaError> {
        let negated = self.take('^');
        let start = self.out.ranges.len();
        while !self.take(']') {
            let Some(first) = self.class_character()? else { continue };
            let mut last = first;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.pop();
                last = match self.class_character()? {
                    Some(last) if last >= first => last,
                    _ => return Err(self.problem("a range without a proper end")),
                };
            }
            push(&mut self.out.ranges, (first, last))?;
        }
        if negated {
            self.negate(start)?;
        }
        Ok(())
    }

    /// A character of a class; `None` for an escape that is a class itself and has been added.
    fn class_character(&mut self) -> Result<Option<u32>, SchemaError> {
        match self.pop() {
            None => Err(self.problem("`]` is missing")),
            Some('\\') => self.escape(),
            Some(c) => Ok(Some(u32::from(c))),
        }
    }

    /// The character after a `\`; `None` for a class, which has been added.
    fn escape(&mut self) -> Result<Option<u32>, SchemaError> {
        let before = self.rest;
        Ok(Some(match self.pop() {
            Some('t') => 9,
            Some('n') => 10,
            Some('v') => 11,
            Some('f') => 12,
            Some('r') => 13,
            Some('x') => self.hex(2)?,
            Some('u') => self.hex(4)?,
            Some('0') if !matches!(self.peek(), Some('0'..='9')) => 0,
            Some(letter) => {
                let Some((ranges, negated)) = named_class(letter) else {
                    if letter.is_ascii_alphanumeric() || !letter.is_ascii() {
                        self.rest = before;
                        return Err(self.problem("this escape is not supported"));
                    }
                    return Ok(Some(u32::from(letter)));
                };
                if negated {
                    self.add_all_but(ranges)?;
                } else {
                    self.add_ranges(ranges)?;
                }
                return Ok(None);
            }
            None => return Err(self.problem("it ends too early")),
        }))
    }

    fn hex(&mut self, digits: usize) -> Result<u32, SchemaError> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.peek().and_then(|c| c.to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.problem("a hexadecimal digit is missing"))?;
            self.pop();
        }
        Ok(code)
    }

    fn add_ranges(&mut self, ranges: &[Range]) -> Result<(), SchemaError> {
        ranges.iter().try_for_each(|&range| push(&mut self.out.ranges, range))
    }

    fn add_all_but(&mut self, ranges: &[Range]) -> Result<(), SchemaError> {
        let mut from = 0;
        for &(first, last) in ranges {
            if from < first {
                push(&mut self.out.ranges, (from, first.saturating_sub(1)))?;
            }
            from = last.saturating_add(1);
        }
        if from <= 0x10_ffff {
            push(&mut self.out.ranges, (from, 0x10_ffff))?;
        }
        Ok(())
    }

    /// Replaces the ranges from number `start` on by all other characters.
    fn negate(&mut self, start: usize) -> Result<(), SchemaError> {
        let mut ranges = Vec::new();
        for &range in self.out.ranges.get(start..).unwrap_or(&[]) {
            push(&mut ranges, range)?;
        }
        self.out.ranges.truncate(start);
        sort_by_key(&mut ranges, |range| range);
        // Overlapping ranges would count characters twice; `from` only grows.
        let mut from = 0;
        for (first, last) in ranges {
            if from < first {
                push(&mut self.out.ranges, (from, first.saturating_sub(1)))?;
            }
            from = from.max(last.saturating_add(1));
        }
        if from <= 0x10_ffff {
            push(&mut self.out.ranges, (from, 0x10_ffff))?;
        }
        Ok(())
    }
}

/// The class that `\letter` names, its ranges ascending, and whether all other characters are meant.
const fn named_class(letter: char) -> Option<(&'static [Range], bool)> {
    const DIGIT: &[Range] = &[(0x30, 0x39)];
    const WORD: &[Range] = &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];
    // ECMA-262's WhiteSpace and LineTerminator.
    const SPACE: &[Range] = &[
        (0x09, 0x0d),
        (0x20, 0x20),
        (0xa0, 0xa0),
        (0x1680, 0x1680),
        (0x2000, 0x200a),
        (0x2028, 0x2029),
        (0x202f, 0x202f),
        (0x205f, 0x205f),
        (0x3000, 0x3000),
        (0xfeff, 0xfeff),
    ];
    match letter {
        'd' => Some((DIGIT, false)),
        'D' => Some((DIGIT, true)),
        'w' => Some((WORD, false)),
        'W' => Some((WORD, true)),
        's' => Some((SPACE, false)),
        'S' => Some((SPACE, true)),
        _ => None,
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
    use super::super::builder::END;
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let mut builder = Builder::new(1 << 16).unwrap();
        let pattern = Pattern::parse(pattern, 8, 0).unwrap();
        let Some(state) = pattern.build(&mut builder, END).unwrap() else { return false };
        let end = text.bytes().try_fold(state, |state, byte| {
            builder.edges(state).iter().find(|e| e.first <= byte && byte <= e.last).map(|e| e.to)
        });
        end.is_some_and(|state| builder.accepts(state))
    }

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, yes, no) in [
            ("^$", &[""][..], &["a"][..]),
            (
                "^([01][0-9]|2[0-3]):[0-5][0-9]$",
                &["00:00", "19:15", "23:59"],
                &["24:00", "1:00", "19:60", "19:1"],
            ),
            ("^a?b{2}c{1,3}$", &["bbc", "abbccc"], &["bc", "bbcccc", "aabbc"]),
            ("^(?:ab|a|)(c|)$", &["", "a", "ab", "c", "ac", "abc"], &["b", "acc"]),
            ("^[^a-cx]$", &["d", "é", "💡"], &["a", "b", "x", "dd"]),
            ("^[a\\-\\]\\d_-]{2}$", &["a-", "]9", "_-"], &["b-", "a"]),
            ("^\\d\\w\\s\\D\\W\\S$", &["1_ x!y", "1a\u{3000}x-y"], &["x_ x!y", "1_ 1!y"]),
            ("^\\x41\\u00e9\\.\\$$", &["Aé.$"], &["Aé.", "Aéx$"]),
            ("^.\\/$", &["x/", "é/"], &["/", "\u{2028}/"]),
            ("^((a{0,2}){0,2}){2}$", &["", "aaaa", "aaaaaaaa"], &["aaaaaaaaa"]),
            ("^[]?$", &[""], &["a"]),
            ("^[^]$", &["a"], &["", "ab"]),
            ("^[^\\s\\S]$", &[], &["a", ""]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern} {text}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn lengths_are_those_of_the_shortest_and_longest_text() {
        let lengths = |pattern| Pattern::parse(pattern, 8, 0).unwrap().lengths();
        assert_eq!(lengths("^([01][0-9]|2[0-3]):[0-5][0-9]$"), (5, 5));
        assert_eq!(lengths("^(a|bcd){2,7}x?$"), (2, 22));
    }

    #[test]
    fn what_is_unbounded_or_unknown_is_refused_where_it_stands() {
        for (pattern, place) in [
            ("abc", 0),
            ("^abc", 4),
            ("^a|b$", 2),
            ("^a$b", 3),
            ("^a*$", 2),
            ("^a+$", 2),
            ("^a{2,}$", 5),
            ("^a{3,2}$", 7),
            ("^a{1001}$", 6),
            ("^a{,2}$", 3),
            ("^a{2$", 4),
            ("^a??$", 3),
            ("^(?=a)$", 2),
            ("^(a$", 3),
            ("^a)$", 2),
            ("^[a", 3),
            ("^[z-a]$", 5),
            ("^[a-\\d]$", 6),
            ("^\\1$", 2),
            ("^\\bx$", 2),
            ("^\\xg0$", 3),
            ("^*$", 1),
            ("^\\", 2),
        ] {
            let got = Pattern::parse(pattern, 8, 3).unwrap_err();
            assert!(
                matches!(got, SchemaError::Pattern { offset: 3, at, .. } if at == place),
                "{pattern}: {got:?}"
            );
        }
        let deep = Pattern::parse("^(((a)))$", 2, 3).unwrap_err();
        assert_eq!(deep, SchemaError::Limit { what: "nested levels", max: 2, offset: 3 });
    }
}
