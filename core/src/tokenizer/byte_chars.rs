//! GPT-2's writing of bytes as printable characters, in which byte-level BPE vocabularies are stored.
//!
//! A printable Latin-1 byte stands for itself; the 68 others take U+0100 to U+0143, in order.

/// The first code point past all that are used.
const END: usize = 0x144;
/// No byte.
const NO_BYTE: u16 = 0xffff;

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const TABLES: ([u16; 256], [u16; END]) = {
    let (mut to_char, mut to_byte) = ([0u16; 256], [NO_BYTE; END]);
    let (mut byte, mut next) = (0usize, 256u16);
    while byte < 256 {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        to_char[byte] = if printable { byte as u16 } else { next };
        to_byte[to_char[byte] as usize] = byte as u16;
        next += !printable as u16;
        byte += 1;
    }
    (to_char, to_byte)
};

/// The character of each byte.
pub(super) static BYTE_TO_CHAR: [u16; 256] = TABLES.0;
static CHAR_TO_BYTE: [u16; END] = TABLES.1;

/// The byte that `cp` stands for, if any.
pub(super) fn byte_of(cp: u32) -> Option<u8> {
    u8::try_from(*CHAR_TO_BYTE.get(cp as usize)?).ok()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn known_characters_and_the_way_back() {
        assert_eq!(BYTE_TO_CHAR[usize::from(b' ')], 'Ġ' as u16);
        assert_eq!(BYTE_TO_CHAR[usize::from(b'\n')], 'Ċ' as u16);
        assert_eq!(BYTE_TO_CHAR[0xad], 0x143);
        for byte in 0..=255u8 {
            assert_eq!(byte_of(u32::from(BYTE_TO_CHAR[usize::from(byte)])), Some(byte));
        }
        assert_eq!(byte_of(u32::from(b' ')), None);
        assert_eq!(byte_of(0x144), None);
    }
}
