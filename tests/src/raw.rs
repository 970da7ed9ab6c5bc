//! GGUF files byte by byte, with any damage. Independent of the core's writer.

/// Numbers of value types.
pub mod ty {
    #![allow(missing_docs, reason = "the specification's names")]
    pub const U8: u32 = 0;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const BOOL: u32 = 7;
    pub const STRING: u32 = 8;
    pub const ARRAY: u32 = 9;
    pub const U64: u32 = 10;
}

/// A file in the making.
#[derive(Clone, Debug, Default)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    /// A version 3 header.
    pub fn new(n_tensors: u64, n_kv: u64) -> Self {
        Self::with_version(3, n_tensors, n_kv)
    }

    /// A header of any version.
    pub fn with_version(version: u32, n_tensors: u64, n_kv: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(version).u64(n_tensors).u64(n_kv)
    }

    /// The offset of the next byte.
    pub fn at(&self) -> u64 {
        self.0.len() as u64
    }

    /// Appends bytes.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a byte.
    pub fn u8(self, v: u8) -> Self {
        self.raw(&[v])
    }

    /// Appends a little-endian number.
    pub fn u32(self, v: u32) -> Self {
        self.raw(&v.to_le_bytes())
    }

    /// Appends a little-endian number.
    pub fn u64(self, v: u64) -> Self {
        self.raw(&v.to_le_bytes())
    }

    /// Appends a string with its length.
    pub fn str(self, s: impl AsRef<[u8]>) -> Self {
        self.u64(s.as_ref().len() as u64).raw(s.as_ref())
    }

    /// Appends a key and the number of its value's type.
    pub fn key(self, key: impl AsRef<[u8]>, ty: u32) -> Self {
        self.str(key).u32(ty)
    }

    /// Appends a pair with a u32.
    pub fn kv_u32(self, key: &str, v: u32) -> Self {
        self.key(key, ty::U32).u32(v)
    }

    /// Appends a pair with a string.
    pub fn kv_str(self, key: &str, v: impl AsRef<[u8]>) -> Self {
        self.key(key, ty::STRING).str(v)
    }

    /// Appends the head of an array.
    pub fn array(self, key: &str, element: u32, count: u64) -> Self {
        self.key(key, ty::ARRAY).u32(element).u64(count)
    }

    /// Appends a tensor's info.
    pub fn info(self, name: impl AsRef<[u8]>, dims: &[u64], ty: u32, rel: u64) -> Self {
        let with_dims = dims.iter().fold(self.str(name).u32(dims.len() as u32), |raw, &d| raw.u64(d));
        with_dims.u32(ty).u64(rel)
    }

    /// Appends zeros up to a multiple of `alignment`.
    pub fn pad(mut self, alignment: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        self
    }

    /// Appends `n` bytes `0x5a`, which are no plausible length or count.
    pub fn data(mut self, n: usize) -> Self {
        self.0.resize(self.0.len() + n, 0x5a);
        self
    }
}
