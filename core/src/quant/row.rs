//! Rows of weights in any format.

use super::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use super::{
    BLOCK_LEN, Block, Q2KBlock, Q3KBlock, Q4_0Block, Q4_1Block, Q4KBlock, Q5_0Block, Q5_1Block, Q5KBlock,
    Q6KBlock, Q8_0Block, Q8KBlock, SUPER_BLOCK_LEN, WeightFormat,
};
use crate::part::part;
use core::fmt;

/// Why a row cannot be converted.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuantError {
    /// The weights are no whole number of the format's blocks.
    NotBlockMultiple {
        /// The format.
        format: WeightFormat,
        /// Weights.
        len: usize,
    },
    /// The bytes are not those of so many weights.
    Bytes {
        /// Bytes of so many weights.
        need: usize,
        /// Bytes given.
        have: usize,
    },
    /// This build leaves the format out.
    NotCompiled {
        /// The format; [`WeightFormat::feature`] brings it.
        format: WeightFormat,
    },
    /// A weight to be quantized is NaN or infinite.
    NonFinite {
        /// Its place in the row.
        index: usize,
    },
}

impl fmt::Display for QuantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the row is not converted");
        }
        match *self {
            Self::NotBlockMultiple { format, len } => {
                write!(f, "{len} weights are no whole number of {format} blocks of {}", format.block_len())
            }
            Self::Bytes { need, have } => write!(f, "the row takes {need} bytes, not {have}"),
            Self::NotCompiled { format } => {
                let feature = format.feature();
                write!(f, "{format} is not part of this build (feature `{feature}`)")
            }
            Self::NonFinite { index } => write!(f, "weight {index} is not finite"),
        }
    }
}

impl core::error::Error for QuantError {}

