//! What can be wrong with a GGUF file.

use super::{Name, ValueType};
use crate::io::IoError;
use crate::text::Decimal;
use core::fmt;

/// The part of the file that was being read.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The place that the caller named inside a larger file.
    Container,
    /// `GGUF`.
    Magic,
    /// The version number.
    Version,
    /// The number of tensors.
    TensorCount,
    /// The number of key-value pairs.
    KvCount,
    /// A key with its length.
    Key,
    /// The number of a value's type.
    ValueType,
    /// A scalar value.
    Value,
    /// A string with its length.
    String,
    /// An array's element type.
    ElementType,
    /// An array's count.
    ArrayLen,
    /// An array's elements.
    Element,
    /// A tensor's name with its length.
    TensorName,
    /// A tensor's number of dimensions.
    NDims,
    /// A tensor's dimensions.
    Dims,
    /// The number of a tensor's type.
    TensorType,
    /// A tensor's offset in the data section.
    TensorOffset,
    /// The padding between the tensor infos and the data section.
    DataStart,
}

/// What there is too much of.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// Key-value pairs.
    KvCount,
    /// Tensors.
    TensorCount,
    /// Bytes of a key.
    KeyLen,
    /// Bytes of a string.
    StringLen,
    /// Elements of an array.
    ArrayLen,
    /// Levels of nested arrays.
    ArrayDepth,
    /// Bytes of a tensor's name.
    TensorName,
    /// `general.alignment`.
    Alignment,
}

/// What a file that is no GGUF file seems to be.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotGguf {
    /// Nothing known.
    Unknown,
    /// The text that Git keeps in place of a large file that was not fetched.
    GitLfsPointer,
    /// Safetensors.
    Safetensors,
    /// GGML, GGMF, GGJT or GGLA: what came before GGUF.
    Ggml,
    /// A ZIP archive, as PyTorch writes.
    Zip,
    /// A Python pickle, as PyTorch wrote.
    Pickle,
    /// A web page, such as a download that failed.
    Html,
}

/// Why a file is refused, or why a value in it cannot be had.
///
/// `offset` is absolute in the reader: where the field at fault begins (a tensor's info, where a tensor is at
/// fault), or for [`Truncated`](Self::Truncated) the first byte that is missing.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are described at their variants; offset, key and tensor above")]
pub enum GgufError {
    /// The reader failed, or has fewer bytes than its own length.
    Io(IoError),
    /// The file ends inside `what`: it needs `need` bytes of which `have` are there. `name` is the key or tensor
    /// if it's known by then, `index` the number of the pair, tensor or array element.
    Truncated { what: Field, name: Name, index: u64, offset: u64, need: u64, have: u64 },
    /// The first four bytes are not `GGUF`.
    BadMagic { got: [u8; 4], hint: NotGguf, offset: u64 },
    /// A version other than 2 and 3.
    UnsupportedVersion { version: u32, offset: u64 },
    /// A big-endian file.
    WrongEndian { offset: u64 },
    /// More than the [`Limits`](super::Limits) or the file's length allow. `name` is the key, if there is one.
    Limit { what: Quantity, name: Name, got: u64, max: u64, offset: u64 },
    /// A key without a character; `index` counts the pairs from 0.
    EmptyKey { index: u64, offset: u64 },
    /// The same key a second time, at `offset`.
    DuplicateKey { key: Name, offset: u64 },
    /// A number that is no type of GGUF.
    BadValueType { key: Name, got: u32, offset: u64 },
    /// A boolean that is neither 0 nor 1.
    BadBool { key: Name, value: u8, offset: u64 },
    /// A value (or array element) of type `got` where `want` is needed.
    WrongType { key: Name, got: ValueType, want: &'static str, offset: u64 },
    /// A negative number where a count is needed, or one that does not fit.
    OutOfRange { key: Name, offset: u64 },
    /// A key that is needed and absent.
    MissingKey { key: Name },
    /// Text that is not UTF-8.
    BadUtf8 { key: Name, offset: u64 },
    /// `general.alignment` is neither a power of two nor a multiple of 8.
    BadAlignment { got: u32, offset: u64 },
    /// A tensor's name is empty, has a NUL or is not UTF-8; `index` counts the tensors from 0.
    BadName { index: u64, name: Name, offset: u64 },
    /// The same tensor name a second time, at `offset`.
    DuplicateTensor { tensor: Name, offset: u64 },
    /// A number of dimensions other than 1 to 4.
    BadNDims { tensor: Name, got: u32, offset: u64 },
    /// The number of weights or bytes does not fit 63 bits.
    ShapeOverflow { tensor: Name, offset: u64 },
    /// A number that GGML has given to no type.
    UnknownTensorType { tensor: Name, got: u32, offset: u64 },
    /// A row of `k` weights is not a whole number of blocks of `block_len`.
    RowNotBlockMultiple { tensor: Name, k: u64, block_len: u64, offset: u64 },
    /// The tensor's place `rel` in the data section is no multiple of the alignment.
    BadOffset { tensor: Name, rel: u64, alignment: u32, offset: u64 },
    /// The tensor's place `rel` added to the data section's exceeds 64 bits.
    OffsetOverflow { tensor: Name, rel: u64, offset: u64 },
    /// The tensor's bytes end at `end`, past the end of the file at `file_end`.
    TensorOutOfFile { tensor: Name, end: u64, file_end: u64, offset: u64 },
    /// Two tensors share bytes; `offset` is the first that they share.
    Overlap { a: Name, b: Name, offset: u64 },
    /// A size of a tensor that this target's `usize` cannot hold.
    TooBigForTarget { tensor: Name, value: u64 },
    /// The caller's buffer is too small; `need` bytes are enough.
    BufferTooSmall { key: Name, need: u64 },
    /// A value read again is not what it was when the file was opened.
    Changed { key: Name, offset: u64 },
    /// `bytes` more could not be allocated.
    OutOfMemory { bytes: u64 },
}

impl From<IoError> for GgufError {
    fn from(e: IoError) -> Self {
        Self::Io(e)
    }
}

impl GgufError {
    /// The absolute byte offset at fault, where the error has one.
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        match *self {
            Self::Io(
                IoError::Io { offset, .. }
                | IoError::Truncated { offset, .. }
                | IoError::Contract { offset, .. },
            )
            | Self::Truncated { offset, .. }
            | Self::BadMagic { offset, .. }
            | Self::UnsupportedVersion { offset, .. }
            | Self::WrongEndian { offset, .. }
            | Self::Limit { offset, .. }
            | Self::EmptyKey { offset, .. }
            | Self::DuplicateKey { offset, .. }
            | Self::BadValueType { offset, .. }
            | Self::BadBool { offset, .. }
            | Self::WrongType { offset, .. }
            | Self::OutOfRange { offset, .. }
            | Self::BadUtf8 { offset, .. }
            | Self::BadAlignment { offset, .. }
            | Self::BadName { offset, .. }
            | Self::DuplicateTensor { offset, .. }
            | Self::BadNDims { offset, .. }
            | Self::ShapeOverflow { offset, .. }
            | Self::UnknownTensorType { offset, .. }
            | Self::RowNotBlockMultiple { offset, .. }
            | Self::BadOffset { offset, .. }
            | Self::OffsetOverflow { offset, .. }
            | Self::TensorOutOfFile { offset, .. }
            | Self::Overlap { offset, .. }
            | Self::Changed { offset, .. } => Some(offset),
            Self::MissingKey { .. }
            | Self::TooBigForTarget { .. }
            | Self::BufferTooSmall { .. }
            | Self::OutOfMemory { .. } => None,
        }
    }
}

