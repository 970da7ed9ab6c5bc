//! Writes GGUF files: header first, then each tensor's bytes in turn, so that nothing of the size of a model is held.

use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAX_DIMS, ValueType};
use crate::quant::WeightFormat;
use alloc::vec::Vec;
use core::fmt;
use embedded_io::Write;

/// A metadata value to write.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the value type of its name")]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    U64(u64),
    I64(i64),
    F64(f64),
    String(&'a [u8]),
    Strings(&'a [&'a [u8]]),
    F32s(&'a [f32]),
    I32s(&'a [i32]),
    U32s(&'a [u32]),
    /// An array of which the caller has the little-endian bytes.
    RawArray {
        element: ValueType,
        len: u64,
        bytes: &'a [u8],
    },
}

/// Why a file could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError<E> {
    /// The sink failed.
    Io(E),
    /// Version or alignment that no reader accepts.
    BadParameter,
    /// A shape that is empty, has more than 4 dimensions, rows of no whole blocks, or overflows.
    BadShape,
    /// More or fewer bytes than tensor `index` has.
    WrongSize {
        /// Which tensor, in the order of declaration.
        index: usize,
        /// Its bytes.
        want: u64,
        /// Bytes offered.
        got: u64,
    },
    /// Fewer tensors written than declared, or more.
    WrongCount,
    /// Memory for the header could not be had.
    OutOfMemory,
}

impl<E: fmt::Debug> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "writing failed: {e:?}"),
            Self::BadParameter => write!(f, "version or alignment that GGUF does not have"),
            Self::BadShape => write!(f, "a tensor's shape does not suit its format"),
            Self::WrongSize { index, want, got } => {
                write!(f, "tensor number {index} has {want} bytes, {got} were given")
            }
            Self::WrongCount => write!(f, "the number of tensors written is not that declared"),
            Self::OutOfMemory => write!(f, "out of memory for the header"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for WriteError<E> {}

/// A failure before anything is written.
pub type HeaderError = WriteError<core::convert::Infallible>;

#[derive(Debug)]
struct Declared {
    /// The info up to the offset.
    info: Vec<u8>,
    rel: u64,
    bytes: u64,
}

/// The header of a file to be: pairs and tensors in the order in which they're declared.
#[derive(Debug)]
pub struct Builder {
    version: u32,
    alignment: u32,
    n_kv: u64,
    kv: Vec<u8>,
    tensors: Vec<Declared>,
    /// End of the last tensor in the data section.
    end: u64,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            version: 3,
            alignment: DEFAULT_ALIGNMENT,
            n_kv: 0,
            kv: Vec::new(),
            tensors: Vec::new(),
            end: 0,
        }
    }
}

impl Builder {
    /// A version 3 file of alignment 32 without pairs or tensors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the version, 2 or 3.
    ///
    /// # Errors
    /// `BadParameter`.
    pub fn version(&mut self, version: u32) -> Result<&mut Self, HeaderError> {
        if !matches!(version, 2 | 3) {
            return Err(WriteError::BadParameter);
        }
        self.version = version;
        Ok(self)
    }

    /// Sets the alignment and writes its key. To be called before any tensor is declared.
    ///
    /// # Errors
    /// `BadParameter` unless it is a power of two or a multiple of 8, or with tensors declared; `OutOfMemory`.
    pub fn alignment(&mut self, alignment: u32) -> Result<&mut Self, HeaderError> {
        let valid = alignment.is_power_of_two() || alignment != 0 && alignment.is_multiple_of(8);
        if !valid || !self.tensors.is_empty() {
            return Err(WriteError::BadParameter);
        }
        self.alignment = alignment;
        self.kv(ALIGNMENT_KEY, Value::U32(alignment))
    }