/// The weights of `bytes` into `out`, bit for bit as GGML expands them.
///
/// # Errors
/// [`QuantError`] if `out` is no whole number of blocks, `bytes` are not as many blocks, or the build leaves the
/// format out.
pub fn dequantize_row(format: WeightFormat, bytes: &[u8], out: &mut [f32]) -> Result<(), QuantError> {
    check(format, bytes.len(), out.len())?;
    match format {
        WeightFormat::F32 => {
            for (bytes, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        WeightFormat::F16 => {
            for (bytes, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = f16_to_f32(u16::from_le_bytes(*bytes));
            }
        }
        WeightFormat::BF16 => {
            for (bytes, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = bf16_to_f32(u16::from_le_bytes(*bytes));
            }
        }
        WeightFormat::Q4_0 if cfg!(feature = "q4_0") => expand::<Q4_0Block, BLOCK_LEN>(bytes, out),
        WeightFormat::Q4_1 if cfg!(feature = "q4_1") => expand::<Q4_1Block, BLOCK_LEN>(bytes, out),
        WeightFormat::Q5_0 if cfg!(feature = "q5_0") => expand::<Q5_0Block, BLOCK_LEN>(bytes, out),
        WeightFormat::Q5_1 if cfg!(feature = "q5_1") => expand::<Q5_1Block, BLOCK_LEN>(bytes, out),
        WeightFormat::Q8_0 if cfg!(feature = "q8_0") => expand::<Q8_0Block, BLOCK_LEN>(bytes, out),
        WeightFormat::Q2_K if cfg!(feature = "q2_k") => expand::<Q2KBlock, SUPER_BLOCK_LEN>(bytes, out),
        WeightFormat::Q3_K if cfg!(feature = "q3_k") => expand::<Q3KBlock, SUPER_BLOCK_LEN>(bytes, out),
        WeightFormat::Q4_K if cfg!(feature = "q4_k") => expand::<Q4KBlock, SUPER_BLOCK_LEN>(bytes, out),
        WeightFormat::Q5_K if cfg!(feature = "q5_k") => expand::<Q5KBlock, SUPER_BLOCK_LEN>(bytes, out),
        WeightFormat::Q6_K if cfg!(feature = "q6_k") => expand::<Q6KBlock, SUPER_BLOCK_LEN>(bytes, out),
        WeightFormat::Q8_K if cfg!(feature = "q8_k") => expand::<Q8KBlock, SUPER_BLOCK_LEN>(bytes, out),
        _ => return Err(QuantError::NotCompiled { format }),
    }
    Ok(())
}

/// `x` in `format`, as GGML's reference quantizers do it without an importance matrix.
///
/// A scale too large for a half becomes infinite, as GGML's does; [`first_non_finite_block`] finds it.
///
/// # Errors
/// [`QuantError`] if `x` is no whole number of blocks or not finite, `out` not of its length, or the build leaves the
/// format out.
pub fn quantize_row(format: WeightFormat, x: &[f32], out: &mut [u8]) -> Result<(), QuantError> {
    check(format, out.len(), x.len())?;
    if let Some(index) = x.iter().position(|x| !x.is_finite()) {
        return Err(QuantError::NonFinite { index });
    }
    match format {
        WeightFormat::F32 => {
            for (x, out) in x.iter().zip(out.as_chunks_mut().0) {
                *out = x.to_le_bytes();
            }
        }
        WeightFormat::F16 => {
            for (x, out) in x.iter().zip(out.as_chunks_mut().0) {
                *out = f32_to_f16(*x).to_le_bytes();
            }
        }
        WeightFormat::BF16 => {
            for (x, out) in x.iter().zip(out.as_chunks_mut().0) {
                *out = f32_to_bf16(*x).to_le_bytes();
            }
        }
        WeightFormat::Q4_0 if cfg!(feature = "q4_0") => shrink::<Q4_0Block, BLOCK_LEN>(x, out),
        WeightFormat::Q4_1 if cfg!(feature = "q4_1") => shrink::<Q4_1Block, BLOCK_LEN>(x, out),
        WeightFormat::Q5_0 if cfg!(feature = "q5_0") => shrink::<Q5_0Block, BLOCK_LEN>(x, out),
        WeightFormat::Q5_1 if cfg!(feature = "q5_1") => shrink::<Q5_1Block, BLOCK_LEN>(x, out),
        WeightFormat::Q8_0 if cfg!(feature = "q8_0") => shrink::<Q8_0Block, BLOCK_LEN>(x, out),
        WeightFormat::Q2_K if cfg!(feature = "q2_k") => shrink::<Q2KBlock, SUPER_BLOCK_LEN>(x, out),
        WeightFormat::Q3_K if cfg!(feature = "q3_k") => shrink::<Q3KBlock, SUPER_BLOCK_LEN>(x, out),
        WeightFormat::Q4_K if cfg!(feature = "q4_k") => shrink::<Q4KBlock, SUPER_BLOCK_LEN>(x, out),
        WeightFormat::Q5_K if cfg!(feature = "q5_k") => shrink::<Q5KBlock, SUPER_BLOCK_LEN>(x, out),
        WeightFormat::Q6_K if cfg!(feature = "q6_k") => shrink::<Q6KBlock, SUPER_BLOCK_LEN>(x, out),
        WeightFormat::Q8_K if cfg!(feature = "q8_k") => shrink::<Q8KBlock, SUPER_BLOCK_LEN>(x, out),
        _ => return Err(QuantError::NotCompiled { format }),
    }
    Ok(())
}

/// The first of the blocks in `bytes` whose scale or minimum is NaN or infinite, or the first such number of a
/// float format. A format that the build leaves out has none.
#[must_use]
pub fn first_non_finite_block(format: WeightFormat, bytes: &[u8]) -> Option<usize> {
    match format {
        WeightFormat::F32 => bytes.as_chunks().0.iter().position(|b| !f32::from_le_bytes(*b).is_finite()),
        WeightFormat::F16 => {
            bytes.as_chunks().0.iter().position(|b| !f16_to_f32(u16::from_le_bytes(*b)).is_finite())
        }
        WeightFormat::BF16 => {
            bytes.as_chunks().0.iter().position(|b| !bf16_to_f32(u16::from_le_bytes(*b)).is_finite())
        }
        WeightFormat::Q4_0 if cfg!(feature = "q4_0") => not_finite::<Q4_0Block, BLOCK_LEN>(bytes),
        WeightFormat::Q4_1 if cfg!(feature = "q4_1") => not_finite::<Q4_1Block, BLOCK_LEN>(bytes),
        WeightFormat::Q5_0 if cfg!(feature = "q5_0") => not_finite::<Q5_0Block, BLOCK_LEN>(bytes),
        WeightFormat::Q5_1 if cfg!(feature = "q5_1") => not_finite::<Q5_1Block, BLOCK_LEN>(bytes),
        WeightFormat::Q8_0 if cfg!(feature = "q8_0") => not_finite::<Q8_0Block, BLOCK_LEN>(bytes),
        WeightFormat::Q2_K if cfg!(feature = "q2_k") => not_finite::<Q2KBlock, SUPER_BLOCK_LEN>(bytes),
        WeightFormat::Q3_K if cfg!(feature = "q3_k") => not_finite::<Q3KBlock, SUPER_BLOCK_LEN>(bytes),
        WeightFormat::Q4_K if cfg!(feature = "q4_k") => not_finite::<Q4KBlock, SUPER_BLOCK_LEN>(bytes),
        WeightFormat::Q5_K if cfg!(feature = "q5_k") => not_finite::<Q5KBlock, SUPER_BLOCK_LEN>(bytes),
        WeightFormat::Q6_K if cfg!(feature = "q6_k") => not_finite::<Q6KBlock, SUPER_BLOCK_LEN>(bytes),
        WeightFormat::Q8_K if cfg!(feature = "q8_k") => not_finite::<Q8KBlock, SUPER_BLOCK_LEN>(bytes),
        _ => None,
    }
}

fn check(format: WeightFormat, bytes: usize, weights: usize) -> Result<(), QuantError> {
    let need = format.row_bytes(weights).ok_or(QuantError::NotBlockMultiple { format, len: weights })?;
    if bytes == need { Ok(()) } else { Err(QuantError::Bytes { need, have: bytes }) }
}

/// The whole blocks of `bytes`. A block is bytes without alignment, so the cast always fits.
fn blocks<B: bytemuck::Pod>(bytes: &[u8]) -> &[B] {
    const { assert!(align_of::<B>() == 1) };
    let whole = bytes.len() - bytes.len() % size_of::<B>();
    bytemuck::try_cast_slice(part(bytes, 0, whole)).unwrap_or(&[])
}

fn expand<B: Block<LEN>, const LEN: usize>(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in blocks::<B>(bytes).iter().zip(out.as_chunks_mut().0) {
        block.dequantize(out);
    }
}

fn shrink<B: Block<LEN>, const LEN: usize>(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.as_chunks().0.iter().zip(out.chunks_exact_mut(size_of::<B>())) {
        out.copy_from_slice(bytemuck::bytes_of(&B::quantize(x)));
    }
}

fn not_finite<B: Block<LEN>, const LEN: usize>(bytes: &[u8]) -> Option<usize> {
    blocks::<B>(bytes).iter().position(|b| b.floats().iter().any(|x| !x.is_finite()))
}
