//! The numbers of a KV cache.

use crate::part::{copy, part};
use crate::quant::Q8_0Block;
use crate::quant::float::f32_to_f16;
use crate::simd::lanes::{LANES, Lanes, ROUND, padded};

/// How keys and values are stored.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(non_camel_case_types, reason = "the format's own name")]
pub enum KvType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision: half the memory. A number beyond ±65504 becomes infinite.
    #[default]
    F16,
    /// Blocks of 32 numbers of a head, 8 bits each, with one scale (GGML's Q8_0): 17/32 of the memory of halves, for
    /// heads whose lengths are multiples of 32. Attention widens a block to `d·q` in f32 and goes on as with the other
    /// types.
    ///
    /// What it costs depends on the model. The logits' normalised mean squared error against those of an f32 cache was
    /// 4e-5 to 8e-5 for models of random weights and 1.1e-5 for the trained demo model. Halves make 7e-8 and 2e-8,
    /// [`Mode::Int8`](crate::kernels::Mode) 2e-4 to 8e-4 and 8e-5.
    ///
    /// A block with a NaN or an infinity is NaN where it is read, so that it shows; one with a number beyond ±8.3 million,
    /// whose scale is no half any more, infinite or NaN. Needs the feature `kv-q8_0`.
    Q8_0,
}

impl KvType {
    /// All types.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8_0];

    /// The type's name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// Whether this build can store it. A plan with a type that is left out is refused.
    #[must_use]
    pub const fn is_compiled(self) -> bool {
        cfg!(feature = "kv-q8_0") || !matches!(self, Self::Q8_0)
    }

    /// Numbers that are stored together: every head's length is a multiple of it.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Q8_0 if cfg!(feature = "kv-q8_0") => 32,
            _ => 1,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Q8_0 if cfg!(feature = "kv-q8_0") => size_of::<Q8_0Block>(),
            _ => 2,
        }
    }

    /// Bytes of `len` numbers, a multiple of [`block_len`](Self::block_len). Saturates.
    #[must_use]
    pub const fn row_bytes(self, len: usize) -> usize {
        (len / self.block_len()).saturating_mul(self.block_bytes())
    }
}

/// Converts `src` to little-endian `kv` numbers in `dst`: halves to nearest even, blocks as their format's quantizer
/// does.
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
        // No plan has them then; nothing of them is linked.
        KvType::Q8_0 if !kv.is_compiled() => {}
        KvType::Q8_0 => {
            let Ok(blocks) = bytemuck::try_cast_slice_mut::<u8, Q8_0Block>(dst) else { return };
            for (x, block) in src.as_chunks().0.iter().zip(blocks) {
                *block = quantize(x);
            }
        }
    }
}

/// The block that the format's quantizer makes of finite numbers, by loops that become vectors: of independent
/// elements, and of integers.
///
/// Numbers that are not finite must show where they are read, so a block with one is NaN altogether.
#[inline(always)]
fn quantize(x: &[f32; 32]) -> Q8_0Block {
    // On the bits, as integers: infinity is above every number and NaN above infinity.
    let largest = x.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff));
    let d = f32::from_bits(largest) / 127.0;
    if !d.is_finite() {
        return Q8_0Block { d: 0x7e00u16.to_le_bytes(), qs: [0; 32] };
    }
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let qs = x.map(|x| {
        let v = (x * inverse).clamp(-128.0, 127.0);
        // To nearest even, then halves away from zero: a cast truncates, and saturates one element at a time.
        let even = (v + ROUND) - ROUND;
        let away = if v - even == 0.5f32.copysign(v) { even + 1f32.copysign(v) } else { even };
        (away + ROUND).to_bits() as i8
    });
    Q8_0Block { d: f32_to_f16(d).to_le_bytes(), qs }
}
