//! Code points and their classes, as llama.cpp's pre-tokenizers see them.

use super::unicode_table::{ASCII, CLASSES, PLACES, RANGES, STARTS};

/// What takes the place of a byte that belongs to no code point.
pub(super) const REPLACEMENT: u32 = 0xfffd;

/// General category of a code point, with White_Space. Empty only past the end of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    pub(super) const NONE: Self = Self(0);
    const L: u8 = 1;
    const N: u8 = 2;
    const P: u8 = 4;
    const WHITESPACE: u8 = 8;

    pub(super) fn of(cp: u32) -> Self {
        if let Some(&class) = ASCII.get(cp as usize) {
            return Self(class);
        }
        Self::in_ranges(cp)
    }

    /// The class of `cp` by the table of ranges alone.
    fn in_ranges(cp: u32) -> Self {
        let entry = STARTS.partition_point(|&start| start <= cp).wrapping_sub(1);
        let (Some(&start), Some(&place)) = (STARTS.get(entry), PLACES.get(entry)) else { return Self::NONE };
        let mut bytes = RANGES.get(usize::from(place)..).unwrap_or(&[]).iter();
        let mut next = || bytes.next().copied();
        let mut left = cp.wrapping_sub(start);
        while let Some(head) = next() {
            let length = match head & 31 {
                30 => u32::from(next().unwrap_or(0)),
                31 => u32::from(u16::from_le_bytes([next().unwrap_or(0), next().unwrap_or(0)])),
                short => u32::from(short),
            };
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return CLASSES.get(usize::from(head >> 5)).map_or(Self::NONE, |&class| Self(class)),
            }
        }
        Self::NONE
    }

    pub(super) const fn is_letter(self) -> bool {
        self.0 & Self::L != 0
    }

    pub(super) const fn is_number(self) -> bool {
        self.0 & Self::N != 0
    }

    pub(super) const fn is_punctuation(self) -> bool {
        self.0 & Self::P != 0
    }

    pub(super) const fn is_whitespace(self) -> bool {
        self.0 & Self::WHITESPACE != 0
    }

    /// `[^\s\p{L}\p{N}]`: a code point is there, and it is none of these.
    pub(super) const fn is_other(self) -> bool {
        self.0 != 0 && self.0 & (Self::L | Self::N | Self::WHITESPACE) == 0
    }
}

/// The code point at the start of `bytes` and its length, as llama.cpp reads it: overlong forms and surrogates
/// pass, a byte that begins nothing whole is U+FFFD. Numbers past U+10FFFF, at which llama.cpp aborts, count as
/// such bytes. `bytes` must not be empty; else the length is 0.
#[inline]
pub(super) fn decode(bytes: &[u8]) -> (u32, usize) {
    let tail = |b: u8| u32::from(b & 0x3f);
    match *bytes {
        [] => (u32::MAX, 0),
        [a, ..] if a < 0x80 => (u32::from(a), 1),
        [a @ 0xc0..=0xdf, b, ..] if b & 0xc0 == 0x80 => (u32::from(a & 0x1f) << 6 | tail(b), 2),
        [a @ 0xe0..=0xef, b, c, ..] if b & 0xc0 == 0x80 && c & 0xc0 == 0x80 => {
            (u32::from(a & 0x0f) << 12 | tail(b) << 6 | tail(c), 3)
        }
        [a @ 0xf0..=0xf7, b, c, d, ..] if b & 0xc0 == 0x80 && c & 0xc0 == 0x80 && d & 0xc0 == 0x80 => {
            let cp = u32::from(a & 0x07) << 18 | tail(b) << 12 | tail(c) << 6 | tail(d);
            if cp > 0x10_ffff { (REPLACEMENT, 1) } else { (cp, 4) }
        }
        _ => (REPLACEMENT, 1),
    }
}

/// The UTF-8 form of `cp` (a surrogate's too) and its length.
pub(super) const fn encode(cp: u32) -> ([u8; 4], usize) {
    match cp {
        0..=0x7f => ([cp as u8, 0, 0, 0], 1),
        0x80..=0x7ff => ([0xc0 | (cp >> 6) as u8, cont(cp, 0), 0, 0], 2),
        0x800..=0xffff => ([0xe0 | (cp >> 12) as u8, cont(cp, 6), cont(cp, 0), 0], 3),
        _ => ([0xf0 | (cp >> 18) as u8, cont(cp, 12), cont(cp, 6), cont(cp, 0)], 4),
    }
}

const fn cont(cp: u32, shift: u32) -> u8 {
    0x80 | (cp >> shift & 0x3f) as u8
}

/// The length of the character that a byte seems to begin, as SentencePiece's splitting in llama.cpp takes it.
pub(super) const fn len_by_lead(byte: u8) -> usize {
    match byte {
        0x00..=0xbf => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn classes_of_known_characters() {
        assert!(Class::of('ß' as u32).is_letter() && Class::of('字' as u32).is_letter());
        assert!(Class::of('٣' as u32).is_number() && Class::of('½' as u32).is_number());
        assert!(Class::of('，' as u32).is_punctuation() && Class::of('$' as u32).is_other());
        assert!(Class::of(0x85).is_whitespace() && Class::of(0x3000).is_whitespace());
        assert!(
            Class::of(0xd800).is_other() && Class::of(0x10_ffff).is_other() && Class::of(0x378).is_other()
        );
        assert!(!Class::NONE.is_other());
        for (cp, &class) in ASCII.iter().enumerate() {
            assert_eq!(Class::in_ranges(cp as u32).0, class);
        }
    }

    #[test]
    fn every_code_point_survives_encoding() {
        for cp in 0..=0x10_ffff {
            let (bytes, len) = encode(cp);
            assert_eq!(decode(&bytes[..len]), (cp, len));
            if let Some(c) = char::from_u32(cp) {
                assert_eq!(c.encode_utf8(&mut [0; 4]).as_bytes(), &bytes[..len]);
            }
        }
    }

    #[test]
    fn bytes_that_begin_nothing_become_replacements() {
        for bytes in
            [&[0x80][..], &[0xc3], &[0xe2, 0x82], &[0xf4, 0x90, 0x80, 0x80], &[0xff], &[0xf0, 0x9f, 0x92]]
        {
            assert_eq!(decode(bytes), (REPLACEMENT, 1), "{bytes:02x?}");
        }
        assert_eq!(decode(&[0xc0, 0x80]), (0, 2));
        assert_eq!(decode(&[0xed, 0xa0, 0x80]), (0xd800, 3));
    }
}
