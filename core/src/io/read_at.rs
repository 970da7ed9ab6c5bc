//! The reader that the core asks for bytes.

use super::{AbsOffset, IoError};

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

    /// Announces that `len` bytes at `at` will be read soon. A hint; it never fails.
    fn prefetch(&mut self, at: AbsOffset, len: u64) {
        let _ = (at, len);
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
                buf.copy_from_slice(bytes);
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

    fn len(&mut self) -> Result<u64, IoError> {
        (**self).len()
    }
}
