//! The numbers of a KV cache.

use crate::part::{copy, part};
use crate::simd::lanes::{LANES, Lanes, padded};

/// How keys and values are stored.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KvType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision: half the memory. A number beyond ±65504 becomes infinite.
    #[default]
    F16,
}

impl KvType {
    /// Bytes of a number.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Converts `src` to little-endian `kv` numbers in `dst`, halves to nearest even.
#[inline(always)]
pub(super) fn store<L: Lanes>(l: L, kv: KvType, src: &[f32], dst: &mut [u8]) {
    let (units, tail) = src.as_chunks();
    let last = padded(tail);
    match kv {
        KvType::F32 => {
            let (dst, rest) = dst.as_chunks_mut();
            for (x, dst) in units.iter().zip(dst) {
                l.store_f32(l.load(x), dst);
            }
            let mut bytes = [0; 4 * LANES];
            l.store_f32(l.load(&last), &mut bytes);
            copy(rest, part(&bytes, 0, rest.len()));
        }
        KvType::F16 => {
            let (dst, rest) = dst.as_chunks_mut();
            for (x, dst) in units.iter().zip(dst) {
                l.store_f16(l.load(x), dst);
            }
            let mut bytes = [0; 2 * LANES];
            l.store_f16(l.load(&last), &mut bytes);
            copy(rest, part(&bytes, 0, rest.len()));
        }
    }
}