impl Field {
    const fn text(self) -> &'static str {
        match self {
            Self::Container => "the container",
            Self::Magic => "the magic",
            Self::Version => "the version",
            Self::TensorCount => "the number of tensors",
            Self::KvCount => "the number of key-value pairs",
            Self::Key => "a key",
            Self::ValueType => "a value's type",
            Self::Value => "a value",
            Self::String => "a string",
            Self::ElementType => "an array's element type",
            Self::ArrayLen => "an array's length",
            Self::Element => "an array's elements",
            Self::TensorName => "a tensor's name",
            Self::NDims => "a tensor's number of dimensions",
            Self::Dims => "a tensor's dimensions",
            Self::TensorType => "a tensor's type",
            Self::TensorOffset => "a tensor's offset",
            Self::DataStart => "the padding before the tensor data",
        }
    }
}

impl Quantity {
    const fn text(self) -> &'static str {
        match self {
            Self::KvCount => "key-value pairs",
            Self::TensorCount => "tensors",
            Self::KeyLen => "bytes of a key",
            Self::StringLen => "bytes of a string",
            Self::ArrayLen => "array elements",
            Self::ArrayDepth => "levels of nested arrays",
            Self::TensorName => "bytes of a tensor's name",
            Self::Alignment => "bytes of alignment",
        }
    }
}

