//! Arrays, read where they lie in the file.

use super::cursor::{BUFFER_BYTES, Cursor, CursorError};
use super::meta::integer;
use super::store::reserve;
use super::{Field, GgufError, MetaEntry, Name, Quantity, ValueType};
use crate::io::{AbsOffset, ReadAt};
use crate::part::{append, push};
use alloc::vec::Vec;

/// An array in the file: its type, count and place. The elements are read through the reader that the file was
/// opened with.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    pub(super) entry: MetaEntry<'a>,
}

/// A number that an array can hold.
pub trait Element: Copy + Default + sealed::Sealed {
    /// Its type in the file.
    const TYPE: ValueType;
    /// The number of the little-endian bytes `raw`, zero-extended.
    fn from_bits(raw: u64) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! element {
    ($($t:ty, $ty:ident, |$raw:ident| $value:expr;)*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const TYPE: ValueType = ValueType::$ty;
            fn from_bits($raw: u64) -> Self {
                $value
            }
        }
    )*};
}

element! {
    u8, U8, |raw| raw as u8;
    i8, I8, |raw| raw as i8;
    u16, U16, |raw| raw as u16;
    i16, I16, |raw| raw as i16;
    u32, U32, |raw| raw as u32;
    i32, I32, |raw| raw as i32;
    u64, U64, |raw| raw;
    i64, I64, |raw| raw as i64;
    f32, F32, |raw| f32::from_bits(raw as u32);
    f64, F64, |raw| f64::from_bits(raw);
    bool, Bool, |raw| raw != 0;
}

