//! Metadata: typed access to the key-value pairs.

use super::store::Place;
use super::{Array, Gguf, GgufError, Name, Quantity, ValueType};
use crate::io::{AbsOffset, ReadAt};

/// String values of up to this many bytes are held in memory, so that the names of architectures and tokenizers
/// need no reader.
pub const RETAINED_STRING: usize = 64;

/// What the directory keeps of a pair: 32 bytes whatever the value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) key: Place,
    pub(super) ty: ValueType,
    /// Type of an array's elements; [`ty`](Self::ty) again for anything else.
    pub(super) element: ValueType,
    /// A scalar's bytes, zero-extended; an array's count; a string's [`Place`] as bits, or [`NOT_RETAINED`].
    pub(super) bits: u64,
    /// Absolute offset of a scalar, of a string's text, of an array's first element.
    pub(super) at: u64,
    /// Bytes from there on.
    pub(super) bytes: u64,
}

/// In place of the bits of a [`Place`]: the string is in the file only.
pub(super) const NOT_RETAINED: u64 = u64::MAX;

// The parser's promise on memory counts on it.
const _: () = assert!(size_of::<Pair>() == 32);

/// A key with its value.
#[derive(Clone, Copy, Debug)]
pub struct MetaEntry<'a> {
    pub(super) gguf: &'a Gguf,
    pub(super) pair: Pair,
}

impl<'a> MetaEntry<'a> {
    /// The key's bytes. They should be ASCII; nothing but their number is checked.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        self.gguf.texts.get(self.pair.key)
    }

    /// The key as errors name it.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::new(self.key())
    }

    /// The value's type.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        self.pair.ty
    }

    /// Where the scalar, the string's text or the array's first element lies.
    #[must_use]
    pub const fn offset(&self) -> AbsOffset {
        AbsOffset::new(self.pair.at)
    }

    /// Bytes of the scalar, of the string's text or of the array's elements.
    #[must_use]
    pub const fn byte_len(&self) -> u64 {
        self.pair.bytes
    }

    /// A count: any integer type, not negative.
    ///
    /// # Errors
    /// `WrongType`, or `OutOfRange` below 0.
    pub fn uint(&self) -> Result<u64, GgufError> {
        let value = self.integer("an integer")?;
        u64::try_from(value).map_err(|_| self.out_of_range())
    }

    /// A count that fits 32 bits: any integer type.
    ///
    /// # Errors
    /// `WrongType`, or `OutOfRange` outside `0..2^32`.
    pub fn uint32(&self) -> Result<u32, GgufError> {
        let value = self.integer("an integer")?;
        u32::try_from(value).map_err(|_| self.out_of_range())
    }

    /// Any integer type.
    ///
    /// # Errors
    /// `WrongType`, or `OutOfRange` from 2^63 on.
    pub fn int(&self) -> Result<i64, GgufError> {
        let value = self.integer("an integer")?;
        i64::try_from(value).map_err(|_| self.out_of_range())
    }

    /// f32, or f64 rounded to the nearest f32.
    ///
    /// # Errors
    /// `WrongType`.
    pub fn float(&self) -> Result<f32, GgufError> {
        match self.pair.ty {
            ValueType::F32 => Ok(f32::from_bits(self.pair.bits as u32)),
            ValueType::F64 => Ok(f64::from_bits(self.pair.bits) as f32),
            _ => Err(self.wrong_type("f32 or f64")),
        }
    }

    /// A boolean.
    ///
    /// # Errors
    /// `WrongType`.
    pub fn boolean(&self) -> Result<bool, GgufError> {
        match self.pair.ty {
            ValueType::Bool => Ok(self.pair.bits != 0),
            _ => Err(self.wrong_type("bool")),
        }
    }

    /// A string of at most [`RETAINED_STRING`] bytes.
    ///
    /// # Errors
    /// `WrongType`, `BadUtf8`, or `Limit` for a longer string, which [`read_str`](Self::read_str) reads.
    pub fn text(&self) -> Result<&'a str, GgufError> {
        self.need_string()?;
        let Some(place) = Place::from_bits(self.pair.bits) else {
            return Err(GgufError::Limit {
                what: Quantity::StringLen,
                name: self.name(),
                got: self.pair.bytes,
                max: RETAINED_STRING as u64,
                offset: self.pair.at,
            });
        };
        str::from_utf8(self.gguf.texts.get(place)).map_err(|e| self.bad_utf8(e))
    }

    /// A string's bytes into `buf`, from the reader that the file was opened with.
    ///
    /// # Errors
    /// `WrongType`, `BufferTooSmall` with the exact need, or the reader's failure.
    pub fn read_bytes<'b, R: ReadAt + ?Sized>(
        &self,
        reader: &mut R,
        buf: &'b mut [u8],
    ) -> Result<&'b [u8], GgufError> {
        self.need_string()?;
        let need = self.pair.bytes;
        let room = usize::try_from(need).ok().and_then(|n| buf.get_mut(..n));
        let room = room.ok_or(GgufError::BufferTooSmall { key: self.name(), need })?;
        reader.read_at(self.offset(), room)?;
        Ok(room)
    }

    /// As [`read_bytes`](Self::read_bytes), checked to be UTF-8.
    ///
    /// # Errors
    /// Those of `read_bytes`, and `BadUtf8`.
    pub fn read_str<'b, R: ReadAt + ?Sized>(
        &self,
        reader: &mut R,
        buf: &'b mut [u8],
    ) -> Result<&'b str, GgufError> {
        str::from_utf8(self.read_bytes(reader, buf)?).map_err(|e| self.bad_utf8(e))
    }

    /// An array, whose elements stay in the file.
    ///
    /// # Errors
    /// `WrongType`.
    pub fn array(&self) -> Result<Array<'a>, GgufError> {
        match self.pair.ty {
            ValueType::Array => Ok(Array { entry: *self }),
            _ => Err(self.wrong_type("an array")),
        }
    }

    /// An array of elements of type `want`.
    ///
    /// # Errors
    /// `WrongType`.
    pub fn array_of(&self, want: ValueType) -> Result<Array<'a>, GgufError> {
        let array = self.array()?;
        if array.element_type() != want {
            return Err(array.wrong_type(want.name()));
        }
        Ok(array)
    }

    /// The error of a value that the caller finds out of range.
    #[must_use]
    pub fn out_of_range(&self) -> GgufError {
        GgufError::OutOfRange { key: self.name(), offset: self.pair.at }
    }

    fn need_string(&self) -> Result<(), GgufError> {
        match self.pair.ty {
            ValueType::String => Ok(()),
            _ => Err(self.wrong_type("string")),
        }
    }

    fn integer(&self, want: &'static str) -> Result<i128, GgufError> {
        integer(self.pair.ty, self.pair.bits).ok_or_else(|| self.wrong_type(want))
    }

    pub(super) fn wrong_type(&self, want: &'static str) -> GgufError {
        GgufError::WrongType { key: self.name(), got: self.pair.ty, want, offset: self.pair.at }
    }

    fn bad_utf8(&self, e: core::str::Utf8Error) -> GgufError {
        GgufError::BadUtf8 { key: self.name(), offset: self.pair.at.saturating_add(e.valid_up_to() as u64) }
    }
}

