//! A key or a tensor's name inside an error.

use crate::text::write_escaped;
use core::fmt::{self, Write as _};

/// The bytes of a key or tensor name, at most [`Name::CAPACITY`] of them, so that errors stay `Copy`.
///
/// It compares equal to a string whose first [`CAPACITY`](Name::CAPACITY) bytes are the same if either was cut.
/// `Display` escapes control characters and bytes that are not UTF-8: the name may come from a hostile file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; Self::CAPACITY],
    /// `CAPACITY + 1` says that the name went on.
    len: u8,
}

impl Name {
    /// Bytes kept. With it two names and an offset make an error of less than 128 bytes.
    pub const CAPACITY: usize = 47;
    /// No name.
    pub const EMPTY: Self = Self { bytes: [0; Self::CAPACITY], len: 0 };

    /// The beginning of `name`.
    #[inline(never)]
    #[must_use]
    pub fn new(name: &[u8]) -> Self {
        let mut out = Self::EMPTY;
        for (to, from) in out.bytes.iter_mut().zip(name) {
            *to = *from;
        }
        out.len = name.len().min(Self::CAPACITY.saturating_add(1)) as u8;
        out
    }

    /// What is kept of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len).min(Self::CAPACITY)).unwrap_or(&[])
    }

    /// Whether the name was longer than what is kept.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.len as usize > Self::CAPACITY
    }

    /// Whether there is no name.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::new(name.as_bytes())
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        *self == Self::from(other)
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        *self == Self::from(*other)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Name {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            write_escaped(f, chunk.valid())?;
            // A character that the cut halved is no fault of the name.
            if !self.is_cut() || chunk.invalid().len() > 3 {
                for byte in chunk.invalid() {
                    write!(f, "\\x{byte:02x}")?;
                }
            }
        }
        if self.is_cut() { f.write_char('…') } else { Ok(()) }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a panic is a test's failure")]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn shows_what_it_keeps_and_that_it_was_cut() {
        assert_eq!(Name::from("blk.0.ffn_gate.weight").to_string(), "blk.0.ffn_gate.weight");
        assert_eq!(Name::new(b"a\x1b[2J\xff").to_string(), "a\\u{1b}[2J\\xff");
        let long = "x".repeat(64);
        assert_eq!(Name::from(long.as_str()), long.as_str());
        assert_eq!(Name::from(long.as_str()).to_string(), "x".repeat(47) + "…");
        assert_ne!(Name::from(&long[..47]), long.as_str());
    }
}