impl<'a> Array<'a> {
    /// The entry that it is the value of.
    #[must_use]
    pub const fn entry(&self) -> MetaEntry<'a> {
        self.entry
    }

    /// The elements' type.
    #[must_use]
    pub const fn element_type(&self) -> ValueType {
        self.entry.pair.element
    }

    /// The number of elements.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.entry.pair.bits
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the first element lies.
    #[must_use]
    pub const fn offset(&self) -> AbsOffset {
        self.entry.offset()
    }

    /// Bytes of all elements; of strings with the 8 bytes of each one's length.
    #[must_use]
    pub const fn byte_len(&self) -> u64 {
        self.entry.pair.bytes
    }

    /// Bytes of text in an array of strings, lengths not counted.
    ///
    /// # Errors
    /// `WrongType`.
    pub fn text_bytes(&self) -> Result<u64, GgufError> {
        self.need(ValueType::String)?;
        Ok(self.byte_len().saturating_sub(self.len().saturating_mul(8)))
    }

    /// Elements `first..first + out.len()` of an array whose element type is exactly `T`'s.
    ///
    /// # Errors
    /// `WrongType`, `Limit` past the array's end, or the reader's failure.
    pub fn read<T: Element, R: ReadAt + ?Sized>(
        &self,
        reader: &mut R,
        first: u64,
        out: &mut [T],
    ) -> Result<(), GgufError> {
        self.need(T::TYPE)?;
        self.numbers(reader, first, out.len() as u64, &mut |i, raw| {
            if let Some(to) = out.get_mut(i) {
                *to = T::from_bits(raw);
            }
        })
    }

    /// As [`read`](Self::read) for counts: any integer type, no element negative.
    ///
    /// # Errors
    /// Those of `read`, and `OutOfRange` for a negative element.
    pub fn read_uint<R: ReadAt + ?Sized>(
        &self,
        reader: &mut R,
        first: u64,
        out: &mut [u64],
    ) -> Result<(), GgufError> {
        let ty = self.element_type();
        if integer(ty, 0).is_none() {
            return Err(self.wrong_type("integers"));
        }
        let mut negative = false;
        self.numbers(reader, first, out.len() as u64, &mut |i, raw| {
            let value = integer(ty, raw).and_then(|n| u64::try_from(n).ok());
            negative |= value.is_none();
            if let (Some(to), Some(value)) = (out.get_mut(i), value) {
                *to = value;
            }
        })?;
        if negative { Err(self.entry.out_of_range()) } else { Ok(()) }
    }

    /// The whole array of `T` in one allocation.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), and `OutOfMemory`.
    pub fn load<T: Element, R: ReadAt + ?Sized>(&self, reader: &mut R) -> Result<Vec<T>, GgufError> {
        self.need(T::TYPE)?;
        let len = usize::try_from(self.len());
        let len = len.map_err(|_| GgufError::OutOfMemory { bytes: self.byte_len() })?;
        let mut out = Vec::new();
        reserve(&mut out, len)?;
        self.numbers(reader, 0, self.len(), &mut |_, raw| {
            push(&mut out, T::from_bits(raw));
        })?;
        Ok(out)
    }

    /// The whole array of strings, in two allocations of exactly the right size.
    ///
    /// # Errors
    /// `WrongType`, `Limit` for 4 GiB of text or more, `OutOfMemory`, `Changed`, or the reader's failure.
    #[inline(never)]
    pub fn load_strings<R: ReadAt + ?Sized>(&self, reader: &mut R) -> Result<Strings, GgufError> {
        let bytes = self.text_bytes()?;
        let text_len = u32::try_from(bytes).map_err(|_| GgufError::Limit {
            what: Quantity::StringLen,
            name: self.entry.name(),
            got: bytes,
            max: u64::from(u32::MAX),
            offset: self.offset().get(),
        })?;
        let mut strings = Strings { text: Vec::new(), ends: Vec::new() };
        // Each string took 8 bytes of a file whose length is known, so neither is more than the file has.
        reserve(&mut strings.text, text_len as usize)?;
        let len = usize::try_from(self.len()).map_err(|_| GgufError::OutOfMemory { bytes: self.len() })?;
        reserve(&mut strings.ends, len)?;
        self.for_each_piece(reader, |piece| match piece {
            Piece::Text(text) => append(&mut strings.text, text),
            Piece::End => push(&mut strings.ends, strings.text.len() as u32),
        })?;
        Ok(strings)
    }

    /// Calls `each` for every string of the array, in order, with its index and its bytes, through `buf`.
    ///
    /// Holds nothing, for targets that cannot hold the text. `each` returns whether to go on.
    ///
    /// # Errors
    /// `WrongType`, `BufferTooSmall` for the first string longer than `buf`, `Changed`, or the reader's failure.
    #[inline(never)]
    pub fn for_each_string<R: ReadAt + ?Sized>(
        &self,
        reader: &mut R,
        buf: &mut [u8],
        mut each: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), GgufError> {
        self.need(ValueType::String)?;
        let mut window = [0; BUFFER_BYTES];
        let mut cursor = self.cursor(reader, &mut window);
        for index in 0..self.len() {
            let at = cursor.at();
            let len = cursor.u64().map_err(|failed| self.changed(cursor.why(failed), at))?;
            cursor.need(len).map_err(|failed| self.changed(cursor.why(failed), at))?;
            let room = usize::try_from(len).ok().and_then(|n| buf.get_mut(..n));
            let room = room.ok_or(GgufError::BufferTooSmall { key: self.entry.name(), need: len })?;
            cursor.take(room).map_err(|failed| self.changed(cursor.why(failed), at))?;
            if !each(index, room) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Passes the array's text on in pieces, each string's followed by an end.
    fn for_each_piece<R: ReadAt + ?Sized>(
        &self,
        reader: &mut R,
        mut each: impl FnMut(Piece<'_>),
    ) -> Result<(), GgufError> {
        let mut window = [0; BUFFER_BYTES];
        let mut cursor = self.cursor(reader, &mut window);
        for _ in 0..self.len() {
            let at = cursor.at();
            let mut left = cursor.u64().map_err(|failed| self.changed(cursor.why(failed), at))?;
            // The lengths were added up when the file was opened: sum and end must still be these.
            cursor.need(left).map_err(|failed| self.changed(cursor.why(failed), at))?;
            while left > 0 {
                let text = match cursor.window() {
                    Ok(text) => text,
                    Err(failed) => return Err(self.changed(cursor.why(failed), at)),
                };
                let n = (text.len() as u64).min(left) as usize;
                let Some(text) = text.get(..n) else { break };
                each(Piece::Text(text));
                cursor.advance(n);
                left = left.saturating_sub(n as u64);
            }
            each(Piece::End);
        }
        match cursor.remaining() {
            0 => Ok(()),
            _ => Err(GgufError::Changed { key: self.entry.name(), offset: cursor.at() }),
        }
    }

    #[inline(never)]
    fn numbers<R: ReadAt + ?Sized>(
        &self,
        reader: &mut R,
        first: u64,
        count: u64,
        each: &mut dyn FnMut(usize, u64),
    ) -> Result<(), GgufError> {
        let size = self.element_type().fixed_bytes().ok_or_else(|| self.wrong_type("numbers"))?;
        let past = first.checked_add(count).is_none_or(|end| end > self.len());
        let skip = first.checked_mul(size);
        let (false, Some(skip)) = (past, skip) else {
            return Err(GgufError::Limit {
                what: Quantity::ArrayLen,
                name: self.entry.name(),
                got: first.saturating_add(count),
                max: self.len(),
                offset: self.offset().get(),
            });
        };
        let mut window = [0; BUFFER_BYTES];
        let mut cursor = self.cursor(reader, &mut window);
        let short = |why: CursorError, i| why.of(Field::Element, self.entry.name(), i);
        cursor.skip(skip).map_err(|failed| short(cursor.why(failed), first))?;
        for i in 0..count {
            let raw = cursor
                .number(size as usize)
                .map_err(|failed| short(cursor.why(failed), first.saturating_add(i)))?;
            if self.element_type() == ValueType::Bool && raw > 1 {
                let key = self.entry.name();
                return Err(GgufError::Changed { key, offset: cursor.at().saturating_sub(1) });
            }
            each(i as usize, raw);
        }
        Ok(())
    }

    fn cursor<'c, R: ReadAt + ?Sized>(
        &self,
        reader: &'c mut R,
        window: &'c mut [u8; BUFFER_BYTES],
    ) -> Cursor<'c, R> {
        let start = self.offset().get();
        Cursor::new(reader, window, start, start.saturating_add(self.byte_len()))
    }

    /// Why a cursor failed at `at`: bytes that were there when the file was opened can only be missing if it has changed.
    #[cold]
    #[inline(never)]
    fn changed(&self, why: CursorError, at: u64) -> GgufError {
        match why {
            CursorError::Io(e) => GgufError::Io(e),
            CursorError::Short { .. } => GgufError::Changed { key: self.entry.name(), offset: at },
        }
    }

    fn need(&self, want: ValueType) -> Result<(), GgufError> {
        if self.element_type() == want { Ok(()) } else { Err(self.wrong_type(want.name())) }
    }

    pub(super) fn wrong_type(&self, want: &'static str) -> GgufError {
        let (key, got) = (self.entry.name(), self.element_type());
        GgufError::WrongType { key, got, want, offset: self.offset().get() }
    }
}

enum Piece<'a> {
    Text(&'a [u8]),
    End,
}

/// The strings of an array, back to back, with no allocation of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    text: Vec<u8>,
    /// Where each string ends in `text`.
    ends: Vec<u32>,
}

impl Strings {
    /// The number of strings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String `i`, as bytes: nothing has checked them to be UTF-8.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        let start = match i.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start as usize..*self.ends.get(i)? as usize)
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i).unwrap_or(&[]))
    }

    /// All text without separators.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The text, and where each string ends in it.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<u32>) {
        (self.text, self.ends)
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.text.capacity().saturating_add(self.ends.capacity().saturating_mul(size_of::<u32>()))
    }
}

/// The key of an array, for errors of the layers above.
impl From<Array<'_>> for Name {
    fn from(array: Array<'_>) -> Self {
        array.entry.name()
    }
}