/// The integer of type `ty` whose zero-extended bytes are `bits`; `None` if `ty` is no integer.
pub(super) const fn integer(ty: ValueType, bits: u64) -> Option<i128> {
    Some(match ty {
        ValueType::U8 | ValueType::U16 | ValueType::U32 | ValueType::U64 => bits as i128,
        ValueType::I8 => bits as i8 as i128,
        ValueType::I16 => bits as i16 as i128,
        ValueType::I32 => bits as i32 as i128,
        ValueType::I64 => bits as i64 as i128,
        ValueType::F32 | ValueType::F64 | ValueType::Bool | ValueType::String | ValueType::Array => {
            return None;
        }
    })
}

impl Gguf {
    /// The entry of `key`. O(log n).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<MetaEntry<'_>> {
        let found = self.by_key.binary_search_by(|&i| self.key_at(i).cmp(key.as_bytes())).ok()?;
        self.entry_at(*self.by_key.get(found)? as usize)
    }

    /// The entry of `key`.
    ///
    /// # Errors
    /// `MissingKey`.
    pub fn require(&self, key: &str) -> Result<MetaEntry<'_>, GgufError> {
        self.get(key).ok_or_else(|| GgufError::MissingKey { key: Name::from(key) })
    }

    /// The count at `key`, if it is there: see [`MetaEntry::uint`].
    ///
    /// # Errors
    /// Those of `MetaEntry::uint`.
    pub fn uint(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.get(key).map(|e| e.uint()).transpose()
    }

    /// The count at `key`, if it is there: see [`MetaEntry::uint32`].
    ///
    /// # Errors
    /// Those of `MetaEntry::uint32`.
    pub fn uint32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.get(key).map(|e| e.uint32()).transpose()
    }

    /// The number at `key`, if it is there: see [`MetaEntry::float`].
    ///
    /// # Errors
    /// Those of `MetaEntry::float`.
    pub fn float(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.get(key).map(|e| e.float()).transpose()
    }

    /// The boolean at `key`, if it is there.
    ///
    /// # Errors
    /// `WrongType`.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.get(key).map(|e| e.boolean()).transpose()
    }

    /// The short string at `key`, if it is there: see [`MetaEntry::text`].
    ///
    /// # Errors
    /// Those of `MetaEntry::text`.
    pub fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.get(key).map(|e| e.text()).transpose()
    }

    /// The entries in the order of the file.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = MetaEntry<'_>> {
        Entries { gguf: self, next: 0 }
    }

    fn entry_at(&self, i: usize) -> Option<MetaEntry<'_>> {
        Some(MetaEntry { gguf: self, pair: *self.pairs.get(i)? })
    }

    pub(super) fn key_at(&self, i: u32) -> &[u8] {
        self.pairs.get(i as usize).map_or(&[], |pair| self.texts.get(pair.key))
    }
}

struct Entries<'a> {
    gguf: &'a Gguf,
    next: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = MetaEntry<'a>;

    fn next(&mut self) -> Option<MetaEntry<'a>> {
        let entry = self.gguf.entry_at(self.next)?;
        self.next = self.next.saturating_add(1);
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.gguf.pairs.len().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_> {}