    /// Appends a pair.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn kv(&mut self, key: &str, value: Value<'_>) -> Result<&mut Self, HeaderError> {
        text(&mut self.kv, key.as_bytes())?;
        put_value(&mut self.kv, value)?;
        self.n_kv = self.n_kv.saturating_add(1);
        Ok(self)
    }

    /// Appends a tensor, its data after that of the tensors before it.
    ///
    /// # Errors
    /// `BadShape`, `OutOfMemory`.
    pub fn tensor(
        &mut self,
        name: &str,
        dims: &[u64],
        format: WeightFormat,
    ) -> Result<&mut Self, HeaderError> {
        self.tensor_after(0, name, dims, format)
    }

    /// Appends a tensor, its data after `gap` bytes (rounded up to the alignment) that belong to none.
    ///
    /// # Errors
    /// `BadShape`, `OutOfMemory`.
    pub fn tensor_after(
        &mut self,
        gap: u64,
        name: &str,
        dims: &[u64],
        format: WeightFormat,
    ) -> Result<&mut Self, HeaderError> {
        let shape = WriteError::BadShape;
        if dims.len() > MAX_DIMS {
            return Err(shape);
        }
        let (k, rest) = dims.split_first().ok_or(shape)?;
        let row = usize::try_from(*k).ok().and_then(|k| format.row_bytes(k)).ok_or(shape)? as u64;
        let bytes = rest.iter().try_fold(row, |n, &d| n.checked_mul(d)).ok_or(shape)?;
        let rel = self.end.checked_add(gap);
        let rel = rel.and_then(|at| at.checked_next_multiple_of(u64::from(self.alignment))).ok_or(shape)?;

        let mut info = Vec::new();
        text(&mut info, name.as_bytes())?;
        put(&mut info, &(dims.len() as u32).to_le_bytes())?;
        for dim in dims {
            put(&mut info, &dim.to_le_bytes())?;
        }
        put(&mut info, &format.to_ggml().to_le_bytes())?;
        self.end = rel.checked_add(bytes).ok_or(shape)?;
        self.tensors.try_reserve(1).map_err(|_| WriteError::OutOfMemory)?;
        self.tensors.push(Declared { info, rel, bytes });
        Ok(self)
    }

    /// Writes the header with the tensors' infos in the order of declaration.
    ///
    /// # Errors
    /// `Io`.
    pub fn begin<W: Write>(&self, sink: W) -> Result<Writer<'_, W>, WriteError<W::Error>> {
        self.begin_listed(sink, |i| i)
    }

    /// Writes the header; info `i` is that of tensor `listed(i)`, which must permute the numbers of the tensors. The
    /// data keep the order of declaration.
    ///
    /// # Errors
    /// `Io`, and `WrongCount` if `listed` names a tensor that there isn't.
    pub fn begin_listed<W: Write>(
        &self,
        sink: W,
        listed: impl Fn(usize) -> usize,
    ) -> Result<Writer<'_, W>, WriteError<W::Error>> {
        let mut writer = Writer { header: self, sink, at: 0, next: 0, given: 0 };
        writer.bytes(b"GGUF")?;
        writer.bytes(&self.version.to_le_bytes())?;
        writer.bytes(&(self.tensors.len() as u64).to_le_bytes())?;
        writer.bytes(&self.n_kv.to_le_bytes())?;
        writer.bytes(&self.kv)?;
        for i in 0..self.tensors.len() {
            let tensor = self.tensors.get(listed(i)).ok_or(WriteError::WrongCount)?;
            writer.bytes(&tensor.info)?;
            writer.bytes(&tensor.rel.to_le_bytes())?;
        }
        let base = writer.at.checked_next_multiple_of(u64::from(self.alignment)).unwrap_or(writer.at);
        writer.pad_to(base)?;
        writer.at = 0;
        Ok(writer)
    }
}

/// Writes the tensors' bytes, in the order of their declaration.
#[derive(Debug)]
pub struct Writer<'a, W> {
    header: &'a Builder,
    sink: W,
    /// Bytes written, of the data section once the header is complete.
    at: u64,
    /// The tensor that is being written.
    next: usize,
    /// Bytes of it so far.
    given: u64,
}

