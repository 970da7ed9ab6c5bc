//! Growing lists without growth slack.
//!
//! A `Vec` that doubles holds three times its content while it moves. The parser promises at most twice what it
//! has read, so its lists grow by segments that never move.

use super::GgufError;
use super::cursor::Cursor;
use crate::aside::Failed;
use crate::io::ReadAt;
use crate::part::{append, push};
use alloc::vec::Vec;

/// Items of a segment.
const SEGMENT: usize = 64;
/// Bytes of a chunk of text.
const CHUNK: usize = 2048;
/// Longer texts get a chunk of their own size, so that less than this is lost at the end of a shared one.
const SHARED: usize = 256;

/// [`GgufError::OutOfMemory`] in a register.
#[derive(Debug)]
pub(super) struct NoRoom {
    bytes: u64,
}

impl From<NoRoom> for GgufError {
    fn from(NoRoom { bytes }: NoRoom) -> Self {
        Self::OutOfMemory { bytes }
    }
}

/// Reserves exactly `more` items or says that memory is out.
pub(super) fn reserve<T>(list: &mut Vec<T>, more: usize) -> Result<(), NoRoom> {
    list.try_reserve_exact(more).map_err(|_| out_of_memory::<T>(more))
}

fn out_of_memory<T>(items: usize) -> NoRoom {
    NoRoom { bytes: (items as u64).saturating_mul(size_of::<T>() as u64) }
}

/// A list in segments of [`SEGMENT`] items.
#[derive(Debug)]
pub(super) struct Segmented<T> {
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T> Segmented<T> {
    pub(super) const fn new() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends `item`; `expected` items are likely in all, which keeps a short list's one segment short.
    pub(super) fn push(&mut self, item: T, expected: u64) -> Result<(), NoRoom> {
        if self.segments.last().is_none_or(|s| s.len() >= SEGMENT) {
            let left = expected.saturating_sub(self.len as u64).min(SEGMENT as u64);
            let mut segment = Vec::new();
            reserve(&mut segment, left as usize)?;
            self.segments.try_reserve(1).map_err(|_| out_of_memory::<Vec<T>>(1))?;
            push(&mut self.segments, segment);
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.try_reserve(1).map_err(|_| out_of_memory::<T>(1))?;
            push(segment, item);
            self.len = self.len.saturating_add(1);
        }
        Ok(())
    }

    pub(super) fn get(&self, i: usize) -> Option<&T> {
        self.segments.get(i.checked_div(SEGMENT)?)?.get(i.checked_rem(SEGMENT)?)
    }

    pub(super) fn get_mut(&mut self, i: usize) -> Option<&mut T> {
        self.segments.get_mut(i.checked_div(SEGMENT)?)?.get_mut(i.checked_rem(SEGMENT)?)
    }
}

/// Where a text lies in a [`Texts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    chunk: u16,
    at: u16,
    pub(super) len: u16,
}

/// Keys, names and short strings, back to back.
#[derive(Debug)]
pub(super) struct Texts {
    chunks: Vec<Vec<u8>>,
    /// The chunk that short texts are appended to.
    open: usize,
}

/// Why a text could not be kept.
pub(super) enum TextError {
    Cursor(Failed),
    Memory(NoRoom),
}

impl Texts {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), open: usize::MAX }
    }

    /// Keeps the next `len` bytes of the cursor.
    pub(super) fn read<R: ReadAt + ?Sized>(
        &mut self,
        cursor: &mut Cursor<'_, R>,
        len: u16,
    ) -> Result<Place, TextError> {
        cursor.need(u64::from(len)).map_err(TextError::Cursor)?;
        let bytes = usize::from(len);
        let index = self.chunk_for(bytes).map_err(TextError::Memory)?;
        let full = TextError::Memory(NoRoom { bytes: u64::from(len) });
        let Ok(chunk) = u16::try_from(index) else { return Err(full) };
        let Some(text) = self.chunks.get_mut(index) else { return Err(full) };
        let start = text.len();
        let mut left = bytes;
        while left > 0 {
            let window = cursor.window().map_err(TextError::Cursor)?;
            let Some(piece) = window.get(..left.min(window.len())) else { break };
            append(text, piece);
            let n = piece.len();
            cursor.advance(n);
            left = left.saturating_sub(n);
        }
        // A chunk is at most 2048 bytes, or holds one text that starts at 0.
        Ok(Place { chunk, at: start as u16, len })
    }

    pub(super) fn get(&self, place: Place) -> &[u8] {
        let start = usize::from(place.at);
        self.chunks
            .get(usize::from(place.chunk))
            .and_then(|chunk| chunk.get(start..start.saturating_add(usize::from(place.len))))
            .unwrap_or(&[])
    }

    /// The index of a chunk with room for `bytes` more.
    fn chunk_for(&mut self, bytes: usize) -> Result<usize, NoRoom> {
        let room = self.chunks.get(self.open).map_or(0, |c| c.capacity().saturating_sub(c.len()));
        if bytes <= room && bytes <= SHARED {
            return Ok(self.open);
        }
        let mut chunk = Vec::new();
        reserve(&mut chunk, if bytes > SHARED { bytes } else { CHUNK })?;
        self.chunks.try_reserve(1).map_err(|_| out_of_memory::<Vec<u8>>(1))?;
        push(&mut self.chunks, chunk);
        let index = self.chunks.len().saturating_sub(1);
        if bytes <= SHARED {
            self.open = index;
        }
        Ok(index)
    }
}

impl Place {
    /// The place in one number below 2^48.
    pub(super) const fn to_bits(self) -> u64 {
        (self.chunk as u64) << 32 | (self.at as u64) << 16 | self.len as u64
    }

    /// The place of [`to_bits`](Self::to_bits); `None` from 2^48 on.
    pub(super) const fn from_bits(bits: u64) -> Option<Self> {
        if bits >> 48 != 0 {
            return None;
        }
        Some(Self { chunk: (bits >> 32) as u16, at: (bits >> 16) as u16, len: bits as u16 })
    }
}
