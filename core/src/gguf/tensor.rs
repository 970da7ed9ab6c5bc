//! The directory of tensors.

use super::store::Place;
use super::types::ggml_type_name;
use super::{Gguf, GgufError, Name};
use crate::io::{AbsOffset, RelOffset};
use crate::quant::{UnknownFormat, WeightFormat};

/// The most dimensions of a tensor.
pub const MAX_DIMS: usize = 4;

/// What the directory keeps of a tensor: 48 bytes, its dimensions and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) name: Place,
    pub(super) n_dims: u8,
    /// GGML's number, below [`GGML_TYPE_COUNT`](super::GGML_TYPE_COUNT).
    pub(super) ty: u8,
    /// Index of the first dimension in the list of all tensors' dimensions.
    pub(super) first_dim: u32,
    pub(super) rel: RelOffset,
    /// Set once the data section's place is known.
    pub(super) abs: AbsOffset,
    /// [`UNKNOWN_BYTES`] if the block size of the type is not known.
    pub(super) bytes: u64,
    /// Absolute offset of the tensor's info.
    pub(super) info_at: u64,
}

/// A number of bytes that no tensor has: sizes fit 63 bits.
pub(super) const UNKNOWN_BYTES: u64 = u64::MAX;

// Less where 64-bit numbers need no alignment of 8, as on 32-bit x86.
const _: () = assert!(size_of::<Record>() <= 48);

/// A tensor: name, shape, type and place, all checked when the file was opened.
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo<'a> {
    name: &'a str,
    dims: [u64; MAX_DIMS],
    record: Record,
}

impl<'a> TensorInfo<'a> {
    /// The name, 1 to 64 bytes without NUL.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// The dimensions, 1 to 4 of them. `dims()[0]` is the contiguous one: for a weight matrix its input side `k`.
    /// A dimension may be 0.
    #[must_use]
    pub fn dims(&self) -> &[u64] {
        self.dims.get(..usize::from(self.record.n_dims)).unwrap_or(&[])
    }

    /// Weights in a row: `dims()[0]`, the input side of a weight matrix. Rows are contiguous.
    #[must_use]
    pub const fn k(&self) -> u64 {
        let [k, ..] = self.dims;
        k
    }

    /// Rows: the product of the other dimensions, the output side of a weight matrix.
    #[must_use]
    pub fn n(&self) -> u64 {
        // The product of all four was seen to fit 63 bits.
        self.dims.iter().skip(1).fold(1, |n, &d| n.saturating_mul(d))
    }

    /// Weights in all.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.k().saturating_mul(self.n())
    }

    /// GGML's number of the type.
    #[must_use]
    pub const fn ggml_type(&self) -> u32 {
        self.record.ty as u32
    }

    /// GGML's name of the type, `"?"` for a number without one.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        ggml_type_name(self.ggml_type()).unwrap_or("?")
    }

    /// The format.
    ///
    /// # Errors
    /// [`UnknownFormat`] for a type that barre does not compute with. Such a tensor harms only who needs it.
    pub const fn format(&self) -> Result<WeightFormat, UnknownFormat> {
        WeightFormat::from_ggml(self.ggml_type())
    }

    /// The place as the file states it, in its data section.
    #[must_use]
    pub const fn offset(&self) -> RelOffset {
        self.record.rel
    }

    /// The place in the reader: where the tensor's bytes are read.
    #[must_use]
    pub const fn abs(&self) -> AbsOffset {
        self.record.abs
    }

    /// Bytes, all of which lie in the file. `None` only if [`format`](Self::format) fails and GGML's block size of the
    /// type is not known either.
    #[must_use]
    pub const fn bytes(&self) -> Option<u64> {
        match self.record.bytes {
            UNKNOWN_BYTES => None,
            bytes => Some(bytes),
        }
    }

    /// Where the tensor's info lies in the header.
    #[must_use]
    pub const fn info_offset(&self) -> AbsOffset {
        AbsOffset::new(self.record.info_at)
    }

    /// The four dimensions, 1 where there is none, as this target counts.
    ///
    /// # Errors
    /// `TooBigForTarget` if a dimension or the number of weights exceeds `usize`.
    pub fn shape(&self) -> Result<[usize; MAX_DIMS], GgufError> {
        self.fit(self.elements(), usize::MAX as u64)?;
        let mut out = [0; MAX_DIMS];
        for (to, &dim) in out.iter_mut().zip(&self.dims) {
            self.fit(dim, usize::MAX as u64)?;
            *to = dim as usize;
        }
        Ok(out)
    }

    fn fit(&self, value: u64, max: u64) -> Result<(), GgufError> {
        if value <= max {
            Ok(())
        } else {
            Err(GgufError::TooBigForTarget { tensor: Name::from(self.name), value })
        }
    }
}

impl Gguf {
    /// The tensors in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorInfo<'_>> {
        Tensors { gguf: self, next: 0 }
    }

    /// The tensor called `name`. O(log n).
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<TensorInfo<'_>> {
        let found = self.by_name.binary_search_by(|&i| self.name_at(i).cmp(name.as_bytes())).ok()?;
        self.tensor_at(*self.by_name.get(found)? as usize)
    }

    /// Tensor `i` in the order of the file.
    #[must_use]
    pub fn tensor_at(&self, i: usize) -> Option<TensorInfo<'_>> {
        let record = *self.records.get(i)?;
        let name = str::from_utf8(self.texts.get(record.name)).ok()?;
        let mut dims = [1; MAX_DIMS];
        for (d, to) in dims.iter_mut().take(usize::from(record.n_dims)).enumerate() {
            *to = *self.dims.get((record.first_dim as usize).checked_add(d)?)?;
        }
        Some(TensorInfo { name, dims, record })
    }

    pub(super) fn name_at(&self, i: u32) -> &[u8] {
        self.records.get(i as usize).map_or(&[], |record| self.texts.get(record.name))
    }
}

struct Tensors<'a> {
    gguf: &'a Gguf,
    next: usize,
}

impl<'a> Iterator for Tensors<'a> {
    type Item = TensorInfo<'a>;

    fn next(&mut self) -> Option<TensorInfo<'a>> {
        let info = self.gguf.tensor_at(self.next)?;
        self.next = self.next.saturating_add(1);
        Some(info)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.gguf.records.len().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Tensors<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_a_32_bit_address_space_are_an_error_there() {
        let record = Record {
            name: Place::default(),
            n_dims: 2,
            ty: 0,
            first_dim: 0,
            rel: RelOffset::new(0),
            abs: AbsOffset::ZERO,
            bytes: 0,
            info_at: 0,
        };
        let info = TensorInfo { name: "t", dims: [1 << 20, 1 << 13, 1, 1], record };
        let max = u64::from(u32::MAX);
        assert_eq!(info.fit(max, max), Ok(()));
        let want = Err(GgufError::TooBigForTarget { tensor: Name::from("t"), value: 1 << 33 });
        assert_eq!(info.fit(info.elements(), max), want);
        #[cfg(target_pointer_width = "32")]
        assert_eq!(info.shape().map(|_| ()), want);
        #[cfg(target_pointer_width = "64")]
        assert_eq!(info.shape(), Ok([1 << 20, 1 << 13, 1, 1]));
    }
}