impl NotGguf {
    const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::GitLfsPointer => "; it is a Git LFS pointer: fetch the file itself with `git lfs pull`",
            Self::Safetensors => "; it looks like safetensors: convert it to GGUF",
            Self::Ggml => "; it is a GGML file from before GGUF: convert it",
            Self::Zip => "; it is a ZIP archive, perhaps of PyTorch: convert it to GGUF",
            Self::Pickle => "; it looks like a Python pickle: convert it to GGUF",
            Self::Html => "; it looks like a web page: the download has failed",
        }
    }
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            f.write_str("the file is refused at byte ")?;
            return Decimal(self.offset().unwrap_or(0)).write_to(f);
        }
        match *self {
            Self::Io(e) => write!(f, "{e}"),
            Self::Truncated { what, name, index, offset, need, have } => {
                write!(f, "the file ends at byte {offset} inside {}", what.text())?;
                match what {
                    Field::Element => write!(f, " of `{name}`, element {index}")?,
                    Field::Key | Field::TensorName => write!(f, ", number {index}")?,
                    _ if !name.is_empty() => write!(f, " (`{name}`)")?,
                    _ => {}
                }
                write!(f, ": need {need} bytes, have {have}")
            }
            Self::BadMagic { got, hint, offset } => {
                write!(
                    f,
                    "byte {offset}: not a GGUF file, it starts with \"{}\"{}",
                    Name::new(&got),
                    hint.text()
                )
            }
            Self::UnsupportedVersion { version, offset } => {
                write!(f, "byte {offset}: GGUF version {version} is not supported, only 2 and 3")
            }
            Self::WrongEndian { offset } => write!(f, "byte {offset}: a big-endian GGUF file"),
            Self::Limit { what, name, got, max, offset } => {
                write!(f, "byte {offset}: {got} {} ", what.text())?;
                if !name.is_empty() {
                    write!(f, "in `{name}` ")?;
                }
                write!(f, "exceed the limit of {max}")
            }
            Self::EmptyKey { index, offset } => write!(f, "byte {offset}: key number {index} is empty"),
            Self::DuplicateKey { key, offset } => write!(f, "byte {offset}: key `{key}` is there twice"),
            Self::BadValueType { key, got, offset } => {
                write!(f, "byte {offset}: `{key}` has the unknown value type {got}")
            }
            Self::BadBool { key, value, offset } => {
                write!(f, "byte {offset}: `{key}` is a boolean of {value}, neither 0 nor 1")
            }
            Self::WrongType { key, got, want, offset } => {
                write!(f, "byte {offset}: `{key}` is of type {got}, need {want}")
            }
            Self::OutOfRange { key, offset } => {
                write!(f, "byte {offset}: the value of `{key}` is out of range")
            }
            Self::MissingKey { key } => write!(f, "key `{key}` is missing"),
            Self::BadUtf8 { key, offset } => write!(f, "byte {offset}: the text of `{key}` is not UTF-8"),
            Self::BadAlignment { got, offset } => {
                write!(
                    f,
                    "byte {offset}: general.alignment is {got}, neither a power of two nor a multiple of 8"
                )
            }
            Self::BadName { index, name, offset } => {
                write!(f, "byte {offset}: tensor number {index} has the invalid name \"{name}\"")
            }
            Self::DuplicateTensor { tensor, offset } => {
                write!(f, "byte {offset}: tensor `{tensor}` is there twice")
            }
            Self::BadNDims { tensor, got, offset } => {
                write!(f, "byte {offset}: tensor `{tensor}` has {got} dimensions, need 1 to 4")
            }
            Self::ShapeOverflow { tensor, offset } => {
                write!(f, "byte {offset}: the size of tensor `{tensor}` does not fit 63 bits")
            }
            Self::UnknownTensorType { tensor, got, offset } => {
                write!(f, "byte {offset}: tensor `{tensor}` has the unknown type {got}")
            }
            Self::RowNotBlockMultiple { tensor, k, block_len, offset } => {
                write!(
                    f,
                    "byte {offset}: a row of tensor `{tensor}` has {k} weights, no multiple of {block_len}"
                )
            }
            Self::BadOffset { tensor, rel, alignment, offset } => {
                write!(
                    f,
                    "byte {offset}: tensor `{tensor}` lies at {rel} in the data, no multiple of {alignment}"
                )
            }
            Self::OffsetOverflow { tensor, rel, offset } => {
                write!(f, "byte {offset}: tensor `{tensor}` lies at {rel} in the data, past 64 bits")
            }
            Self::TensorOutOfFile { tensor, end, file_end, offset } => {
                write!(f, "byte {offset}: tensor `{tensor}` ends at byte {end}, the file at byte {file_end}")
            }
            Self::Overlap { a, b, offset } => write!(f, "byte {offset}: tensors `{a}` and `{b}` overlap"),
            Self::TooBigForTarget { tensor, value } => {
                write!(f, "tensor `{tensor}`: a size of {value} does not fit this machine's address space")
            }
            Self::BufferTooSmall { key, need } => write!(f, "the buffer for `{key}` needs {need} bytes"),
            Self::Changed { key, offset } => {
                write!(f, "byte {offset}: `{key}` changed while the file was in use")
            }
            Self::OutOfMemory { bytes } => write!(f, "out of memory: {bytes} more bytes were needed"),
        }
    }
}

impl core::error::Error for GgufError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(e) => Some(e),
            _ => None,
        }
    }
}

// An error is returned by value through every layer.
const _: () = assert!(size_of::<GgufError>() < 128);
