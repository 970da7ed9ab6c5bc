//! How much of a file the parser is willing to believe.

/// Arrays nested deeper than this are refused whatever [`Limits::array_depth`] says: it is the parser's whole stack.
pub const MAX_ARRAY_DEPTH: usize = 4;

/// Bounds on what a header may contain. Whatever they are, nothing is allocated before the file's length has
/// been seen to cover it: they bound time and the memory of files that are big *and* hostile.
///
/// With the defaults, at the moment of any error the heap holds at most 2 bytes for each byte read plus 64 KiB.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Key-value pairs: 4096. Real files have about 40; each costs 36 bytes and its key.
    pub n_kv: u64,
    /// Tensors: 65,536. Real files have up to some thousands; each costs about 64 bytes and its name.
    pub n_tensors: u64,
    /// Bytes of a key: 65,535, the specification's own bound, and the most that can be set.
    pub key: u64,
    /// Bytes of a string value or array element: 16 MiB. They are not held in memory.
    pub string: u64,
    /// Elements of an array: 2^28. They are not held in memory.
    pub array_len: u64,
    /// Levels of nested arrays: 4, which is also the most ([`MAX_ARRAY_DEPTH`]).
    pub array_depth: usize,
    /// Bytes of a tensor's name: 64, as the specification has it (llama.cpp stops at 63).
    pub tensor_name: u64,
    /// `general.alignment`: 1 MiB.
    pub alignment: u32,
}

impl Limits {
    /// The values named at each field.
    pub const DEFAULT: Self = Self {
        n_kv: 4096,
        n_tensors: 65_536,
        key: 65_535,
        string: 16 << 20,
        array_len: 1 << 28,
        array_depth: MAX_ARRAY_DEPTH,
        tensor_name: 64,
        alignment: 1 << 20,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
