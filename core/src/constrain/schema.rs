//! From the keywords of a schema to the automaton of its texts.

use super::automaton::Automaton;
use super::builder::{Builder, END, Edge, PairMap, State};
use super::characters::{ANY, class, spell};
use super::error::push;
use super::json::{Document, Id, Value};
use super::keywords::{Keywords, count, integer};
use super::pattern::Pattern;
use super::{SchemaError, integer as integers};
use alloc::vec::Vec;

/// What a schema may cost, and the bounds of what it leaves unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaLimits {
    /// Bytes of the schema's text.
    pub text_bytes: usize,
    /// Levels of nesting: of the text, of references, of groups in a pattern.
    pub depth: usize,
    /// States of the automaton while it is built, garbage included. Building takes 50 to 250 bytes for each in schemas
    /// at hand and some 1200 at worst; each that remains takes some 15.
    pub states: usize,
    /// Characters of a string without `maxLength` or `pattern`.
    pub default_max_length: u64,
    /// Elements of an array without `maxItems`.
    pub default_max_items: u64,
}

impl Default for SchemaLimits {
    fn default() -> Self {
        Self { text_bytes: 1 << 16, depth: 32, states: 1 << 18, default_max_length: 64, default_max_items: 8 }
    }
}

/// A compiled JSON Schema.
#[derive(Debug)]
pub struct Schema {
    pub(super) automaton: Automaton,
    pub(super) min_bytes: usize,
    pub(super) max_bytes: usize,
}

impl Schema {
    /// Compiles the JSON Schema `text` within the default [`SchemaLimits`].
    ///
    /// # Errors
    /// [`SchemaError`] if the text is no JSON, asks for what this crate does not support, describes no value, or
    /// exceeds a limit.
    pub fn parse(text: &[u8]) -> Result<Self, SchemaError> {
        Self::parse_within(text, &SchemaLimits::default())
    }

    /// As [`parse`](Self::parse), within `limits`.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub fn parse_within(text: &[u8], limits: &SchemaLimits) -> Result<Self, SchemaError> {
        // Places in the text have 32 bits.
        let max = limits.text_bytes.min(u32::MAX as usize);
        if text.len() > max {
            return Err(SchemaError::Limit { what: "bytes of text", max, offset: max });
        }
        let document = Document::parse(text, limits.depth)?;
        let mut compiler = Compiler {
            document: &document,
            limits,
            builder: Builder::new(limits.states)?,
            compiled: PairMap::default(),
            references: Vec::new(),
            depth: limits.depth,
        };
        compiler.definitions()?;
        let root = compiler.schema(document.root(), END)?;
        let automaton = Automaton::new(&compiler.builder, root)?;
        let (min_bytes, max_bytes) = automaton.text_lengths()?;
        Ok(Self { automaton, min_bytes, max_bytes })
    }

    /// Bytes of the longest output, and so more than enough tokens for any.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Bytes of the shortest output.
    #[must_use]
    pub const fn min_bytes(&self) -> usize {
        self.min_bytes
    }

    /// States of the automaton.
    #[must_use]
    pub fn states(&self) -> usize {
        self.automaton.len()
    }

    /// Bytes of memory that the automaton holds; none of those in flash.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.automaton.bytes()
    }

    /// Whether `text` is an output of this schema in its one spelling.
    #[must_use]
    pub fn admits(&self, text: &[u8]) -> bool {
        let end =
            text.iter().try_fold(self.automaton.root(), |state, &byte| self.automaton.next(state, byte));
        end.is_some_and(|state| self.automaton.accepts(state))
    }
}

struct Compiler<'a> {
    document: &'a Document,
    limits: &'a SchemaLimits,
    builder: Builder,
    /// What a schema and the state after it were compiled into: definitions are used more than once.
    compiled: PairMap,
    /// Definitions at work, outermost first.
    references: Vec<Id>,
    depth: usize,
}

