//! The caller's reader.

use barre_core::io::{AbsOffset, IoError, IoOp, ReadAt};
use core::ffi::c_void;

/// Where a model's bytes are. Either `base` or `read_at` must be there; with both, `base` is used.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Fills `buffer` with the `bytes` bytes at `offset` and returns 0. Any other number is a fault: the call of
    /// barre's that needed the bytes fails with `BARRE_STATUS_READER`, and can be made again. It is never asked for
    /// bytes past `length`. It must not call barre with the engine that it reads for.
    pub read_at: Option<
        unsafe extern "C" fn(context: *mut c_void, offset: u64, buffer: *mut c_void, bytes: usize) -> i32,
    >,
    /// Handed to `read_at`.
    pub context: *mut c_void,
    /// Bytes of the file.
    pub length: u64,
    /// Where the file lies in memory (flash that the CPU can read, an embedded array), or null. It need not be
    /// aligned; 64 bytes are fastest. The weights are then used in place.
    pub base: *const c_void,
}

/// A [`Reader`] as the core sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    reader: Reader,
    /// What `read_at` returned when it last failed.
    code: i32,
}

impl Source {
    /// # Safety
    /// `base` is null or the address of `length` bytes that do not change while the source is used; `read_at` may be
    /// called with `context` as long.
    pub(crate) unsafe fn new(reader: Reader) -> Option<Self> {
        let addressable = reader.base.is_null() || isize::try_from(reader.length).is_ok();
        ((reader.read_at.is_some() || !reader.base.is_null()) && addressable)
            .then_some(Self { reader, code: 0 })
    }

    pub(crate) const fn is_mapped(&self) -> bool {
        !self.reader.base.is_null()
    }

    pub(crate) const fn code(&self) -> i32 {
        self.code
    }

    fn mapped(&self) -> Option<&[u8]> {
        if self.reader.base.is_null() {
            return None;
        }
        // SAFETY: `new`'s contract; the length fits, as it has checked.
        Some(unsafe { core::slice::from_raw_parts(self.reader.base.cast(), self.reader.length as usize) })
    }
}

impl ReadAt for Source {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        let (offset, len) = (at.get(), buf.len());
        let have = self.reader.length.saturating_sub(offset);
        if len as u64 > have {
            let end = offset.saturating_add(have);
            return Err(IoError::Truncated { offset: end, need: len as u64, have });
        }
        if let Some(bytes) = self.view(at, len) {
            // `copy_from_slice` would bring its panic.
            for (to, from) in buf.iter_mut().zip(bytes) {
                *to = *from;
            }
            return Ok(());
        }
        let Some(read_at) = self.reader.read_at else {
            return Err(IoError::Truncated { offset, need: len as u64, have: 0 });
        };
        // SAFETY: `new`'s contract; the buffer has `len` bytes.
        self.code = unsafe { read_at(self.reader.context, offset, buf.as_mut_ptr().cast(), len) };
        match self.code {
            0 => Ok(()),
            _ => Err(IoError::Io { op: IoOp::Read, kind: barre_core::io::ErrorKind::Other, offset, len }),
        }
    }

    fn view(&self, at: AbsOffset, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(at.get()).ok()?;
        self.mapped()?.get(start..start.checked_add(len)?)
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.reader.length)
    }
}
