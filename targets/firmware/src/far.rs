//! A file whose tensors lie beyond 4 GiB, on a machine that has no such storage.
//!
//! The directory of a real file is copied and every tensor's offset in it raised by [`STRETCH`]; a reader answers for the
//! gap with zeros and for what follows with the real file's bytes. So a machine with 32-bit addresses has to carry 64-bit
//! offsets from the directory through the plan to the reader, or fails.

use alloc::vec::Vec;
use barre_core::gguf::Gguf;
use barre_core::io::{AbsOffset, IoError, ReadAt};

/// Bytes between the directory and the data; a multiple of every alignment that a file may have.
pub const STRETCH: u64 = 5 << 30;

/// A stretched file. It can only be read, not addressed.
pub struct Far<'a> {
    file: &'a [u8],
    /// The directory, offsets raised; as long as in the file.
    head: Vec<u8>,
    /// Bytes read from beyond 4 GiB.
    pub far_bytes: u64,
}

/// The file is none that can be stretched: no GGUF, or its directory does not read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CannotStretch;

impl<'a> Far<'a> {
    /// Stretches `file`.
    ///
    /// # Errors
    /// [`CannotStretch`].
    pub fn new(file: &'a [u8]) -> Result<Self, CannotStretch> {
        let gguf = Gguf::open(&mut &*file).map_err(|_| CannotStretch)?;
        let base = usize::try_from(gguf.data().base().get()).map_err(|_| CannotStretch)?;
        let mut head = Vec::new();
        head.try_reserve_exact(base).map_err(|_| CannotStretch)?;
        head.extend_from_slice(file.get(..base).ok_or(CannotStretch)?);
        for tensor in gguf.tensors() {
            // The record: the name's length and bytes, the number of dimensions and each of them, type, offset.
            let info = usize::try_from(tensor.info_offset().get()).map_err(|_| CannotStretch)?;
            let at = info + 8 + tensor.name().len() + 4 + 8 * tensor.dims().len() + 4;
            let offset = head.get_mut(at..at + 8).ok_or(CannotStretch)?;
            offset.copy_from_slice(&(tensor.offset().get() + STRETCH).to_le_bytes());
        }
        Ok(Self { file, head, far_bytes: 0 })
    }
}

impl ReadAt for Far<'_> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        let (start, need, size) = (at.get(), buf.len() as u64, self.len()?);
        if need > 0 && start.checked_add(need).is_none_or(|end| end > size) {
            let have = size.saturating_sub(start);
            return Err(IoError::Truncated { offset: start.saturating_add(have), need, have });
        }
        let (head, data) = (self.head.len() as u64, self.head.len() as u64 + STRETCH);
        let mut at = start;
        let mut rest = buf;
        while !rest.is_empty() {
            let (from, until): (&[u8], u64) = match at {
                at if at < head => (self.head.get(at as usize..).unwrap_or(&[]), head),
                at if at < data => (&[], data),
                at => (self.file.get((at - STRETCH) as usize..).unwrap_or(&[]), size),
            };
            let n = usize::try_from(until - at).map_or(rest.len(), |n| n.min(rest.len()));
            let (to, after) = rest.split_at_mut(n);
            match from.get(..n) {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0),
            }
            if at > u64::from(u32::MAX) {
                self.far_bytes += n as u64;
            }
            at += n as u64;
            rest = after;
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.file.len() as u64 + STRETCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::tests::lines;
    use crate::model;

    #[test]
    fn a_stretched_file_gives_the_same_bits_from_beyond_4_gib() {
        let near = lines(model::MODEL, None);
        let mut far = Far::new(model::MODEL).expect("a file");
        assert_eq!(lines(&mut far, Some(4096)), near);
        assert!(far.far_bytes > 1 << 20);
    }

    #[test]
    fn the_gap_is_zeros_and_the_end_is_an_end() {
        let mut far = Far::new(model::MODEL).expect("a file");
        let mut buf = [1; 16];
        far.read_at(AbsOffset::new(1 << 32), &mut buf).expect("the gap");
        assert_eq!(buf, [0; 16]);
        let len = far.len().expect("a length");
        assert!(far.read_at(AbsOffset::new(len - 8), &mut buf).is_err());
        far.read_at(AbsOffset::new(len - 16), &mut buf).expect("the last bytes");
        assert!(model::MODEL.ends_with(&buf));
        assert!(Far::new(b"GGUF").is_err());
    }
}
