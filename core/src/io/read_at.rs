//! The reader that the core asks for bytes.

use super::{AbsOffset, IoError};
use crate::part::copy;

/// Random access to a file's bytes.
///
/// Implemented for byte slices (flash, RAM, a mapped file: everything is a [`view`](ReadAt::view)) and, through
/// [`Stream`](super::Stream), for any `embedded_io::Read + Seek`.
pub trait ReadAt {
    /// Fills `buf` with the bytes at `at`. An empty `buf` is filled wherever `at` is.
    ///
    /// # Errors
    /// [`IoError`]; then the content of `buf` is unspecified and the same call may be made again.
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError>;

    /// The `len` bytes at `at` in place, if the reader can address them without copying.
    fn view(&self, at: AbsOffset, len: usize) -> Option<&[u8]> {
        let _ = (at, len);
        None
    }

    /// Announces that the `len` bytes at `at` will be read or lent soon, after those announced before. A hint: it
    /// neither fails nor waits for the bytes. A reader with room for `n` announcements keeps the last `n`.
    fn prefetch(&mut self, at: AbsOffset, len: u64) {
        let _ = (at, len);
    }

    /// The `len` bytes at `at` in the reader's own memory, which stay there until its next call. A reader that reads
    /// ahead (threads, DMA) hands out the buffer that [`prefetch`](ReadAt::prefetch) had it fill, and waits for it
    /// if it must; one that can address the bytes anyway lends its [`view`](ReadAt::view). `None`: it lends nothing.
    ///
    /// # Errors
    /// [`IoError`] of the read that filled the buffer; the same call may be made again.
    fn lend(&mut self, at: AbsOffset, len: usize) -> Result<Option<&[u8]>, IoError> {
        Ok(Self::view(self, at, len))
    }

    /// The number of bytes there are.
    ///
    /// # Errors
    /// [`IoError`] if the reader cannot tell.
    fn len(&mut self) -> Result<u64, IoError>;

    /// Whether there are no bytes at all.
    ///
    /// # Errors
    /// As [`len`](ReadAt::len).
    fn is_empty(&mut self) -> Result<bool, IoError> {
        Ok(self.len()? == 0)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        if buf.is_empty() {
            return Ok(());
        }
        match self.view(at, buf.len()) {
            Some(bytes) => {
                copy(buf, bytes);
                Ok(())
            }
            None => {
                let have = (<[u8]>::len(self) as u64).saturating_sub(at.get());
                Err(IoError::Truncated {
                    offset: at.get().saturating_add(have),
                    need: buf.len() as u64,
                    have,
                })
            }
        }
    }

    fn view(&self, at: AbsOffset, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(at.get()).ok()?;
        self.get(start..start.checked_add(len)?)
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(<[u8]>::len(self) as u64)
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &mut R {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        (**self).read_at(at, buf)
    }

    fn view(&self, at: AbsOffset, len: usize) -> Option<&[u8]> {
        (**self).view(at, len)
    }

    fn prefetch(&mut self, at: AbsOffset, len: u64) {
        (**self).prefetch(at, len);
    }

    fn lend(&mut self, at: AbsOffset, len: usize) -> Result<Option<&[u8]>, IoError> {
        (**self).lend(at, len)
    }

    fn len(&mut self) -> Result<u64, IoError> {
        (**self).len()
    }
}