impl<W: Write> Writer<'_, W> {
    /// Writes the next tensor whole.
    ///
    /// # Errors
    /// `WrongSize`, `WrongCount` after the last tensor, `Io`.
    pub fn tensor(&mut self, bytes: &[u8]) -> Result<(), WriteError<W::Error>> {
        let want = self.header.tensors.get(self.next).ok_or(WriteError::WrongCount)?.bytes;
        let got = bytes.len() as u64;
        if got != want || self.given != 0 {
            return Err(WriteError::WrongSize { index: self.next, want, got });
        }
        self.part(bytes)
    }

    /// Writes the next bytes of the present tensor; its last part ends it.
    ///
    /// # Errors
    /// `WrongSize` for more bytes than it lacks, `WrongCount` after the last tensor, `Io`.
    pub fn part(&mut self, bytes: &[u8]) -> Result<(), WriteError<W::Error>> {
        let tensor = self.header.tensors.get(self.next).ok_or(WriteError::WrongCount)?;
        let got = self.given.saturating_add(bytes.len() as u64);
        if got > tensor.bytes {
            return Err(WriteError::WrongSize { index: self.next, want: tensor.bytes, got });
        }
        self.pad_to(tensor.rel)?;
        self.bytes(bytes)?;
        self.given = got;
        if got == tensor.bytes {
            self.next = self.next.saturating_add(1);
            self.given = 0;
        }
        Ok(())
    }

    /// Ends the file, with the padding after the last tensor, and returns the sink.
    ///
    /// # Errors
    /// `WrongCount` if tensors are missing, `Io`.
    pub fn finish(mut self) -> Result<W, WriteError<W::Error>> {
        if self.next != self.header.tensors.len() {
            return Err(WriteError::WrongCount);
        }
        let end = self.at.checked_next_multiple_of(u64::from(self.header.alignment)).unwrap_or(self.at);
        self.pad_to(end)?;
        self.sink.flush().map_err(WriteError::Io)?;
        Ok(self.sink)
    }

    fn pad_to(&mut self, to: u64) -> Result<(), WriteError<W::Error>> {
        while self.at < to {
            let n = to.saturating_sub(self.at).min(64) as usize;
            self.bytes([0; 64].get(..n).unwrap_or(&[]))?;
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), WriteError<W::Error>> {
        self.sink.write_all(bytes).map_err(WriteError::Io)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), HeaderError> {
    out.try_reserve(bytes.len()).map_err(|_| WriteError::OutOfMemory)?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), HeaderError> {
    put(out, &(bytes.len() as u64).to_le_bytes())?;
    put(out, bytes)
}

fn head(out: &mut Vec<u8>, ty: ValueType) -> Result<(), HeaderError> {
    put(out, &(ty as u32).to_le_bytes())
}

fn array_head(out: &mut Vec<u8>, element: ValueType, len: u64) -> Result<(), HeaderError> {
    head(out, ValueType::Array)?;
    head(out, element)?;
    put(out, &len.to_le_bytes())
}

fn put_value(out: &mut Vec<u8>, value: Value<'_>) -> Result<(), HeaderError> {
    let mut scalar = |ty, bytes: &[u8]| {
        head(out, ty)?;
        put(out, bytes)
    };
    match value {
        Value::U8(v) => scalar(ValueType::U8, &v.to_le_bytes()),
        Value::I8(v) => scalar(ValueType::I8, &v.to_le_bytes()),
        Value::U16(v) => scalar(ValueType::U16, &v.to_le_bytes()),
        Value::I16(v) => scalar(ValueType::I16, &v.to_le_bytes()),
        Value::U32(v) => scalar(ValueType::U32, &v.to_le_bytes()),
        Value::I32(v) => scalar(ValueType::I32, &v.to_le_bytes()),
        Value::F32(v) => scalar(ValueType::F32, &v.to_le_bytes()),
        Value::Bool(v) => scalar(ValueType::Bool, &[u8::from(v)]),
        Value::U64(v) => scalar(ValueType::U64, &v.to_le_bytes()),
        Value::I64(v) => scalar(ValueType::I64, &v.to_le_bytes()),
        Value::F64(v) => scalar(ValueType::F64, &v.to_le_bytes()),
        Value::String(v) => {
            head(out, ValueType::String)?;
            text(out, v)
        }
        Value::Strings(v) => {
            array_head(out, ValueType::String, v.len() as u64)?;
            v.iter().try_for_each(|s| text(out, s))
        }
        Value::F32s(v) => {
            array_head(out, ValueType::F32, v.len() as u64)?;
            v.iter().try_for_each(|x| put(out, &x.to_le_bytes()))
        }
        Value::I32s(v) => {
            array_head(out, ValueType::I32, v.len() as u64)?;
            v.iter().try_for_each(|x| put(out, &x.to_le_bytes()))
        }
        Value::U32s(v) => {
            array_head(out, ValueType::U32, v.len() as u64)?;
            v.iter().try_for_each(|x| put(out, &x.to_le_bytes()))
        }
        Value::RawArray { element, len, bytes } => {
            array_head(out, element, len)?;
            put(out, bytes)
        }
    }
}
