//! GGUF, the container: metadata and the directory of tensors.
//!
//! [`Gguf::open`] parses versions 2 and 3 through a reader, front to back, once, with bounded memory: every count,
//! length, product, sum and offset is compared with the bytes that are there before anything is allocated, and at
//! the moment of any error the heap holds at most 2 bytes for each byte read plus 64 KiB. What it returns is
//! checked: a tensor's [`abs`](TensorInfo::abs) and [`bytes`](TensorInfo::bytes) lie in the file and overlap no other
//! tensor's.
//!
//! Values stay in the file. The directory keeps scalars, short strings, and of the rest the place; [`Array`] reads a
//! vocabulary into one allocation, or passes over it.
//!
//! Decisions where the specification and llama.cpp differ: alignments that either accepts, up to 1 MiB; tensors in
//! any order, aligned and disjoint; arrays nested up to 4 deep; booleans 0 and 1 only; names up to 64 bytes; keys of
//! any bytes but none twice; no padding needed after the last tensor.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod array;
mod cursor;
mod error;
mod limits;
mod meta;
mod name;
mod parse;
mod store;
mod tensor;
mod types;
mod value;
pub mod writer;

pub use array::{Array, Element, Strings};
pub use error::{Field, GgufError, NotGguf, Quantity};
pub use limits::{Limits, MAX_ARRAY_DEPTH};
pub use meta::{MetaEntry, RETAINED_STRING};
pub use name::Name;
pub use tensor::{MAX_DIMS, TensorInfo};
pub use types::{GGML_TYPE_COUNT, ggml_type_name};
pub use value::ValueType;

use crate::io::{AbsOffset, DataSection, ReadAt};
use alloc::vec::Vec;
use meta::Pair;
use store::{Segmented, Texts};
use tensor::Record;

/// The key of the data section's alignment.
pub const ALIGNMENT_KEY: &str = "general.alignment";
/// The alignment of a file that states none.
pub const DEFAULT_ALIGNMENT: u32 = 32;

/// A file's metadata and tensors, immutable.
#[derive(Debug)]
pub struct Gguf {
    version: u32,
    alignment: u32,
    start: AbsOffset,
    data: DataSection,
    /// Bytes between tensors that alignment does not explain.
    gap_bytes: u64,
    /// Bytes after the last tensor and its padding.
    trailing_bytes: u64,
    /// Keys, short strings, tensor names.
    texts: Texts,
    pairs: Segmented<Pair>,
    /// Indices into `pairs`, sorted by key.
    by_key: Vec<u32>,
    records: Segmented<Record>,
    /// The dimensions of all tensors.
    dims: Segmented<u64>,
    /// Indices into `records`, sorted by name.
    by_name: Vec<u32>,
}

impl Gguf {
    /// Reads the header of a file that begins with the reader's first byte, within [`Limits::DEFAULT`].
    ///
    /// # Errors
    /// [`GgufError`].
    pub fn open<R: ReadAt + ?Sized>(reader: &mut R) -> Result<Self, GgufError> {
        Self::open_at(reader, AbsOffset::ZERO)
    }

    /// Reads the header of a file that begins at `start` and ends with the reader's last byte.
    ///
    /// # Errors
    /// [`GgufError`].
    pub fn open_at<R: ReadAt + ?Sized>(reader: &mut R, start: AbsOffset) -> Result<Self, GgufError> {
        Self::open_with(reader, start, None, &Limits::DEFAULT)
    }

    /// Reads the header of the file that lies at `start..end` of the reader; without `end`, to the reader's last byte.
    ///
    /// # Errors
    /// [`GgufError`].
    pub fn open_with<R: ReadAt + ?Sized>(
        reader: &mut R,
        start: AbsOffset,
        end: Option<AbsOffset>,
        limits: &Limits,
    ) -> Result<Self, GgufError> {
        parse::parse(reader, start, end, limits)
    }

    /// 2 or 3.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// `general.alignment`, or 32.
    #[must_use]
    pub const fn alignment(&self) -> u32 {
        self.alignment
    }

    /// Where the file begins in the reader.
    #[must_use]
    pub const fn start(&self) -> AbsOffset {
        self.start
    }

    /// Where the tensor data lies.
    #[must_use]
    pub const fn data(&self) -> DataSection {
        self.data
    }

    /// Bytes in the data section before and between tensors, beyond the padding that alignment asks for.
    #[must_use]
    pub const fn gap_bytes(&self) -> u64 {
        self.gap_bytes
    }

    /// Bytes in the file after the last tensor and its padding.
    #[must_use]
    pub const fn trailing_bytes(&self) -> u64 {
        self.trailing_bytes
    }
}
