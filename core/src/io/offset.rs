//! Absolute and relative offsets, and the one checked way between them.

use core::fmt;

/// A byte position in the reader, counted from the reader's first byte.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsOffset(u64);

/// A byte position counted from the start of a GGUF file's data section, as the file itself states it.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelOffset(u64);

impl AbsOffset {
    /// The reader's first byte.
    pub const ZERO: Self = Self(0);

    /// A position of `bytes` from the reader's first byte.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes from the reader's first byte.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position `bytes` further on, or `None` past `u64::MAX`.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(at) => Some(Self(at)),
            None => None,
        }
    }
}

impl RelOffset {
    /// A position of `bytes` from the start of the data section.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes from the start of the data section.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AbsOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.0)
    }
}

/// Where a file's tensor data lies: computed once, when the header has been read.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataSection {
    base: AbsOffset,
    end: AbsOffset,
}

/// Why a relative range has no absolute place.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetError {
    /// `base + rel + len` does not fit 64 bits.
    Overflow,
    /// The range ends at `end`, past the file's last byte at `file_end`.
    OutOfFile {
        /// Absolute end of the range.
        end: u64,
        /// Absolute end of the file.
        file_end: u64,
    },
}

impl DataSection {
    /// The section from `base` to the end of the file at `end`. `None` if `base` lies past `end`.
    #[must_use]
    pub fn new(base: AbsOffset, end: AbsOffset) -> Option<Self> {
        (base <= end).then_some(Self { base, end })
    }

    /// The section's first byte.
    #[must_use]
    pub const fn base(&self) -> AbsOffset {
        self.base
    }

    /// The first byte after the file.
    #[must_use]
    pub const fn end(&self) -> AbsOffset {
        self.end
    }

    /// The absolute place of the `len` bytes at `rel`.
    ///
    /// # Errors
    /// [`OffsetError`] if the range overflows or ends past the file.
    pub fn absolute(&self, rel: RelOffset, len: u64) -> Result<AbsOffset, OffsetError> {
        let at = self.base.checked_add(rel.0).ok_or(OffsetError::Overflow)?;
        let end = at.checked_add(len).ok_or(OffsetError::Overflow)?;
        if end > self.end {
            return Err(OffsetError::OutOfFile { end: end.0, file_end: self.end.0 });
        }
        Ok(at)
    }
}
