//! A forward-only reader of the header through a small buffer.
//!
//! Every read is measured against the end of the file before it happens, so a length from the file is never
//! trusted, and no byte is read twice. All readers take this one path: a slice, a file and a reader that gives
//! one byte at a time reach the same verdict by construction.

use super::{Field, GgufError, Name};
use crate::aside::{Aside, Failed};
use crate::io::{AbsOffset, IoError, ReadAt};

/// Bytes of the buffer, which lies on the stack. A page: large enough that a header of megabytes is few reads,
/// small enough for a firmware's stack.
pub(super) const BUFFER_BYTES: usize = 4096;

/// Why the cursor could not deliver.
#[derive(Clone, Copy, Debug)]
pub(super) enum CursorError {
    Io(IoError),
    /// As [`GgufError::Truncated`], without the place's name.
    Short {
        offset: u64,
        need: u64,
        have: u64,
    },
}

impl CursorError {
    /// The error with the name of what was being read.
    pub(super) fn of(self, what: Field, name: Name, index: u64) -> GgufError {
        match self {
            Self::Io(e) => GgufError::Io(e),
            Self::Short { offset, need, have } => {
                GgufError::Truncated { what, name, index, offset, need, have }
            }
        }
    }
}

pub(super) struct Cursor<'a, R: ReadAt + ?Sized> {
    reader: &'a mut R,
    buf: &'a mut [u8; BUFFER_BYTES],
    /// The unread part of `buf` is `buf[next..filled]`; it lies at `at`.
    next: usize,
    filled: usize,
    at: u64,
    end: u64,
    why: Aside<CursorError>,
}

impl<'a, R: ReadAt + ?Sized> Cursor<'a, R> {
    /// A cursor over `start..end`. The caller has compared `end` with the reader's length.
    pub(super) fn new(reader: &'a mut R, buf: &'a mut [u8; BUFFER_BYTES], start: u64, end: u64) -> Self {
        let why = Aside::new(CursorError::Short { offset: end, need: 0, have: 0 });
        Self { reader, buf, next: 0, filled: 0, at: start, end, why }
    }

    /// Why the last call failed.
    pub(super) fn why(&self, failed: Failed) -> CursorError {
        self.why.take(failed)
    }

    /// The absolute offset of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Where its bytes end.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes from here to the end.
    pub(super) fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// Fails unless `bytes` more are there.
    pub(super) fn need(&self, bytes: u64) -> Result<(), Failed> {
        let have = self.remaining();
        if bytes <= have {
            return Ok(());
        }
        Err(self.why.fail(CursorError::Short { offset: self.at.saturating_add(have), need: bytes, have }))
    }

    /// Fills `out`.
    pub(super) fn take(&mut self, out: &mut [u8]) -> Result<(), Failed> {
        self.need(out.len() as u64)?;
        let mut out = out;
        while !out.is_empty() {
            let window = self.window()?;
            let n = window.len().min(out.len());
            let Some((head, rest)) = out.split_at_mut_checked(n) else { break };
            for (to, from) in head.iter_mut().zip(window) {
                *to = *from;
            }
            out = rest;
            self.advance(n);
        }
        Ok(())
    }

    /// An unsigned little-endian number of `bytes` ≤ 8 bytes.
    pub(super) fn number(&mut self, bytes: usize) -> Result<u64, Failed> {
        let mut raw = [0u8; 8];
        if let Some(head) = raw.get_mut(..bytes) {
            self.take(head)?;
        }
        Ok(u64::from_le_bytes(raw))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Failed> {
        let mut raw = [0u8; 4];
        self.take(&mut raw)?;
        Ok(u32::from_le_bytes(raw))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Failed> {
        self.number(8)
    }

    /// Passes over `bytes`, reading none of them unless they are in the buffer already.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), Failed> {
        self.need(bytes)?;
        match usize::try_from(bytes) {
            Ok(n) if n <= self.filled.saturating_sub(self.next) => self.advance(n),
            _ => {
                self.next = 0;
                self.filled = 0;
                self.at = self.at.saturating_add(bytes);
            }
        }
        Ok(())
    }

    /// The buffered bytes, at least one unless the end is reached.
    pub(super) fn window(&mut self) -> Result<&[u8], Failed> {
        if self.next >= self.filled {
            let n = self.remaining().min(BUFFER_BYTES as u64) as usize;
            self.next = 0;
            self.filled = 0;
            if let Some(room) = self.buf.get_mut(..n) {
                let read = self.reader.read_at(AbsOffset::new(self.at), room);
                read.map_err(|e| self.why.fail(CursorError::Io(e)))?;
            }
            self.filled = n;
        }
        Ok(self.buf.get(self.next..self.filled).unwrap_or(&[]))
    }

    /// Passes over `n` bytes of the window.
    pub(super) fn advance(&mut self, n: usize) {
        self.next = self.next.saturating_add(n);
        self.at = self.at.saturating_add(n as u64);
    }
}
