//! GPT-2's writing of bytes as printable characters, in which byte-level BPE vocabularies are stored.
//!
//! A printable Latin-1 byte stands for itself; the 68 others take U+0100 to U+0143, in order.

/// The first code point that stands for another byte.
const SHIFTED: u32 = 0x100;

const fn is_printable(code: u32) -> bool {
    matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// The character of `byte`.
pub(super) const fn char_of(byte: u8) -> u32 {
    match byte as u32 {
        code if is_printable(code) => code,
        code @ 0..=0x20 => SHIFTED + code,
        code @ 0x7f..=0xa0 => SHIFTED + 0x21 + (code - 0x7f),
        // 0xad, the only one left.
        _ => SHIFTED + 0x43,
    }
}

/// The byte that `cp` stands for, if any.
pub(super) const fn byte_of(cp: u32) -> Option<u8> {
    match cp {
        code if is_printable(code) => Some(code as u8),
        0x100..=0x120 => Some((cp - SHIFTED) as u8),
        0x121..=0x142 => Some((cp - SHIFTED - 0x21 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn known_characters_and_the_way_back() {
        assert_eq!(char_of(b' '), u32::from('Ġ'));
        assert_eq!(char_of(b'\n'), u32::from('Ċ'));
        assert_eq!(char_of(0xad), 0x143);
        // GPT-2's rule: what is not printable takes the next code point from U+0100 on.
        let mut next = SHIFTED;
        for byte in 0..=255u8 {
            let printable = is_printable(u32::from(byte));
            assert_eq!(char_of(byte), if printable { u32::from(byte) } else { next });
            next += u32::from(!printable);
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!((0..0x11_0000).filter(|&cp| byte_of(cp).is_some()).count(), 256);
    }
}
