//! The schema's text as a flat list of values, each with its place in the text.

use super::SchemaError;
use super::error::push;
use alloc::vec::Vec;

/// No value.
const NONE: u32 = u32::MAX;

/// A value by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u32);

/// A stretch of the decoded texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it is written.
    Number(Text),
    String(Text),
    /// The first element.
    Array(u32),
    /// The first member.
    Object(u32),
}

/// A value, and its name if it is a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    /// Where the value begins.
    pub(super) offset: usize,
    key: Text,
    /// Where the name begins.
    pub(super) key_offset: usize,
    /// The next element or member of the same parent.
    next: u32,
}

/// A parsed text.
#[derive(Debug)]
pub(super) struct Document {
    nodes: Vec<Node>,
    /// Strings with their escapes resolved, and numbers.
    text: Vec<u8>,
    root: Id,
}

impl Document {
    /// Parses all of `text`; values nest at most `depth` levels.
    pub(super) fn parse(text: &[u8], depth: usize) -> Result<Self, SchemaError> {
        if let Err(e) = core::str::from_utf8(text) {
            return Err(SchemaError::Syntax { offset: e.valid_up_to(), expected: "UTF-8" });
        }
        let mut document = Self { nodes: Vec::new(), text: Vec::new(), root: Id(0) };
        let mut parser = Parser { text, at: 0, out: &mut document, depth, max_depth: depth };
        parser.space();
        let root = parser.value()?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.expected("the end of the text"));
        }
        document.root = root;
        Ok(document)
    }

    pub(super) const fn root(&self) -> Id {
        self.root
    }

    /// The value of `id`; ids come from this document only, so there is one.
    pub(super) fn node(&self, id: Id) -> Node {
        const ABSENT: Node =
            Node { value: Value::Null, offset: 0, key: Text { start: 0, end: 0 }, key_offset: 0, next: NONE };
        self.nodes.get(id.0 as usize).copied().unwrap_or(ABSENT)
    }

    pub(super) fn text(&self, text: Text) -> &[u8] {
        self.text.get(text.start as usize..text.end as usize).unwrap_or(&[])
    }

    /// The name of a member.
    pub(super) fn key(&self, id: Id) -> &[u8] {
        self.text(self.node(id).key)
    }

    /// Elements of an array or members of an object, in the order of the text; nothing of other values.
    pub(super) fn children(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        let first = match self.node(id).value {
            Value::Array(first) | Value::Object(first) => first,
            _ => NONE,
        };
        let some = |id: u32| (id != NONE).then_some(Id(id));
        core::iter::successors(some(first), move |id| some(self.node(*id).next))
    }

    /// The member of that name.
    pub(super) fn member(&self, id: Id, key: &[u8]) -> Option<Id> {
        match self.node(id).value {
            Value::Object(_) => self.children(id).find(|&child| self.key(child) == key),
            _ => None,
        }
    }

    /// The number as an integer of 64 bits, if it is written as one.
    pub(super) fn integer(&self, id: Id) -> Option<i64> {
        match self.node(id).value {
            Value::Number(text) => core::str::from_utf8(self.text(text)).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Whether two values are the same, objects in the same order.
    pub(super) fn same(&self, a: Id, b: Id) -> bool {
        match (self.node(a).value, self.node(b).value) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) | (Value::String(a), Value::String(b)) => {
                self.text(a) == self.text(b)
            }
            _ => false,
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    out: &'a mut Document,
    depth: usize,
    max_depth: usize,
}

impl Parser<'_> {
    const fn expected(&self, expected: &'static str) -> SchemaError {
        SchemaError::Syntax { offset: self.at, expected }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.skip();
        }
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.skip();
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, SchemaError> {
        let rest = self.text.get(self.at..).unwrap_or(&[]);
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at = self.at.saturating_add(word.len());
        Ok(value)
    }

    fn value(&mut self) -> Result<Id, SchemaError> {
        let offset = self.at;
        let value = match self.peek() {
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b'[' | b'{') => self.container()?,
            _ => return Err(self.expected("a value")),
        };
        let id = Id(u32::try_from(self.out.nodes.len()).unwrap_or(NONE));
        let key = Text { start: 0, end: 0 };
        push(&mut self.out.nodes, Node { value, offset, key, key_offset: offset, next: NONE })?;
        Ok(id)
    }

    fn container(&mut self) -> Result<Value, SchemaError> {
        let object = self.peek() == Some(b'{');
        let close = if object { b'}' } else { b']' };
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(SchemaError::Limit { what: "nested levels", max: self.max_depth, offset: self.at });
        };
        self.depth = depth;
        self.skip();
        let (mut first, mut last) = (NONE, NONE);
        self.space();
        while !self.take(close) {
            if first != NONE {
                if !self.take(b',') {
                    return Err(self.expected(if object { "`,` or `}`" } else { "`,` or `]`" }));
                }
                self.space();
            }
            let key_offset = self.at;
            let mut key = None;
            if object {
                if self.peek() != Some(b'"') {
                    return Err(self.expected("a name in quotes"));
                }
                let name = self.string()?;
                self.space();
                if !self.take(b':') {
                    return Err(self.expected("`:`"));
                }
                self.space();
                self.unique(first, name, key_offset)?;
                key = Some(name);
            }
            let id = self.value()?;
            if let Some(node) = self.out.nodes.get_mut(id.0 as usize)
                && let Some(key) = key
            {
                node.key = key;
                node.key_offset = key_offset;
            }
            match self.out.nodes.get_mut(last as usize) {
                Some(before) => before.next = id.0,
                None => first = id.0,
            }
            last = id.0;
            self.space();
        }
        self.depth = depth.saturating_add(1);
        Ok(if object { Value::Object(first) } else { Value::Array(first) })
    }

    /// JSON leaves open what a name means that is there twice.
    fn unique(&self, first: u32, name: Text, offset: usize) -> Result<(), SchemaError> {
        let mut other = first;
        while other != NONE {
            let node = self.out.node(Id(other));
            if self.out.text(node.key) == self.out.text(name) {
                return Err(SchemaError::Syntax { offset, expected: "a name that is not there before" });
            }
            other = node.next;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Text, SchemaError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'-') {
                self.take(b'+');
            }
            self.digits()?;
        }
        let text_start = self.out.text.len();
        for i in start..self.at {
            self.keep(self.text.get(i).copied().unwrap_or(0))?;
        }
        Ok(self.text_since(text_start))
    }

    fn digits(&mut self) -> Result<(), SchemaError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.expected("a digit"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.skip();
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Text, SchemaError> {
        let start = self.out.text.len();
        self.skip();
        loop {
            match self.peek() {
                None | Some(0..=0x1f) => return Err(self.expected("the end of a string")),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(byte) => {
                    self.keep(byte)?;
                    self.skip();
                }
            }
        }
        self.skip();
        Ok(self.text_since(start))
    }

    fn escape(&mut self) -> Result<(), SchemaError> {
        self.skip();
        let byte = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => c,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.expected("an escape")),
        };
        self.skip();
        self.keep(byte)
    }

    fn unicode(&mut self) -> Result<(), SchemaError> {
        const WANT: &str = "an escape of a Unicode character";
        let offset = self.at;
        let bad = SchemaError::Syntax { offset, expected: WANT };
        let mut code = self.hex4()?;
        if (0xd800..0xdc00).contains(&code) && self.take(b'\\') {
            let low = if self.peek() == Some(b'u') { self.hex4()? } else { 0 };
            if !(0xdc00..0xe000).contains(&low) {
                return Err(bad);
            }
            code = 0x1_0000_u32.saturating_add((code & 0x3ff) << 10 | low & 0x3ff);
        }
        let character = char::from_u32(code).ok_or(bad)?;
        let mut bytes = [0; 4];
        for &byte in character.encode_utf8(&mut bytes).as_bytes() {
            self.keep(byte)?;
        }
        Ok(())
    }

    /// The four digits after the `u` here.
    fn hex4(&mut self) -> Result<u32, SchemaError> {
        self.skip();
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|c| char::from(c).to_digit(16));
            code = code << 4 | digit.ok_or(self.expected("four hexadecimal digits"))?;
            self.skip();
        }
        Ok(code)
    }

    fn keep(&mut self, byte: u8) -> Result<(), SchemaError> {
        push(&mut self.out.text, byte)
    }

    fn text_since(&self, start: usize) -> Text {
        // The text is no longer than the limit, which fits 32 bits.
        Text { start: start as u32, end: self.out.text.len() as u32 }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn values_names_and_escapes() {
        let text = br#" {"a\u00e9\ud83d\udca1": [1, -2.5e+3, "x\n\/", true, null], "b": {}} "#;
        let d = Document::parse(text, 3).unwrap();
        let a = d.member(d.root(), "aé💡".as_bytes()).unwrap();
        let items: Vec<Id> = d.children(a).collect();
        assert_eq!(items.len(), 5);
        assert_eq!(d.integer(items[0]), Some(1));
        assert_eq!(d.integer(items[1]), None);
        assert!(matches!(d.node(items[2]).value, Value::String(t) if d.text(t) == b"x\n/"));
        assert!(matches!(d.node(items[3]).value, Value::Bool(true)));
        assert_eq!(text[d.node(items[3]).offset..][..4], *b"true");
        let b = d.member(d.root(), b"b").unwrap();
        assert_eq!((d.children(b).count(), d.node(b).key_offset), (0, 60));
        assert!(d.same(items[0], items[0]) && !d.same(items[0], items[3]));
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_goes_wrong() {
        for (text, at) in [
            ("", 0),
            ("{", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{\"a\" 1}", 5),
            ("{a:1}", 1),
            ("{\"a\":1,\"a\":2}", 7),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("\"a", 2),
            ("\"\u{1}\"", 1),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 5),
            ("\"\\ud800\"", 2),
            ("\"\\ud800\\u0041\"", 2),
            ("\"\\udc00\"", 2),
            ("nul", 0),
            ("1 1", 2),
        ] {
            let got = Document::parse(text.as_bytes(), 9).unwrap_err();
            assert!(matches!(got, SchemaError::Syntax { offset, .. } if offset == at), "{text}: {got:?}");
        }
        assert!(matches!(Document::parse(b"[\xff]", 9), Err(SchemaError::Syntax { offset: 1, .. })));
        let deep = Document::parse(b"[[[1]]]", 2).unwrap_err();
        assert_eq!(deep, SchemaError::Limit { what: "nested levels", max: 2, offset: 2 });
    }
}