/// Integers that every reader of JSON keeps exact: the bounds where a schema gives none.
const SAFE_INTEGERS: (i128, i128) = (-(1 << 53) + 1, (1 << 53) - 1);

impl Compiler<'_> {
    fn offset(&self, id: Id) -> usize {
        self.document.node(id).offset
    }

    fn no_value(&self, id: Id) -> SchemaError {
        SchemaError::NoValue { offset: self.offset(id) }
    }

    /// Compiles every definition once, so that a fault is found where it is, used or not.
    fn definitions(&mut self) -> Result<(), SchemaError> {
        let document = self.document;
        let Some(definitions) = document.member(document.root(), b"$defs") else { return Ok(()) };
        if !matches!(document.node(definitions).value, Value::Object(_)) {
            let offset = self.offset(definitions);
            return Err(SchemaError::WrongValue { keyword: "$defs", want: "an object", offset });
        }
        for definition in document.children(definitions) {
            push(&mut self.references, definition)?;
            self.schema(definition, END)?;
            self.references.pop();
        }
        Ok(())
    }

    /// The state that reads a value of the schema `id` and goes on with `next`.
    fn schema(&mut self, id: Id, next: State) -> Result<State, SchemaError> {
        let offset = self.offset(id);
        self.builder.offset = offset;
        self.builder.step()?;
        let key = (offset as u32, next.0);
        if let Some(state) = self.compiled.find(key) {
            return Ok(State(state));
        }
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(SchemaError::Limit { what: "nested levels", max: self.limits.depth, offset });
        };
        self.depth = depth;
        let state = self.uncached(id, next)?;
        self.depth = depth.saturating_add(1);
        self.compiled.insert(key, state.0)?;
        Ok(state)
    }

    fn uncached(&mut self, id: Id, next: State) -> Result<State, SchemaError> {
        let keywords = Keywords::read(self.document, id)?;
        if let Some(reference) = keywords.reference {
            keywords.only(self.document, "a keyword beside `$ref`", |k| k.reference = None)?;
            return self.reference(reference, next);
        }
        if let Some(any_of) = keywords.any_of {
            keywords.only(self.document, "a keyword beside `anyOf`", |k| k.any_of = None)?;
            return self.any_of(any_of, next);
        }
        if keywords.choice.or(keywords.constant).is_some() {
            return self.listed(id, &keywords, next);
        }
        let Some(kind) = keywords.kind else {
            let offset = self.offset(id);
            return Err(SchemaError::Unsupported {
                what: "a schema without `type`, `enum`, `const`, `anyOf` or `$ref`",
                offset,
            });
        };
        let mut state = None;
        for name in self.kinds(kind)? {
            self.builder.offset = self.offset(id);
            let one = match name {
                Kind::Null => self.builder.literal(b"null", next)?,
                Kind::Boolean => {
                    let yes = self.builder.literal(b"true", next)?;
                    let no = self.builder.literal(b"false", next)?;
                    self.builder.union(yes, no)?
                }
                Kind::Integer => self.integer(id, &keywords, next)?,
                Kind::String => self.string(id, &keywords, next)?,
                Kind::Array => self.array(id, &keywords, next)?,
                Kind::Object => self.object(&keywords, next)?,
                Kind::Number => {
                    let offset = self.offset(kind);
                    let what = "the type \"number\" (\"integer\" is), except with `enum` or `const`";
                    return Err(SchemaError::Unsupported { what, offset });
                }
            };
            state = Some(match state {
                Some(others) => self.builder.union(others, one)?,
                None => one,
            });
        }
        state.ok_or_else(|| self.no_value(kind))
    }

    /// The types that `type` names: one or a list.
    fn kinds(&self, id: Id) -> Result<Vec<Kind>, SchemaError> {
        let mut kinds = Vec::new();
        match self.document.node(id).value {
            Value::Array(_) => {
                for child in self.document.children(id) {
                    push(&mut kinds, self.kind(child)?)?;
                }
            }
            _ => push(&mut kinds, self.kind(id)?)?,
        }
        Ok(kinds)
    }

    fn kind(&self, id: Id) -> Result<Kind, SchemaError> {
        let node = self.document.node(id);
        let name = match node.value {
            Value::String(text) => self.document.text(text),
            _ => &[],
        };
        let kind = match name {
            b"null" => Kind::Null,
            b"boolean" => Kind::Boolean,
            b"integer" => Kind::Integer,
            b"number" => Kind::Number,
            b"string" => Kind::String,
            b"array" => Kind::Array,
            b"object" => Kind::Object,
            _ => {
                let want = "null, boolean, integer, string, array or object, or a list of these";
                return Err(SchemaError::WrongValue { keyword: "type", want, offset: node.offset });
            }
        };
        Ok(kind)
    }

    fn reference(&mut self, id: Id, next: State) -> Result<State, SchemaError> {
        let document = self.document;
        let offset = self.offset(id);
        let target = match document.node(id).value {
            Value::String(text) => document.text(text).strip_prefix(b"#/$defs/"),
            _ => None,
        };
        let definitions = document.member(document.root(), b"$defs");
        let Some(target) = target.and_then(|name| document.member(definitions?, name)) else {
            return Err(SchemaError::BadReference { recursive: false, offset });
        };
        if self.references.contains(&target) {
            return Err(SchemaError::BadReference { recursive: true, offset });
        }
        push(&mut self.references, target)?;
        let state = self.schema(target, next)?;
        self.references.pop();
        Ok(state)
    }

    fn any_of(&mut self, id: Id, next: State) -> Result<State, SchemaError> {
        let document = self.document;
        let mut state = None;
        for child in document.children(id) {
            let one = self.schema(child, next)?;
            self.builder.offset = self.offset(child);
            state = Some(match state {
                Some(others) => self.builder.union(others, one)?,
                None => one,
            });
        }
        let (want, offset) = ("a list of one schema or more", self.offset(id));
        state.ok_or(SchemaError::WrongValue { keyword: "anyOf", want, offset })
    }

    /// `enum` and `const`: those of the values that the other keywords admit.
    fn listed(&mut self, id: Id, keywords: &Keywords, next: State) -> Result<State, SchemaError> {
        let document = self.document;
        let what = "this keyword beside `enum` or `const`";
        keywords.only(document, what, |k| {
            *k = Keywords {
                constant: None,
                choice: None,
                kind: None,
                minimum: None,
                maximum: None,
                above: None,
                below: None,
                min_length: None,
                max_length: None,
                ..*k
            };
        })?;
        let kinds = keywords.kind.map(|kind| self.kinds(kind)).transpose()?;
        let values = match (keywords.choice, keywords.constant) {
            (Some(choice), _) => choice,
            (None, constant) => constant.unwrap_or(id),
        };
        if keywords.choice.is_some() && !matches!(document.node(values).value, Value::Array(_)) {
            let (want, offset) = ("a list of values", self.offset(values));
            return Err(SchemaError::WrongValue { keyword: "enum", want, offset });
        }
        let single = keywords.choice.is_none().then_some(values);
        let mut state = None;
        for value in single.into_iter().chain(document.children(values).filter(|_| single.is_none())) {
            let constant = keywords.constant.is_none_or(|constant| document.same(constant, value));
            let kind = kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|&kind| self.is_of(value, kind)));
            if !(constant || single.is_some()) || !kind || !self.is_within(value, keywords)? {
                continue;
            }
            self.builder.offset = self.offset(value);
            let mut text = Vec::new();
            self.spell(value, &mut text)?;
            let one = self.builder.literal(&text, next)?;
            state = Some(match state {
                Some(others) => self.builder.union(others, one)?,
                None => one,
            });
        }
        state.ok_or_else(|| self.no_value(id))
    }

    fn is_of(&self, value: Id, kind: Kind) -> bool {
        match self.document.node(value).value {
            Value::Null => kind == Kind::Null,
            Value::Bool(_) => kind == Kind::Boolean,
            Value::Number(text) => {
                let whole = self.document.text(text).iter().all(|c| matches!(c, b'-' | b'0'..=b'9'));
                kind == Kind::Number || kind == Kind::Integer && whole
            }
            Value::String(_) => kind == Kind::String,
            Value::Array(_) => kind == Kind::Array,
            Value::Object(_) => kind == Kind::Object,
        }
    }

    /// Whether a listed value keeps the bounds beside the list.
    fn is_within(&self, value: Id, keywords: &Keywords) -> Result<bool, SchemaError> {
        Ok(match self.document.node(value).value {
            Value::Number(_) => {
                let (low, high) = self.bounds(keywords)?;
                let bounded = [keywords.minimum, keywords.maximum, keywords.above, keywords.below];
                if bounded.iter().all(Option::is_none) {
                    return Ok(true);
                }
                let Some(n) = self.document.integer(value) else {
                    let what = "a bound beside a number that is no integer of 64 bits";
                    return Err(SchemaError::Unsupported { what, offset: self.offset(value) });
                };
                low.is_none_or(|low| i128::from(n) >= low) && high.is_none_or(|high| i128::from(n) <= high)
            }
            Value::String(text) => {
                let text = core::str::from_utf8(self.document.text(text)).unwrap_or("");
                let len = text.chars().count() as u64;
                count(self.document, keywords.min_length, "minLength")?.is_none_or(|min| len >= min)
                    && count(self.document, keywords.max_length, "maxLength")?.is_none_or(|max| len <= max)
            }
            _ => true,
        })
    }

    /// The tighter of the lower and of the upper bounds.
    fn bounds(&self, keywords: &Keywords) -> Result<(Option<i128>, Option<i128>), SchemaError> {
        let bound = |id, keyword| integer(self.document, id, keyword).map(|n| n.map(i128::from));
        let low = bound(keywords.minimum, "minimum")?;
        let above = bound(keywords.above, "exclusiveMinimum")?.map(|n| n.saturating_add(1));
        let high = bound(keywords.maximum, "maximum")?;
        let below = bound(keywords.below, "exclusiveMaximum")?.map(|n| n.saturating_sub(1));
        // `None` is less than any number, so only the upper bounds need care.
        Ok((low.max(above), [high, below].into_iter().flatten().min()))
    }

    fn integer(&mut self, id: Id, keywords: &Keywords, next: State) -> Result<State, SchemaError> {
        let (low, high) = self.bounds(keywords)?;
        let (safe_low, safe_high) = SAFE_INTEGERS;
        // The default gives way to a bound beyond it.
        let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let low_default = if high.is_some_and(|high| high < safe_low) { least } else { safe_low };
        let high_default = if low.is_some_and(|low| low > safe_high) { most } else { safe_high };
        let (low, high) = (low.unwrap_or(low_default), high.unwrap_or(high_default));
        match (i64::try_from(low), i64::try_from(high)) {
            (Ok(low), Ok(high)) if low <= high => integers::integer(&mut self.builder, low, high, next),
            _ => Err(self.no_value(id)),
        }
    }

    fn string(&mut self, id: Id, keywords: &Keywords, next: State) -> Result<State, SchemaError> {
        let document = self.document;
        let min = count(document, keywords.min_length, "minLength")?.unwrap_or(0);
        let max = count(document, keywords.max_length, "maxLength")?;
        if max.is_some_and(|max| max < min) {
            return Err(self.no_value(id));
        }
        let close = self.builder.literal(b"\"", next)?;
        let Some(pattern) = keywords.pattern else {
            let max = max.unwrap_or_else(|| self.limits.default_max_length.max(min));
            let mut state = close;
            for len in (0..max).rev() {
                self.builder.step()?;
                // Every character can be read, so the class is not empty.
                let more = class(&mut self.builder, ANY, state)?.unwrap_or(close);
                state = if len >= min { self.builder.union(more, close)? } else { more };
            }
            return self.builder.literal(b"\"", state);
        };
        let offset = self.offset(pattern);
        let text = match document.node(pattern).value {
            Value::String(text) => core::str::from_utf8(document.text(text)).ok(),
            _ => None,
        };
        let Some(text) = text else {
            return Err(SchemaError::WrongValue { keyword: "pattern", want: "a string", offset });
        };
        let pattern = Pattern::parse(text, self.limits.depth, offset)?;
        let (shortest, longest) = pattern.lengths();
        if shortest < min || max.is_some_and(|max| longest > max) {
            let what = "a length that forbids texts of the `pattern` beside it";
            return Err(SchemaError::Unsupported { what, offset });
        }
        let inner = pattern.build(&mut self.builder, close)?.ok_or(SchemaError::NoValue { offset })?;
        self.builder.literal(b"\"", inner)
    }

    fn array(&mut self, id: Id, keywords: &Keywords, next: State) -> Result<State, SchemaError> {
        let min = count(self.document, keywords.min_items, "minItems")?.unwrap_or(0);
        let max = count(self.document, keywords.max_items, "maxItems")?;
        let max = max.unwrap_or_else(|| self.limits.default_max_items.max(min));
        if min > max {
            return Err(self.no_value(id));
        }
        let close = self.builder.literal(b"]", next)?;
        // What comes after an element, the last one first; then the first element, which no comma precedes.
        let mut state = close;
        for len in (0..max).rev() {
            self.builder.step()?;
            let Some(items) = keywords.items else {
                let what = "an array without `items`";
                return Err(SchemaError::Unsupported { what, offset: self.offset(id) });
            };
            let item = self.schema(items, state)?;
            let more = if len == 0 { item } else { self.builder.literal(b",", item)? };
            state = if len >= min { self.builder.union(more, close)? } else { more };
        }
        self.builder.literal(b"[", state)
    }

    fn object(&mut self, keywords: &Keywords, next: State) -> Result<State, SchemaError> {
        let document = self.document;
        if let Some(additional) = keywords.additional
            && !matches!(document.node(additional).value, Value::Bool(_))
        {
            let offset = self.offset(additional);
            return Err(SchemaError::Unsupported { what: "a schema of additional properties", offset });
        }
        let mut properties = Vec::new();
        if let Some(list) = keywords.properties {
            if !matches!(document.node(list).value, Value::Object(_)) {
                let (want, offset) = ("an object", self.offset(list));
                return Err(SchemaError::WrongValue { keyword: "properties", want, offset });
            }
            for property in document.children(list) {
                push(&mut properties, (property, false))?;
            }
        }
        self.mark_required(keywords.required, &mut properties)?;
        let close = self.builder.literal(b"}", next)?;
        // What comes after a property, and what comes where there was none yet, from the last property to the first.
        let (mut after, mut before) = (close, close);
        while let Some((property, required)) = properties.pop() {
            let value = self.schema(property, after)?;
            self.builder.offset = document.node(property).key_offset;
            let mut name = Vec::new();
            push(&mut name, b'"')?;
            spell(document.key(property), &mut name)?;
            push(&mut name, b'"')?;
            push(&mut name, b':')?;
            let member = self.builder.literal(&name, value)?;
            let further = self.builder.literal(b",", member)?;
            if required {
                (after, before) = (further, member);
            } else {
                after = self.builder.union(further, after)?;
                before = self.builder.union(member, before)?;
            }
        }
        self.builder.state(false, &[Edge { first: b'{', last: b'{', to: before }])
    }

    fn mark_required(&self, required: Option<Id>, properties: &mut [(Id, bool)]) -> Result<(), SchemaError> {
        let Some(list) = required else { return Ok(()) };
        let wrong = |offset| SchemaError::WrongValue {
            keyword: "required",
            want: "a list of names that `properties` has",
            offset,
        };
        if !matches!(self.document.node(list).value, Value::Array(_)) {
            return Err(wrong(self.offset(list)));
        }
        for name in self.document.children(list) {
            let node = self.document.node(name);
            let property = match node.value {
                Value::String(text) => {
                    properties.iter_mut().find(|(id, _)| self.document.key(*id) == self.document.text(text))
                }
                _ => None,
            };
            property.ok_or_else(|| wrong(node.offset))?.1 = true;
        }
        Ok(())
    }

    /// Appends the value in its one spelling; numbers stay as the schema writes them.
    fn spell(&mut self, id: Id, out: &mut Vec<u8>) -> Result<(), SchemaError> {
        let document = self.document;
        let (open, close): (&[u8], &[u8]) = match document.node(id).value {
            Value::Null => (b"null", b""),
            Value::Bool(true) => (b"true", b""),
            Value::Bool(false) => (b"false", b""),
            Value::Number(text) => (document.text(text), b""),
            Value::String(_) => (b"\"", b"\""),
            Value::Array(_) => (b"[", b"]"),
            Value::Object(_) => (b"{", b"}"),
        };
        let add = |out: &mut Vec<u8>, bytes: &[u8]| bytes.iter().try_for_each(|&byte| push(out, byte));
        add(out, open)?;
        if let Value::String(text) = document.node(id).value {
            spell(document.text(text), out)?;
        }
        for (i, child) in document.children(id).enumerate() {
            if i > 0 {
                add(out, b",")?;
            }
            if matches!(document.node(id).value, Value::Object(_)) {
                add(out, b"\"")?;
                spell(document.key(child), out)?;
                add(out, b"\":")?;
            }
            self.spell(child, out)?;
        }
        add(out, close)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]
mod tests {
    use super::*;
    use crate::gguf::Name;
    use std::format;

    fn schema(text: &str) -> Schema {
        Schema::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn each_keyword_admits_what_it_should() {
        for (text, yes, no) in [
            (r#"{"type":"null"}"#, &["null"][..], &["nul", "0", ""][..]),
            (r#"{"type":"boolean"}"#, &["true", "false"], &["tru", "null"]),
            (r#"{"type":["null","integer"],"maximum":9,"minimum":0}"#, &["null", "0", "9"], &["10", "-1"]),
            (r#"{"type":"integer","exclusiveMinimum":2,"exclusiveMaximum":4}"#, &["3"], &["2", "4"]),
            (r#"{"type":"integer","minimum":3,"exclusiveMinimum":2,"maximum":3}"#, &["3"], &["2", "4"]),
            (r#"{"type":"integer"}"#, &["-9007199254740991", "0"], &["9007199254740992", "1.0", "-0"]),
            (r#"{"type":"integer","maximum":-9007199254740992}"#, &["-9223372036854775808"], &["0"]),
            (
                r#"{"const":"a\"b\u00e9\u0001"}"#,
                &[r#""a\"bé\u0001""#],
                &[r#""a""#, "\"a\\\"b\\u00e9\\u0001\""],
            ),
            (r#"{"const": {"a" : [1, null]}}"#, &[r#"{"a":[1,null]}"#], &["{}"]),
            (r#"{"enum":["on","off",3,1.5,"on"]}"#, &[r#""on""#, r#""off""#, "3", "1.5"], &[r#""o""#]),
            (r#"{"type":"integer","enum":["on",3,7,1.5],"maximum":5}"#, &["3"], &[r#""on""#, "7", "1.5"]),
            (
                r#"{"type":"string","enum":["on","off","é"],"maxLength":2,"minLength":2}"#,
                &[r#""on""#],
                &[r#""é""#],
            ),
            (r#"{"const":3,"enum":[2,3,4]}"#, &["3"], &["2", "4"]),
            (
                r#"{"type":"string","minLength":1,"maxLength":2}"#,
                &[r#""a""#, r#""é💡""#, r#""\n\u001f""#],
                &[r#""""#, r#""abc""#],
            ),
            (
                r#"{"type":"string","pattern":"^[ab]\"?$","maxLength":2}"#,
                &[r#""a""#, r#""b\"""#],
                &[r#""b"""#, r#""""#],
            ),
            (
                r#"{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":2}"#,
                &["[true]", "[true,false]"],
                &["[]", "[true,true,true]", "[true,]"],
            ),
            (r#"{"type":"array","maxItems":0}"#, &["[]"], &["[1]"]),
            (r#"{"type":"object"}"#, &["{}"], &["{\"a\":1}"]),
            (
                r#"{"type":"object","properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}},"required":["b"],"additionalProperties":false}"#,
                &[r#"{"b":2}"#, r#"{"a":1,"b":2}"#, r#"{"b":2,"c":3}"#, r#"{"a":1,"b":2,"c":3}"#],
                &["{}", r#"{"a":1}"#, r#"{"b":2,"a":1}"#, r#"{"b":2,}"#, r#"{,"b":2}"#],
            ),
            (
                r#"{"type":"object","properties":{"a":{"const":1},"b":{"const":2}}}"#,
                &["{}", r#"{"b":2}"#, r#"{"a":1}"#, r#"{"a":1,"b":2}"#],
                &[r#"{"a":1,}"#],
            ),
            (
                r##"{"$defs":{"x":{"enum":[1,2]}},"anyOf":[{"$ref":"#/$defs/x"},{"type":"array","items":{"$ref":"#/$defs/x"}}]}"##,
                &["1", "[]", "[1,2]"],
                &["3", "[3]"],
            ),
        ] {
            let schema = schema(text);
            for good in yes {
                assert!(schema.admits(good.as_bytes()), "{good} by {text}");
                assert!((schema.min_bytes()..=schema.max_bytes()).contains(&good.len()), "{good} by {text}");
            }
            for bad in no {
                assert!(!schema.admits(bad.as_bytes()), "{bad} by {text}");
            }
        }
    }

    #[test]
    fn lengths_are_exact() {
        let text = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":-5,"maximum":120},"s":{"type":"string","maxLength":3}},"required":["n"]}"#;
        let schema = schema(text);
        // The longest string is of three escapes such as \u0001.
        assert_eq!((schema.min_bytes(), schema.max_bytes()), (7, 9 + 6 + 18 + 1));
    }

    #[test]
    fn faults_are_named_where_they_are() {
        let unknown =
            |keyword: &str, offset| SchemaError::UnknownKeyword { keyword: Name::from(keyword), offset };
        let no_value = |offset| SchemaError::NoValue { offset };
        for (text, want) in [
            (r#"{"type":"integer","multipleOf":2}"#, unknown("multipleOf", 18)),
            (r#"{"anyOf":[{"type":"null"},{"oneOf":[]}]}"#, unknown("oneOf", 27)),
            (r#"{"properties":{"$defs":{"$defs":{}}},"type":"object"}"#, unknown("$defs", 24)),
            (r#"{"type":"integer","minimum":2,"maximum":1}"#, no_value(0)),
            (r#"{"type":"integer","exclusiveMinimum":9223372036854775807}"#, no_value(0)),
            (r#"{"enum":[]}"#, no_value(0)),
            (r#"{"type":"string","enum":[1]}"#, no_value(0)),
            (r#"{"type":"string","minLength":3,"maxLength":2}"#, no_value(0)),
            (r#"{"type":"array","items":{"type":"null"},"minItems":3,"maxItems":2}"#, no_value(0)),
            (r#"{"type":"string","pattern":"^[]$"}"#, no_value(27)),
        ] {
            assert_eq!(Schema::parse(text.as_bytes()).err(), Some(want), "{text}");
        }
        let recursive = r##"{"$defs":{"a":{"type":"array","items":{"$ref":"#/$defs/a"}}},"type":"null"}"##;
        assert!(matches!(
            Schema::parse(recursive.as_bytes()),
            Err(SchemaError::BadReference { recursive: true, offset: 46 })
        ));
        for text in [
            r##"{"$ref":"#/$defs/a"}"##,
            r##"{"$defs":{},"$ref":"#/$defs/a"}"##,
            r#"{"$ref":"other.json"}"#,
            r#"{"$ref":7}"#,
        ] {
            let got = Schema::parse(text.as_bytes());
            assert!(matches!(got, Err(SchemaError::BadReference { recursive: false, .. })), "{text}");
        }
        for text in [
            "true",
            "{}",
            r#"{"type":"number"}"#,
            r#"{"type":"array"}"#,
            r#"{"anyOf":[{"type":"null"}],"type":"null"}"#,
            r#"{"enum":["a"],"pattern":"^a$"}"#,
            r#"{"type":"object","additionalProperties":{"type":"null"}}"#,
            r#"{"type":"string","pattern":"^a{3}$","maxLength":2}"#,
        ] {
            let got = Schema::parse(text.as_bytes());
            assert!(matches!(got, Err(SchemaError::Unsupported { .. })), "{text}: {got:?}");
        }
        for text in [
            r#"{"type":"strings"}"#,
            r#"{"type":3}"#,
            r#"{"type":"integer","minimum":1.5}"#,
            r#"{"type":"string","maxLength":-1}"#,
            r#"{"type":"object","properties":[]}"#,
            r#"{"type":"object","required":["a"]}"#,
            r#"{"anyOf":[]}"#,
            r#"{"enum":3}"#,
            r#"{"$defs":[],"type":"null"}"#,
        ] {
            let got = Schema::parse(text.as_bytes());
            assert!(matches!(got, Err(SchemaError::WrongValue { .. })), "{text}: {got:?}");
        }
    }

    #[test]
    fn limits_hold_against_schemas_that_explode() {
        let mut defs = std::string::String::new();
        for i in 0..20 {
            let item = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, i + 1);
            defs += &format!(r#""d{i}":{{"type":"array","items":{item},"minItems":9,"maxItems":9}},"#);
        }
        let laughs = format!(r##"{{"$defs":{{{defs}"d20":{{"type":"null"}}}},"$ref":"#/$defs/d0"}}"##);
        let branches = r#"{"type":"string","pattern":"^(a|b){0,40}a(a|b){30}$"}"#;
        let nested = r#"{"type":"string","pattern":"^((((a{0,9}){0,1000}){0,1000}){0,1000}){1000}$"}"#;
        let empty = r#"{"type":"string","pattern":"^(((){1000}){1000}){1000}$"}"#;
        let long = r#"{"type":"string","maxLength":9223372036854775807}"#;
        let many = r#"{"type":"array","items":{"type":"null"},"maxItems":9223372036854775807}"#;
        for text in [&laughs, branches, nested, empty, long, many] {
            let got = Schema::parse(text.as_bytes());
            assert!(matches!(got, Err(SchemaError::Limit { .. })), "{text}: {got:?}");
        }
        let deep = format!("{}{}", r#"{"type":"array","items":"#.repeat(40), "}".repeat(40));
        assert!(matches!(Schema::parse(deep.as_bytes()), Err(SchemaError::Limit { max: 32, .. })));
        let limits = SchemaLimits { text_bytes: 10, ..SchemaLimits::default() };
        let got = Schema::parse_within(br#"{"type":"null"}"#, &limits);
        assert!(matches!(got, Err(SchemaError::Limit { what: "bytes of text", max: 10, offset: 10 })));
    }
}
